// SPDX-License-Identifier: Apache-2.0
// How batch normalization is cut into tasks, and the per-channel arrays that go with the cut. All
// of it depends on the shape alone.
#pragma once

#include <algorithm>

#include "core/cache_line.h"
#include "core/scratch.h"
#include "fastreg/batch_norm.h"
#include "kernels/batch_norm_channels.h"

namespace fastreg {

// Few channels side by side, or an odd number, would leave vectors half empty: `fold` rows of them
// are then seen as one wider row (and rows that are left over as a last, shorter one), so a true
// channel has `fold` copies. Weighted rows are not folded.
class BatchNormGrid {
 public:
  BatchNormGrid(const BatchNormShape& shape, bool is_weighted);

  int64_t channels() const { return channels_; }
  int64_t width() const { return width_; }  // channels and their copies
  int64_t tasks() const { return full_parts() * channel_parts() + has_last_row(); }
  // Blocks of different parts hold different samples of the same channels.
  int64_t parts() const { return full_parts() + has_last_row(); }
  int64_t part(int64_t task) const { return task / channel_parts(); }
  BatchNormBlock block(int64_t task) const;
  bool has_last_row() const { return last_row_width_ > 0; }
  int64_t size() const { return (outer_ * width_ + last_row_width_) * inner_; }
  // Whether blocks of an aligned array of T begin on borders of 64 bytes, in each of their rows.
  template <typename T>
  bool is_aligned() const {
    return (inner_ > 1 ? inner_ : width_) % kInLine<T> == 0;
  }

 private:
  int64_t inner_parts() const { return ceil_div(inner_, inner_step_); }
  int64_t full_parts() const { return ceil_div(outer_, outer_step_) * inner_parts(); }
  int64_t channel_parts() const { return ceil_div(width_, channel_step_); }
  void cut_rows();
  void cut_runs();

  int64_t channels_, outer_, width_, inner_, last_row_width_ = 0;
  int64_t outer_step_ = 1, channel_step_ = 1, inner_step_ = 1;
};

// `kArrays` arrays of one value per channel and per copy of it.
template <typename S, int kArrays>
class ChannelArrays {
 public:
  explicit ChannelArrays(const BatchNormGrid& grid)
      : channels_(grid.channels()),
        width_(grid.width()),
        stride_(ceil_div(width_, kInLine<S>) * kInLine<S>),
        values_(kArrays * stride_) {}
  S* operator[](int array) { return values_.data() + array * stride_; }
  // Sets the copies as the channels themselves are set.
  void repeat(int array) {
    S* values = (*this)[array];
    for (int64_t at = channels_; at < width_; ++at) values[at] = values[at - channels_];
  }

 private:
  int64_t channels_, width_, stride_;
  Scratch<S> values_;
};

// kSums partial sums per part and channel, added in the order of the parts.
template <int kSums>
class PartialSums {
 public:
  explicit PartialSums(const BatchNormGrid& grid)
      : width_(grid.width()),
        parts_(grid.parts()),
        sums_(std::max<int64_t>(1, parts_) * kSums * width_) {
    if (grid.has_last_row()) std::fill_n(of(parts_ - 1, 0), kSums * width_, 0.0);
  }
  double* of(int64_t part, int sum) { return sums_.data() + (part * kSums + sum) * width_; }
  // Where the totals will be, one per true channel.
  const double* total(int sum) { return of(0, sum); }
  PartSums parts() { return {sums_.data(), parts_, kSums}; }

 private:
  int64_t width_, parts_;
  Scratch<double> sums_;
};

// For weights per element the weights of the channels are to be filled in.
template <typename S>
SampleWeight sample_weight(const BatchNormShape& shape, const BatchNormWeights<S>& weights,
                           const Executor& executor);

// Whether the weights that were summed are finite and at least 0: kernels count others as NaN.
bool is_valid(const BatchNormGrid& grid, const SampleWeight& samples);

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
