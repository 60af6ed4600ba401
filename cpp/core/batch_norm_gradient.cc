// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/batch_norm_grid.h"
#include "core/stores.h"
#include "fastreg/batch_norm.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

enum Sum : int { kGrad, kGradCentered, kCentered, kWeight, kSums };

// Both tensors are read once; centered values are about the mean that is given.
template <typename T>
void sum_gradients(const BatchNormGrid& grid, const T* grad, const T* x,
                   const BatchNormWeights<Compute<T>>& weights, const Compute<T>* mean,
                   PartialSums<kSums>& sums, const Executor& executor) {
  ChannelArray<Compute<T>> means(grid);
  for (int64_t channel = 0; channel < grid.channels(); ++channel) means.set(channel, mean[channel]);
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    const int64_t part = grid.part(task);
    kernels().of(x).batch_norm.gradient_sums(grid.block(task), grad, x, weights, means.data(),
                                             {sums.of(part, kGrad), sums.of(part, kGradCentered),
                                              sums.of(part, kCentered), sums.of(part, kWeight)});
  });
}

// grad_x = scale * (grad - weight * grad_mean)
//          - weight * (((x - mean) - mean_rest) * slope - offset)
template <typename T>
class GradientByInput {
 public:
  explicit GradientByInput(const BatchNormGrid& grid)
      : grid_(grid),
        scale_(grid),
        grad_mean_(grid),
        mean_(grid),
        mean_rest_(grid),
        slope_(grid),
        offset_(grid) {}

  // What reaches x through the mean and the variance is shared by `count` samples.
  void set(int64_t channel, double count, double mean, double mean_rest, double scale,
           double sum_grad, double by_mean, double by_variance) {
    scale_.set(channel, scale);
    grad_mean_.set(channel, sum_grad / count);
    mean_.set(channel, mean);
    mean_rest_.set(channel, mean_rest);
    slope_.set(channel, -2.0 * by_variance / count);
    offset_.set(channel, by_mean / count);
  }
  void run(const T* grad, const T* x, const BatchNormWeights<Compute<T>>& weights, T* grad_x,
           const Executor& executor) const {
    const bool may_stream = grad_x != x && grid_.is_aligned<T>();
    const Stores stores = may_stream ? stores_for(grad_x, grid_.size(), grad) : Stores::kCached;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      kernels().of(x).batch_norm.gradient(grid_.block(task), grad, x, weights,
                                          {scale_.data(), grad_mean_.data(), mean_.data(),
                                           mean_rest_.data(), slope_.data(), offset_.data()},
                                          grad_x, stores);
    });
  }

 private:
  const BatchNormGrid& grid_;
  ChannelArray<Compute<T>> scale_, grad_mean_, mean_, mean_rest_, slope_, offset_;
};

}  // namespace

template <typename T>
void batch_norm_gradient(const BatchNormShape& shape, const BatchNormGradient<T>& args,
                         const Executor& executor) {
  using S = Compute<T>;
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  PartialSums<kSums> sums(grid);
  sum_gradients(grid, args.grad, args.x, args.weights, args.mean, sums, executor);

  const SampleWeight all_samples = sample_weight(shape, args.weights, executor);
  GradientByInput<T> by_input(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    SampleWeight samples = all_samples;
    if (args.weights.per_element) samples.weight = sums.total(kWeight, channel);
    const double count = samples.count();
    const double given_mean = args.mean[channel];
    const double centered = sums.total(kCentered, channel);
    // What the given mean lacks of the mean.
    const double rest = count > 0.0 ? (centered - given_mean * samples.excess) / count : 0.0;
    const double sum_grad = sums.total(kGrad, channel);
    const double sum_grad_centered = sums.total(kGradCentered, channel) - rest * sum_grad;
    const double gamma = args.gamma ? args.gamma[channel] : 1.0;
    const double inv_std = 1.0 / std::sqrt(args.variance[channel] + args.epsilon);
    // Without samples the variance is NaN, and nothing depends on gamma.
    args.grad_gamma[channel] = count > 0.0 ? static_cast<S>(inv_std * sum_grad_centered) : S(0);
    args.grad_beta[channel] = static_cast<S>(sum_grad);

    // x acts on y directly, through the mean, and through the variance.
    const double by_variance = (args.grad_variance ? args.grad_variance[channel] : 0.0) -
                               0.5 * gamma * inv_std * inv_std * inv_std * sum_grad_centered;
    const double by_mean = (args.grad_mean ? args.grad_mean[channel] : 0.0) -
                           2.0 * by_variance * (centered - rest * samples.weight) / count;
    by_input.set(channel, count, given_mean, rest, gamma * inv_std, sum_grad, by_mean, by_variance);
  });
  by_input.run(args.grad, args.x, args.weights, args.grad_x, executor);
}

