// SPDX-License-Identifier: Apache-2.0
// Whether element i of the noise shape is kept depends on (seed, i, rate) alone:
//   kKeras  Philox4x32-10 as TensorFlow's stateless generator runs it: word i mod 4 of block
//           i div 4, its 23 low bits as a fraction u; kept where u >= float(rate).
//   kFast   Philox4x32-7: byte i mod 16 of block i div 16 is compared with the first 8 bits of
//           rate * 2^32; only where they tie, 24 further bits decide. Exact to 2^-32.
#pragma once

namespace fastreg {

enum class Rng { kKeras, kFast };

}  // namespace fastreg
