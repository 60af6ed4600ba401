// SPDX-License-Identifier: Apache-2.0
// The static shapes of the results of batch normalization.
#pragma once

#include <string>

#include "tensorflow/core/framework/shape_inference.h"
#include "tf/tensors.h"

namespace fastreg {

// Output 0 like input 0, the others one value per channel.
inline absl::Status infer_shapes(tensorflow::shape_inference::InferenceContext* context) {
  const auto x = context->input(0);
  int axis;
  TF_RETURN_IF_ERROR(context->GetAttr("axis", &axis));
  auto channels = context->UnknownDim();
  if (context->RankKnown(x)) {
    const int rank = context->Rank(x);
    if (!(axis >= -rank && axis < rank)) {
      return absl::InvalidArgumentError(
          InvalidInput("axis", "an axis of a tensor of rank " + std::to_string(rank),
                       std::to_string(axis))
              .what());
    }
    channels = context->Dim(x, axis);
  }
  context->set_output(0, x);
  for (int i = 1; i < context->num_outputs(); ++i)
    context->set_output(i, context->Vector(channels));
  return absl::OkStatus();
}

inline absl::Status infer_channels(tensorflow::shape_inference::InferenceContext* context) {
  TF_RETURN_IF_ERROR(infer_shapes(context));
  context->set_output(0, context->output(1));
  return absl::OkStatus();
}

}  // namespace fastreg
