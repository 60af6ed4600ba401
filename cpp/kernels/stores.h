// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fastreg {

// How a kernel writes whole vectors: into the caches, or past them, which spares reading the lines
// that are overwritten. Streamed output is aligned to 64 bytes wherever a vector may begin.
enum class Stores { kCached, kStreamed };

}  // namespace fastreg
