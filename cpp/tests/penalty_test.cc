// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

template <typename T>
void test_length(const Tables& tables, int64_t n, int64_t offset, Failures& failures) {
  const T* type = nullptr;
  const PenaltyKernels<T>& kernel = tables.isa->of(type).penalty;
  const PenaltyKernels<T>& best = tables.best->of(type).penalty;
  const PenaltyKernels<T>& reference = tables.reference->of(type).penalty;
  const bool is_reference = tables.isa == tables.reference;
  Array<T> w = Array<T>::random(n, offset, 1);
  if (n > 2) w.data()[1] = from_compute<T>(Compute<T>(-0.0));
  for (int terms : {0, 1, 2, 3}) {
    const PenaltySums sums = kernel.sums(w.data(), n, terms);
    const PenaltySums expected = reference.sums(w.data(), n, terms);
    failures.check(is_close(sums.magnitudes, expected.magnitudes, kSumRounding<T>), "magnitudes");
    failures.check(is_close(sums.squares, expected.squares, kSumRounding<T>), "squares");
    const PenaltySums best_sums = best.sums(w.data(), n, terms);
    failures.check(is_reference || (sums.magnitudes == best_sums.magnitudes &&
                                    sums.squares == best_sums.squares),
                   "sums have the same bits");

    Array<T> of_best(n, 0), of_reference(n, 0);
    best.gradient(w.data(), n, terms, 0.3, 0.35, of_best.data(), Stores::kCached);
    reference.gradient(w.data(), n, terms, 0.3, 0.35, of_reference.data(), Stores::kCached);
    for (Stores stores : stores_at(offset)) {
      Array<T> gradient(n, offset), one_pass(n, offset);
      kernel.gradient(w.data(), n, terms, 0.3, 0.35, gradient.data(), stores);
      failures.check(all_close(gradient, of_reference, kRounding<T>), "gradient");
      failures.check(is_reference || same_bits(gradient, of_best), "gradient has the same bits");
      failures.check(gradient.guards_are_intact(), "gradient stays within its bounds");
      if (terms == kNoPenalty) continue;
      const PenaltySums both =
          kernel.sums_and_gradient(w.data(), n, terms, 0.3, 0.35, one_pass.data(), stores);
      failures.check(both.magnitudes == sums.magnitudes && both.squares == sums.squares &&
                         same_bits(one_pass, gradient),
                     "one pass gives the bits of two");
      failures.check(one_pass.guards_are_intact(), "one pass stays within its bounds");
    }
  }
}

// Squares that overflow or vanish in float are summed in double.
void test_range(const Tables& tables, Failures& failures) {
  const PenaltyKernels<float>& kernel = tables.isa->float32.penalty;
  for (float magnitude : {1e30f, 3e38f, 1e-30f, 1e-45f}) {
    Array<float> w(257, 1);
    for (int i = 0; i < 257; ++i) w.data()[i] = i % 2 ? -magnitude : magnitude;
    const PenaltySums sums = kernel.sums(w.data(), 257, kL1 | kL2);
    const double m = magnitude;
    failures.check(std::fabs(sums.magnitudes / (257 * m) - 1) < 1e-6, "magnitudes of any range");
    failures.check(std::fabs(sums.squares / (257 * m * m) - 1) < 1e-6, "squares of any range");
    Array<float> gradient(257, 0);
    const PenaltySums both = kernel.sums_and_gradient(w.data(), 257, kL1 | kL2, 1.0, 0.5,
                                                      gradient.data(), Stores::kCached);
    failures.check(both.magnitudes == sums.magnitudes && both.squares == sums.squares,
                   "sums of any range beside a gradient");
  }
}

// Factors beyond the range of T, where the gradient of small weights is not; 0 stays 0.
template <typename T>
void test_large_factors(const Tables& tables, Failures& failures) {
  const T* type = nullptr;
  const PenaltyKernels<T>& kernel = tables.isa->of(type).penalty;
  using S = Compute<T>;
  const double l2 = 0.8 * std::numeric_limits<S>::max(), l1 = sizeof(S) == 8 ? 1e308 : 1e39;
  Array<T> w(97, 1), of_l2(97, 1), of_both(97, 1), one_pass(97, 0);
  for (int i = 0; i < 97; ++i) w.data()[i] = from_compute<T>(S((i % 3 - 1) * std::ldexp(1.0, -12)));
  kernel.gradient(w.data(), 97, kL2, 0.0, l2, of_l2.data(), Stores::kCached);
  kernel.gradient(w.data(), 97, kL1 | kL2, l1, l2, of_both.data(), Stores::kCached);
  kernel.sums_and_gradient(w.data(), 97, kL1 | kL2, l1, l2, one_pass.data(), Stores::kCached);
  bool holds = true;
  for (int i = 0; i < 97; ++i) {
    const double x = to_compute(w.data()[i]), sign = i % 3 - 1;
    const T expected = from_compute<T>(static_cast<S>(2.0 * x * l2));
    holds &= to_compute(of_l2.data()[i]) == to_compute(expected);
    const T both = from_compute<T>(static_cast<S>(sign == 0.0 ? 0.0 : l1 * sign + 2.0 * x * l2));
    holds &= is_close(to_compute(of_both.data()[i]) / l1, to_compute(both) / l1, kRounding<T>) ||
             to_compute(of_both.data()[i]) == to_compute(both);
  }
  failures.check(holds, "large factors");
  failures.check(same_bits(of_both, one_pass), "large factors in one pass");
}

}  // namespace

void test_penalty(const Tables& tables, Failures& failures) {
  for (int64_t n : lengths()) {
    for (int64_t offset : offsets()) {
      test_length<float>(tables, n, offset, failures);
      test_length<double>(tables, n, offset, failures);
      test_length<Half>(tables, n, offset, failures);
      test_length<BFloat16>(tables, n, offset, failures);
    }
  }
  test_range(tables, failures);
  test_large_factors<float>(tables, failures);
  test_large_factors<double>(tables, failures);
  test_large_factors<Half>(tables, failures);
  test_large_factors<BFloat16>(tables, failures);
}

}  // namespace test
}  // namespace fastreg
