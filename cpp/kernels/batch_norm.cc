// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.h"

#include "kernels/channel_sums.h"
#include "kernels/factors.h"
#include "kernels/families.h"
#include "kernels/layout.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

enum class Weighted { kNot, kBySample, kByElement };

// Calls f with the kind of weights as a type: the loops are compiled for each.
template <typename S, typename F>
inline void with_kind(const BatchNormWeights<S>& weights, F f) {
  if (weights.values == nullptr) return f(Constant<Weighted::kNot>{});
  if (weights.per_element) return f(Constant<Weighted::kByElement>{});
  f(Constant<Weighted::kBySample>{});
}

// The weights at the lanes of one vector.
template <typename V, Weighted kWeighted, typename S, typename Sample, typename Lanes>
inline V weight_at(const S* weights, int64_t index, Sample sample, Lanes lanes) {
  if constexpr (kWeighted == Weighted::kByElement) return V::load(weights + index, lanes);
  return sample(weights);
}

// NaN where it is negative, so that the sum tells of it.
template <typename V>
inline V counted(V weight) {
  return where_positive(V::zero() - weight, V::all(__builtin_nan("")), weight);
}

template <typename T, Weighted kWeighted>
void moments_of(const BatchNormBlock& block, const T* x, const Compute<T>* weights,
                const double* shift, Reads reads, const MomentSums& sums) {
  using V = Vec<double>;
  constexpr bool kByElement = kWeighted == Weighted::kByElement;
  constexpr int kSums = kByElement ? 3 : 2, kInputs = kByElement ? 2 : 1;
  double* const all_sums[] = {sums.sum, sums.squares, sums.weights};
  sum_channels<kSums, kInputs>(
      block, reads, all_sums, [=](auto channel) { return channel(shift); },
      [=](V shift, Place place, auto sample, auto lanes, V* terms) {
        const int64_t index = place.index;
        prefetch<V::kLanes * sizeof(T), Prefetch::kReadingL2>(x + place.later);
        V d = (V::load(x + index, lanes) - shift).first(lanes);
        if constexpr (kWeighted == Weighted::kNot) {
          terms[0] = d;
        } else {
          const V weight = weight_at<V, kWeighted>(weights, index, sample, lanes);
          d = where_nonzero(weight, d);
          terms[0] = weight * d;
          if constexpr (kSums == 3) terms[2] = counted(weight);
        }
        terms[1] = terms[0] * d;
      });
}

template <typename T>
void moments(const BatchNormBlock& block, const T* x, const BatchNormWeights<Compute<T>>& weights,
             const double* shift, Reads reads, const MomentSums& sums) noexcept {
  with_kind(weights, [&](auto kind) {
    moments_of<T, decltype(kind)::value>(block, x, weights.values, shift, reads, sums);
  });
}

template <bool kHasFactors, typename V, typename Channel, typename S>
inline V factor_at(Channel channel, const S* factors) {
  if constexpr (kHasFactors) return channel(factors);
  return V::all(1);
}

template <typename T, bool kHasFactors>
void normalize_with(const BatchNormBlock& block, const T* x,
                    const NormalizeCoefficients<const Compute<T>*>& coefficients, T* y,
                    Stores stores) {
  using V = Vec<Compute<T>>;
  using Channel = NormalizeCoefficients<V>;
  for_each<V, 1>(
      block, stores,
      [=](auto channel) {
        return Channel{channel(coefficients.mean), channel(coefficients.mean_rest),
                       channel(coefficients.scale), channel(coefficients.offset),
                       factor_at<kHasFactors, V>(channel, coefficients.scale_factor)};
      },
      [=](const Channel& c, Place place, auto, auto lanes) {
        const int64_t index = place.index;
        prefetch<V::kLanes * sizeof(T)>(x + place.later);
        const V centered = (V::load(x + index, lanes) - c.mean) - c.mean_rest;
        const V scaled = product<kHasFactors>(centered, c.scale, c.scale_factor);
        (scaled + c.offset).store(y + index, lanes);
      });
}

template <typename T>
void normalize(const BatchNormBlock& block, const T* x,
               const NormalizeCoefficients<const Compute<T>*>& coefficients, T* y,
               Stores stores) noexcept {
  with_factors(coefficients.scale_factor, [&](auto has_factors) {
    normalize_with<T, decltype(has_factors)::value>(block, x, coefficients, y, stores);
  });
}

