// SPDX-License-Identifier: Apache-2.0
#include "kernels/penalty.h"

#include "kernels/families.h"
#include "kernels/loops.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

// A lane adds 64 floats before it is carried on in double.
constexpr int64_t kBlock = 4096;

// Elements: two pages of floats, because sums wait for memory and nothing else.
constexpr int64_t kAhead = 2048;

// The vector of a * sign(w) + b * w with the terms wanted.
template <int kTerms, typename V>
inline V gradient_of(V w, V a, V b) {
  if constexpr (kTerms == kL1) return a * sign(w);
  if constexpr (kTerms == kL2) return b * w;
  if constexpr (kTerms == (kL1 | kL2)) return a * sign(w) + b * w;
  return V::zero();
}

// V chooses the precision of the lanes. also(i, vector at i, lanes) goes along.
template <typename V, int kTerms, typename T, typename Also, typename WholeLanes = Whole>
PenaltySums sums_in(const T* w, int64_t n, Also also, WholeLanes whole = {}) {
  constexpr int kSums = kTerms == (kL1 | kL2) ? 2 : 1;
  PenaltySums result = {0.0, 0.0};
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t size = n - begin < kBlock ? n - begin : kBlock;
    LaneSums<V, kSums> lanes;
    lanes.clear();
    const auto add = [=](int64_t i, auto count, V* terms) {
      prefetch<V::kLanes * sizeof(T)>(w + begin + i + kAhead);
      const V x = V::load(w + begin + i, count);
      if constexpr ((kTerms & kL1) != 0) terms[0] = abs(x);
      if constexpr ((kTerms & kL2) != 0) terms[kSums - 1] = x * x;
      also(begin + i, x, count);
    };
    map_reduce<V, kSums>(size, lanes, add, whole);
    if constexpr ((kTerms & kL1) != 0) result.magnitudes += total(lanes, 0);
    if constexpr ((kTerms & kL2) != 0) result.squares += total(lanes, kSums - 1);
  }
  return result;
}

constexpr auto kNothingElse = [](auto...) {};

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

// `sums` in float lanes, or in double where those do not suffice.
template <int kTerms, typename T>
PenaltySums checked(const PenaltySums& sums, const T* w, int64_t n) {
  if (sizeof(Compute<T>) == sizeof(double) || float_suffices<kTerms>(sums, n)) return sums;
  return sums_in<Vec<double>, kTerms>(w, n, kNothingElse);
}

template <typename T, int kTerms>
PenaltySums sums_of(const T* w, int64_t n) {
  return checked<kTerms>(sums_in<Vec<Compute<T>>, kTerms>(w, n, kNothingElse), w, n);
}

template <typename T, int kTerms>
struct Gradient {
  using V = Vec<Compute<T>>;
  V a, b;
  T* gradient;

  Gradient(double a, double b, T* gradient)
      : a(V::all(static_cast<Compute<T>>(a))),
        b(V::all(static_cast<Compute<T>>(b))),
        gradient(gradient) {}
  template <typename Lanes>
  void operator()(int64_t i, V w, Lanes lanes) const {
    gradient_of<kTerms>(w, a, b).store(gradient + i, lanes);
  }
};

// Calls f with the terms as a type; none are not among them.
template <typename F>
inline auto with_terms(int terms, F f) {
  switch (terms) {
    case kL1:
      return f(Constant<kL1>{});
    case kL2:
      return f(Constant<kL2>{});
    default:
      return f(Constant<kL1 | kL2>{});
  }
}

template <typename T>
PenaltySums sums(const T* w, int64_t n, int terms) noexcept {
  if (terms == kNoPenalty) return {0.0, 0.0};
  return with_terms(terms, [=](auto kind) { return sums_of<T, decltype(kind)::value>(w, n); });
}

template <typename T>
void gradient(const T* w, int64_t n, int terms, double a, double b, T* gradient,
              Stores stores) noexcept {
  using V = Vec<Compute<T>>;
  if (terms == kNoPenalty) {
    return map<V>(n, [=](int64_t i, auto lanes) { V::zero().store(gradient + i, lanes); });
  }
  with_terms(terms, [=](auto kind) {
    const Gradient<T, decltype(kind)::value> put(a, b, gradient);
    with_stores(stores, [=](auto whole) {
      map<V>(n, [=](int64_t i, auto lanes) { put(i, V::load(w + i, lanes), lanes); }, whole);
    });
  });
}

template <typename T>
PenaltySums sums_and_gradient(const T* w, int64_t n, int terms, double a, double b, T* gradient,
                              Stores stores) noexcept {
  return with_terms(terms, [=](auto kind) {
    constexpr int kTerms = decltype(kind)::value;
    const Gradient<T, kTerms> put(a, b, gradient);
    PenaltySums sums;
    with_stores(stores,
                [&](auto whole) { sums = sums_in<Vec<Compute<T>>, kTerms>(w, n, put, whole); });
    return checked<kTerms>(sums, w, n);
  });
}

}  // namespace

template <typename T>
PenaltyKernels<T> penalty_kernels() {
  return {sums<T>, gradient<T>, sums_and_gradient<T>};
}

#define FASTREG_INSTANTIATE(T) template PenaltyKernels<T> penalty_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
