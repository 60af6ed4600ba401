// SPDX-License-Identifier: Apache-2.0
// Memory for the length of a call, not initialised.
#pragma once

#include <cstdint>
#include <memory>

namespace fastreg {

// A little of it lies in the caller's frame: an allocation takes longer than a small tensor.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t n) : heap_(n > kFrame ? new T[n] : nullptr) {}
  T* data() { return heap_ ? heap_.get() : frame_; }

 private:
  static constexpr int64_t kFrame = 4096 / sizeof(T);
  std::unique_ptr<T[]> heap_;
  alignas(64) T frame_[kFrame];
};

}  // namespace fastreg
