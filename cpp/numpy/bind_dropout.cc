// SPDX-License-Identifier: Apache-2.0
#include "fastreg/dropout.h"
#include "numpy/arrays.h"
#include "numpy/module.h"

namespace fastreg {
namespace {

void bound_dropout(const py::array& x, double rate, std::pair<int64_t, int64_t> seed,
                   const std::optional<std::vector<int64_t>>& noise_shape, const std::string& rng,
                   py::array out) {
  const DropoutSpec spec = {rate, Seed::reduced(seed.first, seed.second),
                            rng == "fast" ? Rng::kFast : Rng::kKeras};
  const std::vector<int64_t> shape(x.shape(), x.shape() + x.ndim());
  if (!(rate >= 0.0 && rate <= 1.0)) throw py::value_error("Expected a rate between 0 and 1.");
  if (noise_shape) {
    bool fits = noise_shape->size() == shape.size();
    for (size_t d = 0; fits && d < shape.size(); ++d) {
      fits = (*noise_shape)[d] == shape[d] || (*noise_shape)[d] == 1;
    }
    if (!fits) throw py::value_error("Expected a noise shape that broadcasts to the array's.");
  }
  with_elements_of(x, [&](auto type) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const T* from = elements<T>(x, x.size());
    T* to = writable_elements<T>(out, x.size());
    compute(x.size(), [&, n = x.size()](const Executor& executor) {
      if (noise_shape) return dropout(from, shape, *noise_shape, spec, to, executor);
      dropout(from, n, spec, to, executor);
    });
  });
}

}  // namespace

void bind_dropout(py::module_& module) {
  module.def("dropout", bound_dropout, py::arg("x"), py::arg("rate"), py::arg("seed"),
             py::arg("noise_shape"), py::arg("rng"), py::arg("out"));
}

}  // namespace fastreg
