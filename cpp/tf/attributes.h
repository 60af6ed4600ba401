// SPDX-License-Identifier: Apache-2.0
// The attributes of an op's node, for TensorFlow's kernel of the op and for its lowering to XLA.
#pragma once

#include <string>

#include "ops/ops.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace fastreg {

inline absl::Status read_attributes(tensorflow::OpKernelConstruction* context,
                                    Attributes* attributes) {
  if (context->HasAttr("axis")) TF_RETURN_IF_ERROR(context->GetAttr("axis", &attributes->axis));
  if (context->HasAttr("rng")) {
    std::string rng;
    TF_RETURN_IF_ERROR(context->GetAttr("rng", &rng));
    attributes->rng = rng == "fast" ? Rng::kFast : Rng::kKeras;
  }
  if (context->HasAttr("with_gradient")) {
    TF_RETURN_IF_ERROR(context->GetAttr("with_gradient", &attributes->with_gradient));
  }
  return absl::OkStatus();
}

}  // namespace fastreg
