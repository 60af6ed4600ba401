// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best: copying, reading, and drawing Philox words. One table for each
// instruction set, as for the kernels that are held against it.
#pragma once

#include <cstdint>

namespace fastreg {

struct StreamKernels {
  const char* name;
  // `bytes` is any number, `to` is 64-byte aligned; what is left over is less than 64 bytes.
  void (*copy)(const char* from, int64_t bytes, char* to) noexcept;
  void (*copy_past_caches)(const char* from, int64_t bytes, char* to) noexcept;
  // 8 accumulators, so that no addition waits for the one before. Returns what keeps it alive.
  uint64_t (*read)(const char* from, int64_t bytes) noexcept;
  // The words of Philox4x32-10 for n elements from block `first` on, a word each, kept in
  // registers: two operations a group of four words besides the generator.
  uint64_t (*philox)(uint32_t first, int64_t n) noexcept;
};

}  // namespace fastreg
