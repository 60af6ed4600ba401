// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm_channels.h"

#include "kernels/families.h"
#include "kernels/loops.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

using V = Vec<double>;

V rounded(V value, const float*) { return rounded_to_float(value); }
V rounded(V value, const double*) { return value; }

V clamped(V value, const double*) { return value; }
V clamped(V value, const float*) {
  constexpr double kMax = 0x1.fffffep127;
  const V finite = at_least(V::all(-kMax), at_most(V::all(kMax), value));
  const V is_infinite = abs(value) - V::all(1.7976931348623157e308);
  return where_positive(is_infinite, value, finite);
}

// Where a vector lies among the channels.
template <typename Lanes>
struct Channels {
  const ChannelRange& range;
  int64_t first;
  Lanes lanes;

  template <typename S>
  V load(const S* values) const {
    return V::load(values + first, lanes);
  }
  template <typename S>
  V load_or(const S* values, double otherwise) const {
    return values == nullptr ? V::all(otherwise) : load(values);
  }
  template <typename S>
  void store(V value, S* values) const {
    value.store(values + first, lanes);
  }
  // To the copies too.
  template <typename S>
  void spread(V value, S* values) const {
    value = clamped(value, values);
    for (int64_t at = first; at < range.width; at += range.channels) {
      value.store(values + at, lanes);
    }
  }
};

template <typename Body>
inline void for_each(const ChannelRange& range, Body body) {
  map<V>(range.end - range.begin, [&](int64_t i, auto lanes) {
    body(Channels<decltype(lanes)>{range, range.begin + i, lanes});
  });
}

void add_up(const ChannelRange& range, const PartSums& sums) noexcept {
  if (sums.parts == 1 && range.width == range.channels) return;
  for_each(range, [&](auto at) {
    for (int64_t sum = 0; sum < sums.sums; ++sum) {
      V total = V::zero();
      for (int64_t part = 0; part < sums.parts; ++part) {
        const double* values = sums.values + (part * sums.sums + sum) * range.width;
        for (int64_t copy = 0; copy < range.width; copy += range.channels) {
          total = total + at.load(values + copy);
        }
      }
      at.store(total, sums.values + sum * range.width);
    }
  });
}

template <typename S, typename At>
inline void set_normalization(At at, V mean, V mean_rest, V variance, const Affine<S>& affine,
                              const NormalizeCoefficients<S*>& coefficients) {
  const V std = sqrt(variance + V::all(affine.epsilon));
  at.spread(mean, coefficients.mean);
  at.spread(mean_rest, coefficients.mean_rest);
  at.spread(at.load_or(affine.gamma, 1.0) / std, coefficients.scale);
  at.spread(at.load_or(affine.beta, 0.0), coefficients.offset);
}

template <typename S, typename At>
inline void update_moving(At at, V weight, V mean, V variance, const MovingStatistics<S>& moving) {
  const V momentum = V::all(moving.momentum), rest = V::all(1.0 - moving.momentum);
  const auto mix = [&](V old, V batch) {
    return where_positive(weight, old * momentum + batch * rest, old);
  };
  at.store(mix(at.load(moving.mean), mean), moving.new_mean);
  at.store(mix(at.load(moving.variance), variance), moving.new_variance);
}

template <typename S>
void statistics(const ChannelRange& range, const Moments& moments, const SampleWeight& samples,
                const Affine<S>& affine, const Statistics<S>& out,
                const NormalizeCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), two = V::all(2.0);
  for_each(range, [&](auto at) {
    const V weight = at.load_or(samples.per_channel, samples.weight);
    const V count = weight + excess;
    const V k = at.load(moments.shift), sum = at.load(moments.sum);
    // mean = k + d; the squares about it follow from those about k.
    const V d = (sum - k * excess) / count;
    const V about_mean = at.load(moments.squares) - d * (two * sum - d * weight);
    const V variance = at_least(V::zero(), about_mean) / count;
    const V mean = rounded(k + d, out.mean);
    at.store(mean, out.mean);
    at.store(variance, out.variance);
    if (out.moving) update_moving(at, weight, k + d, variance, *out.moving);
    set_normalization(at, mean, (k - mean) + d, variance, affine, coefficients);
  });
}

template <typename S, typename Given>
void normalization(const ChannelRange& range, const Given* means, const Given* variances,
                   const Affine<S>& affine,
                   const NormalizeCoefficients<S*>& coefficients) noexcept {
  for_each(range, [&](auto at) {
    const V exact = at.load_or(means, 0.0);
    const V mean = rounded(exact, coefficients.mean);
    set_normalization(at, mean, exact - mean, at.load(variances), affine, coefficients);
  });
}

// x acts on y directly, through the mean, and through the variance: of the last two a sample gets
// its share, 1 / count. The weighted sum of x - mean is mean * excess, as the mean is divided by
// the count.
template <typename S, typename At>
inline void set_gradient(At at, V share, V excess, V mean, V mean_rest, V scale, V sum_grad,
                         V grad_mean, V by_variance, const GradientCoefficients<S*>& coefficients) {
  const V twice = V::all(2.0) * by_variance;
  at.spread(scale, coefficients.scale);
  at.spread(sum_grad * share, coefficients.grad_mean);
  at.spread(mean, coefficients.mean);
  at.spread(mean_rest, coefficients.mean_rest);
  at.spread(V::zero() - twice * share, coefficients.slope);
  at.spread((grad_mean - twice * (mean + mean_rest) * excess * share) * share, coefficients.offset);
}

template <typename S>
void gradient(const ChannelRange& range, const GradientMoments<S>& moments,
              const SampleWeight& samples, S* grad_gamma, S* grad_beta,
              const GradientCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), epsilon = V::all(moments.epsilon);
  const V one = V::all(1.0), half = V::all(0.5);
  for_each(range, [&](auto at) {
    const V count = at.load_or(samples.per_channel, samples.weight) + excess;
    const V share = one / count;
    const V mean = at.load(moments.mean), sum_grad = at.load(moments.grad);
    // What the given mean lacks of the mean.
    const V rest =
        where_positive(count, (at.load(moments.centered) - mean * excess) * share, V::zero());
    const V sum_grad_centered = at.load(moments.grad_centered) - rest * sum_grad;
    const V inv_std = one / sqrt(at.load(moments.variance) + epsilon);
    // Without samples the variance is NaN, and nothing depends on gamma.
    at.store(where_positive(count, inv_std * sum_grad_centered, V::zero()), grad_gamma);
    at.store(sum_grad, grad_beta);

    const V scale = at.load_or(moments.gamma, 1.0) * inv_std;
    const V by_variance = at.load_or(moments.grad_variance, 0.0) -
                          half * scale * inv_std * inv_std * sum_grad_centered;
    set_gradient(at, share, excess, mean, rest, scale, sum_grad, at.load_or(moments.grad_mean, 0.0),
                 by_variance, coefficients);
  });
}

template <typename S>
void merged_gradient(const ChannelRange& range, const MergedGradientMoments<S>& moments,
                     const SampleWeight& samples,
                     const GradientCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), epsilon = V::all(moments.epsilon);
  const V one = V::all(1.0), minus_half = V::all(-0.5);
  for_each(range, [&](auto at) {
    const V share = one / (at.load_or(samples.per_channel, samples.weight) + excess);
    const V exact = at.load(moments.mean);
    const V mean = rounded(exact, coefficients.mean);
    const V inv_std = one / sqrt(at.load(moments.variance) + epsilon);
    const V scale = at.load_or(moments.gamma, 1.0) * inv_std;
    const V by_variance = minus_half * scale * inv_std * inv_std * at.load(moments.grad_centered);
    set_gradient(at, share, excess, mean, exact - mean, scale, at.load(moments.grad), V::zero(),
                 by_variance, coefficients);
  });
}

}  // namespace

template <typename S>
BatchNormChannelKernels<S> batch_norm_channel_kernels() {
  return {add_up,      statistics<S>,     normalization<S, S>, normalization<S, double>,
          gradient<S>, merged_gradient<S>};
}

template BatchNormChannelKernels<float> batch_norm_channel_kernels<float>();
template BatchNormChannelKernels<double> batch_norm_channel_kernels<double>();

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
