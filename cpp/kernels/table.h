// SPDX-License-Identifier: Apache-2.0
// What an instruction set offers: one function per kernel and element type. A kernel works on
// plain memory, one chunk at a time, and neither allocates nor throws nor knows of threads.
#pragma once

#include "kernels/batch_norm.h"
#include "kernels/batch_norm_channels.h"
#include "kernels/dropout.h"
#include "kernels/penalty.h"

namespace fastreg {

template <typename T>
struct Kernels {
  PenaltyKernels<T> penalty;
  DropoutKernels<T> dropout;
  BatchNormKernels<T> batch_norm;
  BatchNormChannelKernels<Compute<T>> batch_norm_channels;
};

struct KernelTable {
  const char* name;
  MaskKernels mask;
  Kernels<float> float32;
  Kernels<double> float64;
  Kernels<Half> float16;
  Kernels<BFloat16> bfloat16;

  const Kernels<float>& of(const float*) const { return float32; }
  const Kernels<double>& of(const double*) const { return float64; }
  const Kernels<Half>& of(const Half*) const { return float16; }
  const Kernels<BFloat16>& of(const BFloat16*) const { return bfloat16; }
};

}  // namespace fastreg
