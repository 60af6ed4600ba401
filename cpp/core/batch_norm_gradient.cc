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
  ChannelArray<S> scale(grid), grad_mean(grid), mean(grid), mean_rest(grid), slope(grid),
      offset(grid);
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
    scale.set(channel, gamma * inv_std);
    grad_mean.set(channel, sum_grad / count);
    mean.set(channel, given_mean);
    mean_rest.set(channel, rest);
    slope.set(channel, -2.0 * by_variance / count);
    offset.set(channel, by_mean / count);
  });
  const Stores stores = args.grad_x != args.x && grid.is_aligned<T>()
                            ? stores_for(args.grad_x, grid.size(), args.grad)
                            : Stores::kCached;
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    kernels().of(args.x).batch_norm.gradient(grid.block(task), args.grad, args.x, args.weights,
                                             {scale.data(), grad_mean.data(), mean.data(),
                                              mean_rest.data(), slope.data(), offset.data()},
                                             args.grad_x, stores);
  });
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
  ChannelArray<S> scale(grid), grad_mean(grid), mean(grid), mean_rest(grid), slope(grid),
      offset(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    const double excess = args.weights.values ? SampleWeight::kMaskEpsilon : 0.0;
    const double count = args.weight[channel] + excess;
    const double inv_std = 1.0 / std::sqrt(args.variance[channel] + args.epsilon);
    const double gamma = args.gamma ? args.gamma[channel] : 1.0;
    const double by_variance =
        -0.5 * gamma * inv_std * inv_std * inv_std * args.sum_grad_centered[channel];
    // The weighted sum of x - mean is mean * excess, as the mean is divided by the count.
    const double by_mean = -2.0 * by_variance * args.mean[channel] * excess / count;
    scale.set(channel, gamma * inv_std);
    grad_mean.set(channel, args.sum_grad[channel] / count);
    mean.set(channel, args.mean[channel]);
    mean_rest.set(channel, args.mean[channel] - static_cast<S>(args.mean[channel]));
    slope.set(channel, -2.0 * by_variance / count);
    offset.set(channel, by_mean / count);
  });
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    kernels().of(args.x).batch_norm.gradient(grid.block(task), args.grad, args.x, args.weights,
                                             {scale.data(), grad_mean.data(), mean.data(),
                                              mean_rest.data(), slope.data(), offset.data()},
                                             args.grad_x);
  });
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
