// SPDX-License-Identifier: Apache-2.0
// Single values of any element type to and from double, with the bits that the vectors give.
// static: a copy per translation unit, because each may be compiled for another instruction set.
#pragma once

#include <cstring>

#include "fastreg/dtype.h"

namespace fastreg {

static inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float to_float(float value) { return value; }

static inline float to_float(BFloat16 value) { return float_of_bits(uint32_t{value.bits} << 16); }

static inline float to_float(Half value) {
  const uint32_t sign = uint32_t{value.bits} >> 15 << 31;
  const uint32_t exponent = value.bits >> 10 & 0x1f, fraction = value.bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return float_of_bits(sign | bits_of_float(magnitude));
  }
  const uint32_t quiet = exponent == 0x1f && fraction != 0 ? 0x400000 : 0;
  const uint32_t wide_exponent = exponent == 0x1f ? 0xff : exponent + 112;
  return float_of_bits(sign | wide_exponent << 23 | fraction << 13 | quiet);
}

static inline void from_float(float value, float* to) { *to = value; }

static inline void from_float(float value, BFloat16* to) {
  const uint32_t bits = bits_of_float(value);
  if (value != value) {
    to->bits = static_cast<uint16_t>(bits >> 16 | 0x40);
    return;
  }
  to->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline void from_float(float value, Half* to) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = bits >> 31 << 15, magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= 0x477ff000) {  // 65520 and more round to infinity
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {
    // Below 2^-14 a half counts 2^-24; adding 0.5 leaves that count, rounded, in the low bits.
    half = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000;
  } else {
    half = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
  }
  to->bits = static_cast<uint16_t>(sign | half);
}

// To and from the compute type.
template <typename T>
static inline Compute<T> to_compute(T value) {
  if constexpr (sizeof(T) == sizeof(double)) {
    return value;
  } else {
    return to_float(value);
  }
}

template <typename T>
static inline T from_compute(Compute<T> value) {
  T result = {};
  if constexpr (sizeof(T) == sizeof(double)) {
    result = value;
  } else {
    from_float(value, &result);
  }
  return result;
}

}  // namespace fastreg
