// SPDX-License-Identifier: Apache-2.0
// Sums over the samples of each channel of a block.
#pragma once

#include "kernels/layout.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// All rows of kVectors neighbouring vectors of channels, whose sums stay in registers meanwhile.
template <int kSums, int kVectors, typename Prepare, typename Step, typename Lanes>
inline void sum_columns(const BatchNormBlock& block, int64_t channel, double* const* sums,
                        Prepare prepare, Step step, Lanes lanes) {
  using V = Vec<double>;
  constexpr int64_t kRowsAhead = 32;
  using Coefficients = decltype(prepare(Across<V, Lanes>{channel, lanes}));
  Coefficients coefficients[kVectors];
  V total[kVectors][kSums];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    coefficients[v] = prepare(Across<V, Lanes>{channel + v * V::kLanes, lanes});
    for (int s = 0; s < kSums; ++s) total[v][s] = V::zero();
  }
  for (int64_t row = block.outer_begin; row < block.outer_end; ++row) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      V terms[kSums];
      const Place place = Place::of_row(block, row, channel + v * V::kLanes, kRowsAhead);
      step(coefficients[v], place, Spread<V>{row}, lanes, terms);
      for (int s = 0; s < kSums; ++s) total[v][s] = add_by_fma(total[v][s], terms[s]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    for (int s = 0; s < kSums; ++s) total[v][s].store(sums[s] + channel + v * V::kLanes, lanes);
  }
}

// kRows rows in the order of memory, for which the sums are loaded and stored once.
template <int kSums, int kRows, typename Prepare, typename Step>
inline void add_rows(BatchNormBlock block, int64_t row, int64_t rows_ahead, double* const* sums,
                     Prepare prepare, Step step) {
  using V = Vec<double>;
  const bool is_first = row == block.outer_begin;
  map<V>(block.channel_end - block.channel_begin, [&](int64_t i, auto lanes) {
    const int64_t channel = block.channel_begin + i;
    const auto coefficients = prepare(Across<V, decltype(lanes)>{channel, lanes});
    V total[kSums];
    for (int s = 0; s < kSums; ++s) {
      total[s] = is_first ? V::zero() : V::load(sums[s] + channel, lanes);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      V terms[kSums];
      const Place place = Place::of_row(block, row + r, channel, rows_ahead);
      step(coefficients, place, Spread<V>{row + r}, lanes, terms);
      for (int s = 0; s < kSums; ++s) total[s] = add_by_fma(total[s], terms[s]);
    }
    for (int s = 0; s < kSums; ++s) total[s].store(sums[s] + channel, lanes);
  });
}

// Four rows are read side by side, of all inputs together.
template <int kSums, int kInputs, typename Prepare, typename Step>
inline void sum_in_order(const BatchNormBlock& block, double* const* given, Prepare prepare,
                         Step step) {
  constexpr int64_t kTogether = 4, kRows = kTogether / kInputs;
  const int64_t rows_ahead = rows_ahead_of(block, kTogether, kFarAhead);
  double* sums[kSums];
  for (int s = 0; s < kSums; ++s) sums[s] = given[s];
  int64_t row = block.outer_begin;
  for (; row + kRows <= block.outer_end; row += kRows) {
    add_rows<kSums, kRows>(block, row, rows_ahead, sums, prepare, step);
  }
  for (; row < block.outer_end; ++row) {
    add_rows<kSums, 1>(block, row, rows_ahead, sums, prepare, step);
  }
}

// sums[s][channel] = sum over the block's samples of the s-th term that
// step(prepare(channel reader), place, sample reader, lanes, terms) gives, in double. Of each
// channel, rows are added in their order, however they are read.
template <int kSums, int kInputs, typename Prepare, typename Step>
inline void sum_channels(BatchNormBlock block, Reads reads, double* const* sums, Prepare prepare,
                         Step step) {
  using V = Vec<double>;
  if (block.inner == 1) {
    constexpr int kVectors = V::kLanes;
    if (reads == Reads::kFromMemory && block.channels > kVectors * V::kLanes) {
      return sum_in_order<kSums, kInputs>(block, sums, prepare, step);
    }
    int64_t channel = block.channel_begin;
    for (; channel + kVectors * V::kLanes <= block.channel_end; channel += kVectors * V::kLanes) {
      sum_columns<kSums, kVectors>(block, channel, sums, prepare, step, Whole{});
    }
    map<V>(block.channel_end - channel, [&](int64_t i, auto lanes) {
      sum_columns<kSums, 1>(block, channel + i, sums, prepare, step, lanes);
    });
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
            step(coefficients, Place::of_run(block, outer, channel, inner, kFarAhead),
                 Across<V, decltype(lanes)>{outer * block.inner + inner, lanes}, lanes, terms);
          });
    }
    for (int s = 0; s < kSums; ++s) sums[s][channel] = total(lane_sums, s);
  }
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
