// SPDX-License-Identifier: Apache-2.0
// What the ops of batch normalization share: the channels' axis, and reading shapes by it.
#pragma once

#include <string>

#include "fastreg/batch_norm.h"
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
    TF_RETURN_IF_ERROR(expect(axis >= -rank && axis < rank, "axis",
                              "an axis of a tensor of rank " + std::to_string(rank),
                              std::to_string(axis)));
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

class ChannelsOp : public tensorflow::OpKernel {
 public:
  explicit ChannelsOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("axis", &axis_));
  }

 protected:
  absl::Status read_shape(const tensorflow::Tensor& x, BatchNormShape* shape) const {
    const int axis = axis_of(x);
    TF_RETURN_IF_ERROR(expect(axis >= 0 && axis < x.dims(), "axis",
                              "an axis of a tensor of rank " + std::to_string(x.dims()),
                              std::to_string(axis_)));
    *shape = {1, x.dim_size(axis), 1};
    for (int d = 0; d < axis; ++d) shape->outer *= x.dim_size(d);
    for (int d = axis + 1; d < x.dims(); ++d) shape->inner *= x.dim_size(d);
    return absl::OkStatus();
  }

  static absl::Status read_epsilon(const tensorflow::Tensor& tensor, double* epsilon) {
    TF_RETURN_IF_ERROR(read_scalar(tensor, "epsilon", epsilon));
    return expect(std::isfinite(*epsilon) && *epsilon > 0.0, "epsilon", "a finite positive float",
                  std::to_string(*epsilon));
  }

  // One value per sample or, in the shape of x, one per element; a scalar stands for none.
  template <typename S>
  absl::Status read_mask(const tensorflow::Tensor& tensor, const tensorflow::Tensor& x,
                         BatchNormWeights<S>* weights) const {
    *weights = {nullptr, false};
    if (tensor.dims() == 0) return absl::OkStatus();
    tensorflow::TensorShape samples = x.shape();
    samples.RemoveDim(axis_of(x));
    *weights = {tensor.flat<S>().data(), tensor.dims() == x.dims()};
    return expect(tensor.shape() == (weights->per_element ? x.shape() : samples), "mask",
                  "the shape of the samples, " + samples.DebugString(),
                  "shape " + tensor.shape().DebugString());
  }

  static absl::Status same_shape(const tensorflow::Tensor& x, const tensorflow::Tensor& grad) {
    return expect(x.shape() == grad.shape(), "grad", "the shape of x, " + x.shape().DebugString(),
                  "shape " + grad.shape().DebugString());
  }

  // Output i as one value per channel.
  template <typename S>
  static absl::Status allocate(tensorflow::OpKernelContext* context, int i, int64_t channels,
                               S** values) {
    tensorflow::Tensor* output;
    TF_RETURN_IF_ERROR(context->allocate_output(i, {channels}, &output));
    *values = output->flat<S>().data();
    return absl::OkStatus();
  }

 private:
  // Counted from the front; not checked.
  int axis_of(const tensorflow::Tensor& x) const { return axis_ < 0 ? axis_ + x.dims() : axis_; }

  int axis_;
};

#define FASTREG_REGISTER_AS(T, name, Op)                                          \
  REGISTER_KERNEL_BUILDER(Name("Fastreg>" name)                                   \
                              .Device(tensorflow::DEVICE_CPU)                     \
                              .TypeConstraint<T>("T")                             \
                              .TypeConstraint<fastreg::Compute<Element<T>>>("U"), \
                          Op<T>);

}  // namespace fastreg
