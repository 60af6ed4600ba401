// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <utility>

#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

constexpr int kSums = 7, kOutputs = 4;

struct Case {
  int64_t outer, channels, inner;
  int64_t samples() const { return outer * inner; }
  int64_t size() const { return outer * channels * inner; }
};

// The whole of x but for its first sample row and first channel: blocks may begin anywhere.
BatchNormBlock block_of(const Case& c) {
  return {c.outer > 1, c.outer, c.channels > 1, c.channels,
          c.inner > 1, c.inner, c.channels,     c.inner};
}

// All coefficients but the mean are k.
template <typename T>
void normalize(const BatchNormKernels<T>& kernels, const BatchNormBlock& block, const Array<T>& x,
               const Compute<T>* mean, const Compute<T>* k, const Compute<T>* factors, Array<T>& y,
               Stores stores) {
  kernels.normalize(block, x.data(), {mean, k, k, k, factors}, y.data(), stores);
}

template <typename T>
void gradient(const BatchNormKernels<T>& kernels, const BatchNormBlock& block, const Array<T>& grad,
              const Array<T>& x, const BatchNormWeights<Compute<T>>& weights,
              const Compute<T>* mean, const Compute<T>* k, const Compute<T>* factors,
              Array<T>& grad_x, Stores stores) {
  kernels.gradient(block, grad.data(), x.data(), weights,
                   {k, k, mean, k, k, k, factors, factors, factors}, grad_x.data(), stores);
}

template <typename T>
void test_case(const Tables& tables, const Case& c, int64_t offset, int weights_of,
               Failures& failures) {
  const T* type = nullptr;
  const BatchNormKernels<T>& kernel = tables.isa->of(type).batch_norm;
  const BatchNormKernels<T>& best = tables.best->of(type).batch_norm;
  const BatchNormKernels<T>& reference = tables.reference->of(type).batch_norm;
  const bool is_reference = tables.isa == tables.reference;
  const BatchNormBlock block = block_of(c);
  const Array<T> x = Array<T>::random(c.size(), offset, 3, 100.0);
  const Array<T> grad = Array<T>::random(c.size(), offset, 4);
  using S = Compute<T>;
  const Array<S> mean = Array<S>::random(c.channels, offset, 5, 100.0);
  const Array<S> k = Array<S>::random(c.channels, offset, 6);
  const Array<double> shift = Array<double>::random(c.channels, offset, 7, 100.0);
  Array<S> factors(c.channels, offset);
  for (int64_t i = 0; i < c.channels; ++i) factors.data()[i] = i % 2 ? S(1) : S(0.5);
  Array<S> weight = Array<S>::random(c.size(), offset, 8);
  for (int64_t i = 0; i < c.size(); ++i) {
    weight.data()[i] = i % 3 == 0 ? S(0) : std::abs(weight.data()[i]);
  }
  const BatchNormWeights<S> weights = {weights_of == kNone ? nullptr : weight.data(),
                                       weights_of == kElements};

  // The kernel's sums and outputs, those of the reference and of the best instruction set, and the
  // kernel's once more, read in the other order.
  const std::pair<const BatchNormKernels<T>*, Reads> tested[] = {{&kernel, Reads::kCached},
                                                                 {&reference, Reads::kCached},
                                                                 {&best, Reads::kCached},
                                                                 {&kernel, Reads::kFromMemory}};
  std::vector<Array<double>> sums;
  std::vector<Array<T>> outputs;
  for (const auto& [kernels, reads] : tested) {
    std::vector<Array<double>> s;
    for (int i = 0; i < kSums; ++i) s.push_back(Array<double>::random(c.channels, offset, 9));
    kernels->moments(block, x.data(), weights, shift.data(), reads,
                     {s[0].data(), s[1].data(), s[2].data()});
    kernels->gradient_sums(block, grad.data(), x.data(), weights, mean.data(), reads,
                           {s[3].data(), s[4].data(), s[5].data(), s[6].data()});
    for (Array<double>& sum : s) sums.push_back(std::move(sum));
    for (const S* factor : {static_cast<S*>(nullptr), factors.data()}) {
      Array<T> y = Array<T>::random(c.size(), offset, 10);
      Array<T> grad_x = Array<T>::random(c.size(), offset, 11);
      normalize<T>(*kernels, block, x, mean.data(), k.data(), factor, y, Stores::kCached);
      gradient<T>(*kernels, block, grad, x, weights, mean.data(), k.data(), factor, grad_x,
                  Stores::kCached);
      outputs.push_back(std::move(y));
      outputs.push_back(std::move(grad_x));
    }
  }
  for (int i = 0; i < kSums; ++i) {
    failures.check(all_close(sums[i], sums[kSums + i], 1e-11), "sums of channels");
    failures.check(is_reference || same_bits(sums[i], sums[2 * kSums + i]),
                   "sums have the same bits");
    failures.check(same_bits(sums[i], sums[3 * kSums + i]), "sums in either order");
    failures.check(sums[i].guards_are_intact(), "sums stay within their bounds");
  }
  for (int i = 0; i < kOutputs; ++i) {
    failures.check(all_close(outputs[i], outputs[kOutputs + i], 10 * kRounding<T>), "outputs");
    failures.check(is_reference || same_bits(outputs[i], outputs[2 * kOutputs + i]),
                   "outputs have the same bits");
    failures.check(outputs[i].guards_are_intact(), "outputs stay within their bounds");
  }
}

