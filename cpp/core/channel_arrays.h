// SPDX-License-Identifier: Apache-2.0
// What is kept per channel while batch normalization runs, laid out as its grid sees the channels.
#pragma once

#include <algorithm>

#include "core/batch_norm_grid.h"
#include "core/cache_line.h"
#include "core/scratch.h"
#include "kernels/batch_norm_channels.h"

namespace fastreg {

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

// Some partial sums per part and channel, added in the order of the parts.
class PartialSums {
 public:
  static constexpr int kMost = 4;

  PartialSums(const BatchNormGrid& grid, int sums)
      : width_(grid.width()),
        parts_(grid.parts()),
        count_(sums),
        sums_(std::max<int64_t>(1, parts_) * sums * width_) {
    if (grid.has_last_row()) std::fill_n(of(parts_ - 1, 0), sums * width_, 0.0);
  }
  // Null for one that is not kept.
  double* of(int64_t part, int sum) {
    return sum < count_ ? sums_.data() + (part * count_ + sum) * width_ : nullptr;
  }
  // Where the totals will be, one per true channel.
  const double* total(int sum) { return of(0, sum); }
  PartSums parts() { return {sums_.data(), parts_, count_}; }

  // body(block) overwrites the sums of the block's part, for each block of the task. Those of the
  // blocks of a part are added in their order.
  template <typename Body>
  void add_blocks(const BatchNormGrid& grid, int64_t task, Body body) {
    bool is_first = true;
    grid.for_blocks(task, [&](const BatchNormBlock& block) {
      if (is_first) {
        is_first = false;
        return body(block);
      }
      double before[kMost][BatchNormGrid::kMostGrouped];
      const int64_t begin = block.channel_begin, channels = block.channel_end - begin;
      for (int sum = 0; sum < count_; ++sum) {
        std::copy_n(of(grid.part(task), sum) + begin, channels, before[sum]);
      }
      body(block);
      for (int sum = 0; sum < count_; ++sum) {
        double* const values = of(grid.part(task), sum) + begin;
        for (int64_t i = 0; i < channels; ++i) values[i] = before[sum][i] + values[i];
      }
    });
  }

 private:
  int64_t width_, parts_;
  int count_;
  Scratch<double> sums_;
};

}  // namespace fastreg
