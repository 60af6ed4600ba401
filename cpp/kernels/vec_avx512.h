// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

static inline uint32_t lane_mask(int64_t n, int lanes) {
  return n >= lanes ? (1u << lanes) - 1 : n <= 0 ? 0u : (1u << n) - 1;
}

// Sixteen, or eight, elements of two bytes.
static inline __m256i load_halves(const void* p, Whole) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
static inline __m256i load_halves(const void* p, Counted count) {
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>(lane_mask(count.n, 16)), p);
}
static inline __m128i load_eight_halves(const void* p, Whole) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
static inline __m128i load_eight_halves(const void* p, Counted count) {
  return _mm_maskz_loadu_epi16(static_cast<__mmask8>(lane_mask(count.n, 8)), p);
}
static inline void store_halves(void* p, Whole, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
static inline void store_halves(void* p, Streamed, __m256i v) {
  _mm256_stream_si256(static_cast<__m256i*>(p), v);
}
static inline void store_halves(void* p, Counted count, __m256i v) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>(lane_mask(count.n, 16)), v);
}

// Over two bytes of 0 each.
static inline __m512i as_high_halves(__m256i halves) {
  const __m512i twice =
      _mm512_cvtepu8_epi16(_mm256_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9,
                                            9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15));
  return _mm512_maskz_permutexvar_epi16(0xAAAAAAAA, twice, _mm512_castsi256_si512(halves));
}
// Of sixteen words of four bytes.
static inline __m256i high_halves(__m512i words) {
  const __m512i odd =
      _mm512_cvtepu8_epi16(_mm256_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29,
                                            31, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  return _mm512_castsi512_si256(_mm512_permutexvar_epi16(odd, words));
}

static inline void finish_stores() { _mm_sfence(); }

struct Keep {
  static constexpr int kLanes = 16;
  __mmask16 lanes;

  static Keep of(uint64_t bits) { return {static_cast<__mmask16>(bits)}; }
  static Keep at(const uint64_t* bits, int64_t i) {
    Keep keep;
    __builtin_memcpy(&keep.lanes, reinterpret_cast<const char*>(bits) + (i >> 3),
                     sizeof keep.lanes);
    return keep;
  }
  uint64_t bits() const { return lanes; }
};

template <>
struct Vec<float> {
  using Value = float;
  static constexpr int kLanes = 16;
  __m512 v;

  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec all(float value) { return {_mm512_set1_ps(value)}; }
  static Vec load(const float* p, Whole) { return {_mm512_loadu_ps(p)}; }
  static Vec load(const float* p, Counted count) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(lane_mask(count.n, kLanes)), p)};
  }
  template <typename Lanes>
  static Vec load(const Half* p, Lanes lanes) {
    return {_mm512_cvtph_ps(load_halves(p, lanes))};
  }
  template <typename Lanes>
  static Vec load(const BFloat16* p, Lanes lanes) {
    return {_mm512_castsi512_ps(as_high_halves(load_halves(p, lanes)))};
  }
  void store(float* p, Whole) const { _mm512_storeu_ps(p, v); }
  void store(float* p, Streamed) const { _mm512_stream_ps(p, v); }
  void store(float* p, Counted count) const {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(lane_mask(count.n, kLanes)), v);
  }
  template <typename Lanes>
  void store(Half* p, Lanes lanes) const {
    store_halves(p, lanes, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // Rounded by adding just less than half of the last place, or half where it is odd.
  template <typename Lanes>
  void store(BFloat16* p, Lanes lanes) const {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i is_odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), is_odd);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    store_halves(p, lanes, high_halves(kept));
  }
  Vec keep(Keep which, int = 0) const { return {_mm512_maskz_mov_ps(which.lanes, v)}; }
  friend Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  // a where the condition is not zero, +0 elsewhere.
  friend Vec where_nonzero(Vec condition, Vec a) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition.v, _mm512_setzero_ps(), _CMP_NEQ_UQ),
                                a.v)};
  }
  friend Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
  friend Vec sign(Vec a) {
    const __mmask16 nonzero =
        _mm512_cmp_ps_mask(_mm512_abs_ps(a.v), _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512i sign_bit = _mm512_set1_epi32(INT32_MIN);
    const __m512i one = _mm512_castps_si512(_mm512_set1_ps(1.0f));
    const __m512i unit = _mm512_ternarylogic_epi32(one, _mm512_castps_si512(a.v), sign_bit, 0xF8);
    return {_mm512_mask_mov_ps(_mm512_add_ps(a.v, _mm512_setzero_ps()), nonzero,
                               _mm512_castsi512_ps(unit))};
  }
};

