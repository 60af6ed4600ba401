// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace fastreg {

constexpr int64_t kCacheLine = 64;

// How many values of T a line holds.
template <typename T>
constexpr int64_t kInLine = kCacheLine / static_cast<int64_t>(sizeof(T));

}  // namespace fastreg
