// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

static inline __m256i lanes32_below(int64_t n) {
  const int32_t bound = n > 8 ? 8 : n < 0 ? 0 : static_cast<int32_t>(n);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline __m256i lanes64_below(int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

// Elements of two bytes. AVX2 has no masked access to them.
static inline __m128i load_halves(const void* p, Whole, int lanes) {
  const auto* from = static_cast<const __m128i*>(p);
  return lanes == 8 ? _mm_loadu_si128(from) : _mm_loadl_epi64(from);
}
static inline __m128i load_halves(const void* p, Counted count, int lanes) {
  alignas(16) uint16_t some[8] = {};
  for (int i = 0; i < lanes && i < count.n; ++i) some[i] = static_cast<const uint16_t*>(p)[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(some));
}
static inline void store_halves(void* p, Whole, __m128i v) {
  _mm_storeu_si128(static_cast<__m128i*>(p), v);
}
static inline void store_halves(void* p, Streamed, __m128i v) {
  _mm_stream_si128(static_cast<__m128i*>(p), v);
}
static inline void store_halves(void* p, Counted count, __m128i v) {
  alignas(16) uint16_t some[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(some), v);
  for (int i = 0; i < 8 && i < count.n; ++i) static_cast<uint16_t*>(p)[i] = some[i];
}

static inline void finish_stores() { _mm_sfence(); }

struct Keep {
  static constexpr int kLanes = 8;
  __m256i lanes;

  static Keep of(uint64_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(bits)), lane);
    return {_mm256_cmpeq_epi32(set, lane)};
  }
  static Keep at(const uint64_t* bits, int64_t i) {
    return of(reinterpret_cast<const unsigned char*>(bits)[i >> 3]);
  }
  uint64_t bits() const {
    return static_cast<uint64_t>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
  }
};

template <>
struct Vec<float> {
  using Value = float;
  static constexpr int kLanes = 8;
  __m256 v;

  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec all(float value) { return {_mm256_set1_ps(value)}; }
  static Vec load(const float* p, Whole) { return {_mm256_loadu_ps(p)}; }
  static Vec load(const float* p, Counted count) {
    return {_mm256_maskload_ps(p, lanes32_below(count.n))};
  }
  template <typename Lanes>
  static Vec load(const Half* p, Lanes lanes) {
    return {_mm256_cvtph_ps(load_halves(p, lanes, kLanes))};
  }
  template <typename Lanes>
  static Vec load(const BFloat16* p, Lanes lanes) {
    return {widened(load_halves(p, lanes, kLanes))};
  }
  static __m256 widened(__m128i bfloats) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bfloats), 16));
  }
  void store(float* p, Whole) const { _mm256_storeu_ps(p, v); }
  void store(float* p, Streamed) const { _mm256_stream_ps(p, v); }
  void store(float* p, Counted count) const { _mm256_maskstore_ps(p, lanes32_below(count.n), v); }
  template <typename Lanes>
  void store(Half* p, Lanes lanes) const {
    store_halves(p, lanes, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // Rounded by adding just less than half of the last place, or half where it is odd.
  template <typename Lanes>
  void store(BFloat16* p, Lanes lanes) const {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i is_odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), is_odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i kept = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(kept, kept), 0x08);
    store_halves(p, lanes, _mm256_castsi256_si128(packed));
  }
  Vec keep(Keep which, int = 0) const {
    return {_mm256_and_ps(v, _mm256_castsi256_ps(which.lanes))};
  }
  friend Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  // a where the condition is not zero, +0 elsewhere.
  friend Vec where_nonzero(Vec condition, Vec a) {
    return {_mm256_and_ps(a.v, _mm256_cmp_ps(condition.v, _mm256_setzero_ps(), _CMP_NEQ_UQ))};
  }
  friend Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  friend Vec sign(Vec a) {
    const __m256 nonzero = _mm256_cmp_ps(abs(a).v, _mm256_setzero_ps(), _CMP_GT_OQ);
    const __m256 unit =
        _mm256_or_ps(_mm256_and_ps(a.v, _mm256_set1_ps(-0.0f)), _mm256_set1_ps(1.0f));
    return {_mm256_blendv_ps(_mm256_add_ps(a.v, _mm256_setzero_ps()), unit, nonzero)};
  }
};

template <>
struct Vec<double> {
  using Value = double;
  static constexpr int kLanes = 4;
  __m256d v;

