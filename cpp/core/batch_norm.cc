// SPDX-License-Identifier: Apache-2.0
#include "fastreg/batch_norm.h"

#include <atomic>

#include "core/batch_norm_grid.h"
#include "core/stores.h"
#include "fastreg/half.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

// y = ((x - mean) - mean_rest) * scale + offset
template <typename T>
class Normalization {
 public:
  using S = Compute<T>;
  explicit Normalization(const BatchNormGrid& grid) : grid_(grid), arrays_(grid) {}

  template <typename P = S*>
  NormalizeCoefficients<P> coefficients() {
    return {arrays_[0], arrays_[1], arrays_[2], arrays_[3], arrays_[4]};
  }
  // Of some channels.
  void set_has_factors(bool has_factors) {
    if (has_factors) has_factors_ = true;
  }
  void run(const T* x, T* y, const Executor& executor) {
    const Stores stores = grid_.is_aligned<T>() ? stores_for(y, grid_.size(), x) : Stores::kCached;
    auto given = coefficients<const S*>();
    if (!has_factors_) given.scale_factor = nullptr;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      kernels().of(x).batch_norm.normalize(grid_.block(task), x, given, y, stores);
    });
  }

 private:
  const BatchNormGrid& grid_;
  ChannelArrays<S, 5> arrays_;
  std::atomic<bool> has_factors_{false};
};

// 0 where it is not finite.
template <typename T>
double as_shift(T value) {
  const double shift = to_compute(value);
  return shift - shift == 0.0 ? shift : 0.0;
}

using Shifts = ChannelArrays<double, 1>;

// The first sample of each channel that has weight; 0 where there is none.
template <typename T>
void set_shifts(const BatchNormShape& shape, const T* x,
                const BatchNormWeights<Compute<T>>& weights, Shifts& shifts) {
  double* shift = shifts[0];
  if (weights.values == nullptr && shape.samples() > 0) {
    for (int64_t channel = 0; channel < shape.channels; ++channel) {
      shift[channel] = as_shift(x[channel * shape.inner]);
    }
    return shifts.repeat(0);
  }
  int64_t sample = 0;
  for (int64_t channel = 0; channel < shape.channels; ++channel) {
    const auto index = [&] {
      return (sample / shape.inner * shape.channels + channel) * shape.inner + sample % shape.inner;
    };
    const auto has_no_weight = [&] {
      return weights.values[weights.per_element ? index() : sample] == 0;
    };
    if (weights.per_element) sample = 0;
    while (sample < shape.samples() && has_no_weight()) ++sample;
    shift[channel] = sample < shape.samples() ? as_shift(x[index()]) : 0.0;
  }
  shifts.repeat(0);
}

template <typename T>
void sum_moments(const BatchNormGrid& grid, const T* x, const BatchNormWeights<Compute<T>>& weights,
                 const double* shift, PartialSums<3>& sums, const Executor& executor) {
  const Reads reads = reads_of<T>(grid.size());
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    const int64_t part = grid.part(task);
    kernels().of(x).batch_norm.moments(grid.block(task), x, weights, shift, reads,
                                       {sums.of(part, 0), sums.of(part, 1), sums.of(part, 2)});
  });
}

}  // namespace

template <typename T>
void batch_norm(const BatchNormShape& shape, const BatchNormForward<T>& args,
                const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  Shifts shifts(grid);
  set_shifts(shape, args.x, args.weights, shifts);
  PartialSums<3> sums(grid);
  sum_moments(grid, args.x, args.weights, shifts[0], sums, executor);

  SampleWeight samples = sample_weight(shape, args.weights, executor);
  if (args.weights.per_element) samples.per_channel = sums.total(2);
  Normalization<T> normalization(grid);
  for_channels(grid, executor, [&](const ChannelRange& range) {
    const auto& channels = kernels().of(args.x).batch_norm_channels;
    channels.add_up(range, sums.parts());
    normalization.set_has_factors(
        channels.statistics(range, {shifts[0], sums.total(0), sums.total(1)}, samples,
                            {args.gamma, args.beta, args.epsilon},
                            {args.mean, args.variance, args.moving}, normalization.coefficients()));
  });
  if (args.y) normalization.run(args.x, args.y, executor);
}

template <typename T>
void batch_norm_share(const BatchNormShape& shape, const T* x,
                      const BatchNormWeights<Compute<T>>& weights, const BatchNormShare& share,
                      const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, weights.values != nullptr);
  Shifts shifts(grid);
  set_shifts(shape, x, weights, shifts);
  PartialSums<3> sums(grid);
  sum_moments(grid, x, weights, shifts[0], sums, executor);
  const double all_samples = sample_weight(shape, weights, executor).weight;
  for_channels(grid, executor, [&](const ChannelRange& range) {
    kernels().of(x).batch_norm_channels.add_up(range, sums.parts());
    for (int64_t channel = range.begin; channel < range.end; ++channel) {
      const double weight = weights.per_element ? sums.total(2)[channel] : all_samples;
      const double sum = sums.total(0)[channel];
      const double about_mean = sums.total(1)[channel] - sum * (sum / weight);
      share.weight[channel] = weight;
      share.mean[channel] = weight > 0.0 ? shifts[0][channel] + sum / weight : 0.0;
      share.squares[channel] = weight > 0.0 && !(about_mean < 0.0) ? about_mean : 0.0;
    }
  });
}

template <typename T>
void batch_norm_merged(const BatchNormShape& shape, const BatchNormMerged<T>& args,
                       const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  Normalization<T> normalization(grid);
  for_channels(grid, executor, [&](const ChannelRange& range) {
    normalization.set_has_factors(kernels().of(args.x).batch_norm_channels.merged_normalization(
        range, args.mean, args.variance, {args.gamma, args.beta, args.epsilon},
        normalization.coefficients()));
  });
  normalization.run(args.x, args.y, executor);
}

template <typename T>
void batch_norm_inference(const BatchNormShape& shape, const BatchNormInference<T>& args,
                          const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  Normalization<T> normalization(grid);
  for_channels(grid, executor, [&](const ChannelRange& range) {
    normalization.set_has_factors(kernels().of(args.x).batch_norm_channels.normalization(
        range, args.mean, args.variance, {args.gamma, args.beta, args.epsilon},
        normalization.coefficients()));
  });
  normalization.run(args.x, args.y, executor);
}

#define FASTREG_INSTANTIATE(T)                                                                     \
  template void batch_norm<T>(const BatchNormShape&, const BatchNormForward<T>&, const Executor&); \
  template void batch_norm_share<T>(const BatchNormShape&, const T*,                               \
                                    const BatchNormWeights<Compute<T>>&, const BatchNormShare&,    \
                                    const Executor&);                                              \
  template void batch_norm_merged<T>(const BatchNormShape&, const BatchNormMerged<T>&,             \
                                     const Executor&);                                             \
  template void batch_norm_inference<T>(const BatchNormShape&, const BatchNormInference<T>&,       \
                                        const Executor&);
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg
