// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

// A scalar, or with_gradient the shape of w.
absl::Status penalty_shapes(tensorflow::shape_inference::InferenceContext* context) {
  bool with_gradient;
  TF_RETURN_IF_ERROR(context->GetAttr("with_gradient", &with_gradient));
  context->set_output(0, context->Scalar());
  context->set_output(1, with_gradient ? context->input(0) : context->Scalar());
  return absl::OkStatus();
}

// With constant factors, no gradients by them are computed.
REGISTER_OP("Fastreg>L1L2Penalty")
    .Input("w: T")
    .Input("l1: double")
    .Input("l2: double")
    .Output("penalty: T")
    .Output("gradient: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("constant_factors: bool = true")
    .Attr("with_gradient: bool = false")
    .SetShapeFn(penalty_shapes);

// The gradient by w, times the gradient by the penalty. `stored` is the gradient that the penalty's
// op gave, or a scalar for none.
REGISTER_OP("Fastreg>L1L2PenaltyGrad")
    .Input("w: T")
    .Input("l1: double")
    .Input("l2: double")
    .Input("grad: T")
    .Input("stored: T")
    .Output("gradient: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("constant_factors: bool = true")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

FASTREG_REGISTER_KERNEL("L1L2Penalty", run_penalty)
FASTREG_REGISTER_KERNEL("L1L2PenaltyGrad", run_penalty_grad)

}  // namespace
}  // namespace fastreg
