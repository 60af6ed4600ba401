// SPDX-License-Identifier: Apache-2.0
// Plain C++, for every processor. Four lanes let the compiler use what it finds.
#pragma once

#include "fastreg/half.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// There are no streaming stores: a Streamed store is a Whole one.
static inline void finish_stores() {}

struct Keep {
  static constexpr int kLanes = 4;
  uint64_t lanes;

  static Keep of(uint64_t bits) { return {bits & 0xf}; }
  static Keep at(const uint64_t* bits, int64_t i) { return of(bits[i / 64] >> (i % 64)); }
  uint64_t bits() const { return lanes; }
};

template <typename S>
struct Vec {
  using Value = S;
  static constexpr int kLanes = 16 / sizeof(S);
  S v[kLanes];

  template <typename F>
  static Vec each(F f) {
    Vec result;
    for (int lane = 0; lane < kLanes; ++lane) result.v[lane] = f(lane);
    return result;
  }
  static Vec zero() { return all(0); }
  static Vec all(S value) {
    return each([=](int) { return value; });
  }
  template <typename T>
  static Vec load(const T* p, Whole) {
    return each([=](int lane) { return static_cast<S>(to_compute(p[lane])); });
  }
  template <typename T>
  static Vec load(const T* p, Counted count) {
    return each(
        [=](int lane) { return lane < count.n ? static_cast<S>(to_compute(p[lane])) : S(0); });
  }
  template <typename T>
  void store(T* p, Whole) const {
    for (int lane = 0; lane < kLanes; ++lane)
      p[lane] = from_compute<T>(static_cast<Compute<T>>(v[lane]));
  }
  template <typename T>
  void store(T* p, Counted count) const {
    for (int lane = 0; lane < kLanes && lane < count.n; ++lane)
      p[lane] = from_compute<T>(static_cast<Compute<T>>(v[lane]));
  }
  Vec keep(Keep which, int part = 0) const {
    const uint64_t bits = which.lanes >> (kLanes * part);
    return each([&](int lane) { return bits >> lane & 1 ? v[lane] : S(0); });
  }
  Vec first(Whole) const { return *this; }
  Vec first(Counted count) const {
    return each([&](int lane) { return lane < count.n ? v[lane] : S(0); });
  }
  friend Vec operator+(const Vec& a, const Vec& b) {
    return each([&](int lane) { return a.v[lane] + b.v[lane]; });
  }
  friend Vec add_by_fma(const Vec& a, const Vec& b) { return a + b; }
  friend Vec operator-(const Vec& a, const Vec& b) {
    return each([&](int lane) { return a.v[lane] - b.v[lane]; });
  }
  friend Vec operator*(const Vec& a, const Vec& b) {
    return each([&](int lane) { return a.v[lane] * b.v[lane]; });
  }
  // a where the condition is not zero, +0 elsewhere.
  friend Vec where_nonzero(const Vec& condition, const Vec& a) {
    return each([&](int lane) { return condition.v[lane] != 0 ? a.v[lane] : S(0); });
  }
  friend Vec operator/(const Vec& a, const Vec& b) {
    return each([&](int lane) { return a.v[lane] / b.v[lane]; });
  }
  friend Vec sqrt(const Vec& a) {
    return each([&](int lane) { return __builtin_sqrt(a.v[lane]); });
  }
  friend Vec rounded_to_float(const Vec& a) {
    return each([&](int lane) { return narrowed(a.v[lane]); });
  }
  // Not inline: where GCC 12 makes vectors of the lanes, it leaves out the conversion and the one
  // back.
  [[gnu::noinline]] static float narrowed(double value) { return static_cast<float>(value); }
  // NaN is kept.
  friend Vec at_least(const Vec& least, const Vec& a) {
    return each([&](int lane) { return least.v[lane] > a.v[lane] ? least.v[lane] : a.v[lane]; });
  }
  friend Vec at_most(const Vec& most, const Vec& a) {
    return each([&](int lane) { return most.v[lane] < a.v[lane] ? most.v[lane] : a.v[lane]; });
  }
  // a where the condition is positive, b elsewhere.
  friend Vec where_positive(const Vec& condition, const Vec& a, const Vec& b) {
    return each([&](int lane) { return condition.v[lane] > 0 ? a.v[lane] : b.v[lane]; });
  }
  friend Vec abs(const Vec& a) {
    return each([&](int lane) { return a.v[lane] < 0 ? -a.v[lane] : a.v[lane] + 0; });
  }
  friend Vec sign(const Vec& a) {
    return each([&](int lane) {
      return a.v[lane] > 0 ? S(1) : a.v[lane] < 0 ? S(-1) : a.v[lane] + 0;
    });
  }
};

struct Words {
  static constexpr int kBlocks = 4;
  static constexpr int kGroups = 1;
  uint64_t v[kBlocks];

  template <typename F>
  static Words each(F f) {
    Words result;
    for (int lane = 0; lane < kBlocks; ++lane) result.v[lane] = f(lane);
    return result;
  }
  static Words blocks(uint64_t first) {
    return each([=](int lane) { return first + static_cast<uint64_t>(lane); });
  }
  static Words load(const uint64_t* p) {
    return each([=](int lane) { return p[lane]; });
  }
  void store(uint64_t* p) const {
    for (int lane = 0; lane < kBlocks; ++lane) p[lane] = v[lane];
  }
  static Words all(uint32_t word) {
    return each([=](int) { return static_cast<uint64_t>(word); });
  }
  friend Words multiply(const Words& a, const Words& b) {
    return each([&](int lane) { return (a.v[lane] & 0xffffffffu) * (b.v[lane] & 0xffffffffu); });
  }
  friend Words high(const Words& a) {
    return each([&](int lane) { return a.v[lane] >> 32; });
  }
  friend Words operator^(const Words& a, const Words& b) {
    return each([&](int lane) { return a.v[lane] ^ b.v[lane]; });
  }
  friend Words xor3(const Words& a, const Words& b, const Words& c) { return a ^ b ^ c; }

  // Keeps the words whose 23 low bits are no less than the threshold.
  static void words_at_least(const Words (&c)[4], uint32_t threshold, Keep* keep) {
    for (int block = 0; block < kBlocks; ++block) {
      keep[block].lanes = 0;
      for (int word = 0; word < 4; ++word) {
        const uint64_t is_kept = (c[word].v[block] & 0x7fffff) >= threshold;
        keep[block].lanes |= is_kept << word;
      }
    }
  }

  // One bit per byte: it is greater than `byte`, or equal to it.
  static void compare_bytes(const Words (&c)[4], uint8_t byte, uint64_t* greater, uint64_t* equal) {
    *greater = *equal = 0;
    for (int i = 0; i < 16 * kBlocks; ++i) {
      const auto drawn = static_cast<uint8_t>(c[i / 4 % 4].v[i / 16] >> (8 * (i % 4)));
      *greater |= static_cast<uint64_t>(drawn > byte) << i;
      *equal |= static_cast<uint64_t>(drawn == byte) << i;
    }
  }
};

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
