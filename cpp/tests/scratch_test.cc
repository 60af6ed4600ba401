// SPDX-License-Identifier: Apache-2.0
// Batch normalization takes little memory beside its arguments: as much as its header says.
#include <thread>

#include "fastreg/batch_norm.h"
#include "tests/check.h"
#include "tests/memory.h"

namespace fastreg {
namespace test {
namespace {

class Threads final : public Executor {
 public:
  explicit Threads(int threads) : threads_(threads) {}
  void run(int64_t tasks, const Task& body) const override {
    std::vector<std::thread> others;
    for (int thread = 0; thread < threads_; ++thread) {
      others.emplace_back([&, thread] {
        for (int64_t task = thread; task < tasks; task += threads_) body(task);
      });
    }
    for (std::thread& thread : others) thread.join();
  }

 private:
  int threads_;
};

constexpr double kPartOfX = 0.25;
constexpr int64_t kPerThread = 512 << 10;

// Calls f with the name of each function and with one that calls it, all arguments being there.
template <typename T, typename F>
void for_each_function(const BatchNormShape& shape, WeightsOf weights_of, const Executor& executor,
                       F f) {
  using S = Compute<T>;
  const std::vector<T> x(shape.size(), from_compute<T>(S(1)));
  std::vector<T> out(x), grad(x);
  const std::vector<S> weight(weights_of == kElements ? shape.size() : shape.samples(), S(1));
  const BatchNormWeights<S> weights = {weights_of == kNone ? nullptr : weight.data(),
                                       weights_of == kElements};
  std::vector<std::vector<S>> s(6, std::vector<S>(shape.channels, S(1)));
  std::vector<std::vector<double>> d(5, std::vector<double>(shape.channels, 1.0));
  const MovingStatistics<S> moving = {s[0].data(), s[1].data(), 0.9, s[4].data(), s[5].data()};
  f("batch_norm", [&] {
    batch_norm<T>(shape,
                  {x.data(), weights, s[0].data(), s[1].data(), 1e-3, out.data(), s[2].data(),
                   s[3].data(), &moving},
                  executor);
  });
  f("batch_norm_share", [&] {
    batch_norm_share<T>(shape, x.data(), weights, {d[0].data(), d[1].data(), d[2].data()},
                        executor);
  });
  f("batch_norm_merged", [&] {
    batch_norm_merged<T>(
        shape, {x.data(), d[0].data(), d[1].data(), s[0].data(), s[1].data(), 1e-3, out.data()},
        executor);
  });
  f("batch_norm_inference", [&] {
    batch_norm_inference<T>(
        shape, {x.data(), s[0].data(), s[1].data(), s[2].data(), s[3].data(), 1e-3, out.data()},
        executor);
  });
  f("batch_norm_gradient", [&] {
    batch_norm_gradient<T>(shape,
                           {grad.data(), x.data(), weights, s[0].data(), s[1].data(), s[2].data(),
                            s[0].data(), s[1].data(), 1e-3, out.data(), s[3].data(), s[4].data()},
                           executor);
  });
  f("batch_norm_gradient_sums", [&] {
    batch_norm_gradient_sums<T>(shape, grad.data(), x.data(), s[0].data(), s[1].data(), s[2].data(),
                                executor);
  });
  f("batch_norm_gradient_share", [&] {
    batch_norm_gradient_share<T>(shape, grad.data(), x.data(), d[0].data(), d[1].data(),
                                 d[2].data(), executor);
  });
  f("batch_norm_merged_gradient", [&] {
    batch_norm_merged_gradient<T>(
        shape,
        {grad.data(), x.data(), weights, d[0].data(), d[1].data(), d[2].data(), d[3].data(),
         d[4].data(), s[0].data(), 1e-3, out.data()},
        executor);
  });
}

template <typename T>
void test_shape(const BatchNormShape& shape, Failures& failures) {
  for (int threads : {1, 2}) {
    const SerialExecutor serial;
    const Threads both(threads);
    const Executor& executor = threads == 1 ? static_cast<const Executor&>(serial) : both;
    const double allowed = kPartOfX * static_cast<double>(shape.size() * sizeof(T)) +
                           static_cast<double>(kPerThread * threads);
    for (WeightsOf weights : {kNone, kSamples, kElements}) {
      for_each_function<T>(shape, weights, executor, [&](const char* name, auto call) {
        failures.check(static_cast<double>(most_memory_of(call)) <= allowed, name);
      });
    }
  }
}

}  // namespace

void test_scratch(Failures& failures) {
  failures.check(most_memory_of([] { std::vector<char>(1000); }) >= 1000, "memory is counted");
  const BatchNormShape shapes[] = {
      {300, 20000, 2}, {2, 200000, 1}, {1, 200000, 1}, {2, 60000, 3},  {1, 4096, 1},
      {127, 4096, 1},  {129, 4097, 1}, {383, 5000, 1}, {385, 5000, 1}, {384, 5000, 1},
      {1, 5000, 127},  {257, 4096, 4}, {64, 512, 49},  {4000, 67, 1},  {100000, 3, 1},
      {300000, 1, 1},  {4097, 129, 1}, {129, 2041, 1}, {1, 300, 2000}, {3, 3, 16385},
      {2, 4096, 191},  {31, 9000, 12}, {4, 4, 1},      {0, 4, 1},      {5000, 1000, 1}};
  for (const BatchNormShape& shape : shapes) {
    failures.where = std::to_string(shape.outer) + ", " + std::to_string(shape.channels) + ", " +
                     std::to_string(shape.inner);
    test_shape<float>(shape, failures);
    test_shape<double>(shape, failures);
    test_shape<Half>(shape, failures);
  }
}

}  // namespace test
}  // namespace fastreg
