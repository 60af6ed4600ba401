// SPDX-License-Identifier: Apache-2.0
// Loops over one block of x seen as [outer, channels, inner]. Where inner is 1 (channels-last), the
// lanes of a vector are channels and nothing is summed across lanes. Else (channels-first) they
// are samples of one channel.
#pragma once

#include "kernels/batch_norm.h"
#include "kernels/loops.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// How a vector reads an array with one value per channel, or per sample: the values at its lanes,
// or one value for all lanes.
template <typename V, typename Lanes>
struct Across {
  int64_t at;
  Lanes lanes;
  template <typename S>
  V operator()(const S* values) const {
    return V::load(values + at, lanes);
  }
};

template <typename V>
struct Spread {
  int64_t at;
  template <typename S>
  V operator()(const S* values) const {
    return V::all(values[at]);
  }
};

inline int64_t index_of(const BatchNormBlock& block, int64_t outer, int64_t channel,
                        int64_t inner) {
  return (outer * block.channels + channel) * block.inner + inner;
}

// Rows that share one load of the per-channel arrays.
constexpr int64_t kRows = 8;

// step(prepare(channel reader), index in x, sample reader, lanes) for every vector of the block.
template <typename V, typename Prepare, typename Step>
inline void for_each(const BatchNormBlock& block, Prepare prepare, Step step) {
  if (block.inner == 1) {
    for (int64_t row = block.outer_begin; row < block.outer_end; row += kRows) {
      const int64_t end = row + kRows < block.outer_end ? row + kRows : block.outer_end;
      map<V>(block.channel_end - block.channel_begin, [&](int64_t i, auto lanes) {
        const int64_t channel = block.channel_begin + i;
        const auto coefficients = prepare(Across<V, decltype(lanes)>{channel, lanes});
        for (int64_t r = row; r < end; ++r) {
          step(coefficients, index_of(block, r, channel, 0), Spread<V>{r}, lanes);
        }
      });
    }
    return;
  }
  for (int64_t channel = block.channel_begin; channel < block.channel_end; ++channel) {
    const auto coefficients = prepare(Spread<V>{channel});
    for (int64_t outer = block.outer_begin; outer < block.outer_end; ++outer) {
      map<V>(block.inner_end - block.inner_begin, [&](int64_t i, auto lanes) {
        const int64_t inner = block.inner_begin + i;
        step(coefficients, index_of(block, outer, channel, inner),
             Across<V, decltype(lanes)>{outer * block.inner + inner, lanes}, lanes);
      });
    }
  }
}

// sums[s][channel] = sum over the block's samples of the s-th term that
// step(prepare(channel reader), index in x, sample reader, lanes, terms) gives, in double.
template <int kSums, typename Prepare, typename Step>
inline void sum_channels(const BatchNormBlock& block, double* const* sums, Prepare prepare,
                         Step step) {
  using V = Vec<double>;
  if (block.inner == 1) {
    for (int s = 0; s < kSums; ++s) {
      for (int64_t c = block.channel_begin; c < block.channel_end; ++c) sums[s][c] = 0.0;
    }
    for (int64_t row = block.outer_begin; row < block.outer_end; row += kRows) {
      const int64_t end = row + kRows < block.outer_end ? row + kRows : block.outer_end;
      map<V>(block.channel_end - block.channel_begin, [&](int64_t i, auto lanes) {
        const int64_t channel = block.channel_begin + i;
        const auto coefficients = prepare(Across<V, decltype(lanes)>{channel, lanes});
        V total[kSums], terms[kSums];
        for (int s = 0; s < kSums; ++s) total[s] = V::load(sums[s] + channel, lanes);
        for (int64_t r = row; r < end; ++r) {
          step(coefficients, index_of(block, r, channel, 0), Spread<V>{r}, lanes, terms);
          for (int s = 0; s < kSums; ++s) total[s] = total[s] + terms[s];
        }
        for (int s = 0; s < kSums; ++s) total[s].store(sums[s] + channel, lanes);
      });
    }
    return;
  }
  for (int64_t channel = block.channel_begin; channel < block.channel_end; ++channel) {
    const auto coefficients = prepare(Spread<V>{channel});
    LaneSums<V, kSums> lane_sums;
    lane_sums.clear();
    for (int64_t outer = block.outer_begin; outer < block.outer_end; ++outer) {
      map_reduce<V, kSums>(
          block.inner_end - block.inner_begin, lane_sums, [&](int64_t i, auto lanes, V* terms) {
            const int64_t inner = block.inner_begin + i;
            step(coefficients, index_of(block, outer, channel, inner),
                 Across<V, decltype(lanes)>{outer * block.inner + inner, lanes}, lanes, terms);
          });
    }
    for (int s = 0; s < kSums; ++s) sums[s][channel] = total(lane_sums, s);
  }
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
