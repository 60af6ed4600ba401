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

// How many elements ahead are asked for: from memory, or from the caches.
constexpr int64_t kFarAhead = 4096, kNearAhead = 512;

// Where a vector lies in x, and what will be wanted some time later.
struct Place {
  int64_t index, later;

  // Rows are cut into pieces no longer than a page, which a processor does not look beyond: the
  // same channels of the next rows are asked for.
  static Place of_row(const BatchNormBlock& block, int64_t row, int64_t channel, int64_t rows) {
    const int64_t index = row * block.channels + channel;
    return {index, index + rows * block.channels};
  }
  static Place of_run(const BatchNormBlock& block, int64_t outer, int64_t channel, int64_t inner,
                      int64_t ahead) {
    const int64_t index = (outer * block.channels + channel) * block.inner + inner;
    return {index, index + ahead};
  }
};

// How many rows share one load of the per-channel arrays. Streamed rows follow one another in
// memory; only wide ones go in pairs, where their arrays and one input fit the first-level cache.
template <int kInputs, typename WholeLanes>
inline int64_t rows_together(const BatchNormBlock& block) {
  constexpr int64_t kRows = 8, kWideRow = 1024;
  if constexpr (!WholeLanes::kStreams) return kRows;
  return kInputs == 1 && block.channels >= kWideRow ? 2 : 1;
}

// These take a block of their own: behind a reference, each store could have changed its sizes.
template <typename V, int kInputs, typename Prepare, typename Step, typename WholeLanes>
inline void for_each_in_rows(BatchNormBlock block, Prepare prepare, Step step, WholeLanes whole) {
  // What is asked for must not drive the per-channel arrays out of the first-level cache.
  constexpr int64_t kAhead = kInputs == 1 ? kFarAhead : kFarAhead / 4;
  const int64_t together = rows_together<kInputs, WholeLanes>(block);
  const bool is_far = WholeLanes::kStreams && together * block.channels < kAhead;
  const int64_t rows_ahead = is_far ? kAhead / block.channels : together;
  for (int64_t row = block.outer_begin; row < block.outer_end; row += together) {
    const int64_t end = row + together < block.outer_end ? row + together : block.outer_end;
    const auto on_rows = [&](int64_t i, auto lanes) {
      const int64_t channel = block.channel_begin + i;
      const auto coefficients = prepare(Across<V, decltype(lanes)>{channel, lanes});
      for (int64_t r = row; r < end; ++r) {
        step(coefficients, Place::of_row(block, r, channel, rows_ahead), Spread<V>{r}, lanes);
      }
    };
    map<V>(block.channel_end - block.channel_begin, on_rows, whole);
  }
}

template <typename V, typename Prepare, typename Step, typename WholeLanes>
inline void for_each_in_runs(BatchNormBlock block, Prepare prepare, Step step, WholeLanes whole) {
  constexpr int64_t ahead = WholeLanes::kStreams ? kFarAhead : kNearAhead;
  for (int64_t channel = block.channel_begin; channel < block.channel_end; ++channel) {
    const auto coefficients = prepare(Spread<V>{channel});
    for (int64_t outer = block.outer_begin; outer < block.outer_end; ++outer) {
      const auto on_run = [&](int64_t i, auto lanes) {
        const int64_t inner = block.inner_begin + i;
        step(coefficients, Place::of_run(block, outer, channel, inner, ahead),
             Across<V, decltype(lanes)>{outer * block.inner + inner, lanes}, lanes);
      };
      map<V>(block.inner_end - block.inner_begin, on_run, whole);
    }
  }
}

// step(prepare(channel reader), place, sample reader, lanes) for every vector of the block, which
// reads kInputs tensors.
template <typename V, int kInputs, typename Prepare, typename Step>
inline void for_each(const BatchNormBlock& block, Stores stores, Prepare prepare, Step step) {
  with_stores(stores, [&](auto whole) {
    if (block.inner == 1) return for_each_in_rows<V, kInputs>(block, prepare, step, whole);
    for_each_in_runs<V>(block, prepare, step, whole);
  });
}

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
  const bool is_far = kTogether * block.channels < kFarAhead;
  const int64_t rows_ahead = is_far ? kFarAhead / block.channels : kTogether;
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
