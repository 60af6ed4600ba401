// SPDX-License-Identifier: Apache-2.0
// Coefficients beyond the range of the type in which they multiply.
//
// Such a one is kept divided by the square of a factor, and multiplies v as
// ((v * factor) * coefficient) * factor: 0 stays 0, and the product is infinite only where the true
// one is. The factor of all others is 1, which changes no bit. Of a sum of products, the last
// factor multiplies the sum.
#pragma once

#include "kernels/loops.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

template <typename S>
constexpr double kLargest = 0x1.fffffffffffffp1023;
template <>
inline constexpr double kLargest<float> = 0x1.fffffep127;

// So large that what is divided by its square fits S, or may be replaced by the largest of S: even
// with the smallest of S, the product is infinite.
template <typename S>
constexpr double kFactor = 0x1p550;
template <>
inline constexpr double kFactor<float> = 0x1p90;

// Calls f with a type that says whether there are factors.
template <typename S, typename F>
inline void with_factors(const S* factors, F f) {
  if (factors == nullptr) return f(Constant<false>{});
  f(Constant<true>{});
}

template <bool kHasFactors, typename V>
inline V times(V value, V factor) {
  if constexpr (kHasFactors) return value * factor;
  return value;
}

template <bool kHasFactors, typename V>
inline V product(V value, V coefficient, V factor) {
  return times<kHasFactors>(times<kHasFactors>(value, factor) * coefficient, factor);
}

// By the factor.
template <typename S>
inline Vec<double> divided(Vec<double> value) {
  return value * Vec<double>::all(1.0 / kFactor<S>);
}

template <typename S>
struct Factored {
  using V = Vec<double>;
  V value, factor;
  V beyond;  // positive where the factor is not 1

  // Of a coefficient and of the same divided by the square of kFactor<S>.
  static Factored of(V coefficient, V divided_twice) {
    const V beyond = abs(coefficient) - V::all(kLargest<S>);
    return {where_positive(beyond, clamped(divided_twice), coefficient),
            where_positive(beyond, V::all(kFactor<S>), V::all(1.0)), beyond};
  }

 private:
  // Infinite values stay.
  static V clamped(V value) {
    const V finite = at_least(V::all(-kLargest<S>), at_most(V::all(kLargest<S>), value));
    return where_positive(abs(value) - V::all(kLargest<double>), value, finite);
  }
};

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
