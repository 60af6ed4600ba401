// SPDX-License-Identifier: Apache-2.0
// How batch normalization is cut into tasks, and the per-channel arrays that go with the cut. All
// of it depends on the shape alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "fastreg/batch_norm.h"
#include "kernels/batch_norm.h"

namespace fastreg {

// Few channels side by side would leave vectors half empty: `fold` rows of them are then seen as
// one wider row (and rows that are left over as a last, shorter one), so a true channel has `fold`
// copies. Weighted rows are not folded.
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
    constexpr int64_t kLine = 64 / sizeof(T);
    return inner_ > 1 ? inner_ % kLine == 0 : width_ % kLine == 0;
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

// One value per channel, repeated for its copies.
template <typename S>
class ChannelArray {
 public:
  explicit ChannelArray(const BatchNormGrid& grid)
      : channels_(grid.channels()), values_(grid.width()) {}
  // A finite value stays finite: a scale beyond the range of S must leave 0 at 0.
  void set(int64_t channel, double value) {
    constexpr double kMax = std::numeric_limits<S>::max();
    if (std::isfinite(value)) value = std::clamp(value, -kMax, kMax);
    for (size_t at = channel; at < values_.size(); at += channels_) {
      values_[at] = static_cast<S>(value);
    }
  }
  const S* data() const { return values_.data(); }

 private:
  int64_t channels_;
  std::vector<S> values_;
};

// kSums partial sums per part and channel, added in the order of the parts.
template <int kSums>
class PartialSums {
 public:
  explicit PartialSums(const BatchNormGrid& grid)
      : grid_(grid), sums_(new double[grid.parts() * kSums * grid.width()]) {
    if (grid.has_last_row()) {
      std::fill_n(of(grid.parts() - 1, 0), kSums * grid.width(), 0.0);
    }
  }
  double* of(int64_t part, int sum) { return &sums_[(part * kSums + sum) * grid_.width()]; }
  double total(int sum, int64_t channel) {
    double total = 0.0;
    for (int64_t part = 0; part < grid_.parts(); ++part) {
      const double* sums = of(part, sum);
      for (int64_t at = channel; at < grid_.width(); at += grid_.channels()) total += sums[at];
    }
    return total;
  }

 private:
  const BatchNormGrid& grid_;
  std::unique_ptr<double[]> sums_;
};

// How much the samples weigh together, and what sums over them are divided by.
struct SampleWeight {
  // Keras adds this to the sum of a mask.
  static constexpr double kMaskEpsilon = 1e-7;
  double weight, excess;
  double count() const { return weight + excess; }
};

// For weights per element the weight is 0: it is another one for each channel.
template <typename S>
SampleWeight sample_weight(const BatchNormShape& shape, const BatchNormWeights<S>& weights,
                           const Executor& executor);

// body(channel) for all true channels.
template <typename Body>
void for_each_channel(const BatchNormGrid& grid, const Executor& executor, Body body) {
  constexpr int64_t kChannels = 1024;
  parallel_for(ceil_div(grid.channels(), kChannels), executor, [&](int64_t task) {
    const int64_t end = std::min(grid.channels(), (task + 1) * kChannels);
    for (int64_t channel = task * kChannels; channel < end; ++channel) body(channel);
  });
}

}  // namespace fastreg
