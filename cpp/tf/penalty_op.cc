// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

// With constant factors, no gradients by them are computed.
REGISTER_OP("Fastreg>L1L2Penalty")
    .Input("w: T")
    .Input("l1: double")
    .Input("l2: double")
    .Output("penalty: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("constant_factors: bool = true")
    .SetShapeFn(tensorflow::shape_inference::ScalarShape);

// The gradient by w, times the gradient by the penalty.
REGISTER_OP("Fastreg>L1L2PenaltyGrad")
    .Input("w: T")
    .Input("l1: double")
    .Input("l2: double")
    .Input("grad: T")
    .Output("gradient: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("constant_factors: bool = true")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

FASTREG_REGISTER_KERNEL("L1L2Penalty", run_penalty)
FASTREG_REGISTER_KERNEL("L1L2PenaltyGrad", run_penalty_grad)

}  // namespace
}  // namespace fastreg
