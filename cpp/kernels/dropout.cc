// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "kernels/families.h"
#include "kernels/loops.h"
#include "kernels/mask.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

// Elements.
constexpr int64_t kAhead = 512;

// The first n elements of a tile, in vectors of V.
template <typename V, typename Tile, typename T, typename Size, typename WholeLanes>
[[gnu::always_inline]] inline void keep_tile(const Tile& keep, const T* x, Size n, V scale, T* y,
                                             WholeLanes whole) {
  constexpr int kParts = Keep::kLanes / V::kLanes;
  const auto step = [&](int64_t i, auto lanes) {
    const int64_t vector = i / V::kLanes;
    (V::load(x + i, lanes) * scale)
        .keep(keep[vector / kParts], static_cast<int>(vector % kParts))
        .store(y + i, lanes);
  };
  if (n < kMaskTile) return map<V>(n, step, whole);
#pragma GCC unroll 64
  for (int64_t i = 0; i < kMaskTile; i += V::kLanes) step(i, whole);
}

template <typename Mask, typename T>
void drop_with(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale, T* y,
               Stores stores) {
  using V = Vec<Compute<T>>;
  const V scale_all = V::all(static_cast<Compute<T>>(scale));
  with_stores(stores, [&](auto whole) {
    for_each_tile<Mask>(stream, first, n, [=](int64_t i, const auto& keep, auto left) {
      prefetch<kMaskTile * sizeof(T)>(x + i + kAhead);
      if constexpr (!decltype(whole)::kStreams) {
        prefetch<kMaskTile * sizeof(T), Prefetch::kWriting>(y + i + kAhead);
      }
      keep_tile<V>(keep, x + i, left, scale_all, y + i, whole);
    });
  });
}

template <typename T>
void drop(const MaskStream& stream, int64_t first, const T* x, int64_t n, double scale, T* y,
          Stores stores) noexcept {
  with_mask(stream.rng, [=](auto mask) {
    drop_with<typename decltype(mask)::type>(stream, first, x, n, scale, y, stores);
  });
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
    const uint64_t word = repeat ? repeated : word_at(offset + i);
    map<V>(n - i < 64 ? n - i : 64, [=](int64_t k, auto lanes) {
      const Keep keep = Keep::of(word >> k);
      (V::load(x + i + k, lanes) * scale_all).keep(keep, 0).store(y + i + k, lanes);
    });
  }
}

void bits(const MaskStream& stream, int64_t first, int64_t n, uint64_t* bits) noexcept {
  with_mask(stream.rng, [=](auto mask) {
    for_each_tile<typename decltype(mask)::type>(
        stream, first, n, [=](int64_t i, const auto& keep, auto) {
          for (int word = 0; word < kMaskTile / 64; ++word) {
            uint64_t drawn = 0;
            for (int at = 0; at < 64; at += Keep::kLanes) {
              drawn |= keep[(64 * word + at) / Keep::kLanes].bits() << at;
            }
            bits[i / 64 + word] = drawn;
          }
        });
  });
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
