// SPDX-License-Identifier: Apache-2.0
// How batch normalization is cut into tasks. All of it depends on the shape alone.
#pragma once

#include <algorithm>

#include "core/cache_line.h"
#include "core/channel_slabs.h"
#include "kernels/batch_norm_channels.h"

namespace fastreg {

// Few channels side by side, or an odd number, would leave vectors half empty: `fold` rows of them
// are then seen as one wider row (and rows that are left over as a last, shorter one), so a true
// channel has `fold` copies. Weighted rows are not folded.
class BatchNormGrid {
 public:
  // How many channels have sums of several blocks added at a time.
  static constexpr int64_t kMostGrouped = 1024;

  BatchNormGrid(const ChannelSlab& slab, bool is_weighted);

  // The same for what sums nothing: each block is a task, as wide as it may be.
  BatchNormGrid of_blocks() const {
    BatchNormGrid grid = *this;
    grid.outer_step_ = block_step_;
    grid.channel_step_ = block_channels_;
    return grid;
  }

  int64_t channels() const { return channels_; }
  int64_t width() const { return width_; }  // channels and their copies
  int64_t tasks() const { return full_parts() * channel_parts() + has_last_row(); }
  // Blocks of different parts hold different samples of the same channels.
  int64_t parts() const { return full_parts() + has_last_row(); }
  int64_t part(int64_t task) const { return task / channel_parts(); }
  // body(block) for the blocks of a task, in the order of their samples.
  template <typename Body>
  void for_blocks(int64_t task, Body body) const {
    BatchNormBlock block = all_blocks(task);
    for (const int64_t end = block.outer_end; block.outer_begin < end;
         block.outer_begin = block.outer_end) {
      block.outer_end = std::min(end, block.outer_begin + block_step_);
      body(block);
    }
  }
  bool has_last_row() const { return last_row_width_ > 0; }
  int64_t size() const { return (outer_ * width_ + last_row_width_) * inner_; }
  // Whether blocks of an aligned array of T begin on borders of 64 bytes, in each of their rows.
  template <typename T>
  bool is_aligned() const {
    return (inner_ > 1 ? inner_ : row_) % kInLine<T> == 0;
  }

 private:
  int64_t inner_parts() const { return ceil_div(inner_, inner_step_); }
  int64_t full_parts() const { return ceil_div(outer_, outer_step_) * inner_parts(); }
  int64_t channel_parts() const { return ceil_div(width_, channel_step_); }
  BatchNormBlock all_blocks(int64_t task) const;
  void cut_rows();
  void cut_runs();

  // The width, or how far rows lie apart where they are wider than the slab.
  int64_t row_;
  int64_t channels_, outer_, width_, inner_, last_row_width_ = 0;
  int64_t outer_step_ = 1, channel_step_ = 1, inner_step_ = 1;
  int64_t block_step_ = 1, block_channels_ = 1;  // of the outer axis and of the channels
};

// For weights per element the weights of the channels are to be filled in.
template <typename S>
SampleWeight sample_weight(const BatchNormShape& shape, const BatchNormWeights<S>& weights,
                           const Executor& executor);

// Whether the weights that were summed are finite and at least 0: kernels count others as NaN.
bool is_valid(const SampleWeight& samples, int64_t channels);

// body(range of true channels) for all of them.
template <typename Body>
void for_channels(const BatchNormGrid& grid, const Executor& executor, Body body) {
  constexpr int64_t kChannels = 1024;
  parallel_for(ceil_div(grid.channels(), kChannels), executor, [&](int64_t task) {
    const int64_t end = std::min(grid.channels(), (task + 1) * kChannels);
    body(ChannelRange{task * kChannels, end, grid.channels(), grid.width()});
  });
}

}  // namespace fastreg
