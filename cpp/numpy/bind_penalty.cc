// SPDX-License-Identifier: Apache-2.0
#include "fastreg/penalty.h"
#include "numpy/arrays.h"
#include "numpy/module.h"

namespace fastreg {
namespace {

double penalty(const py::array& w, double l1, double l2) {
  return with_elements_of(w, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const T* from = elements<T>(w, w.size());
    return compute(w.size(), [&, n = w.size()](const Executor& executor) {
      return l1_l2_penalty(from, n, l1, l2, executor);
    });
  });
}

void gradient(const py::array& w, double l1, double l2, py::array out) {
  with_elements_of(w, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const T* from = elements<T>(w, w.size());
    T* to = writable_elements<T>(out, w.size());
    compute(w.size(), [&, n = w.size()](const Executor& executor) {
      l1_l2_gradient(from, n, l1, l2, to, executor);
    });
  });
}

double penalty_and_gradient(const py::array& w, double l1, double l2, py::array out) {
  return with_elements_of(w, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const T* from = elements<T>(w, w.size());
    T* to = writable_elements<T>(out, w.size());
    return compute(w.size(), [&, n = w.size()](const Executor& executor) {
      return l1_l2_penalty_and_gradient(from, n, l1, l2, to, executor);
    });
  });
}

}  // namespace

void bind_penalty(py::module_& module) {
  module.def("l1_l2_penalty", penalty, py::arg("w"), py::arg("l1"), py::arg("l2"));
  module.def("l1_l2_gradient", gradient, py::arg("w"), py::arg("l1"), py::arg("l2"),
             py::arg("out"));
  module.def("l1_l2_penalty_and_gradient", penalty_and_gradient, py::arg("w"), py::arg("l1"),
             py::arg("l2"), py::arg("out"));
}

}  // namespace fastreg