template <>
struct Vec<double> {
  using Value = double;
  static constexpr int kLanes = 8;
  __m512d v;

  static Vec zero() { return {_mm512_setzero_pd()}; }
  static Vec all(double value) { return {_mm512_set1_pd(value)}; }
  static Vec load(const double* p, Whole) { return {_mm512_loadu_pd(p)}; }
  static Vec load(const double* p, Counted count) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(lane_mask(count.n, kLanes)), p)};
  }
  static Vec load(const float* p, Whole) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
  static Vec load(const float* p, Counted count) {
    return {_mm512_cvtps_pd(
        _mm256_maskz_loadu_ps(static_cast<__mmask8>(lane_mask(count.n, kLanes)), p))};
  }
  template <typename Lanes>
  static Vec load(const Half* p, Lanes lanes) {
    return {_mm512_cvtps_pd(_mm256_cvtph_ps(load_eight_halves(p, lanes)))};
  }
  template <typename Lanes>
  static Vec load(const BFloat16* p, Lanes lanes) {
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_eight_halves(p, lanes)), 16);
    return {_mm512_cvtps_pd(_mm256_castsi256_ps(bits))};
  }
  void store(double* p, Whole) const { _mm512_storeu_pd(p, v); }
  void store(double* p, Streamed) const { _mm512_stream_pd(p, v); }
  void store(double* p, Counted count) const {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(lane_mask(count.n, kLanes)), v);
  }
  void store(float* p, Whole) const { _mm256_storeu_ps(p, _mm512_cvtpd_ps(v)); }
  void store(float* p, Counted count) const {
    _mm256_mask_storeu_ps(p, static_cast<__mmask8>(lane_mask(count.n, kLanes)), _mm512_cvtpd_ps(v));
  }
  Vec keep(Keep which, int part) const {
    return {_mm512_maskz_mov_pd(static_cast<__mmask8>(which.lanes >> (kLanes * part)), v)};
  }
  Vec first(Whole) const { return *this; }
  Vec first(Counted count) const { return keep(Keep::of(lane_mask(count.n, kLanes)), 0); }
  friend Vec operator+(Vec a, Vec b) { return {_mm512_add_pd(a.v, b.v)}; }
  // a + b to the last bit, where the rest of a loop keeps the adders busy and not the multipliers.
  friend Vec add_by_fma(Vec a, Vec b) { return {_mm512_fmadd_pd(b.v, _mm512_set1_pd(1.0), a.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_pd(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_pd(a.v, b.v)}; }
  // a where the condition is not zero, +0 elsewhere.
  friend Vec where_nonzero(Vec condition, Vec a) {
    return {_mm512_maskz_mov_pd(_mm512_cmp_pd_mask(condition.v, _mm512_setzero_pd(), _CMP_NEQ_UQ),
                                a.v)};
  }
  friend Vec operator/(Vec a, Vec b) { return {_mm512_div_pd(a.v, b.v)}; }
  friend Vec sqrt(Vec a) { return {_mm512_sqrt_pd(a.v)}; }
  friend Vec rounded_to_float(Vec a) { return {_mm512_cvtps_pd(_mm512_cvtpd_ps(a.v))}; }
  // NaN is kept.
  friend Vec at_least(Vec least, Vec a) { return {_mm512_max_pd(least.v, a.v)}; }
  friend Vec at_most(Vec most, Vec a) { return {_mm512_min_pd(most.v, a.v)}; }
  // a where the condition is positive, b elsewhere.
  friend Vec where_positive(Vec condition, Vec a, Vec b) {
    return {_mm512_mask_mov_pd(
        b.v, _mm512_cmp_pd_mask(condition.v, _mm512_setzero_pd(), _CMP_GT_OQ), a.v)};
  }
  friend Vec abs(Vec a) { return {_mm512_abs_pd(a.v)}; }
  friend Vec sign(Vec a) {
    const __mmask8 nonzero =
        _mm512_cmp_pd_mask(_mm512_abs_pd(a.v), _mm512_setzero_pd(), _CMP_GT_OQ);
    const __m512i sign_bit = _mm512_set1_epi64(INT64_MIN);
    const __m512i one = _mm512_castpd_si512(_mm512_set1_pd(1.0));
    const __m512i unit = _mm512_ternarylogic_epi64(one, _mm512_castpd_si512(a.v), sign_bit, 0xF8);
    return {_mm512_mask_mov_pd(_mm512_add_pd(a.v, _mm512_setzero_pd()), nonzero,
                               _mm512_castsi512_pd(unit))};
  }
};

struct Words {
  static constexpr int kBlocks = 8;
  // Independent groups in flight, to cover the latency of a multiplication.
  static constexpr int kGroups = 4;
  __m512i v;

  // Even lanes hold the first four blocks, odd lanes the others: so two unpacks within 128 bits
  // put the words of all blocks in order.
  static Words blocks(uint64_t first) {
    return {_mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(first)),
                             _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7))};
  }
  static Words load(const uint64_t* p) { return {_mm512_loadu_si512(p)}; }
  void store(uint64_t* p) const { _mm512_storeu_si512(p, v); }
  static Words all(uint32_t word) { return {_mm512_set1_epi64(word)}; }
  friend Words multiply(Words a, Words b) { return {_mm512_mul_epu32(a.v, b.v)}; }
  friend Words high(Words a) { return {_mm512_srli_epi64(a.v, 32)}; }
  friend Words operator^(Words a, Words b) { return {_mm512_xor_si512(a.v, b.v)}; }
  friend Words xor3(Words a, Words b, Words c) {
    return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)};
  }

  // All words of the blocks in their order, in two vectors.
  static void in_order(const Words (&c)[4], __m512i& front, __m512i& back) {
    const __m512i w01 = interleaved(c[0].v, c[1].v);
    const __m512i w23 = interleaved(c[2].v, c[3].v);
    front = _mm512_unpacklo_epi64(w01, w23);
    back = _mm512_unpackhi_epi64(w01, w23);
  }
  static __m512i interleaved(__m512i low, __m512i high) {
    return _mm512_castps_si512(
        _mm512_mask_moveldup_ps(_mm512_castsi512_ps(low), 0xAAAA, _mm512_castsi512_ps(high)));
  }

  // Keeps the words whose 23 low bits are no less than the threshold.
  static void words_at_least(const Words (&c)[4], uint32_t threshold, Keep* keep) {
    __m512i front, back;
    in_order(c, front, back);
    const __m512i low_bits = _mm512_set1_epi32(0x7fffff);
    const __m512i least = _mm512_set1_epi32(static_cast<int32_t>(threshold));
    keep[0].lanes = _mm512_cmpge_epu32_mask(_mm512_and_si512(front, low_bits), least);
    keep[1].lanes = _mm512_cmpge_epu32_mask(_mm512_and_si512(back, low_bits), least);
  }

  // One bit per byte: it is greater than `byte`, or equal to it.
  static void compare_bytes(const Words (&c)[4], uint8_t byte, uint64_t* greater, uint64_t* equal) {
    __m512i half[2];
    in_order(c, half[0], half[1]);
    const __m512i bytes = _mm512_set1_epi8(static_cast<char>(byte));
    for (int i = 0; i < 2; ++i) {
      greater[i] = _mm512_cmpgt_epu8_mask(half[i], bytes);
      equal[i] = _mm512_cmpeq_epi8_mask(half[i], bytes);
    }
  }
};

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
