// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/op.h"
#include "tf/channel_shapes.h"

namespace fastreg {
namespace {

absl::Status infer_batch_norm(tensorflow::shape_inference::InferenceContext* context) {
  TF_RETURN_IF_ERROR(infer_shapes(context));
  for (int i : {4, 5}) context->set_output(i - 1, context->input(i));  // moving statistics, if any
  return absl::OkStatus();
}

// A scalar in the place of gamma, beta, mask, moving statistics, their gradients, or the mean of
// inference stands for none.
REGISTER_OP("Fastreg>BatchNorm")
    .Input("x: T")
    .Input("gamma: U")
    .Input("beta: U")
    .Input("mask: U")
    .Input("moving_mean: U")
    .Input("moving_variance: U")
    .Input("epsilon: double")
    .Input("momentum: double")
    .Output("y: T")
    .Output("mean: U")
    .Output("variance: U")
    .Output("new_moving_mean: U")
    .Output("new_moving_variance: U")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_batch_norm);

// The statistics alone; no gradient flows through them.
REGISTER_OP("Fastreg>BatchNormMoments")
    .Input("x: T")
    .Input("mask: U")
    .Output("mean: U")
    .Output("variance: U")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_channels);

REGISTER_OP("Fastreg>BatchNormInference")
    .Input("x: T")
    .Input("mean: U")
    .Input("variance: U")
    .Input("gamma: U")
    .Input("beta: U")
    .Input("epsilon: double")
    .Output("y: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("U: {float, double}")
    .Attr("axis: int = -1")
    .SetShapeFn(infer_shapes);

FASTREG_REGISTER_CHANNELS_KERNEL("BatchNorm", run_batch_norm)
FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormMoments", run_batch_norm_moments)
FASTREG_REGISTER_CHANNELS_KERNEL("BatchNormInference", run_batch_norm_inference)

}  // namespace
}  // namespace fastreg
