// SPDX-License-Identifier: Apache-2.0
#include "xla/custom_call.h"

namespace fastreg {

// The moving statistics are those of variables, which are set to the new ones.
static const RegisterXla<run_batch_norm> batch_norm("Fastreg>BatchNorm", {{3, 4}, {4, 5}});
static const RegisterXla<run_batch_norm_moments> batch_norm_moments("Fastreg>BatchNormMoments");
static const RegisterXla<run_batch_norm_inference> batch_norm_inference(
    "Fastreg>BatchNormInference");
static const RegisterXla<run_batch_norm_grad> batch_norm_grad("Fastreg>BatchNormGrad");
static const RegisterXla<run_batch_norm_grad_sums> batch_norm_grad_sums(
    "Fastreg>BatchNormGradSums");
static const RegisterXla<run_batch_norm_share> batch_norm_share("Fastreg>BatchNormShare");
static const RegisterXla<run_batch_norm_merged> batch_norm_merged("Fastreg>BatchNormMerged");
static const RegisterXla<run_batch_norm_grad_share> batch_norm_grad_share(
    "Fastreg>BatchNormGradShare");
static const RegisterXla<run_batch_norm_merged_grad> batch_norm_merged_grad(
    "Fastreg>BatchNormMergedGrad");

}  // namespace fastreg
