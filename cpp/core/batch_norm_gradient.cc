// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include "core/batch_norm_grid.h"
#include "core/channel_arrays.h"
#include "core/stores.h"
#include "fastreg/batch_norm.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

enum Sum : int { kGrad, kGradCentered, kCentered, kWeight, kSums };

// Both tensors are read once; centered values are about the mean that is given, rounded.
template <typename T>
class SumsOfSlab {
 public:
  template <typename Mean>
  SumsOfSlab(const BatchNormGrid& grid, int64_t size, const T* grad, const T* x,
             const BatchNormWeights<Compute<T>>& weights, const Mean* mean,
             const Executor& executor)
      : means_(grid), sums_(grid, weights.per_element ? kSums : kSums - 1) {
    std::copy_n(mean, grid.channels(), means_[0]);
    means_.repeat(0);
    const Reads reads = reads_of<T>(size);
    parallel_for(grid.tasks(), executor, [&](int64_t task) {
      const int64_t part = grid.part(task);
      sums_.add_blocks(grid, task, [&](const BatchNormBlock& block) {
        kernels().of(x).batch_norm.gradient_sums(
            block, grad, x, weights, means_[0], reads,
            {sums_.of(part, kGrad), sums_.of(part, kGradCentered), sums_.of(part, kCentered),
             sums_.of(part, kWeight)});
      });
    });
  }
  PartSums parts() { return sums_.parts(); }
  const double* total(Sum sum) { return sums_.total(sum); }
  const Compute<T>* mean() { return means_[0]; }

 private:
  ChannelArrays<Compute<T>, 1> means_;
  PartialSums sums_;
};

// grad_x = scale * (grad - weight * grad_mean)
//          - weight * (((x - mean) - mean_rest) * slope - offset)
template <typename T>
class GradientByInput {
 public:
  using S = Compute<T>;
  // `size` of all of x.
  GradientByInput(const BatchNormGrid& grid, int64_t size)
      : grid_(grid.of_blocks()), size_(size), arrays_(grid) {}

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
    const Stores stores = may_stream ? stores_for(grad_x, size_, grad) : Stores::kCached;
    auto given = coefficients<const S*>();
    if (!has_factors_) given.scale_factor = given.slope_factor = given.factor = nullptr;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      grid_.for_blocks(task, [&](const BatchNormBlock& block) {
        kernels().of(x).batch_norm.gradient(block, grad, x, weights, given, grad_x, stores);
      });
    });
  }

 private:
  BatchNormGrid grid_;
  int64_t size_;
  ChannelArrays<S, 9> arrays_;
  std::atomic<bool> has_factors_{false};
};

// Sums of grad and of grad * (x - mean) per channel.
template <typename T, typename Mean, typename Out>
void sum_for_channels(const BatchNormShape& shape, const T* all_grad, const T* all_x,
                      const Mean* all_means, Out* all_sums, Out* all_centered,
                      const Executor& executor) {
  const StrictFloat guard;
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    const T *grad = all_grad, *x = all_x;
    const Mean* mean = all_means;
    Out *sum_grad = all_sums, *sum_grad_centered = all_centered;
    slab.narrow_tensors(grad, x);
    slab.narrow(mean, sum_grad, sum_grad_centered);
    const BatchNormGrid grid(slab, false);
    SumsOfSlab<T> sums(grid, shape.size(), grad, x, {}, mean, executor);
    for_channels(grid, executor, [&](const ChannelRange& range) {
      kernels().of(x).batch_norm_channels.add_up(range, sums.parts());
      for (int64_t channel = range.begin; channel < range.end; ++channel) {
        const double sum = sums.total(kGrad)[channel], rest = mean[channel] - sums.mean()[channel];
        const double centered = sums.total(kGradCentered)[channel];
        sum_grad[channel] = static_cast<Out>(sum);
        sum_grad_centered[channel] =
            static_cast<Out>(rest == 0.0 ? centered : centered - rest * sum);
      }
    });
  });
}

}  // namespace

