// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

// The noise shape has x's rank.
REGISTER_OP("Fastreg>Dropout")
    .Input("x: T")
    .Input("rate: double")
    .Input("seed: int64")
    .Input("noise_shape: int64")
    .Output("y: T")
    .Attr("T: " FASTREG_TF_DTYPES)
    .Attr("rng: {'keras', 'fast'} = 'keras'")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

FASTREG_REGISTER_KERNEL("Dropout", run_dropout)

}  // namespace
}  // namespace fastreg