template <typename T>
void batch_norm_gradient_sums(const BatchNormShape& shape, const T* grad, const T* x,
                              const Compute<T>* mean, Compute<T>* sum_grad,
                              Compute<T>* sum_grad_centered, const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  PartialSums<kSums> sums(grid);
  sum_gradients<T>(grid, grad, x, {}, mean, sums, executor);
  for_each_channel(grid, executor, [&](int64_t channel) {
    sum_grad[channel] = static_cast<Compute<T>>(sums.total(kGrad, channel));
    sum_grad_centered[channel] = static_cast<Compute<T>>(sums.total(kGradCentered, channel));
  });
}

template <typename T>
void batch_norm_gradient_share(const BatchNormShape& shape, const T* grad, const T* x,
                               const double* mean, double* sum_grad, double* sum_grad_centered,
                               const Executor& executor) {
  using S = Compute<T>;
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  const std::vector<S> rounded(mean, mean + shape.channels);
  PartialSums<kSums> sums(grid);
  sum_gradients<T>(grid, grad, x, {}, rounded.data(), sums, executor);
  for_each_channel(grid, executor, [&](int64_t channel) {
    sum_grad[channel] = sums.total(kGrad, channel);
    sum_grad_centered[channel] =
        sums.total(kGradCentered, channel) - (mean[channel] - rounded[channel]) * sum_grad[channel];
  });
}

template <typename T>
void batch_norm_merged_gradient(const BatchNormShape& shape, const BatchNormMergedGradient<T>& args,
                                const Executor& executor) {
  using S = Compute<T>;
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  GradientByInput<T> by_input(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    const double excess = args.weights.values ? SampleWeight::kMaskEpsilon : 0.0;
    const double count = args.weight[channel] + excess;
    const double inv_std = 1.0 / std::sqrt(args.variance[channel] + args.epsilon);
    const double gamma = args.gamma ? args.gamma[channel] : 1.0;
    const double by_variance =
        -0.5 * gamma * inv_std * inv_std * inv_std * args.sum_grad_centered[channel];
    // The weighted sum of x - mean is mean * excess, as the mean is divided by the count.
    const double by_mean = -2.0 * by_variance * args.mean[channel] * excess / count;
    const double mean_rest = args.mean[channel] - static_cast<S>(args.mean[channel]);
    by_input.set(channel, count, args.mean[channel], mean_rest, gamma * inv_std,
                 args.sum_grad[channel], by_mean, by_variance);
  });
  by_input.run(args.grad, args.x, args.weights, args.grad_x, executor);
}

#define FASTREG_INSTANTIATE(T)                                                                  \
  template void batch_norm_gradient<T>(const BatchNormShape&, const BatchNormGradient<T>&,      \
                                       const Executor&);                                        \
  template void batch_norm_gradient_sums<T>(const BatchNormShape&, const T*, const T*,          \
                                            const Compute<T>*, Compute<T>*, Compute<T>*,        \
                                            const Executor&);                                   \
  template void batch_norm_gradient_share<T>(const BatchNormShape&, const T*, const T*,         \
                                             const double*, double*, double*, const Executor&); \
  template void batch_norm_merged_gradient<T>(const BatchNormShape&,                            \
                                              const BatchNormMergedGradient<T>&, const Executor&);
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg
