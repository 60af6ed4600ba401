// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fastreg {

// How a kernel writes whole vectors: into the caches, or past them, which spares reading the lines
// that are overwritten. Streamed output is aligned to 64 bytes wherever a vector may begin.
enum class Stores { kCached, kStreamed };

// Where a kernel's inputs lie: memory is fast in its own order, the caches in any.
enum class Reads { kCached, kFromMemory };

}  // namespace fastreg
