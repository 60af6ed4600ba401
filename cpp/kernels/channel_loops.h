// SPDX-License-Identifier: Apache-2.0
// Loops over arrays of one value per channel, all in double.
#pragma once

#include "kernels/batch_norm_channels.h"
#include "kernels/factors.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// Where a vector lies among the channels.
template <typename Lanes>
struct Channels {
  using V = Vec<double>;
  const ChannelRange& range;
  int64_t first;
  Lanes lanes;

  template <typename S>
  V load(const S* values) const {
    return V::load(values + first, lanes);
  }
  template <typename S>
  V load_or(const S* values, double otherwise) const {
    return values == nullptr ? V::all(otherwise) : load(values);
  }
  template <typename S>
  void store(V value, S* values) const {
    value.store(values + first, lanes);
  }
  // To the copies too.
  template <typename S>
  void spread(V value, S* values) const {
    for (int64_t at = first; at < range.width; at += range.channels) {
      value.store(values + at, lanes);
    }
  }
  template <typename S>
  void spread(const Factored<S>& coefficient, S* values, S* factors) const {
    spread(coefficient.value, values);
    spread(coefficient.factor, factors);
  }
};

template <typename Body>
inline void for_each(const ChannelRange& range, Body body) {
  map<Vec<double>>(range.end - range.begin, [&](int64_t i, auto lanes) {
    body(Channels<decltype(lanes)>{range, range.begin + i, lanes});
  });
}

// Whether what the body gives is positive for a channel.
template <typename Body>
inline bool any_positive(const ChannelRange& range, Body body) {
  using V = Vec<double>;
  V positive = V::zero();
  for_each(range, [&](auto at) {
    const V given = body(at).first(at.lanes);
    positive = where_positive(given, given, positive);
  });
  double lanes[V::kLanes];
  positive.store(lanes, Whole{});
  bool any = false;
  for (double lane : lanes) any |= lane > 0.0;
  return any;
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
