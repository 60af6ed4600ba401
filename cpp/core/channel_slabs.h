// SPDX-License-Identifier: Apache-2.0
// Neighbouring channels that are computed by themselves, from the sums to the last output. Where a
// channel has few samples, what is kept of it is no small part of x; so it is kept of a few
// channels at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <new>

#include "core/chunks.h"
#include "fastreg/batch_norm.h"

namespace fastreg {

struct ChannelSlab {
  BatchNormShape shape;  // of these channels alone
  int64_t begin, of;     // which they are, and how many x has

  bool is_all() const { return shape.channels == of; }
  // Pointers to arrays of one value per channel become pointers to the slab's.
  template <typename... P>
  void narrow(P*&... arrays) const {
    ((arrays = arrays == nullptr ? nullptr : arrays + begin), ...);
  }
  // The same for arrays like x.
  template <typename... P>
  void narrow_tensors(P*&... tensors) const {
    ((tensors = tensors == nullptr ? nullptr : tensors + begin * shape.inner), ...);
  }
  template <typename S>
  void narrow_weights(BatchNormWeights<S>& weights) const {
    if (weights.per_element) narrow_tensors(weights.values);
  }
};

inline int64_t slab_width(const BatchNormShape& shape) {
  constexpr int64_t kManySamples = 384, kFewChannels = 4096, kLeast = 256;
  if (shape.channels <= kFewChannels || shape.samples() >= kManySamples || shape.size() == 0) {
    return shape.channels;
  }
  return std::clamp(kChunk / shape.samples() / kLeast * kLeast, kLeast, kFewChannels);
}

// body(slab, executor) for slabs of all channels: one for each thread at a time, or one of all
// channels for all threads. An error of memory must not leave a thread by itself.
template <typename Body>
void for_slabs(const BatchNormShape& shape, const Executor& executor, Body body) {
  const int64_t width = slab_width(shape);
  if (width == shape.channels) return body(ChannelSlab{shape, 0, shape.channels}, executor);
  std::atomic<bool> is_short_of_memory{false};
  parallel_for(ceil_div(shape.channels, width), executor, [&](int64_t slab) {
    const int64_t begin = slab * width, channels = std::min(width, shape.channels - begin);
    try {
      body(ChannelSlab{{shape.outer, channels, shape.inner}, begin, shape.channels},
           SerialExecutor());
    } catch (const std::bad_alloc&) {
      is_short_of_memory = true;
    }
  });
  if (is_short_of_memory) throw std::bad_alloc();
}

}  // namespace fastreg
