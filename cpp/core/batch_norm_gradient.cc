// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <vector>

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
  ChannelArrays<Compute<T>, 1> means(grid);
  std::copy_n(mean, grid.channels(), means[0]);
  means.repeat(0);
  const Reads reads = reads_of<T>(grid.size());
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    const int64_t part = grid.part(task);
    kernels().of(x).batch_norm.gradient_sums(grid.block(task), grad, x, weights, means[0], reads,
                                             {sums.of(part, kGrad), sums.of(part, kGradCentered),
                                              sums.of(part, kCentered), sums.of(part, kWeight)});
  });
}

// grad_x = scale * (grad - weight * grad_mean)
//          - weight * (((x - mean) - mean_rest) * slope - offset)
template <typename T>
class GradientByInput {
 public:
  using S = Compute<T>;
  explicit GradientByInput(const BatchNormGrid& grid) : grid_(grid), arrays_(grid) {}

  template <typename P = S*>
  GradientCoefficients<P> coefficients() {
    return {arrays_[0], arrays_[1], arrays_[2], arrays_[3], arrays_[4],
            arrays_[5], arrays_[6], arrays_[7], arrays_[8]};
  }
  // Of some channels.
  void set_has_factors(bool has_factors) {
    if (has_factors) has_factors_ = true;
  }
  void run(const T* grad, const T* x, const BatchNormWeights<Compute<T>>& weights, T* grad_x,
           const Executor& executor) {
    const bool may_stream = grad_x != x && grid_.is_aligned<T>();
    const Stores stores = may_stream ? stores_for(grad_x, grid_.size(), grad) : Stores::kCached;
    auto given = coefficients<const S*>();
    if (!has_factors_) given.scale_factor = given.slope_factor = given.factor = nullptr;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      kernels().of(x).batch_norm.gradient(grid_.block(task), grad, x, weights, given, grad_x,
                                          stores);
    });
  }

 private:
  const BatchNormGrid& grid_;
  ChannelArrays<S, 9> arrays_;
  std::atomic<bool> has_factors_{false};
};

}  // namespace

template <typename T>
void batch_norm_gradient(const BatchNormShape& shape, const BatchNormGradient<T>& args,
                         const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  PartialSums<kSums> sums(grid);
  sum_gradients(grid, args.grad, args.x, args.weights, args.mean, sums, executor);

  SampleWeight samples = sample_weight(shape, args.weights, executor);
  if (args.weights.per_element) samples.per_channel = sums.total(kWeight);
  GradientByInput<T> by_input(grid);
  for_channels(grid, executor, [&](const ChannelRange& range) {
    const auto& channels = kernels().of(args.x).batch_norm_channels;
    channels.add_up(range, sums.parts());
    by_input.set_has_factors(channels.gradient(
        range,
        {sums.total(kGrad), sums.total(kGradCentered), sums.total(kCentered), args.mean,
         args.variance, args.gamma, args.grad_mean, args.grad_variance, args.epsilon},
        samples, args.grad_gamma, args.grad_beta, by_input.coefficients()));
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
  for_channels(grid, executor, [&](const ChannelRange& range) {
    kernels().of(x).batch_norm_channels.add_up(range, sums.parts());
    for (int64_t channel = range.begin; channel < range.end; ++channel) {
      sum_grad[channel] = static_cast<Compute<T>>(sums.total(kGrad)[channel]);
      sum_grad_centered[channel] = static_cast<Compute<T>>(sums.total(kGradCentered)[channel]);
    }
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
  for_channels(grid, executor, [&](const ChannelRange& range) {
    kernels().of(x).batch_norm_channels.add_up(range, sums.parts());
    for (int64_t channel = range.begin; channel < range.end; ++channel) {
      const double rest = mean[channel] - rounded[channel];
      sum_grad[channel] = sums.total(kGrad)[channel];
      sum_grad_centered[channel] = sums.total(kGradCentered)[channel] - rest * sum_grad[channel];
    }
  });
}

template <typename T>
void batch_norm_merged_gradient(const BatchNormShape& shape, const BatchNormMergedGradient<T>& args,
                                const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  const double excess = args.weights.values ? SampleWeight::kMaskEpsilon : 0.0;
  GradientByInput<T> by_input(grid);
  for_channels(grid, executor, [&](const ChannelRange& range) {
    by_input.set_has_factors(kernels().of(args.x).batch_norm_channels.merged_gradient(
        range,
        {args.sum_grad, args.sum_grad_centered, args.mean, args.variance, args.gamma, args.epsilon},
        {args.weight, 0.0, excess}, by_input.coefficients()));
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
