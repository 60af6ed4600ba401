// SPDX-License-Identifier: Apache-2.0
#include "kernels/penalty.h"

#include <cmath>

#include "fastreg/half.h"
#include "kernels/families.h"

namespace fastreg {
namespace reference {
namespace {

template <typename T>
PenaltySums sums(const T* w, int64_t n, int terms) noexcept {
  PenaltySums sums = {0.0, 0.0};
  for (int64_t i = 0; i < n; ++i) {
    const double x = to_compute(w[i]);
    if (terms & kL1) sums.magnitudes += std::fabs(x);
    if (terms & kL2) sums.squares += x * x;
  }
  return sums;
}

template <typename T>
void gradient(const T* w, int64_t n, int terms, double l1, double l2, T* gradient,
              Stores) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const double x = to_compute(w[i]);
    const double sign = x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
    const double of_l1 = terms & kL1 ? l1 * sign : 0.0;
    const double of_l2 = terms & kL2 ? l2 * x * 2.0 : 0.0;
    gradient[i] = from_compute<T>(static_cast<Compute<T>>(of_l1 + of_l2));
  }
}

template <typename T>
PenaltySums sums_and_gradient(const T* w, int64_t n, int terms, double l1, double l2, T* to,
                              Stores stores) noexcept {
  gradient(w, n, terms, l1, l2, to, stores);
  return sums(w, n, terms);
}

}  // namespace

template <typename T>
PenaltyKernels<T> penalty_kernels() {
  return {sums<T>, gradient<T>, sums_and_gradient<T>};
}

#define FASTREG_INSTANTIATE(T) template PenaltyKernels<T> penalty_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace reference
}  // namespace fastreg
