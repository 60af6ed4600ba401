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
constexpr double kFactor = sizeof(S) == sizeof(double) ? 0x1p550 : 0x1p90;

template <typename S>
double divided(double value) {
  return value / kFactor<S> / kFactor<S>;
}

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
  for (int64_t at = channel; at < range.width; at += range.channels) {
    values[at] = static_cast<S>(value);
  }
}

template <typename S>
bool is_beyond(double value) {
  return std::fabs(value) > std::numeric_limits<S>::max();
}

// `value`, or where it is beyond the range of S, what it is divided by the square of its factor.
template <typename S>
bool set(const ChannelRange& range, int64_t channel, double value, double divided, S* values,
         S* factors) {
  constexpr double kMax = std::numeric_limits<S>::max();
  const bool has_factor = is_beyond<S>(value);
  if (has_factor) value = std::isfinite(divided) ? std::clamp(divided, -kMax, kMax) : divided;
  set(range, channel, value, values);
  set(range, channel, has_factor ? kFactor<S> : 1.0, factors);
  return has_factor;
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
bool set_normalization(const ChannelRange& range, int64_t c, double mean, double mean_rest,
                       double variance, const Affine<S>& affine,
                       const NormalizeCoefficients<S*>& k) {
  set(range, c, mean, k.mean);
  set(range, c, mean_rest, k.mean_rest);
  set(range, c, value_or(affine.beta, c, 0.0), k.offset);
  const double gamma = value_or(affine.gamma, c, 1.0), std = std::sqrt(variance + affine.epsilon);
  return set(range, c, gamma / std, divided<S>(gamma) / std, k.scale, k.scale_factor);
}

template <typename S>
bool statistics(const ChannelRange& range, const Moments& moments, const SampleWeight& samples,
                const Affine<S>& affine, const Statistics<S>& out,
                const NormalizeCoefficients<S*>& k) noexcept {
  bool has_factors = false;
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
    has_factors |= set_normalization(range, c, mean, (shift - mean) + rest, variance, affine, k);
  }
  return has_factors;
}

template <typename S, typename Given>
bool normalization(const ChannelRange& range, const Given* means, const Given* variances,
                   const Affine<S>& affine, const NormalizeCoefficients<S*>& k) noexcept {
  bool has_factors = false;
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double exact = value_or(means, c, 0.0);
    const S mean = static_cast<S>(exact);
    has_factors |= set_normalization(range, c, mean, exact - mean, variances[c], affine, k);
  }
  return has_factors;
}

struct OfChannel {
  double count, excess, mean, mean_rest, gamma, variance;  // with epsilon
  double grad, grad_centered, grad_mean, grad_variance;
};

template <typename S>
bool set_gradient(const ChannelRange& range, int64_t c, const OfChannel& at,
                  const GradientCoefficients<S*>& k) {
  const double inv_std = 1.0 / std::sqrt(at.variance), scale = at.gamma * inv_std;
  // 0 in a constant channel, whatever inv_std.
  const double through =
      at.grad_centered == 0.0 ? 0.0 : 0.5 * scale * inv_std * inv_std * at.grad_centered;
  const double twice = 2.0 * (at.grad_variance - through), slope = -twice / at.count;
  const double per_std = inv_std / kFactor<S>;
  const double divided_slope =
      per_std * (per_std * (at.gamma * (inv_std * at.grad_centered / at.count))) -
      divided<S>(2.0 * at.grad_variance / at.count);
  const double by_excess =
      at.excess == 0.0 ? 0.0 : twice * (at.mean + at.mean_rest) * at.excess / at.count;
  const double grad_mean = at.grad / at.count;
  set(range, c, at.mean, k.mean);
  set(range, c, at.mean_rest, k.mean_rest);
  set(range, c, grad_mean, k.grad_mean);
  // If one of them has a factor, the others are divided by what multiplies their sum.
  const bool has_factors = is_beyond<S>(scale) || is_beyond<S>(slope);
  const double last = has_factors ? kFactor<S> : 1.0;
  set(range, c, last, k.factor);
  set(range, c, scale / last, k.scale);
  set(range, c, slope / last, k.slope);
  set(range, c, (at.grad_mean - by_excess) / at.count / last, k.offset);
  set(range, c, 1.0, k.scale_factor);
  set(range, c, 1.0, k.slope_factor);
  if (is_beyond<S>(scale)) {
    set(range, c, scale, divided<S>(at.gamma) * inv_std, k.scale, k.scale_factor);
  }
  if (is_beyond<S>(slope)) set(range, c, slope, divided_slope, k.slope, k.slope_factor);
  return has_factors || is_beyond<S>(grad_mean);
}

template <typename S>
bool gradient(const ChannelRange& range, const GradientMoments<S>& moments,
              const SampleWeight& samples, S* grad_gamma, S* grad_beta,
              const GradientCoefficients<S*>& k) noexcept {
  bool has_factors = false;
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double count = weight_of(samples, c) + samples.excess;
    const bool is_empty = !(count > 0.0);
    const double mean = moments.mean[c], centered = moments.centered[c];
    const double rest = is_empty ? 0.0 : (centered - mean * samples.excess) / count;
    const double grad_centered = moments.grad_centered[c] - rest * moments.grad[c];
    const double variance = moments.variance[c] + moments.epsilon;
    grad_gamma[c] = is_empty ? S(0) : static_cast<S>(grad_centered / std::sqrt(variance));
    grad_beta[c] = static_cast<S>(moments.grad[c]);
    const OfChannel at = {count,
                          samples.excess,
                          mean,
                          rest,
                          value_or(moments.gamma, c, 1.0),
                          variance,
                          moments.grad[c],
                          grad_centered,
                          value_or(moments.grad_mean, c, 0.0),
                          value_or(moments.grad_variance, c, 0.0)};
    has_factors |= set_gradient(range, c, at, k);
  }
  return has_factors;
}

template <typename S>
bool merged_gradient(const ChannelRange& range, const MergedGradientMoments<S>& moments,
                     const SampleWeight& samples, const GradientCoefficients<S*>& k) noexcept {
  bool has_factors = false;
  for (int64_t c = range.begin; c < range.end; ++c) {
    const S rounded = static_cast<S>(moments.mean[c]);
    const OfChannel at = {weight_of(samples, c) + samples.excess,
                          samples.excess,
                          rounded,
                          moments.mean[c] - rounded,
                          value_or(moments.gamma, c, 1.0),
                          moments.variance[c] + moments.epsilon,
                          moments.grad[c],
                          moments.grad_centered[c],
                          0.0,
                          0.0};
    has_factors |= set_gradient(range, c, at, k);
  }
  return has_factors;
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
