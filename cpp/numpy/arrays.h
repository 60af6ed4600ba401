// SPDX-License-Identifier: Apache-2.0
// numpy arrays as plain memory. fastreg/functional.py has checked the arguments and worded the
// errors; what is repeated here is what memory safety needs.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "fastreg/dtype.h"
#include "numpy/gil.h"
#include "numpy/threads.h"

namespace fastreg {

namespace py = pybind11;

// Of numpy's numbers of types, what pybind11 does not name.
constexpr int kNumpyHalf = 23, kFirstNumpyExtension = 256;

// bfloat16 is an extension of numpy's types, by the package ml_dtypes: known by its name alone. The
// type's name is asked for, as the dtype's runs Python code, in which a daemon thread may be ended.
inline Dtype dtype_of(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const bool is_native = dtype.byteorder() != '>';
  if (is_native && dtype.num() == py::dtype::num_of<float>()) return Dtype::kFloat32;
  if (is_native && dtype.num() == py::dtype::num_of<double>()) return Dtype::kFloat64;
  if (is_native && dtype.num() == kNumpyHalf) return Dtype::kFloat16;
  if (is_native && dtype.num() >= kFirstNumpyExtension &&
      py::str(dtype.attr("type").attr("__name__")).cast<std::string>() == "bfloat16") {
    return Dtype::kBFloat16;
  }
  throw py::type_error("Expected an array of float32, float64, float16 or bfloat16.");
}

template <typename T>
constexpr Dtype kDtypeOf = Dtype::kFloat32;
template <>
inline constexpr Dtype kDtypeOf<double> = Dtype::kFloat64;
template <>
inline constexpr Dtype kDtypeOf<Half> = Dtype::kFloat16;
template <>
inline constexpr Dtype kDtypeOf<BFloat16> = Dtype::kBFloat16;

// Calls f(null `const T*`) with the element type of `array`.
template <typename F>
decltype(auto) with_elements_of(const py::array& array, F&& f) {
  return with_dtype(dtype_of(array), std::forward<F>(f));
}

inline void check_memory(const py::array& array, Dtype dtype, int64_t size) {
  if (dtype_of(array) != dtype) throw py::type_error("Expected an array of another dtype.");
  if (array.size() != size) throw py::value_error("Expected an array of another size.");
  if (!(array.flags() & py::array::c_style)) {
    throw py::value_error("Expected a C-contiguous array.");
  }
}

template <typename T>
const T* elements(const py::array& array, int64_t size) {
  check_memory(array, kDtypeOf<T>, size);
  return static_cast<const T*>(array.data());
}

template <typename T>
T* writable_elements(py::array& array, int64_t size) {
  check_memory(array, kDtypeOf<T>, size);
  if (!array.writeable()) throw py::value_error("Expected a writable array.");
  return static_cast<T*>(array.mutable_data());
}

// None is null.
template <typename T>
const T* optional_elements(const std::optional<py::array>& array, int64_t size) {
  return array ? elements<T>(*array, size) : nullptr;
}

// Runs f(executor) without the interpreter's lock where that pays. Pointers were taken before and
// the caller holds references to the arrays, so their memory stays; that another thread may write
// to it meanwhile is what numpy's own functions accept too.
template <typename F>
decltype(auto) compute(int64_t size, F&& f) {
  constexpr int64_t kWorthReleasing = 8192;
  if (size < kWorthReleasing) return f(executor());
  const GilRelease released;
  return f(executor());
}

}  // namespace fastreg