// 0 stays 0 by the largest scale, all others become infinite.
template <typename T>
void test_factors(const Tables& tables, Failures& failures) {
  using S = Compute<T>;
  const T* type = nullptr;
  const BatchNormKernels<T>& kernel = tables.isa->of(type).batch_norm;
  constexpr int64_t kRows = 3, kChannels = 33;
  const BatchNormBlock all = {0, kRows, 0, kChannels, 0, 1, kChannels, 1};
  const Array<T> x = Array<T>::random(kRows * kChannels, 0, 3);
  Array<T> y(x.size(), 0), grad_x(x.size(), 0);
  Array<S> mean(kChannels, 0), zero(kChannels, 0), one(kChannels, 0), largest(kChannels, 0);
  Array<S> factors(kChannels, 0);
  for (int64_t i = 0; i < kChannels; ++i) {
    mean.data()[i] = to_compute(x.data()[i]);  // so that the first row is 0
    zero.data()[i] = S(0);
    one.data()[i] = S(1);
    largest.data()[i] = std::numeric_limits<S>::max();
    factors.data()[i] = sizeof(S) == sizeof(double) ? S(0x1p550) : S(0x1p90);
  }
  kernel.normalize(all, x.data(),
                   {mean.data(), zero.data(), largest.data(), zero.data(), factors.data()},
                   y.data(), Stores::kCached);
  kernel.gradient(all, x.data(), x.data(), {nullptr, false},
                  {largest.data(), mean.data(), zero.data(), zero.data(), zero.data(), zero.data(),
                   factors.data(), one.data(), factors.data()},
                  grad_x.data(), Stores::kCached);
  bool holds = true;
  for (int64_t i = 0; i < x.size(); ++i) {
    const S centered = to_compute(x.data()[i]) - mean.data()[i % kChannels];
    const S expected = centered == S(0) ? S(0) : centered * std::numeric_limits<S>::infinity();
    holds &= to_compute(y.data()[i]) == expected && to_compute(grad_x.data()[i]) == expected;
  }
  failures.check(holds, "factors");
}

// Stores past the caches write the same bits. Rows and runs begin on borders of 64 bytes.
template <typename T>
void test_streamed(const Tables& tables, const Case& c, Failures& failures) {
  const T* type = nullptr;
  const BatchNormKernels<T>& kernel = tables.isa->of(type).batch_norm;
  using S = Compute<T>;
  const Array<T> x = Array<T>::random(c.size(), 0, 3), grad = Array<T>::random(c.size(), 0, 4);
  const Array<S> k = Array<S>::random(c.channels, 0, 6);
  const BatchNormBlock all = {0, c.outer, 0, c.channels, 0, c.inner, c.channels, c.inner};
  std::vector<Array<T>> outputs;
  for (Stores stores : {Stores::kCached, Stores::kStreamed}) {
    Array<T> y(c.size(), 0), grad_x(c.size(), 0);
    normalize<T>(kernel, all, x, k.data(), k.data(), nullptr, y, stores);
    gradient<T>(kernel, all, grad, x, {nullptr, false}, k.data(), k.data(), nullptr, grad_x,
                stores);
    for (Array<T>* output : {&y, &grad_x}) {
      failures.check(output->guards_are_intact(), "streamed outputs stay within their bounds");
      outputs.push_back(std::move(*output));
    }
  }
  failures.check(same_bits(outputs[0], outputs[2]), "streamed y has the same bits");
  failures.check(same_bits(outputs[1], outputs[3]), "streamed grad_x has the same bits");
}

}  // namespace

void test_batch_norm(const Tables& tables, Failures& failures) {
  std::vector<Case> cases = {{1, 1, 1}, {2, 1, 300}, {3, 5, 4}, {2, 3, 1031}};
  for (int64_t n : {1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97}) {
    cases.push_back({n, 13, 1});
    cases.push_back({9, n, 1});
    cases.push_back({2, 3, n});
  }
  test_factors<float>(tables, failures);
  test_factors<double>(tables, failures);
  test_factors<Half>(tables, failures);
  test_factors<BFloat16>(tables, failures);
  for (const Case& c : {Case{9, 64, 1}, Case{3, 5, 128}}) {
    test_streamed<float>(tables, c, failures);
    test_streamed<double>(tables, c, failures);
    test_streamed<Half>(tables, c, failures);
    test_streamed<BFloat16>(tables, c, failures);
  }
  for (const Case& c : cases) {
    for (int64_t offset : offsets()) {
      for (int weights : {kNone, kSamples, kElements}) {
        test_case<float>(tables, c, offset, weights, failures);
        test_case<double>(tables, c, offset, weights, failures);
        test_case<Half>(tables, c, offset, weights, failures);
        test_case<BFloat16>(tables, c, offset, weights, failures);
      }
    }
  }
}

}  // namespace test
}  // namespace fastreg
