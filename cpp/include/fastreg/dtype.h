// SPDX-License-Identifier: Apache-2.0
// The element types that every family supports, and the one switch over them.
#pragma once

#include <cstdint>

namespace fastreg {

enum class Dtype { kFloat32, kFloat64, kFloat16, kBFloat16 };

// Half types are storage: an element is loaded to float, computed, and rounded once (to nearest,
// ties to even). half.h converts single values.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type in which an element of T is computed and in which its statistics are stored.
template <typename T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <typename T>
using Compute = typename ComputeOf<T>::type;

// Calls f with a null `const T*` that carries the element type.
template <typename F>
decltype(auto) with_dtype(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kFloat64:
      return f(static_cast<const double*>(nullptr));
    case Dtype::kFloat16:
      return f(static_cast<const Half*>(nullptr));
    case Dtype::kBFloat16:
      return f(static_cast<const BFloat16*>(nullptr));
    case Dtype::kFloat32:
    default:
      return f(static_cast<const float*>(nullptr));
  }
}

// Explicit instantiations are written through this list.
#define FASTREG_FOR_EACH_DTYPE(INSTANTIATE) \
  INSTANTIATE(float)                        \
  INSTANTIATE(double)                       \
  INSTANTIATE(Half)                         \
  INSTANTIATE(BFloat16)

}  // namespace fastreg
