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

// How many rows ahead `elements` are, and no fewer than are read together.
inline int64_t rows_ahead_of(const BatchNormBlock& block, int64_t together, int64_t elements) {
  const int64_t rows = elements / block.channels;
  return rows > together ? rows : together;
}

// These take a block of their own: behind a reference, each store could have changed its sizes.
template <typename V, int kInputs, typename Prepare, typename Step, typename WholeLanes>
inline void for_each_in_rows(BatchNormBlock block, Prepare prepare, Step step, WholeLanes whole) {
  // What is asked for must not drive the per-channel arrays out of the first-level cache.
  constexpr int64_t kAhead = kInputs == 1 ? kFarAhead : kFarAhead / 4;
  const int64_t together = rows_together<kInputs, WholeLanes>(block);
  const int64_t rows_ahead =
      WholeLanes::kStreams ? rows_ahead_of(block, together, kAhead) : together;
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

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
