// SPDX-License-Identifier: Apache-2.0
// Compiled without the instruction set's own flags: it may run before the processor is known.
#include "kernels/table.h"

#include "kernels/families.h"

#define FASTREG_QUOTE(name) #name
#define FASTREG_NAME_OF(name) FASTREG_QUOTE(name)

namespace fastreg {
namespace FASTREG_KERNEL_ISA {
namespace {

template <typename T>
Kernels<T> kernels_of() {
  return {penalty_kernels<T>(), dropout_kernels<T>(), batch_norm_kernels<T>(),
          batch_norm_channel_kernels<Compute<T>>()};
}

}  // namespace

const KernelTable& table() {
  static const KernelTable table = {FASTREG_NAME_OF(FASTREG_KERNEL_ISA),
                                    mask_kernels(),
                                    kernels_of<float>(),
                                    kernels_of<double>(),
                                    kernels_of<Half>(),
                                    kernels_of<BFloat16>()};
  return table;
}

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
