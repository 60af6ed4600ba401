// SPDX-License-Identifier: Apache-2.0
// Fixed chunks of a stream of elements.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fastreg/parallel.h"

namespace fastreg {

// 64 KiB of float: a few microseconds, more than waking a thread costs, and in the cache when a
// chunk is read twice. A multiple of kMaskTile.
constexpr int64_t kChunk = 16384;

inline int64_t chunk_count(int64_t n) { return ceil_div(n, kChunk); }

// body(chunk, begin, size)
template <typename Body>
void for_each_chunk(int64_t n, const Executor& executor, Body body) {
  parallel_for(chunk_count(n), executor, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk;
    body(chunk, begin, std::min(kChunk, n - begin));
  });
}

}  // namespace fastreg
