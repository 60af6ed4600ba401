// SPDX-License-Identifier: Apache-2.0
#include "kernels/penalty.h"

#include "kernels/factors.h"
#include "kernels/families.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

// A lane adds 64 floats before it is carried on in double.
constexpr int64_t kBlock = 4096;

// Elements: two pages of floats, because sums wait for memory and nothing else.
constexpr int64_t kAhead = 2048;

// A coefficient of the gradient, in all lanes.
template <typename V>
struct Coefficient {
  V value, factor;
  bool has_factor;

  Coefficient(double given, double times) {
    using S = typename V::Value;
    using Wide = Vec<double>;
    const Wide all = Wide::all(given), scale = Wide::all(times);
    const auto factored = Factored<S>::of(all * scale, divided<S>(divided<S>(all)) * scale);
    S lanes[2][Wide::kLanes];
    factored.value.store(lanes[0], Whole{});
    factored.factor.store(lanes[1], Whole{});
    value = V::all(lanes[0][0]);
    factor = V::all(lanes[1][0]);
    has_factor = lanes[1][0] != S(1);
  }
};

// The vector of a * sign(w) + b * w with the terms wanted.
template <int kTerms, bool kHasFactors, typename V>
inline V gradient_of(V w, const Coefficient<V>& a, const Coefficient<V>& b) {
  const auto of_l1 = [&] { return product<kHasFactors>(sign(w), a.value, a.factor); };
  const auto of_l2 = [&] { return product<kHasFactors>(w, b.value, b.factor); };
  if constexpr (kTerms == kL1) return of_l1();
  if constexpr (kTerms == kL2) return of_l2();
  return of_l1() + of_l2();
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

template <typename T, int kTerms, bool kHasFactors>
struct Gradient {
  using V = Vec<Compute<T>>;
  Coefficient<V> a, b;
  T* gradient;

  template <typename Lanes>
  void operator()(int64_t i, V w, Lanes lanes) const {
    gradient_of<kTerms, kHasFactors>(w, a, b).store(gradient + i, lanes);
  }
};

// Calls f with what puts the gradient.
template <typename T, int kTerms, typename F>
inline auto with_gradient(double l1, double l2, T* gradient, F f) {
  using V = Vec<Compute<T>>;
  const Coefficient<V> a(l1, 1.0), b(l2, 2.0);
  if (a.has_factor || b.has_factor) return f(Gradient<T, kTerms, true>{a, b, gradient});
  return f(Gradient<T, kTerms, false>{a, b, gradient});
}

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
void gradient(const T* w, int64_t n, int terms, double l1, double l2, T* gradient,
              Stores stores) noexcept {
  using V = Vec<Compute<T>>;
  if (terms == kNoPenalty) {
    return map<V>(n, [=](int64_t i, auto lanes) { V::zero().store(gradient + i, lanes); });
  }
  with_terms(terms, [=](auto kind) {
    with_gradient<T, decltype(kind)::value>(l1, l2, gradient, [=](auto put) {
      with_stores(stores, [=](auto whole) {
        map<V>(n, [=](int64_t i, auto lanes) { put(i, V::load(w + i, lanes), lanes); }, whole);
      });
    });
  });
}

template <typename T>
PenaltySums sums_and_gradient(const T* w, int64_t n, int terms, double l1, double l2, T* gradient,
                              Stores stores) noexcept {
  return with_terms(terms, [=](auto kind) {
    constexpr int kTerms = decltype(kind)::value;
    return with_gradient<T, kTerms>(l1, l2, gradient, [=](auto put) {
      PenaltySums sums;
      with_stores(stores,
                  [&](auto whole) { sums = sums_in<Vec<Compute<T>>, kTerms>(w, n, put, whole); });
      return checked<kTerms>(sums, w, n);
    });
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
