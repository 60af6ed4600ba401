// SPDX-License-Identifier: Apache-2.0
#include "fastreg/batch_norm.h"

#include <cmath>

#include "core/batch_norm_grid.h"
#include "core/stores.h"
#include "fastreg/half.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

template <typename S>
double value_or(const S* values, int64_t channel, double otherwise) {
  return values == nullptr ? otherwise : static_cast<double>(values[channel]);
}

// y = ((x - mean) - mean_rest) * scale + offset
template <typename T>
class Normalization {
 public:
  using S = Compute<T>;
  explicit Normalization(const BatchNormGrid& grid)
      : grid_(grid), mean_(grid), mean_rest_(grid), scale_(grid), offset_(grid) {}

  // `args` has gamma, beta and epsilon.
  template <typename Args>
  void set(int64_t channel, double mean, double mean_rest, double variance, const Args& args) {
    mean_.set(channel, mean);
    mean_rest_.set(channel, mean_rest);
    scale_.set(channel, value_or(args.gamma, channel, 1.0) / std::sqrt(variance + args.epsilon));
    offset_.set(channel, value_or(args.beta, channel, 0.0));
  }
  void run(const T* x, T* y, const Executor& executor) const {
    const Stores stores = grid_.is_aligned<T>() ? stores_for(y, grid_.size(), x) : Stores::kCached;
    parallel_for(grid_.tasks(), executor, [&](int64_t task) {
      kernels().of(x).batch_norm.normalize(
          grid_.block(task), x, {mean_.data(), mean_rest_.data(), scale_.data(), offset_.data()}, y,
          stores);
    });
  }

 private:
  const BatchNormGrid& grid_;
  ChannelArray<S> mean_, mean_rest_, scale_, offset_;
};

// The first sample of each channel that has weight; 0 where there is none or it is not finite.
template <typename T>
ChannelArray<double> shift_of(const BatchNormGrid& grid, const BatchNormShape& shape, const T* x,
                              const BatchNormWeights<Compute<T>>& weights) {
  ChannelArray<double> shift(grid);
  int64_t sample = 0;
  for (int64_t channel = 0; channel < shape.channels; ++channel) {
    const auto index = [&] {
      return (sample / shape.inner * shape.channels + channel) * shape.inner + sample % shape.inner;
    };
    const auto has_no_weight = [&] {
      return weights.values && weights.values[weights.per_element ? index() : sample] == 0;
    };
    if (weights.per_element) sample = 0;
    while (sample < shape.samples() && has_no_weight()) ++sample;
    if (sample == shape.samples()) continue;
    const double value = to_compute(x[index()]);
    shift.set(channel, std::isfinite(value) ? value : 0.0);
  }
  return shift;
}

template <typename T>
void sum_moments(const BatchNormGrid& grid, const T* x, const BatchNormWeights<Compute<T>>& weights,
                 const ChannelArray<double>& shift, PartialSums<3>& sums,
                 const Executor& executor) {
  parallel_for(grid.tasks(), executor, [&](int64_t task) {
    const int64_t part = grid.part(task);
    kernels().of(x).batch_norm.moments(grid.block(task), x, weights, shift.data(),
                                       {sums.of(part, 0), sums.of(part, 1), sums.of(part, 2)});
  });
}

template <typename S>
void update_moving(const MovingStatistics<S>& moving, bool has_samples, int64_t channel,
                   double mean, double variance) {
  const auto mix = [&](S old, double batch) {
    return has_samples ? static_cast<S>(old * moving.momentum + batch * (1.0 - moving.momentum))
                       : old;
  };
  moving.new_mean[channel] = mix(moving.mean[channel], mean);
  moving.new_variance[channel] = mix(moving.variance[channel], variance);
}

}  // namespace

template <typename T>
void batch_norm(const BatchNormShape& shape, const BatchNormForward<T>& args,
                const Executor& executor) {
  using S = Compute<T>;
  const StrictFloat guard;
  const BatchNormGrid grid(shape, args.weights.values != nullptr);
  const ChannelArray<double> shift = shift_of(grid, shape, args.x, args.weights);
  PartialSums<3> sums(grid);
  sum_moments(grid, args.x, args.weights, shift, sums, executor);

  const SampleWeight all_samples = sample_weight(shape, args.weights, executor);
  Normalization<T> normalization(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    SampleWeight samples = all_samples;
    if (args.weights.per_element) samples.weight = sums.total(2, channel);
    const double k = shift.data()[channel];
    const double sum = sums.total(0, channel), squares = sums.total(1, channel);
    // mean = k + d; the squares about it follow from those about k.
    const double d = sum / samples.count() - k * (samples.excess / samples.count());
    const double about_mean = squares - d * (2.0 * sum - d * samples.weight);
    const double variance = (about_mean < 0.0 ? 0.0 : about_mean) / samples.count();
    const S mean = static_cast<S>(k + d);
    args.mean[channel] = mean;
    args.variance[channel] = static_cast<S>(variance);
    normalization.set(channel, mean, (k - mean) + d, variance, args);
    if (args.moving) {
      update_moving(*args.moving, samples.weight > 0.0, channel, k + d, variance);
    }
  });
  if (args.y) normalization.run(args.x, args.y, executor);
}

template <typename T>
void batch_norm_share(const BatchNormShape& shape, const T* x,
                      const BatchNormWeights<Compute<T>>& weights, const BatchNormShare& share,
                      const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, weights.values != nullptr);
  const ChannelArray<double> shift = shift_of(grid, shape, x, weights);
  PartialSums<3> sums(grid);
  sum_moments(grid, x, weights, shift, sums, executor);
  const double all_samples = sample_weight(shape, weights, executor).weight;
  for_each_channel(grid, executor, [&](int64_t channel) {
    const double weight = weights.per_element ? sums.total(2, channel) : all_samples;
    const double sum = sums.total(0, channel);
    const double about_mean = sums.total(1, channel) - sum * (sum / weight);
    share.weight[channel] = weight;
    share.mean[channel] = weight > 0.0 ? shift.data()[channel] + sum / weight : 0.0;
    share.squares[channel] = weight > 0.0 && !(about_mean < 0.0) ? about_mean : 0.0;
  });
}

template <typename T>
void batch_norm_merged(const BatchNormShape& shape, const BatchNormMerged<T>& args,
                       const Executor& executor) {
  using S = Compute<T>;
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  Normalization<T> normalization(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    const S mean = static_cast<S>(args.mean[channel]);
    normalization.set(channel, mean, args.mean[channel] - mean, args.variance[channel], args);
  });
  normalization.run(args.x, args.y, executor);
}

template <typename T>
void batch_norm_inference(const BatchNormShape& shape, const BatchNormInference<T>& args,
                          const Executor& executor) {
  const StrictFloat guard;
  const BatchNormGrid grid(shape, false);
  Normalization<T> normalization(grid);
  for_each_channel(grid, executor, [&](int64_t channel) {
    normalization.set(channel, value_or(args.mean, channel, 0.0), 0.0, args.variance[channel],
                      args);
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
