// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "fastreg/half.h"
#include "kernels/families.h"
#include "kernels/philox.h"

namespace fastreg {
namespace reference {
namespace {

constexpr uint32_t kFastDomain = 0x80000000u, kTieDomain = 0x40000000u;

template <int kRounds>
uint32_t word_of_block(const MaskStream& stream, uint64_t block, uint32_t domain, int word) {
  uint32_t words[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                       stream.counter_high[0], stream.counter_high[1] ^ domain};
  philox_block<kRounds>(stream.key, words);
  return words[word];
}

bool is_kept(const MaskStream& stream, int64_t element) {
  const uint64_t i = static_cast<uint64_t>(element);
  if (stream.rng == Rng::kKeras) {
    const uint32_t word = word_of_block<10>(stream, i / 4, 0, static_cast<int>(i % 4));
    return (word & 0x7fffff) >= stream.threshold;
  }
  const uint32_t word = word_of_block<7>(stream, i / 16, kFastDomain, static_cast<int>(i % 16 / 4));
  const uint32_t first_byte = word >> (8 * (i % 4)) & 0xff;
  const uint32_t rest = word_of_block<7>(stream, i, kTieDomain, 0) & 0xffffff;
  return (first_byte << 24 | rest) >= stream.threshold;
}

void bits(const MaskStream& stream, int64_t first, int64_t n, uint64_t* bits) noexcept {
  const int64_t words = (n + kMaskTile - 1) / kMaskTile * (kMaskTile / 64);
  for (int64_t word = 0; word < words; ++word) {
    bits[word] = 0;
    for (int64_t bit = 0; bit < 64; ++bit) {
      const bool kept = is_kept(stream, first + 64 * word + bit);
      bits[word] |= static_cast<uint64_t>(kept) << bit;
    }
  }
}

template <typename T>
T scaled(T x, double scale) {
  return from_compute<T>(to_compute(x) * static_cast<Compute<T>>(scale));
}

template <typename T>
void drop(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale, T* y,
          Stores) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = is_kept(stream, first + i) ? scaled(x[i], scale) : T{};
}

template <typename T>
void apply(const uint64_t* bits, int64_t offset, bool repeat, const T* x, int64_t n, double scale,
           T* y) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t bit = repeat ? offset : offset + i;
    y[i] = bits[bit / 64] >> (bit % 64) & 1 ? scaled(x[i], scale) : T{};
  }
}

}  // namespace

MaskKernels mask_kernels() { return {bits}; }

template <typename T>
DropoutKernels<T> dropout_kernels() {
  return {drop<T>, apply<T>};
}

#define FASTREG_INSTANTIATE(T) template DropoutKernels<T> dropout_kernels<T>();
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace reference
}  // namespace fastreg
