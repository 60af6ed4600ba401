// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "kernels/families.h"
#include "kernels/loops.h"
#include "kernels/mask.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

template <typename V, typename T, typename Lanes>
inline void keep_some(uint64_t bits, const T* x, Lanes lanes, V scale, T* y) {
  (V::load(x, lanes) * scale).keep(bits).store(y, lanes);
}

// At most 64 elements, one bit each.
template <typename V, typename T>
inline void keep_word(uint64_t bits, const T* x, int64_t n, V scale, T* y) {
  if (n >= 64) {
#pragma GCC unroll 32
    for (int i = 0; i < 64; i += V::kLanes) {
      keep_some<V>(bits >> i, x + i, Whole{}, scale, y + i);
    }
    return;
  }
  map<V>(n, [=](int64_t i, auto lanes) { keep_some<V>(bits >> i, x + i, lanes, scale, y + i); });
}

template <Rng kRng, typename T>
void drop_with(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale, T* y) {
  using V = Vec<Compute<T>>;
  const V scale_all = V::all(static_cast<Compute<T>>(scale));
  for_each_tile<kRng>(stream, first, n, [=](int64_t i, const uint64_t (&bits)[2]) {
    prefetch_ahead<false, kMaskTile * sizeof(T)>(x + i);
    prefetch_ahead<true, kMaskTile * sizeof(T)>(y + i);
    keep_word<V>(bits[0], x + i, n - i, scale_all, y + i);
    if (n - i > 64) keep_word<V>(bits[1], x + i + 64, n - i - 64, scale_all, y + i + 64);
  });
}

template <typename T>
void drop(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale,
          T* y) noexcept {
  if (stream.rng == Rng::kFast) return drop_with<Rng::kFast>(stream, first, x, n, scale, y);
  drop_with<Rng::kKeras>(stream, first, x, n, scale, y);
}

template <typename T>
void apply(const uint64_t* bits, int64_t offset, bool repeat, const T* x, int64_t n, double scale,
           T* y) noexcept {
  using V = Vec<Compute<T>>;
  const V scale_all = V::all(static_cast<Compute<T>>(scale));
  const auto word_at = [=](int64_t bit) {
    const uint64_t low = bits[bit / 64] >> (bit % 64);
    return bit % 64 == 0 ? low : low | bits[bit / 64 + 1] << (64 - bit % 64);
  };
  const uint64_t repeated = bits[offset / 64] >> (offset % 64) & 1 ? ~uint64_t{0} : 0;
  for (int64_t i = 0; i < n; i += 64) {
    keep_word<V>(repeat ? repeated : word_at(offset + i), x + i, n - i, scale_all, y + i);
  }
}

template <Rng kRng>
void bits_with(const MaskStream& stream, int64_t first, int64_t n, uint64_t* bits) {
  for_each_tile<kRng>(stream, first, n, [=](int64_t i, const uint64_t (&tile)[2]) {
    bits[i / 64] = tile[0];
    bits[i / 64 + 1] = tile[1];
  });
}

void bits(const MaskStream& stream, int64_t first, int64_t n, uint64_t* bits) noexcept {
  if (stream.rng == Rng::kFast) return bits_with<Rng::kFast>(stream, first, n, bits);
  bits_with<Rng::kKeras>(stream, first, n, bits);
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

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
