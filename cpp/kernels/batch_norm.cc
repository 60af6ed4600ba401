// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.h"

#include "kernels/families.h"
#include "kernels/layout.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

template <typename T, bool kWeighted>
void moments_of(const BatchNormBlock& block, const T* x, const Compute<T>* weights,
                const double* shift, const MomentSums& sums) {
  using V = Vec<double>;
  sum_channels<2>(
      block, {sums.sum, sums.squares}, [=](auto channel) { return channel(shift); },
      [=](V shift, int64_t index, auto sample, auto lanes, V* terms) {
        V d = (V::load(x + index, lanes) - shift).first(lanes);
        if constexpr (kWeighted) {
          // What is masked out may be NaN.
          const V weight = sample(weights);
          d = where_nonzero(weight, d);
          terms[0] = weight * d;
        } else {
          terms[0] = d;
        }
        terms[1] = terms[0] * d;
      });
}

template <typename T>
void moments(const BatchNormBlock& block, const T* x, const Compute<T>* weights,
             const double* shift, const MomentSums& sums) noexcept {
  if (weights == nullptr) return moments_of<T, false>(block, x, weights, shift, sums);
  moments_of<T, true>(block, x, weights, shift, sums);
}

template <typename T>
void normalize(const BatchNormBlock& block, const T* x,
               const NormalizeCoefficients<Compute<T>>& coefficients, T* y) noexcept {
  using V = Vec<Compute<T>>;
  struct Channel {
    V mean, mean_rest, scale, offset;
  };
  for_each<V>(
      block,
      [&](auto channel) {
        return Channel{channel(coefficients.mean), channel(coefficients.mean_rest),
                       channel(coefficients.scale), channel(coefficients.offset)};
      },
      [=](const Channel& c, int64_t index, auto, auto lanes) {
        const V centered = (V::load(x + index, lanes) - c.mean) - c.mean_rest;
        (centered * c.scale + c.offset).store(y + index, lanes);
      });
}

template <typename T, bool kWeighted>
void gradient_sums_of(const BatchNormBlock& block, const T* grad, const T* x,
                      const Compute<T>* weights, const Compute<T>* mean, const GradientSums& sums) {
  using V = Vec<double>;
  sum_channels<3>(
      block, {sums.grad, sums.grad_centered, sums.centered},
      [=](auto channel) { return channel(mean); },
      [=](V mean, int64_t index, auto sample, auto lanes, V* terms) {
        const V centered = (V::load(x + index, lanes) - mean).first(lanes);
        terms[0] = V::load(grad + index, lanes);
        terms[1] = terms[0] * centered;
        if constexpr (kWeighted) {
          const V weight = sample(weights);
          terms[2] = weight * where_nonzero(weight, centered);
        } else {
          terms[2] = centered;
        }
      });
}

template <typename T>
void gradient_sums(const BatchNormBlock& block, const T* grad, const T* x,
                   const Compute<T>* weights, const Compute<T>* mean,
                   const GradientSums& sums) noexcept {
  if (weights == nullptr) return gradient_sums_of<T, false>(block, grad, x, weights, mean, sums);
  gradient_sums_of<T, true>(block, grad, x, weights, mean, sums);
}

template <typename T, bool kWeighted>
void gradient_of(const BatchNormBlock& block, const T* grad, const T* x, const Compute<T>* weights,
                 const GradientCoefficients<Compute<T>>& coefficients, T* grad_x) {
  using V = Vec<Compute<T>>;
  struct Channel {
    V scale, grad_mean, mean, mean_rest, slope, offset;
  };
  for_each<V>(
      block,
      [&](auto channel) {
        return Channel{channel(coefficients.scale), channel(coefficients.grad_mean),
                       channel(coefficients.mean),  channel(coefficients.mean_rest),
                       channel(coefficients.slope), channel(coefficients.offset)};
      },
      [=](const Channel& c, int64_t index, auto sample, auto lanes) {
        const V g = V::load(grad + index, lanes);
        const V centered = (V::load(x + index, lanes) - c.mean) - c.mean_rest;
        const V through_statistics = centered * c.slope - c.offset;
        V result;
        if constexpr (kWeighted) {
          const V weight = sample(weights);
          result = c.scale * (g - weight * c.grad_mean) -
                   weight * where_nonzero(weight, through_statistics);
        } else {
          result = c.scale * (g - c.grad_mean) - through_statistics;
        }
        result.store(grad_x + index, lanes);
      });
}

template <typename T>
void gradient(const BatchNormBlock& block, const T* grad, const T* x, const Compute<T>* weights,
              const GradientCoefficients<Compute<T>>& coefficients, T* grad_x) noexcept {
  if (weights == nullptr) {
    return gradient_of<T, false>(block, grad, x, weights, coefficients, grad_x);
  }
  gradient_of<T, true>(block, grad, x, weights, coefficients, grad_x);
}

}  // namespace

template <typename T>
BatchNormKernels<T> batch_norm_kernels() {
  return {moments<T>, normalize<T>, gradient_sums<T>, gradient<T>};
}

#define FASTREG_INSTANTIATE(T) template BatchNormKernels<T> batch_norm_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
