// SPDX-License-Identifier: Apache-2.0
#include "fastreg/batch_norm.h"

#include <atomic>

#include "core/batch_norm_grid.h"
#include "core/channel_arrays.h"
#include "core/channel_moments.h"
#include "core/stores.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

// y = ((x - mean) - mean_rest) * scale + offset
template <typename T>
class Normalization {
 public:
  using S = Compute<T>;
  // `size` of all of x.
  Normalization(const BatchNormGrid& grid, int64_t size)
      : grid_(grid.of_blocks()), size_(size), arrays_(grid) {}

  template <typename P = S*>
  NormalizeCoefficients<P> coefficients() {
    return {arrays_[0], arrays_[1], arrays_[2], arrays_[3], arrays_[4]};
  }
  // Of some channels.
  void set_has_factors(bool has_factors) {
    if (has_factors) has_factors_ = true;
  }
  void run(const T* x, T* y, const Executor& executor) {
    const Stores stores = grid_.is_aligned<T>() ? stores_for(y, size_, x) : Stores::kCached;
    auto given = coefficients<const S*>();
    if (!has_factors_) given.scale_factor = nullptr;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      grid_.for_blocks(task, [&](const BatchNormBlock& block) {
        kernels().of(x).batch_norm.normalize(block, x, given, y, stores);
      });
    });
  }

 private:
  BatchNormGrid grid_;
  int64_t size_;
  ChannelArrays<S, 5> arrays_;
  std::atomic<bool> has_factors_{false};
};

// By statistics that are given; `kernel` of the kernels on channels takes them.
template <typename T, typename Args, typename Kernel>
void normalize_by(const BatchNormShape& shape, const Args& all, const Executor& executor,
                  Kernel kernel) {
  const StrictFloat guard;
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    Args args = all;
    slab.narrow_tensors(args.x, args.y);
    slab.narrow(args.mean, args.variance, args.gamma, args.beta);
    const BatchNormGrid grid(slab, false);
    Normalization<T> normalization(grid, shape.size());
    for_channels(grid, executor, [&](const ChannelRange& range) {
      normalization.set_has_factors(kernel(range, args.mean, args.variance,
                                           Affine<Compute<T>>{args.gamma, args.beta, args.epsilon},
                                           normalization.coefficients()));
    });
    normalization.run(args.x, args.y, executor);
  });
}

}  // namespace

template <typename T>
bool batch_norm(const BatchNormShape& shape, const BatchNormForward<T>& all,
                const Executor& executor) {
  const StrictFloat guard;
  const SampleWeight weight = sample_weight(shape, all.weights, executor);
  if (!is_valid(weight, shape.channels)) return false;
  std::atomic<bool> is_all_valid{true};
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    BatchNormForward<T> args = all;
    MovingStatistics<Compute<T>> moving = {};
    slab.narrow_tensors(args.x, args.y);
    slab.narrow_weights(args.weights);
    slab.narrow(args.gamma, args.beta, args.mean, args.variance);
    if (args.moving != nullptr) {
      moving = *args.moving;
      slab.narrow(moving.mean, moving.variance, moving.new_mean, moving.new_variance);
      args.moving = &moving;
    }
    const BatchNormGrid grid(slab, args.weights.values != nullptr);
    ChannelMoments<T> sums(slab, grid, shape.size(), args.x, args.weights, executor);
    SampleWeight samples = weight;
    samples.per_channel = sums.weight();
    Normalization<T> normalization(grid, shape.size());
    for_channels(grid, executor, [&](const ChannelRange& range) {
      const auto& channels = kernels().of(args.x).batch_norm_channels;
      channels.add_up(range, sums.parts());
      normalization.set_has_factors(channels.statistics(
          range, sums.totals(), samples, {args.gamma, args.beta, args.epsilon},
          {args.mean, args.variance, args.moving}, normalization.coefficients()));
    });
    if (!is_valid(samples, slab.shape.channels)) {
      is_all_valid = false;
    } else if (args.y) {
      normalization.run(args.x, args.y, executor);
    }
  });
  return is_all_valid;
}

template <typename T>
bool batch_norm_share(const BatchNormShape& shape, const T* all_x,
                      const BatchNormWeights<Compute<T>>& all_weights,
                      const BatchNormShare& all_shares, const Executor& executor) {
  const StrictFloat guard;
  const SampleWeight weight_of_all = sample_weight(shape, all_weights, executor);
  std::atomic<bool> is_all_valid{true};
  for_slabs(shape, executor, [&](const ChannelSlab& slab, const Executor& executor) {
    const T* x = all_x;
    auto weights = all_weights;
    BatchNormShare share = all_shares;
    slab.narrow_tensors(x);
    slab.narrow_weights(weights);
    slab.narrow(share.weight, share.mean, share.squares);
    const BatchNormGrid grid(slab, weights.values != nullptr);
    ChannelMoments<T> sums(slab, grid, shape.size(), x, weights, executor);
    SampleWeight samples = weight_of_all;
    samples.per_channel = sums.weight();
    for_channels(grid, executor, [&](const ChannelRange& range) {
      kernels().of(x).batch_norm_channels.add_up(range, sums.parts());
      const Moments moments = sums.totals();
      for (int64_t channel = range.begin; channel < range.end; ++channel) {
        const double weight = samples.per_channel ? samples.per_channel[channel] : samples.weight;
        const double sum = moments.sum[channel];
        const double about_mean = moments.squares[channel] - sum * (sum / weight);
        share.weight[channel] = weight;
        share.mean[channel] = weight > 0.0 ? moments.shift[channel] + sum / weight : 0.0;
        share.squares[channel] = weight > 0.0 && !(about_mean < 0.0) ? about_mean : 0.0;
      }
    });
    if (!is_valid(samples, slab.shape.channels)) is_all_valid = false;
  });
  return is_all_valid;
}

template <typename T>
void batch_norm_merged(const BatchNormShape& shape, const BatchNormMerged<T>& args,
                       const Executor& executor) {
  normalize_by<T>(shape, args, executor,
                  kernels().of(args.x).batch_norm_channels.merged_normalization);
}

template <typename T>
void batch_norm_inference(const BatchNormShape& shape, const BatchNormInference<T>& args,
                          const Executor& executor) {
  normalize_by<T>(shape, args, executor, kernels().of(args.x).batch_norm_channels.normalization);
}

#define FASTREG_INSTANTIATE(T)                                                                     \
  template bool batch_norm<T>(const BatchNormShape&, const BatchNormForward<T>&, const Executor&); \
  template bool batch_norm_share<T>(const BatchNormShape&, const T*,                               \
                                    const BatchNormWeights<Compute<T>>&, const BatchNormShare&,    \
                                    const Executor&);                                              \
  template void batch_norm_merged<T>(const BatchNormShape&, const BatchNormMerged<T>&,             \
                                     const Executor&);                                             \
  template void batch_norm_inference<T>(const BatchNormShape&, const BatchNormInference<T>&,       \
                                        const Executor&);
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg
