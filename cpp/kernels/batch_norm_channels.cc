// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm_channels.h"

#include "kernels/channel_loops.h"
#include "kernels/families.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

using V = Vec<double>;

V rounded(V value, const float*) { return rounded_to_float(value); }
V rounded(V value, const double*) { return value; }

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

// Returns what is positive where a coefficient is beyond the range of S, as do those below.
template <typename S, typename At>
inline V set_normalization(At at, V mean, V mean_rest, V variance, const Affine<S>& affine,
                           const NormalizeCoefficients<S*>& coefficients) {
  const V std = sqrt(variance + V::all(affine.epsilon)), gamma = at.load_or(affine.gamma, 1.0);
  const auto scale = Factored<S>::of(gamma / std, divided<S>(divided<S>(gamma)) / std);
  at.spread(mean, coefficients.mean);
  at.spread(mean_rest, coefficients.mean_rest);
  at.spread(scale, coefficients.scale, coefficients.scale_factor);
  at.spread(at.load_or(affine.beta, 0.0), coefficients.offset);
  return scale.beyond;
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
bool statistics(const ChannelRange& range, const Moments& moments, const SampleWeight& samples,
                const Affine<S>& affine, const Statistics<S>& out,
                const NormalizeCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), two = V::all(2.0);
  return any_positive(range, [&](auto at) {
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
    return set_normalization(at, mean, (k - mean) + d, variance, affine, coefficients);
  });
}

template <typename S, typename Given>
bool normalization(const ChannelRange& range, const Given* means, const Given* variances,
                   const Affine<S>& affine,
                   const NormalizeCoefficients<S*>& coefficients) noexcept {
  return any_positive(range, [&](auto at) {
    const V exact = at.load_or(means, 0.0);
    const V mean = rounded(exact, coefficients.mean);
    return set_normalization(at, mean, exact - mean, at.load(variances), affine, coefficients);
  });
}

// What the gradient by the samples of a channel is made of.
struct OfChannel {
  V share, excess;  // 1 / count; what the count has beyond the weight of the samples
  V mean, mean_rest, gamma, inv_std;
  V grad, grad_centered;       // sums of the gradient and of its product with x - mean
  V grad_mean, grad_variance;  // what else depends on the statistics
};

// x acts on y directly, through the mean, and through the variance: of the last two a sample gets
// its share, 1 / count. The weighted sum of x - mean is mean * excess, as the mean is divided by
// the count. In a constant channel grad_centered is 0, whatever inv_std.
template <typename S, typename At>
inline V set_gradient(At at, const OfChannel& c, const GradientCoefficients<S*>& coefficients) {
  const V scale = c.gamma * c.inv_std;
  const V by_normalized = V::all(0.5) * scale * c.inv_std * c.inv_std * c.grad_centered;
  const V twice = V::all(2.0) * (c.grad_variance - where_nonzero(c.grad_centered, by_normalized));
  const V by_excess = twice * (c.mean + c.mean_rest) * c.excess * c.share;

  const auto factored_scale = Factored<S>::of(scale, divided<S>(divided<S>(c.gamma)) * c.inv_std);
  const V of_normalized = c.gamma * (c.inv_std * c.grad_centered * c.share);
  const V inv_std = divided<S>(c.inv_std);
  const auto slope =
      Factored<S>::of(V::zero() - twice * c.share,
                      inv_std * (inv_std * of_normalized) -
                          divided<S>(divided<S>(V::all(2.0) * c.grad_variance * c.share)));
  const V grad_mean = c.grad * c.share;
  const V offset = (c.grad_mean - where_nonzero(c.excess, by_excess)) * c.share;

  // If one of them has a factor, the others are divided by what multiplies their sum.
  const V beyond = where_positive(factored_scale.beyond, factored_scale.beyond, slope.beyond);
  const auto divided_by_last = [&](V value) {
    return where_positive(beyond, divided<S>(value), value);
  };
  const auto of_sum = [&](const Factored<S>& c) {
    return where_positive(c.beyond, c.value, divided_by_last(c.value));
  };
  at.spread(of_sum(factored_scale), coefficients.scale);
  at.spread(factored_scale.factor, coefficients.scale_factor);
  at.spread(grad_mean, coefficients.grad_mean);
  at.spread(c.mean, coefficients.mean);
  at.spread(c.mean_rest, coefficients.mean_rest);
  at.spread(of_sum(slope), coefficients.slope);
  at.spread(slope.factor, coefficients.slope_factor);
  at.spread(divided_by_last(offset), coefficients.offset);
  at.spread(where_positive(beyond, V::all(kFactor<S>), V::all(1.0)), coefficients.factor);
  const V mean_is_beyond = Factored<S>::of(grad_mean, V::zero()).beyond;
  return where_positive(beyond, beyond, mean_is_beyond);
}

template <typename S>
bool gradient(const ChannelRange& range, const GradientMoments<S>& moments,
              const SampleWeight& samples, S* grad_gamma, S* grad_beta,
              const GradientCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), epsilon = V::all(moments.epsilon), one = V::all(1.0);
  return any_positive(range, [&](auto at) {
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
    return set_gradient(at,
                        {share, excess, mean, rest, at.load_or(moments.gamma, 1.0), inv_std,
                         sum_grad, sum_grad_centered, at.load_or(moments.grad_mean, 0.0),
                         at.load_or(moments.grad_variance, 0.0)},
                        coefficients);
  });
}

template <typename S>
bool merged_gradient(const ChannelRange& range, const MergedGradientMoments<S>& moments,
                     const SampleWeight& samples,
                     const GradientCoefficients<S*>& coefficients) noexcept {
  const V excess = V::all(samples.excess), epsilon = V::all(moments.epsilon), one = V::all(1.0);
  return any_positive(range, [&](auto at) {
    const V share = one / (at.load_or(samples.per_channel, samples.weight) + excess);
    const V exact = at.load(moments.mean);
    const V mean = rounded(exact, coefficients.mean);
    const V inv_std = one / sqrt(at.load(moments.variance) + epsilon);
    return set_gradient(
        at,
        {share, excess, mean, exact - mean, at.load_or(moments.gamma, 1.0), inv_std,
         at.load(moments.grad), at.load(moments.grad_centered), V::zero(), V::zero()},
        coefficients);
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
