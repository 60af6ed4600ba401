// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm_channels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/families.h"

namespace fastreg {
namespace reference {
namespace {

template <typename S>
double value_or(const S* values, int64_t channel, double otherwise) {
  return values == nullptr ? otherwise : static_cast<double>(values[channel]);
}

double weight_of(const SampleWeight& samples, int64_t channel) {
  return value_or(samples.per_channel, channel, samples.weight);
}

// For the channel and its copies.
template <typename S>
void set(const ChannelRange& range, int64_t channel, double value, S* values) {
  constexpr double kMax = std::numeric_limits<S>::max();
  if (std::isfinite(value)) value = std::clamp(value, -kMax, kMax);
  for (int64_t at = channel; at < range.width; at += range.channels) {
    values[at] = static_cast<S>(value);
  }
}

void add_up(const ChannelRange& range, const PartSums& sums) noexcept {
  for (int64_t sum = 0; sum < sums.sums; ++sum) {
    for (int64_t channel = range.begin; channel < range.end; ++channel) {
      double total = 0.0;
      for (int64_t part = 0; part < sums.parts; ++part) {
        const double* values = sums.values + (part * sums.sums + sum) * range.width;
        for (int64_t at = channel; at < range.width; at += range.channels) total += values[at];
      }
      sums.values[sum * range.width + channel] = total;
    }
  }
}

template <typename S>
void set_normalization(const ChannelRange& range, int64_t c, double mean, double mean_rest,
                       double variance, const Affine<S>& affine,
                       const NormalizeCoefficients<S*>& k) {
  set(range, c, mean, k.mean);
  set(range, c, mean_rest, k.mean_rest);
  set(range, c, value_or(affine.gamma, c, 1.0) / std::sqrt(variance + affine.epsilon), k.scale);
  set(range, c, value_or(affine.beta, c, 0.0), k.offset);
}

template <typename S>
void statistics(const ChannelRange& range, const Moments& moments, const SampleWeight& samples,
                const Affine<S>& affine, const Statistics<S>& out,
                const NormalizeCoefficients<S*>& k) noexcept {
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double weight = weight_of(samples, c), count = weight + samples.excess;
    const double shift = moments.shift[c], sum = moments.sum[c];
    const double rest = (sum - shift * samples.excess) / count;
    const double squares = moments.squares[c] - rest * (2.0 * sum - rest * weight);
    const double variance = (squares < 0.0 ? 0.0 : squares) / count;
    const S mean = static_cast<S>(shift + rest);
    out.mean[c] = mean;
    out.variance[c] = static_cast<S>(variance);
    if (out.moving) {
      const MovingStatistics<S>& moving = *out.moving;
      const auto mix = [&](S old, double batch) {
        const double mixed = old * moving.momentum + batch * (1.0 - moving.momentum);
        return weight > 0.0 ? static_cast<S>(mixed) : old;
      };
      moving.new_mean[c] = mix(moving.mean[c], shift + rest);
      moving.new_variance[c] = mix(moving.variance[c], variance);
    }
    set_normalization(range, c, mean, (shift - mean) + rest, variance, affine, k);
  }
}

template <typename S, typename Given>
void normalization(const ChannelRange& range, const Given* means, const Given* variances,
                   const Affine<S>& affine, const NormalizeCoefficients<S*>& k) noexcept {
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double exact = value_or(means, c, 0.0);
    const S mean = static_cast<S>(exact);
    set_normalization(range, c, mean, exact - mean, variances[c], affine, k);
  }
}

template <typename S>
void set_gradient(const ChannelRange& range, int64_t c, double count, double scale, double sum_grad,
                  double by_mean, double by_variance, const GradientCoefficients<S*>& k) {
  set(range, c, scale, k.scale);
  set(range, c, sum_grad / count, k.grad_mean);
  set(range, c, -2.0 * by_variance / count, k.slope);
  set(range, c, by_mean / count, k.offset);
}

template <typename S>
void gradient(const ChannelRange& range, const GradientMoments<S>& moments,
              const SampleWeight& samples, S* grad_gamma, S* grad_beta,
              const GradientCoefficients<S*>& k) noexcept {
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double count = weight_of(samples, c) + samples.excess;
    const bool is_empty = !(count > 0.0);
    const double mean = moments.mean[c], centered = moments.centered[c];
    const double rest = is_empty ? 0.0 : (centered - mean * samples.excess) / count;
    const double grad_centered = moments.grad_centered[c] - rest * moments.grad[c];
    const double gamma = value_or(moments.gamma, c, 1.0);
    const double variance = moments.variance[c] + moments.epsilon,
                 scale = gamma / std::sqrt(variance);
    grad_gamma[c] = is_empty ? S(0) : static_cast<S>(grad_centered / std::sqrt(variance));
    grad_beta[c] = static_cast<S>(moments.grad[c]);
    const double by_variance =
        value_or(moments.grad_variance, c, 0.0) - 0.5 * scale / variance * grad_centered;
    const double by_mean = value_or(moments.grad_mean, c, 0.0) -
                           2.0 * by_variance * (mean + rest) * samples.excess / count;
    set_gradient(range, c, count, scale, moments.grad[c], by_mean, by_variance, k);
    set(range, c, mean, k.mean);
    set(range, c, rest, k.mean_rest);
  }
}

template <typename S>
void merged_gradient(const ChannelRange& range, const MergedGradientMoments<S>& moments,
                     const SampleWeight& samples, const GradientCoefficients<S*>& k) noexcept {
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double count = weight_of(samples, c) + samples.excess, mean = moments.mean[c];
    const double variance = moments.variance[c] + moments.epsilon;
    const double scale = value_or(moments.gamma, c, 1.0) / std::sqrt(variance);
    const double by_variance = -0.5 * scale / variance * moments.grad_centered[c];
    const double by_mean = -2.0 * by_variance * mean * samples.excess / count;
    set_gradient(range, c, count, scale, moments.grad[c], by_mean, by_variance, k);
    const S rounded = static_cast<S>(mean);
    set(range, c, rounded, k.mean);
    set(range, c, mean - rounded, k.mean_rest);
  }
}

}  // namespace

template <typename S>
BatchNormChannelKernels<S> batch_norm_channel_kernels() {
  return {add_up,      statistics<S>,     normalization<S, S>, normalization<S, double>,
          gradient<S>, merged_gradient<S>};
}

template BatchNormChannelKernels<float> batch_norm_channel_kernels<float>();
template BatchNormChannelKernels<double> batch_norm_channel_kernels<double>();

}  // namespace reference
}  // namespace fastreg
