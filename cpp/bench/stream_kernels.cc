// SPDX-License-Identifier: Apache-2.0
#include "bench/stream_kernels.h"

#include "kernels/mask.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

#if defined(__AVX512F__)
using Register = __m512i;
inline Register load(const char* p) { return _mm512_loadu_si512(p); }
inline void store(char* p, Register v) { _mm512_store_si512(p, v); }
inline void store_past_caches(char* p, Register v) {
  _mm512_stream_si512(reinterpret_cast<Register*>(p), v);
}
inline Register add(Register a, Register b) { return _mm512_add_epi64(a, b); }
inline void fence() { _mm_sfence(); }
#elif defined(__AVX2__)
using Register = __m256i;
inline Register load(const char* p) {
  return _mm256_loadu_si256(reinterpret_cast<const Register*>(p));
}
inline void store(char* p, Register v) { _mm256_store_si256(reinterpret_cast<Register*>(p), v); }
inline void store_past_caches(char* p, Register v) {
  _mm256_stream_si256(reinterpret_cast<Register*>(p), v);
}
inline Register add(Register a, Register b) { return _mm256_add_epi64(a, b); }
inline void fence() { _mm_sfence(); }
#else
typedef uint64_t Register __attribute__((vector_size(16), may_alias));
typedef uint64_t Unaligned __attribute__((vector_size(16), may_alias, aligned(1)));
inline Register load(const char* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(char* p, Register v) { *reinterpret_cast<Register*>(p) = v; }
inline void store_past_caches(char* p, Register v) { store(p, v); }
inline Register add(Register a, Register b) { return a + b; }
inline void fence() {}
#endif

constexpr int64_t kWidth = sizeof(Register);
constexpr int kUnrolled = 8;

template <typename Store>
inline void copy_with(const char* from, int64_t bytes, char* to, Store store_register) {
  int64_t i = 0;
  for (; i + kUnrolled * kWidth <= bytes; i += kUnrolled * kWidth) {
    Register v[kUnrolled];
#pragma GCC unroll 8
    for (int k = 0; k < kUnrolled; ++k) v[k] = load(from + i + k * kWidth);
#pragma GCC unroll 8
    for (int k = 0; k < kUnrolled; ++k) store_register(to + i + k * kWidth, v[k]);
  }
  for (; i + kWidth <= bytes; i += kWidth) store_register(to + i, load(from + i));
}

void copy(const char* from, int64_t bytes, char* to) noexcept {
  copy_with(from, bytes, to, [](char* p, Register v) { store(p, v); });
}

void copy_past_caches(const char* from, int64_t bytes, char* to) noexcept {
  copy_with(from, bytes, to, [](char* p, Register v) { store_past_caches(p, v); });
  fence();
}

uint64_t read(const char* from, int64_t bytes) noexcept {
  Register sums[kUnrolled] = {};
  for (int64_t i = 0; i + kUnrolled * kWidth <= bytes; i += kUnrolled * kWidth) {
#pragma GCC unroll 8
    for (int k = 0; k < kUnrolled; ++k) sums[k] = add(sums[k], load(from + i + k * kWidth));
  }
  for (int k = 1; k < kUnrolled; ++k) sums[0] = add(sums[0], sums[k]);
  uint64_t lanes[kWidth / 8];
  __builtin_memcpy(lanes, &sums[0], sizeof lanes);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

uint64_t philox(uint32_t first, int64_t n) noexcept {
  constexpr int kGroups = Words::kGroups;
  const uint32_t key[2] = {0x3ec8f720, 0x02461e29};
  const PhiloxBlocks<10> blocks(key, 0, 1, 2);
  Words sum = Words::all(0);
  for (int64_t done = 0; done < n; done += kGroups * Words::kBlocks * 4) {
    Words c[kGroups][4];
    blocks.draw(first + static_cast<uint32_t>(done / 4), c);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      sum = xor3(sum, c[g][0], c[g][1]);
      sum = xor3(sum, c[g][2], c[g][3]);
    }
  }
  uint64_t lanes[sizeof(Words) / 8];
  __builtin_memcpy(lanes, &sum, sizeof lanes);
  return lanes[0];
}

#define FASTREG_TEXT(name) #name
#define FASTREG_NAME(name) FASTREG_TEXT(name)

}  // namespace

StreamKernels stream_kernels() {
  return {FASTREG_NAME(FASTREG_KERNEL_ISA), copy, copy_past_caches, read, philox};
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
