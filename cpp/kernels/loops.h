// SPDX-License-Identifier: Apache-2.0
// The loops that every kernel runs in. Ends of arrays are dealt with here and nowhere else.
#pragma once

#include "kernels/stores.h"
#include "kernels/vec.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

// What a prefetched line is wanted for, and by how near a cache.
enum class Prefetch { kReading, kReadingL2, kWriting };

// Asks for `kBytes` from p on, which a loop will touch some time later. Long steps and short rows
// keep a processor from looking that far ahead by itself. Beyond the end of an array it does
// nothing.
template <int kBytes, Prefetch kWhat = Prefetch::kReading, typename T>
inline void prefetch(const T* p) {
  constexpr int kLine = 64;
#pragma GCC unroll 16
  for (int byte = 0; byte < kBytes; byte += kLine) {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + byte, kWhat == Prefetch::kWriting,
                       kWhat == Prefetch::kReadingL2 ? 2 : 3);
  }
}

// A value as a type, for which a loop is compiled.
template <auto kValue>
struct Constant {
  static constexpr auto value = kValue;
  constexpr operator decltype(kValue)() const { return kValue; }
};

// Calls f with the kind of whole vectors as a type: the loops are compiled for each.
template <typename F>
inline void with_stores(Stores stores, F f) {
  if (stores == Stores::kCached) return f(Whole{});
  f(Streamed{});
  finish_stores();
}

// step(i, lanes) for each vector of V that covers [0, n), the last one counted.
template <typename V, typename Step, typename WholeLanes = Whole>
inline void map(int64_t n, Step step, WholeLanes whole = {}) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) step(i, whole);
  if (i < n) step(i, Counted{n - i});
}

// Sums have this many logical lanes on every instruction set: element i is added to lane i modulo
// their number, in order. So they have the same bits everywhere.
template <typename V>
constexpr int kLogicalLanes = sizeof(typename V::Value) == 4 ? 64 : 16;

template <typename V, int kSums>
struct LaneSums {
  static constexpr int kVectors = kLogicalLanes<V> / V::kLanes;
  V of[kSums][kVectors];

  void clear() {
    for (auto& sum : of)
      for (auto& lanes : sum) lanes = V::zero();
  }
};

// Adds term(i, lanes, s), the vector of the s-th of kSums terms at element i, to the sums. Terms
// of lanes beyond n are 0.
template <typename V, int kSums, typename Step, typename WholeLanes = Whole>
inline void map_reduce(int64_t n, LaneSums<V, kSums>& sums, Step step, WholeLanes whole = {}) {
  constexpr int kVectors = LaneSums<V, kSums>::kVectors;
  constexpr int64_t kGroup = kLogicalLanes<V>;
  LaneSums<V, kSums> local = sums;
  const auto add = [&](int vector, int64_t i, auto lanes) {
    V terms[kSums];
    step(i, lanes, terms);
    for (int s = 0; s < kSums; ++s) local.of[s][vector] = local.of[s][vector] + terms[s];
  };
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    for (int vector = 0; vector < kVectors; ++vector) add(vector, i + vector * V::kLanes, whole);
  }
  // The sums stay in registers only where the numbers of their vectors are constants.
#pragma GCC unroll 16
  for (int vector = 0; vector < kVectors; ++vector, i += V::kLanes) {
    if (i < n) add(vector, i, Counted{n - i});
  }
  sums = local;
}

// The lanes of one sum in double, added as a balanced tree.
template <typename V, int kSums>
inline double total(const LaneSums<V, kSums>& sums, int s) {
  using Wide = Vec<double>;
  constexpr int kLanes = kLogicalLanes<V>, kWide = kLanes / Wide::kLanes;
  typename V::Value lanes[kLanes];
  for (int i = 0; i < kLanes / V::kLanes; ++i) sums.of[s][i].store(lanes + i * V::kLanes, Whole{});
  Wide wide[kWide];
#pragma GCC unroll 32
  for (int i = 0; i < kWide; ++i) wide[i] = Wide::load(lanes + i * Wide::kLanes, Whole{});
#pragma GCC unroll 8
  for (int width = kWide / 2; width > 0; width /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) wide[i] = wide[i] + wide[i + width];
  }
  double tree[Wide::kLanes];
  wide[0].store(tree, Whole{});
#pragma GCC unroll 4
  for (int width = Wide::kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) tree[lane] += tree[lane + width];
  }
  return tree[0];
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
