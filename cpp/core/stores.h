// SPDX-License-Identifier: Apache-2.0
// Whether an output is written into the caches or past them.
#pragma once

#include <cstdint>

#include "kernels/stores.h"

namespace fastreg {

// Past the caches where `n` elements from y on would not stay in them anyway. Copies cross between
// 8 and 12 MB on one thread with a last-level cache of 32 MB. Not in place: the lines of the input
// are in the caches already.
template <typename T>
Stores stores_for(const T* y, int64_t n, const T* x) {
  constexpr int64_t kFitsCaches = 10 << 20;
  constexpr uintptr_t kLine = 64;
  const bool is_aligned = reinterpret_cast<uintptr_t>(y) % kLine == 0;
  const bool is_large = n * static_cast<int64_t>(sizeof(T)) > kFitsCaches;
  return is_large && is_aligned && y != x ? Stores::kStreamed : Stores::kCached;
}

}  // namespace fastreg
