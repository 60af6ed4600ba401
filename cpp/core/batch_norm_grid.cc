// SPDX-License-Identifier: Apache-2.0
#include "core/batch_norm_grid.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "core/chunks.h"

namespace fastreg {
namespace {

// Rows at least this wide fill their vectors.
constexpr int64_t kWideRow = 64;

// Of a channel in a part, so that partial sums are a small part of x.
constexpr int64_t kMinSamples = 128;

// How many rows are seen as one. Narrow ones are widened to fill their vectors; others so that each
// begins on a border of 64 bytes, if there are so many that the copies of channels cost little.
int64_t fold_of(int64_t rows, int64_t channels) {
  constexpr int64_t kVectorLanes = 16, kManyRows = 64, kWidestRow = 4096;
  int64_t fold = kVectorLanes / std::gcd(channels, kVectorLanes);
  if (channels >= kWideRow) {
    return fold <= rows / kManyRows && fold * channels <= kWidestRow ? fold : 1;
  }
  while (fold * channels < kWideRow) fold *= 2;
  return fold <= rows ? fold : 1;
}

}  // namespace

BatchNormGrid::BatchNormGrid(const ChannelSlab& slab, bool is_weighted)
    : row_(slab.of),
      channels_(slab.shape.channels),
      outer_(slab.shape.outer),
      width_(slab.shape.channels),
      inner_(slab.shape.inner) {
  if (slab.shape.size() == 0) {
    outer_ = 0;
    inner_ = 1;
    return;
  }
  if (row_ == 1) {
    inner_ = slab.shape.samples();
    outer_ = 1;
  }
  if (inner_ > 1) {
    cut_runs();
    return;
  }
  if (!is_weighted && slab.is_all()) {
    const int64_t fold = fold_of(outer_, channels_);
    last_row_width_ = outer_ % fold * channels_;
    outer_ /= fold;
    width_ *= fold;
    row_ = width_;
  }
  cut_rows();
}

// Narrow blocks where there are few rows, so that there is work for several threads; else blocks
// of whole pages and of so many rows that the partial sums are small beside them.
void BatchNormGrid::cut_rows() {
  constexpr int64_t kMaxChannels = 1024, kManyParts = 8;
  outer_step_ = block_step_ = std::max(kMinSamples, kChunk / row_);
  const bool has_many_parts = ceil_div(outer_, outer_step_) >= kManyParts;
  const int64_t fitting = ceil_div(kChunk / std::min(outer_, outer_step_), kWideRow) * kWideRow;
  channel_step_ = std::min(width_, has_many_parts ? kMaxChannels : std::max(kWideRow, fitting));
  block_channels_ = channel_step_;
}

// Blocks are read in the order of memory. Where they have too few samples, several make a part.
void BatchNormGrid::cut_runs() {
  inner_step_ = std::min(inner_, kChunk);
  const int64_t fitting = std::clamp<int64_t>(kChunk / inner_step_, 1, width_);
  block_step_ = std::max<int64_t>(1, kChunk / (inner_step_ * row_));
  const int64_t blocks = ceil_div(kMinSamples, block_step_ * inner_step_);
  outer_step_ = blocks * block_step_;
  const auto evenly = [&](int64_t most) { return ceil_div(width_, ceil_div(width_, most)); };
  block_channels_ = evenly(fitting);
  channel_step_ = blocks > 1 ? evenly(std::min(fitting, kMostGrouped)) : block_channels_;
}

BatchNormBlock BatchNormGrid::all_blocks(int64_t task) const {
  if (task == full_parts() * channel_parts()) {
    return {outer_, outer_ + 1, 0, last_row_width_, 0, 1, row_, inner_};
  }
  const int64_t channel = task % channel_parts() * channel_step_;
  const int64_t inner = part(task) % inner_parts() * inner_step_;
  const int64_t outer = part(task) / inner_parts() * outer_step_;
  return {outer,   std::min(outer_, outer + outer_step_),
          channel, std::min(width_, channel + channel_step_),
          inner,   std::min(inner_, inner + inner_step_),
          row_,    inner_};
}

// Lies in an accumulated sum from the first negative weight on.
constexpr double kInvalid = std::numeric_limits<double>::quiet_NaN();

template <typename S>
SampleWeight sample_weight(const BatchNormShape& shape, const BatchNormWeights<S>& weights,
                           const Executor& executor) {
  if (weights.values == nullptr) return {nullptr, static_cast<double>(shape.samples()), 0.0};
  if (weights.per_element) return {nullptr, 0.0, SampleWeight::kMaskEpsilon};
  std::vector<double> partial(chunk_count(shape.samples()));
  for_each_chunk(shape.samples(), executor, [&](int64_t chunk, int64_t begin, int64_t size) {
    const auto add = [](double sum, S weight) { return sum + (weight < 0 ? kInvalid : weight); };
    const S* values = weights.values + begin;
    partial[chunk] = std::accumulate(values, values + size, 0.0, add);
  });
  return {nullptr, std::accumulate(partial.begin(), partial.end(), 0.0),
          SampleWeight::kMaskEpsilon};
}

bool is_valid(const SampleWeight& samples, int64_t channels) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (samples.per_channel == nullptr) return samples.weight < kInfinity;
  bool valid = true;
  for (int64_t channel = 0; channel < channels; ++channel) {
    valid &= samples.per_channel[channel] < kInfinity;
  }
  return valid;
}

template SampleWeight sample_weight(const BatchNormShape&, const BatchNormWeights<float>&,
                                    const Executor&);
template SampleWeight sample_weight(const BatchNormShape&, const BatchNormWeights<double>&,
                                    const Executor&);

}  // namespace fastreg
