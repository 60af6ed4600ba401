// SPDX-License-Identifier: Apache-2.0
// Memory for the length of a call, not initialised.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

#include "core/cache_line.h"

namespace fastreg {

// It begins on a cache line, so that each vector lies in one. A little of it lies in the caller's
// frame: an allocation takes longer than a small tensor.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t n) : heap_(n > kFrame ? allocated(n) : nullptr) {}
  T* data() { return heap_ ? heap_.get() : frame_; }

 private:
  static constexpr int64_t kFrame = 4096 / sizeof(T);
  static constexpr std::align_val_t kAlignment{kCacheLine};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  static T* allocated(int64_t n) {
    return static_cast<T*>(::operator new(static_cast<size_t>(n) * sizeof(T), kAlignment));
  }

  std::unique_ptr<T, Free> heap_;
  alignas(kCacheLine) T frame_[kFrame];
};

}  // namespace fastreg
