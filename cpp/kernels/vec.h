// SPDX-License-Identifier: Apache-2.0
// The vectors that kernels are written in. Each vec_<isa>.h defines, in the namespace of the
// instruction set that this file is compiled for:
//
//   Vec<S>    kLanes values of S (float or double); zero, all, load, store, + - *, abs, sign,
//             first(n) (the other lanes 0), keep(which, part) (the other lanes +0), where_nonzero.
//             load and store convert from and to any element type. Vec<double> also has /, sqrt,
//             rounded_to_float, at_least, at_most, where_positive.
//   Keep      one truth per lane of Vec<float>, which Vec<double> takes in parts: of(bits), the
//   bits
//             at(bits, i) of a bit map where i is a multiple of kLanes, bits().
//   Words     one 32-bit word of kBlocks Philox blocks, each in the low half of a 64-bit lane
//             (what stands in the high half is never read).
//
// A load or store takes the number of lanes as a type: Whole, or Counted for the end of an array.
// Lanes that a counted load misses are 0. Streamed is Whole for a load; a store goes past the
// caches, to an address aligned to what is stored, and finish_stores() comes after the last one.
//
// These headers stand in a clean room: everything has internal linkage or the namespace of its
// instruction set, and no library code is inlined. The linker keeps one copy of equal inline
// functions, and an AVX-512 copy is a crash on an older processor.
#pragma once

#include <cstdint>

#include "fastreg/dtype.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

struct Whole {
  static constexpr bool kStreams = false;
};
struct Streamed : Whole {
  static constexpr bool kStreams = true;
};
struct Counted {
  int64_t n;
};

template <typename S>
struct Vec;

struct Words;

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg

#if defined(__AVX512F__)
#include "kernels/vec_avx512.h"
#elif defined(__AVX2__)
#include "kernels/vec_avx2.h"
#else
#include "kernels/vec_scalar.h"
#endif