  static Vec zero() { return {_mm256_setzero_pd()}; }
  static Vec all(double value) { return {_mm256_set1_pd(value)}; }
  static Vec load(const double* p, Whole) { return {_mm256_loadu_pd(p)}; }
  static Vec load(const double* p, Counted count) {
    return {_mm256_maskload_pd(p, lanes64_below(count.n))};
  }
  static Vec load(const float* p, Whole) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  static Vec load(const float* p, Counted count) {
    const __m128i lanes = _mm256_castsi256_si128(lanes32_below(count.n));
    return {_mm256_cvtps_pd(_mm_maskload_ps(p, lanes))};
  }
  template <typename Lanes>
  static Vec load(const Half* p, Lanes lanes) {
    return {_mm256_cvtps_pd(_mm_cvtph_ps(load_halves(p, lanes, kLanes)))};
  }
  template <typename Lanes>
  static Vec load(const BFloat16* p, Lanes lanes) {
    const __m256 wide = Vec<float>::widened(load_halves(p, lanes, kLanes));
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(wide))};
  }
  void store(double* p, Whole) const { _mm256_storeu_pd(p, v); }
  void store(double* p, Streamed) const { _mm256_stream_pd(p, v); }
  void store(double* p, Counted count) const { _mm256_maskstore_pd(p, lanes64_below(count.n), v); }
  void store(float* p, Whole) const { _mm_storeu_ps(p, _mm256_cvtpd_ps(v)); }
  void store(float* p, Counted count) const {
    _mm_maskstore_ps(p, _mm256_castsi256_si128(lanes32_below(count.n)), _mm256_cvtpd_ps(v));
  }
  Vec keep(Keep which, int part) const {
    const __m128i lanes =
        part == 0 ? _mm256_castsi256_si128(which.lanes) : _mm256_extracti128_si256(which.lanes, 1);
    return {_mm256_and_pd(v, _mm256_castsi256_pd(_mm256_cvtepi32_epi64(lanes)))};
  }
  Vec first(Whole) const { return *this; }
  Vec first(Counted count) const {
    return {_mm256_and_pd(v, _mm256_castsi256_pd(lanes64_below(count.n)))};
  }
  friend Vec operator+(Vec a, Vec b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend Vec add_by_fma(Vec a, Vec b) { return a + b; }
  friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_pd(a.v, b.v)}; }
  // a where the condition is not zero, +0 elsewhere.
  friend Vec where_nonzero(Vec condition, Vec a) {
    return {_mm256_and_pd(a.v, _mm256_cmp_pd(condition.v, _mm256_setzero_pd(), _CMP_NEQ_UQ))};
  }
  friend Vec operator/(Vec a, Vec b) { return {_mm256_div_pd(a.v, b.v)}; }
  friend Vec sqrt(Vec a) { return {_mm256_sqrt_pd(a.v)}; }
  friend Vec rounded_to_float(Vec a) { return {_mm256_cvtps_pd(_mm256_cvtpd_ps(a.v))}; }
  // NaN is kept.
  friend Vec at_least(Vec least, Vec a) { return {_mm256_max_pd(least.v, a.v)}; }
  friend Vec at_most(Vec most, Vec a) { return {_mm256_min_pd(most.v, a.v)}; }
  // a where the condition is positive, b elsewhere.
  friend Vec where_positive(Vec condition, Vec a, Vec b) {
    return {
        _mm256_blendv_pd(b.v, a.v, _mm256_cmp_pd(condition.v, _mm256_setzero_pd(), _CMP_GT_OQ))};
  }
  friend Vec abs(Vec a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
  friend Vec sign(Vec a) {
    const __m256d nonzero = _mm256_cmp_pd(abs(a).v, _mm256_setzero_pd(), _CMP_GT_OQ);
    const __m256d unit =
        _mm256_or_pd(_mm256_and_pd(a.v, _mm256_set1_pd(-0.0)), _mm256_set1_pd(1.0));
    return {_mm256_blendv_pd(_mm256_add_pd(a.v, _mm256_setzero_pd()), unit, nonzero)};
  }
};

struct Words {
  static constexpr int kBlocks = 4;
  // More would not fit the sixteen registers.
  static constexpr int kGroups = 2;
  __m256i v;

  // Even lanes hold the first two blocks, odd lanes the others: so two unpacks within 128 bits
  // put the words of all blocks in order.
  static Words blocks(uint64_t first) {
    return {_mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first)),
                             _mm256_setr_epi64x(0, 2, 1, 3))};
  }
  static Words load(const uint64_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  void store(uint64_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static Words all(uint32_t word) { return {_mm256_set1_epi64x(word)}; }
  friend Words multiply(Words a, Words b) { return {_mm256_mul_epu32(a.v, b.v)}; }
  friend Words high(Words a) { return {_mm256_srli_epi64(a.v, 32)}; }
  friend Words operator^(Words a, Words b) { return {_mm256_xor_si256(a.v, b.v)}; }
  friend Words xor3(Words a, Words b, Words c) { return a ^ b ^ c; }

  static void in_order(const Words (&c)[4], __m256i& front, __m256i& back) {
    const __m256i w01 = _mm256_blend_epi32(c[0].v, _mm256_slli_epi64(c[1].v, 32), 0xAA);
    const __m256i w23 = _mm256_blend_epi32(c[2].v, _mm256_slli_epi64(c[3].v, 32), 0xAA);
    front = _mm256_unpacklo_epi64(w01, w23);
    back = _mm256_unpackhi_epi64(w01, w23);
  }

  // Keeps the words whose 23 low bits are no less than the threshold.
  static void words_at_least(const Words (&c)[4], uint32_t threshold, Keep* keep) {
    __m256i front, back;
    in_order(c, front, back);
    const __m256i low_bits = _mm256_set1_epi32(0x7fffff);
    const __m256i below = _mm256_set1_epi32(static_cast<int32_t>(threshold) - 1);
    keep[0].lanes = _mm256_cmpgt_epi32(_mm256_and_si256(front, low_bits), below);
    keep[1].lanes = _mm256_cmpgt_epi32(_mm256_and_si256(back, low_bits), below);
  }

  // One bit per byte: it is greater than `byte`, or equal to it.
  static void compare_bytes(const Words (&c)[4], uint8_t byte, uint64_t* greater, uint64_t* equal) {
    __m256i half[2];
    in_order(c, half[0], half[1]);
    const __m256i bytes = _mm256_set1_epi8(static_cast<char>(byte));
    *greater = *equal = 0;
    for (int i = 0; i < 2; ++i) {
      const auto bits = [](__m256i mask) {
        return static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(mask)));
      };
      const __m256i at_least = _mm256_cmpeq_epi8(_mm256_max_epu8(half[i], bytes), half[i]);
      const uint64_t same = bits(_mm256_cmpeq_epi8(half[i], bytes));
      *greater |= (bits(at_least) & ~same) << (32 * i);
      *equal |= same << (32 * i);
    }
  }
};

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
