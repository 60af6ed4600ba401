// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.h"

#include "fastreg/half.h"
#include "kernels/families.h"

namespace fastreg {
namespace reference {
namespace {

// body(channel, index in x, sample) for every element of the block.
template <typename Body>
void for_each(const BatchNormBlock& b, Body body) {
  for (int64_t channel = b.channel_begin; channel < b.channel_end; ++channel) {
    for (int64_t outer = b.outer_begin; outer < b.outer_end; ++outer) {
      for (int64_t inner = b.inner_begin; inner < b.inner_end; ++inner) {
        body(channel, (outer * b.channels + channel) * b.inner + inner, outer * b.inner + inner);
      }
    }
  }
}

void clear(const BatchNormBlock& block, double* sum) {
  for (int64_t channel = block.channel_begin; channel < block.channel_end; ++channel) {
    sum[channel] = 0.0;
  }
}

// There may be none.
template <typename S>
double factor_of(const S* factors, int64_t channel) {
  return factors == nullptr ? 1.0 : factors[channel];
}

template <typename S>
double weight_of(const BatchNormWeights<S>& weights, int64_t i, int64_t sample) {
  return weights.values == nullptr ? 1.0 : weights.values[weights.per_element ? i : sample];
}

double counted(double weight) { return weight < 0.0 ? __builtin_nan("") : weight; }

template <typename T>
void moments(const BatchNormBlock& block, const T* x, const BatchNormWeights<Compute<T>>& weights,
             const double* shift, Reads, const MomentSums& sums) noexcept {
  clear(block, sums.sum);
  clear(block, sums.squares);
  if (weights.per_element) clear(block, sums.weights);
  for_each(block, [&](int64_t channel, int64_t i, int64_t sample) {
    const double weight = weight_of(weights, i, sample);
    if (weight == 0.0) return;
    if (weights.per_element) sums.weights[channel] += counted(weight);
    const double d = double{to_compute(x[i])} - shift[channel];
    sums.sum[channel] += weight * d;
    sums.squares[channel] += weight * d * d;
  });
}

template <typename T>
void normalize(const BatchNormBlock& block, const T* x,
               const NormalizeCoefficients<const Compute<T>*>& k, T* y, Stores) noexcept {
  for_each(block, [&](int64_t c, int64_t i, int64_t) {
    const double centered = double{to_compute(x[i])} - k.mean[c] - k.mean_rest[c];
    const double factor = factor_of(k.scale_factor, c);
    const double scaled = centered * factor * k.scale[c] * factor;
    y[i] = from_compute<T>(static_cast<Compute<T>>(scaled + k.offset[c]));
  });
}

template <typename T>
void gradient_sums(const BatchNormBlock& block, const T* grad, const T* x,
                   const BatchNormWeights<Compute<T>>& weights, const Compute<T>* mean, Reads,
                   const GradientSums& sums) noexcept {
  clear(block, sums.grad);
  clear(block, sums.grad_centered);
  clear(block, sums.centered);
  if (weights.per_element) clear(block, sums.weights);
  for_each(block, [&](int64_t channel, int64_t i, int64_t sample) {
    const double g = double{to_compute(grad[i])};
    const double centered = double{to_compute(x[i])} - mean[channel];
    sums.grad[channel] += g;
    sums.grad_centered[channel] += g * centered;
    const double weight = weight_of(weights, i, sample);
    if (weight != 0.0) sums.centered[channel] += weight * centered;
    if (weights.per_element) sums.weights[channel] += counted(weight);
  });
}

template <typename T>
void gradient(const BatchNormBlock& block, const T* grad, const T* x,
              const BatchNormWeights<Compute<T>>& weights,
              const GradientCoefficients<const Compute<T>*>& k, T* grad_x, Stores) noexcept {
  for_each(block, [&](int64_t c, int64_t i, int64_t sample) {
    const double weight = weight_of(weights, i, sample);
    const double centered = double{to_compute(x[i])} - k.mean[c] - k.mean_rest[c];
    const double grad_mean = weight == 0.0 ? 0.0 : weight * k.grad_mean[c];
    const double from_mean = double{to_compute(grad[i])} - grad_mean;
    const double direct = from_mean * factor_of(k.scale_factor, c) * k.scale[c];
    const double sloped = centered * factor_of(k.slope_factor, c) * k.slope[c];
    const double through_statistics = weight == 0.0 ? 0.0 : sloped - k.offset[c];
    const double result = (direct - weight * through_statistics) * factor_of(k.factor, c);
    grad_x[i] = from_compute<T>(static_cast<Compute<T>>(result));
  });
}

}  // namespace

template <typename T>
BatchNormKernels<T> batch_norm_kernels() {
  return {moments<T>, normalize<T>, gradient_sums<T>, gradient<T>};
}

#define FASTREG_INSTANTIATE(T) template BatchNormKernels<T> batch_norm_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace reference
}  // namespace fastreg