template <typename T, Weighted kWeighted>
void gradient_sums_of(const BatchNormBlock& block, const T* grad, const T* x,
                      const Compute<T>* weights, const Compute<T>* mean, Reads reads,
                      const GradientSums& sums) {
  using V = Vec<double>;
  constexpr int kSums = kWeighted == Weighted::kByElement ? 4 : 3;
  double* const all_sums[] = {sums.grad, sums.grad_centered, sums.centered, sums.weights};
  sum_channels<kSums, 2>(
      block, reads, all_sums, [=](auto channel) { return channel(mean); },
      [=](V mean, Place place, auto sample, auto lanes, V* terms) {
        const int64_t index = place.index;
        prefetch<V::kLanes * sizeof(T), Prefetch::kReadingL2>(x + place.later);
        prefetch<V::kLanes * sizeof(T), Prefetch::kReadingL2>(grad + place.later);
        const V centered = (V::load(x + index, lanes) - mean).first(lanes);
        terms[0] = V::load(grad + index, lanes);
        terms[1] = terms[0] * centered;
        if constexpr (kWeighted == Weighted::kNot) {
          terms[2] = centered;
        } else {
          const V weight = weight_at<V, kWeighted>(weights, index, sample, lanes);
          terms[2] = weight * where_nonzero(weight, centered);
          if constexpr (kSums == 4) terms[3] = counted(weight);
        }
      });
}

template <typename T>
void gradient_sums(const BatchNormBlock& block, const T* grad, const T* x,
                   const BatchNormWeights<Compute<T>>& weights, const Compute<T>* mean, Reads reads,
                   const GradientSums& sums) noexcept {
  with_kind(weights, [&](auto kind) {
    gradient_sums_of<T, decltype(kind)::value>(block, grad, x, weights.values, mean, reads, sums);
  });
}

template <typename T, Weighted kWeighted, bool kHasFactors>
void gradient_of(const BatchNormBlock& block, const T* grad, const T* x, const Compute<T>* weights,
                 const GradientCoefficients<const Compute<T>*>& coefficients, T* grad_x,
                 Stores stores) {
  using V = Vec<Compute<T>>;
  using Channel = GradientCoefficients<V>;
  for_each<V, 2>(
      block, stores,
      [=](auto channel) {
        return Channel{channel(coefficients.scale),
                       channel(coefficients.grad_mean),
                       channel(coefficients.mean),
                       channel(coefficients.mean_rest),
                       channel(coefficients.slope),
                       channel(coefficients.offset),
                       factor_at<kHasFactors, V>(channel, coefficients.scale_factor),
                       factor_at<kHasFactors, V>(channel, coefficients.slope_factor),
                       factor_at<kHasFactors, V>(channel, coefficients.factor)};
      },
      [=](const Channel& c, Place place, auto sample, auto lanes) {
        const int64_t index = place.index;
        prefetch<V::kLanes * sizeof(T)>(x + place.later);
        prefetch<V::kLanes * sizeof(T)>(grad + place.later);
        const V g = V::load(grad + index, lanes);
        const V centered = (V::load(x + index, lanes) - c.mean) - c.mean_rest;
        const V sloped = times<kHasFactors>(centered, c.slope_factor) * c.slope;
        V grad_mean = c.grad_mean, through_statistics = sloped - c.offset;
        if constexpr (kWeighted != Weighted::kNot) {
          const V weight = weight_at<V, kWeighted>(weights, index, sample, lanes);
          if constexpr (kHasFactors) grad_mean = where_nonzero(weight, grad_mean);  // infinite?
          grad_mean = weight * grad_mean;
          through_statistics = weight * where_nonzero(weight, through_statistics);
        }
        const V direct = times<kHasFactors>(g - grad_mean, c.scale_factor) * c.scale;
        times<kHasFactors>(direct - through_statistics, c.factor).store(grad_x + index, lanes);
      });
}

template <typename T>
void gradient(const BatchNormBlock& block, const T* grad, const T* x,
              const BatchNormWeights<Compute<T>>& weights,
              const GradientCoefficients<const Compute<T>*>& coefficients, T* grad_x,
              Stores stores) noexcept {
  with_factors(coefficients.scale_factor, [&](auto has_factors) {
    with_kind(weights, [&](auto kind) {
      gradient_of<T, decltype(kind)::value, decltype(has_factors)::value>(
          block, grad, x, weights.values, coefficients, grad_x, stores);
    });
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

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