template <typename T>
bool batch_norm_gradient(const BatchNormShape& shape, const BatchNormGradient<T>& all,
                         const Executor& executor) {
  const StrictFloat guard;
  const SampleWeight weight = sample_weight(shape, all.weights, executor);
  if (!is_valid(weight, shape.channels)) return false;
  std::atomic<bool> is_all_valid{true};
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    BatchNormGradient<T> args = all;
    slab.narrow_tensors(args.grad, args.x, args.grad_x);
    slab.narrow_weights(args.weights);
    slab.narrow(args.mean, args.variance, args.gamma, args.grad_mean, args.grad_variance,
                args.grad_gamma, args.grad_beta);
    const BatchNormGrid grid(slab, args.weights.values != nullptr);
    SumsOfSlab<T> sums(grid, shape.size(), args.grad, args.x, args.weights, args.mean, executor);
    SampleWeight samples = weight;
    samples.per_channel = sums.total(kWeight);
    GradientByInput<T> by_input(grid, shape.size());
    for_channels(grid, executor, [&](const ChannelRange& range) {
      const auto& channels = kernels().of(args.x).batch_norm_channels;
      channels.add_up(range, sums.parts());
      by_input.set_has_factors(channels.gradient(
          range,
          {sums.total(kGrad), sums.total(kGradCentered), sums.total(kCentered), args.mean,
           args.variance, args.gamma, args.grad_mean, args.grad_variance, args.epsilon},
          samples, args.grad_gamma, args.grad_beta, by_input.coefficients()));
    });
    if (!is_valid(samples, slab.shape.channels)) {
      is_all_valid = false;
    } else {
      by_input.run(args.grad, args.x, args.weights, args.grad_x, executor);
    }
  });
  return is_all_valid;
}

template <typename T>
void batch_norm_gradient_sums(const BatchNormShape& shape, const T* grad, const T* x,
                              const Compute<T>* mean, Compute<T>* sum_grad,
                              Compute<T>* sum_grad_centered, const Executor& executor) {
  sum_for_channels(shape, grad, x, mean, sum_grad, sum_grad_centered, executor);
}

template <typename T>
void batch_norm_gradient_share(const BatchNormShape& shape, const T* grad, const T* x,
                               const double* mean, double* sum_grad, double* sum_grad_centered,
                               const Executor& executor) {
  sum_for_channels(shape, grad, x, mean, sum_grad, sum_grad_centered, executor);
}

template <typename T>
void batch_norm_merged_gradient(const BatchNormShape& shape, const BatchNormMergedGradient<T>& all,
                                const Executor& executor) {
  const StrictFloat guard;
  const double excess = all.weights.values ? SampleWeight::kMaskEpsilon : 0.0;
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    BatchNormMergedGradient<T> args = all;
    slab.narrow_tensors(args.grad, args.x, args.grad_x);
    slab.narrow_weights(args.weights);
    slab.narrow(args.weight, args.mean, args.variance, args.sum_grad, args.sum_grad_centered,
                args.gamma);
    const BatchNormGrid grid(slab, args.weights.values != nullptr);
    GradientByInput<T> by_input(grid, shape.size());
    for_channels(grid, executor, [&](const ChannelRange& range) {
      by_input.set_has_factors(kernels().of(args.x).batch_norm_channels.merged_gradient(
          range,
          {args.sum_grad, args.sum_grad_centered, args.mean, args.variance, args.gamma,
           args.epsilon},
          {args.weight, 0.0, excess}, by_input.coefficients()));
    });
    by_input.run(args.grad, args.x, args.weights, args.grad_x, executor);
  });
}

#define FASTREG_INSTANTIATE(T)                                                                  \
  template bool batch_norm_gradient<T>(const BatchNormShape&, const BatchNormGradient<T>&,      \
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
