// SPDX-License-Identifier: Apache-2.0
#include "fastreg/batch_norm.h"
#include "numpy/arrays.h"
#include "numpy/module.h"

namespace fastreg {
namespace {

using Optional = std::optional<py::array>;

// What forward and gradient return: false where the mask has a weight that is not finite and at
// least 0. Then the array for the result is as it was.

BatchNormShape shape_of(const py::array& x, int axis) {
  if (axis < 0 || axis >= x.ndim()) throw py::value_error("Expected an axis of the array.");
  BatchNormShape shape = {1, x.shape(axis), 1};
  for (int d = 0; d < axis; ++d) shape.outer *= x.shape(d);
  for (int d = axis + 1; d < x.ndim(); ++d) shape.inner *= x.shape(d);
  return shape;
}

bool forward(const py::array& x, const Optional& gamma, const Optional& beta, int axis,
             double epsilon, const Optional& mask, py::array out, py::array mean,
             py::array variance) {
  const BatchNormShape shape = shape_of(x, axis);
  return with_elements_of(x, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    using S = Compute<T>;
    const BatchNormForward<T> args = {elements<T>(x, shape.size()),
                                      {optional_elements<S>(mask, shape.samples()), false},
                                      optional_elements<S>(gamma, shape.channels),
                                      optional_elements<S>(beta, shape.channels),
                                      epsilon,
                                      writable_elements<T>(out, shape.size()),
                                      writable_elements<S>(mean, shape.channels),
                                      writable_elements<S>(variance, shape.channels),
                                      nullptr};
    return compute(shape.size(),
                   [&](const Executor& executor) { return batch_norm(shape, args, executor); });
  });
}

void inference(const py::array& x, const py::array& mean, const py::array& variance,
               const Optional& gamma, const Optional& beta, int axis, double epsilon,
               py::array out) {
  const BatchNormShape shape = shape_of(x, axis);
  with_elements_of(x, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    using S = Compute<T>;
    const BatchNormInference<T> args = {elements<T>(x, shape.size()),
                                        elements<S>(mean, shape.channels),
                                        elements<S>(variance, shape.channels),
                                        optional_elements<S>(gamma, shape.channels),
                                        optional_elements<S>(beta, shape.channels),
                                        epsilon,
                                        writable_elements<T>(out, shape.size())};
    compute(shape.size(),
            [&](const Executor& executor) { batch_norm_inference(shape, args, executor); });
  });
}

bool gradient(const py::array& grad, const py::array& x, const py::array& mean,
              const py::array& variance, const Optional& gamma, int axis, double epsilon,
              const Optional& mask, py::array out, py::array grad_gamma, py::array grad_beta) {
  const BatchNormShape shape = shape_of(x, axis);
  return with_elements_of(x, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    using S = Compute<T>;
    const BatchNormGradient<T> args = {elements<T>(grad, shape.size()),
                                       elements<T>(x, shape.size()),
                                       {optional_elements<S>(mask, shape.samples()), false},
                                       elements<S>(mean, shape.channels),
                                       elements<S>(variance, shape.channels),
                                       optional_elements<S>(gamma, shape.channels),
                                       nullptr,
                                       nullptr,
                                       epsilon,
                                       writable_elements<T>(out, shape.size()),
                                       writable_elements<S>(grad_gamma, shape.channels),
                                       writable_elements<S>(grad_beta, shape.channels)};
    return compute(shape.size(), [&](const Executor& executor) {
      return batch_norm_gradient(shape, args, executor);
    });
  });
}

}  // namespace

void bind_batch_norm(py::module_& module) {
  module.def("batch_norm", forward, py::arg("x"), py::arg("gamma"), py::arg("beta"),
             py::arg("axis"), py::arg("epsilon"), py::arg("mask"), py::arg("out"), py::arg("mean"),
             py::arg("variance"));
  module.def("batch_norm_inference", inference, py::arg("x"), py::arg("mean"), py::arg("variance"),
             py::arg("gamma"), py::arg("beta"), py::arg("axis"), py::arg("epsilon"),
             py::arg("out"));
  module.def("batch_norm_gradient", gradient, py::arg("grad"), py::arg("x"), py::arg("mean"),
             py::arg("variance"), py::arg("gamma"), py::arg("axis"), py::arg("epsilon"),
             py::arg("mask"), py::arg("out"), py::arg("grad_gamma"), py::arg("grad_beta"));
}

}  // namespace fastreg
