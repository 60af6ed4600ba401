// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/op.h"
#include "tf/channel_shapes.h"

namespace fastreg {
namespace {

REGISTER_OP("Fastreg>BatchNormGrad")
    .Input("grad: T")
    .Input("x: T")
    .Input("mean: U")
    .Input("variance: U")
    .Input("gamma: U")
    .Input("mask: U")
    .Input("grad_mean: U")
    .Input("grad_variance: U")
    .Input("epsilon: double")
    .Output("grad_x: T")
    .Output("grad_gamma: U")
    .Output("grad_beta: U")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_shapes);

REGISTER_OP("Fastreg>BatchNormGradSums")
    .Input("grad: T")
    .Input("x: T")
    .Input("mean: U")
    .Output("sum_grad: U")
    .Output("sum_grad_centered: U")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_channels);

FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormGrad", run_batch_norm_grad)
FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormGradSums", run_batch_norm_grad_sums)

}  // namespace
}  // namespace fastreg
