// SPDX-License-Identifier: Apache-2.0
// What fastreg/checks.py asks about several arrays: a question to numpy about each takes longer
// than a small kernel.
#include <algorithm>

#include "numpy/arrays.h"
#include "numpy/module.h"

namespace fastreg {
namespace {

// Of numpy's own class: what subclasses are, Python asks.
bool is_vector_of(const py::handle& value, const py::dtype& dtype, int64_t size) {
  if (Py_TYPE(value.ptr()) != py::detail::npy_api::get().PyArray_Type_) return false;
  const auto array = py::reinterpret_borrow<py::array>(value);
  return array.ndim() == 1 && array.shape(0) == size && array.dtype().equal(dtype) &&
         (array.flags() & py::array::c_style);
}

bool are_vectors_of(const py::dict& required, const py::dict& optional, const py::dtype& dtype,
                    int64_t size) {
  const auto fits = [&](const auto& item) { return is_vector_of(item.second, dtype, size); };
  return std::all_of(required.begin(), required.end(), fits) &&
         std::all_of(optional.begin(), optional.end(),
                     [&](const auto& item) { return item.second.is_none() || fits(item); });
}

// Bounds tell all there is to know about contiguous arrays.
bool overlap(const py::array& a, const py::array& b) {
  const auto* x = static_cast<const char*>(a.data());
  const auto* y = static_cast<const char*>(b.data());
  return a.nbytes() > 0 && b.nbytes() > 0 && x < y + b.nbytes() && y < x + a.nbytes();
}

// `first` may be `out` itself.
bool overlaps(const py::array& out, const py::array& first, const py::sequence& others) {
  if (out.data() != first.data() && overlap(out, first)) return true;
  return std::any_of(others.begin(), others.end(), [&](const py::handle& other) {
    return !other.is_none() && overlap(out, py::reinterpret_borrow<py::array>(other));
  });
}

}  // namespace

void bind_checks(py::module_& module) {
  module.def("are_vectors_of", are_vectors_of, py::arg("required"), py::arg("optional"),
             py::arg("dtype"), py::arg("size"));
  module.def("overlaps", overlaps, py::arg("out"), py::arg("first"), py::arg("others"));
}

}  // namespace fastreg
