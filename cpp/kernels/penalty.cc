// SPDX-License-Identifier: Apache-2.0
#include "kernels/penalty.h"

#include "kernels/families.h"
#include "kernels/loops.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

// A lane adds 64 floats before it is carried on in double.
constexpr int64_t kBlock = 4096;

// The vector of a * sign(w) + b * w with the terms wanted.
template <int kTerms, typename V>
inline V gradient_of(V w, V a, V b) {
  if constexpr (kTerms == kL1) return a * sign(w);
  if constexpr (kTerms == kL2) return b * w;
  if constexpr (kTerms == (kL1 | kL2)) return a * sign(w) + b * w;
  return V::zero();
}

// V chooses the precision of the lanes.
template <typename V, int kTerms, typename T>
PenaltySums sums_in(const T* w, int64_t n) {
  constexpr int kSums = kTerms == (kL1 | kL2) ? 2 : 1;
  PenaltySums result = {0.0, 0.0};
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t size = n - begin < kBlock ? n - begin : kBlock;
    LaneSums<V, kSums> lanes;
    lanes.clear();
    map_reduce<V, kSums>(size, lanes, [=](int64_t i, auto count, V* terms) {
      const V x = V::load(w + begin + i, count);
      if constexpr ((kTerms & kL1) != 0) terms[0] = abs(x);
      if constexpr ((kTerms & kL2) != 0) terms[kSums - 1] = x * x;
    });
    if constexpr ((kTerms & kL1) != 0) result.magnitudes += total(lanes, 0);
    if constexpr ((kTerms & kL2) != 0) result.squares += total(lanes, kSums - 1);
  }
  return result;
}

// Whether no float lane overflowed, and no more than 2^-26 of the squares were lost to underflow:
// a square that does not keep its digits is below 2^-126.
template <int kTerms>
inline bool float_suffices(const PenaltySums& sums, int64_t n) {
  constexpr double kInfinity = __builtin_inf();
  if (sums.magnitudes == kInfinity || sums.squares == kInfinity) return false;
  if constexpr ((kTerms & kL2) == 0) return true;
  if constexpr ((kTerms & kL1) != 0) {
    if (sums.magnitudes == 0.0) return true;
  }
  return !(sums.squares < static_cast<double>(n) * 0x1p-100);
}

template <typename T, int kTerms>
PenaltySums sums_of(const T* w, int64_t n) {
  if constexpr (kTerms == kNoPenalty) return {0.0, 0.0};
  const PenaltySums sums = sums_in<Vec<Compute<T>>, kTerms>(w, n);
  if (sizeof(Compute<T>) == sizeof(double) || float_suffices<kTerms>(sums, n)) return sums;
  return sums_in<Vec<double>, kTerms>(w, n);
}

template <typename T, int kTerms>
void gradient_with(const T* w, int64_t n, double a, double b, T* gradient) {
  using V = Vec<Compute<T>>;
  const V a_all = V::all(static_cast<Compute<T>>(a));
  const V b_all = V::all(static_cast<Compute<T>>(b));
  map<V>(n, [=](int64_t i, auto count) {
    gradient_of<kTerms>(V::load(w + i, count), a_all, b_all).store(gradient + i, count);
  });
}

template <typename T>
PenaltySums sums(const T* w, int64_t n, int terms) noexcept {
  switch (terms) {
    case kL1:
      return sums_of<T, kL1>(w, n);
    case kL2:
      return sums_of<T, kL2>(w, n);
    case kL1 | kL2:
      return sums_of<T, kL1 | kL2>(w, n);
    default:
      return {0.0, 0.0};
  }
}

template <typename T>
void gradient(const T* w, int64_t n, int terms, double a, double b, T* gradient) noexcept {
  switch (terms) {
    case kL1:
      return gradient_with<T, kL1>(w, n, a, b, gradient);
    case kL2:
      return gradient_with<T, kL2>(w, n, a, b, gradient);
    case kL1 | kL2:
      return gradient_with<T, kL1 | kL2>(w, n, a, b, gradient);
    default:
      return gradient_with<T, kNoPenalty>(w, n, a, b, gradient);
  }
}

}  // namespace

template <typename T>
PenaltyKernels<T> penalty_kernels() {
  return {sums<T>, gradient<T>};
}

#define FASTREG_INSTANTIATE(T) template PenaltyKernels<T> penalty_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
