// SPDX-License-Identifier: Apache-2.0
// Batch normalization by statistics that replicas share: what each of them computes between the
// all-reductions, which python/fastreg/synchronized.py makes and XLA does not compile. Statistics
// pass in double.
#include "tensorflow/core/framework/op.h"
#include "tf/channel_shapes.h"

namespace fastreg {
namespace {

REGISTER_OP("Fastreg>BatchNormShare")
    .Input("x: T")
    .Input("mask: U")
    .Output("weight: double")
    .Output("mean: double")
    .Output("squares: double")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_channels);

REGISTER_OP("Fastreg>BatchNormMerged")
    .Input("x: T")
    .Input("mean: double")
    .Input("variance: double")
    .Input("gamma: U")
    .Input("beta: U")
    .Input("epsilon: double")
    .Output("y: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_shapes);

REGISTER_OP("Fastreg>BatchNormGradShare")
    .Input("grad: T")
    .Input("x: T")
    .Input("mean: double")
    .Output("sum_grad: double")
    .Output("sum_grad_centered: double")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("axis: int = -1")
    .SetShapeFn(infer_channels);

REGISTER_OP("Fastreg>BatchNormMergedGrad")
    .Input("grad: T")
    .Input("x: T")
    .Input("weight: double")
    .Input("mean: double")
    .Input("variance: double")
    .Input("sum_grad: double")
    .Input("sum_grad_centered: double")
    .Input("gamma: U")
    .Input("mask: U")
    .Input("epsilon: double")
    .Output("grad_x: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_shapes);

FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormShare", run_batch_norm_share)
FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormMerged", run_batch_norm_merged)
FASTREG_REGISTER_KERNEL("BatchNormGradShare", run_batch_norm_grad_share)
FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormMergedGrad", run_batch_norm_merged_grad)

}  // namespace
}  // namespace fastreg
