// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include "tests/check.h"

namespace fastreg {
namespace test {
namespace {

enum WeightsOf : int { kNone, kSamples, kElements };
constexpr int kSums = 7;

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
    Array<T> y = Array<T>::random(c.size(), offset, 10);
    Array<T> grad_x = Array<T>::random(c.size(), offset, 11);
    kernels->normalize(block, x.data(), {mean.data(), k.data(), k.data(), k.data()}, y.data(),
                       Stores::kCached);
    kernels->gradient(block, grad.data(), x.data(), weights,
                      {k.data(), k.data(), mean.data(), k.data(), k.data(), k.data()},
                      grad_x.data(), Stores::kCached);
    outputs.push_back(std::move(y));
    outputs.push_back(std::move(grad_x));
  }
  for (int i = 0; i < kSums; ++i) {
    failures.check(all_close(sums[i], sums[kSums + i], 1e-11), "sums of channels");
    failures.check(is_reference || same_bits(sums[i], sums[2 * kSums + i]),
                   "sums have the same bits");
    failures.check(same_bits(sums[i], sums[3 * kSums + i]), "sums in either order");
    failures.check(sums[i].guards_are_intact(), "sums stay within their bounds");
  }
  for (int i = 0; i < 2; ++i) {
    failures.check(all_close(outputs[i], outputs[2 + i], 10 * kRounding<T>), "outputs");
    failures.check(is_reference || same_bits(outputs[i], outputs[4 + i]),
                   "outputs have the same bits");
    failures.check(outputs[i].guards_are_intact(), "outputs stay within their bounds");
  }
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
    kernel.normalize(all, x.data(), {k.data(), k.data(), k.data(), k.data()}, y.data(), stores);
    kernel.gradient(all, grad.data(), x.data(), {nullptr, false},
                    {k.data(), k.data(), k.data(), k.data(), k.data(), k.data()}, grad_x.data(),
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
