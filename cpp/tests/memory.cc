// SPDX-License-Identifier: Apache-2.0
#include "tests/memory.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> held{0}, most{0};

// The size stands before what is given.
void* allocate(size_t size, size_t alignment) {
  void* const start =
      std::aligned_alloc(alignment, (size + 2 * alignment - 1) / alignment * alignment);
  if (start == nullptr) throw std::bad_alloc();
  *static_cast<size_t*>(start) = size;
  const int64_t now = held += static_cast<int64_t>(size);
  int64_t before = most;
  while (before < now && !most.compare_exchange_weak(before, now)) {
  }
  return static_cast<char*>(start) + alignment;
}

void release(void* p, size_t alignment) {
  if (p == nullptr) return;
  void* const start = static_cast<char*>(p) - alignment;
  held -= static_cast<int64_t>(*static_cast<size_t*>(start));
  std::free(start);
}

}  // namespace

void* operator new(size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* p) noexcept { release(p, alignof(std::max_align_t)); }
void operator delete(void* p, size_t) noexcept { release(p, alignof(std::max_align_t)); }
void operator delete(void* p, std::align_val_t alignment) noexcept {
  release(p, static_cast<size_t>(alignment));
}
void operator delete(void* p, size_t, std::align_val_t alignment) noexcept {
  release(p, static_cast<size_t>(alignment));
}

namespace fastreg {
namespace test {

int64_t held_memory() { return held; }
int64_t most_held_memory() { return most; }
void forget_most_held_memory() { most = held.load(); }

}  // namespace test
}  // namespace fastreg
