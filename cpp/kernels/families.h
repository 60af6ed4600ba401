// SPDX-License-Identifier: Apache-2.0
// What each family contributes to the table of the instruction set that is being compiled.
#pragma once

#include "kernels/table.h"

namespace fastreg {
namespace FASTREG_KERNEL_ISA {

template <typename T>
PenaltyKernels<T> penalty_kernels();

MaskKernels mask_kernels();

template <typename T>
DropoutKernels<T> dropout_kernels();

template <typename T>
BatchNormKernels<T> batch_norm_kernels();

template <typename S>
BatchNormChannelKernels<S> batch_norm_channel_kernels();

}  // namespace FASTREG_KERNEL_ISA
}  // namespace fastreg
