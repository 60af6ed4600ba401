// SPDX-License-Identifier: Apache-2.0
// What every kernel test runs over, and how it compares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fastreg/half.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace test {

// Around every vector width and block that a kernel may have.
inline const std::vector<int64_t>& lengths() {
  static const std::vector<int64_t> lengths = {
      0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97, 127, 128, 129, 255, 257, 4095, 4097, 10007};
  return lengths;
}

// Elements by which an array starts off a 64-byte border.
inline const std::vector<int64_t>& offsets() {
  static const std::vector<int64_t> offsets = {0, 1, 5};
  return offsets;
}

// Streamed output has to be aligned.
inline std::vector<Stores> stores_at(int64_t offset) {
  if (offset == 0) return {Stores::kCached, Stores::kStreamed};
  return {Stores::kCached};
}

struct Failures {
  int checks = 0, failures = 0;
  std::string where;

  void check(bool holds, const char* what) {
    ++checks;
    if (holds) return;
    if (++failures <= 20) std::printf("FAILED %s: %s\n", where.c_str(), what);
  }
};

// An array of n elements that starts `offset` elements off a 64-byte border, between guard zones.
template <typename T>
class Array {
 public:
  Array(int64_t n, int64_t offset) : storage_(n + offset + 2 * kGuard + 64 / sizeof(T)), n_(n) {
    T* start = storage_.data() + kGuard;
    while (reinterpret_cast<uintptr_t>(start) % 64 != 0) ++start;
    data_ = start + offset;
    std::memset(storage_.data(), kGuardByte, storage_.size() * sizeof(T));
  }
  static Array random(int64_t n, int64_t offset, unsigned seed, double mean = 0.0) {
    Array array(n, offset);
    std::mt19937 generator(seed);
    std::normal_distribution<double> normal(mean, 1.0);
    for (int64_t i = 0; i < n; ++i)
      array.data()[i] = from_compute<T>(static_cast<Compute<T>>(normal(generator)));
    return array;
  }
  Array(Array&&) = default;
  Array(const Array&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return n_; }
  bool guards_are_intact() const {
    return are_guards(storage_.data(), data_) &&
           are_guards(data_ + n_, storage_.data() + storage_.size());
  }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr unsigned char kGuardByte = 0x3b;
  static bool are_guards(const T* begin, const T* end) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(begin);
    return std::all_of(bytes, reinterpret_cast<const unsigned char*>(end),
                       [](unsigned char byte) { return byte == kGuardByte; });
  }

  std::vector<T> storage_;
  int64_t n_;
  T* data_;
};

template <typename T>
bool same_bits(const Array<T>& a, const Array<T>& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size()) * sizeof(T)) == 0;
}

inline bool is_close(double a, double b, double tolerance) {
  return std::fabs(a - b) <= tolerance * (1.0 + std::fabs(b));
}

template <typename T>
bool all_close(const Array<T>& a, const Array<T>& b, double tolerance) {
  for (int64_t i = 0; i < a.size(); ++i) {
    if (!is_close(to_compute(a.data()[i]), to_compute(b.data()[i]), tolerance)) return false;
  }
  return true;
}

// A few roundings of T: of a product, a sum and the result.
template <typename T>
constexpr double kRounding = 5e-7;
template <>
inline constexpr double kRounding<double> = 1e-15;
template <>
inline constexpr double kRounding<Half> = 0x1p-10;
template <>
inline constexpr double kRounding<BFloat16> = 0x1p-7;

// What is promised of sums in float lanes; in double, the reference's own 10007 roundings.
template <typename T>
constexpr double kSumRounding = sizeof(T) == 8 ? 1e-13 : 1e-6;

// One instruction set held against the reference, and against the best for equal bits.
struct Tables {
  const KernelTable* isa;
  const KernelTable* best;
  const KernelTable* reference;
};

// What weights of batch normalization there are.
enum WeightsOf : int { kNone, kSamples, kElements };

void test_penalty(const Tables& tables, Failures& failures);
void test_dropout(const Tables& tables, Failures& failures);
void test_batch_norm(const Tables& tables, Failures& failures);
void test_batch_norm_channels(const Tables& tables, Failures& failures);
void test_scratch(Failures& failures);

}  // namespace test
}  // namespace fastreg
