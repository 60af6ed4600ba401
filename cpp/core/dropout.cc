// SPDX-License-Identifier: Apache-2.0
#include "fastreg/dropout.h"

#include <cmath>

#include "core/chunks.h"
#include "core/stores.h"
#include "fastreg/isa.h"
#include "kernels/philox.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

// TensorFlow scrambles a seed by one block under a fixed key: the first two words become the key,
// the others the high half of the counter.
MaskStream stream_of(const DropoutSpec& spec) {
  const auto low = [](int64_t word) { return static_cast<uint32_t>(word); };
  const auto high = [](int64_t word) { return static_cast<uint32_t>(word >> 32); };
  const int64_t (&seed)[2] = spec.seed.words;
  uint32_t words[4] = {low(seed[0]), high(seed[0]), low(seed[1]), high(seed[1])};
  philox_block<10>({0x3ec8f720, 0x02461e29}, words);
  MaskStream stream = {{words[0], words[1]}, {words[2], words[3]}, 0, spec.rng};
  if (spec.rng == Rng::kKeras) {
    // TensorFlow compares with denormals flushed, so that such a rate drops nothing.
    const double rate = spec.rate < 0x1p-126 ? 0.0 : static_cast<float>(spec.rate);
    stream.threshold = static_cast<uint32_t>(std::ceil(0x1p23 * rate));
  } else {
    stream.threshold = static_cast<uint32_t>(std::min(std::ceil(0x1p32 * spec.rate), 0x1p32 - 1.0));
  }
  return stream;
}

double scale_of(double rate) { return 1.0 / (1.0 - rate); }

// One dimension of x after neighbours of the same kind have been merged.
struct Extent {
  int64_t size;
  bool is_broadcast;
};

std::vector<Extent> merged_extents(const std::vector<int64_t>& shape,
                                   const std::vector<int64_t>& noise_shape) {
  std::vector<Extent> extents;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    const bool is_broadcast = noise_shape[d] != shape[d];
    if (!extents.empty() && extents.back().is_broadcast == is_broadcast) {
      extents.back().size *= shape[d];
    } else {
      extents.push_back({shape[d], is_broadcast});
    }
  }
  return extents;
}

// The index in the noise shape of the first element of a row, where a row is the last extent.
int64_t noise_index(const std::vector<Extent>& extents, int64_t row) {
  int64_t index = 0;
  int64_t stride = extents.back().is_broadcast ? 1 : extents.back().size;
  for (size_t d = extents.size() - 1; d-- > 0;) {
    if (!extents[d].is_broadcast) {
      index += row % extents[d].size * stride;
      stride *= extents[d].size;
    }
    row /= extents[d].size;
  }
  return index;
}

// A bit per element of the noise shape, in whole tiles, and a word that a shifted reading of the
// last bits may touch.
std::vector<uint64_t> draw_mask(const MaskStream& stream, int64_t n, const Executor& executor) {
  std::vector<uint64_t> bits(ceil_div(n, kMaskTile) * (kMaskTile / 64) + 1);
  for_each_chunk(n, executor, [&](int64_t, int64_t begin, int64_t size) {
    kernels().mask.bits(stream, begin, size, bits.data() + begin / 64);
  });
  return bits;
}

}  // namespace

Seed Seed::reduced(int64_t first, int64_t second) {
  constexpr int64_t kModulus = INT32_MAX - 1;
  const auto floor_mod = [](int64_t word) { return (word % kModulus + kModulus) % kModulus; };
  return {{floor_mod(first), floor_mod(second)}};
}

template <typename T>
void dropout(const T* x, int64_t n, const DropoutSpec& spec, T* y, const Executor& executor) {
  if (spec.rate == 0.0 || spec.rate == 1.0) {
    for_each_chunk(n, executor, [&](int64_t, int64_t begin, int64_t size) {
      if (spec.rate == 1.0) {
        std::fill_n(y + begin, size, T{});
      } else if (y != x) {
        std::copy_n(x + begin, size, y + begin);
      }
    });
    return;
  }
  const MaskStream stream = stream_of(spec);
  const Stores stores = stores_for(y, n, x);
  for_each_chunk(n, executor, [&](int64_t, int64_t begin, int64_t size) {
    kernels().of(x).dropout.drop(stream, begin, x + begin, size, scale_of(spec.rate), y + begin,
                                 stores);
  });
}

template <typename T>
void dropout(const T* x, const std::vector<int64_t>& shape, const std::vector<int64_t>& noise_shape,
             const DropoutSpec& spec, T* y, const Executor& executor) {
  int64_t n = 1, noise_size = 1;
  for (int64_t size : shape) n *= size;
  for (int64_t size : noise_shape) noise_size *= size;
  if (n == noise_size || n == 0 || spec.rate == 0.0 || spec.rate == 1.0) {
    return dropout(x, n, spec, y, executor);
  }
  const auto extents = merged_extents(shape, noise_shape);
  const auto bits = draw_mask(stream_of(spec), noise_size, executor);
  const Extent row_extent = extents.back();
  const int64_t rows = n / row_extent.size;
  // Long rows are cut, short ones are taken together, so that a task has about a chunk.
  const int64_t cuts = ceil_div(row_extent.size, kChunk);
  const int64_t rows_a_task = std::max<int64_t>(1, kChunk / row_extent.size);
  parallel_for(ceil_div(rows, rows_a_task) * cuts, executor, [&](int64_t task) {
    const int64_t begin = task % cuts * kChunk;
    const int64_t size = std::min(kChunk, row_extent.size - begin);
    const int64_t first_row = task / cuts * rows_a_task;
    for (int64_t row = first_row; row < std::min(rows, first_row + rows_a_task); ++row) {
      const int64_t at = row * row_extent.size + begin;
      const int64_t bit = noise_index(extents, row) + (row_extent.is_broadcast ? 0 : begin);
      kernels().of(x).dropout.apply(bits.data(), bit, row_extent.is_broadcast, x + at, size,
                                    scale_of(spec.rate), y + at);
    }
  });
}

#define FASTREG_INSTANTIATE(T)                                                                 \
  template void dropout<T>(const T*, int64_t, const DropoutSpec&, T*, const Executor&);        \
  template void dropout<T>(const T*, const std::vector<int64_t>&, const std::vector<int64_t>&, \
                           const DropoutSpec&, T*, const Executor&);
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg
