// SPDX-License-Identifier: Apache-2.0
// Whether an output is written into the caches or past them, and an input read from them.
#pragma once

#include <cstdint>

#include "core/cache_line.h"
#include "kernels/stores.h"

namespace fastreg {

// Copies cross between 8 and 12 MB on one thread with a last-level cache of 32 MB.
template <typename T>
bool fits_caches(int64_t n) {
  constexpr int64_t kMostBytes = 10 << 20;
  return n * static_cast<int64_t>(sizeof(T)) <= kMostBytes;
}

template <typename T>
Reads reads_of(int64_t n) {
  return fits_caches<T>(n) ? Reads::kCached : Reads::kFromMemory;
}

// Past the caches where `n` elements from y on would not stay in them anyway. Not in place: the
// lines of the input are in the caches already.
template <typename T>
Stores stores_for(const T* y, int64_t n, const T* x) {
  const bool is_aligned = reinterpret_cast<uintptr_t>(y) % kCacheLine == 0;
  return !fits_caches<T>(n) && is_aligned && y != x ? Stores::kStreamed : Stores::kCached;
}

}  // namespace fastreg
