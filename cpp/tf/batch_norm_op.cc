// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/op.h"
#include "tf/channels_op.h"

namespace fastreg {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

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

template <typename T>
class BatchNormOp : public ChannelsOp {
 public:
  using ChannelsOp::ChannelsOp;
  using S = fastreg::Compute<Element<T>>;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    BatchNormShape shape;
    BatchNormForward<Element<T>> args = {};
    MovingStatistics<S> moving = {};
    OP_REQUIRES_OK(context, read_shape(x, &shape));
    const int64_t channels = shape.channels;
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(1), "gamma", channels, &args.gamma));
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(2), "beta", channels, &args.beta));
    OP_REQUIRES_OK(context, read_mask(context->input(3), x, &args.weights));
    OP_REQUIRES_OK(
        context, read_optional_channels(context->input(4), "moving_mean", channels, &moving.mean));
    OP_REQUIRES_OK(context, read_optional_channels(context->input(5), "moving_variance", channels,
                                                   &moving.variance));
    OP_REQUIRES_OK(context, expect((moving.mean == nullptr) == (moving.variance == nullptr),
                                   "moving_variance", "both moving statistics or none", "one"));
    OP_REQUIRES_OK(context, read_epsilon(context->input(6), &args.epsilon));
    OP_REQUIRES_OK(context, read_scalar(context->input(7), "momentum", &moving.momentum));
    OP_REQUIRES_OK(context, allocate(context, 1, channels, &args.mean));
    OP_REQUIRES_OK(context, allocate(context, 2, channels, &args.variance));
    Tensor *new_mean, *new_variance;
    OP_REQUIRES_OK(context, context->allocate_output(3, context->input(4).shape(), &new_mean));
    OP_REQUIRES_OK(context, context->allocate_output(4, context->input(5).shape(), &new_variance));
    moving.new_mean = new_mean->flat<S>().data();
    moving.new_variance = new_variance->flat<S>().data();
    for (Tensor* output : {new_mean, new_variance}) {
      if (output->dims() == 0) output->scalar<S>()() = S(0);
    }
    if (moving.mean != nullptr) args.moving = &moving;
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({0}, 0, x.shape(), &y));
    args.x = elements<T>(x);
    args.y = elements<T>(y);
    batch_norm(shape, args, PoolExecutor(context));
  }
};

template <typename T>
class BatchNormMomentsOp : public ChannelsOp {
 public:
  using ChannelsOp::ChannelsOp;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    BatchNormShape shape;
    BatchNormForward<Element<T>> args = {};
    OP_REQUIRES_OK(context, read_shape(x, &shape));
    OP_REQUIRES_OK(context, read_mask(context->input(1), x, &args.weights));
    OP_REQUIRES_OK(context, allocate(context, 0, shape.channels, &args.mean));
    OP_REQUIRES_OK(context, allocate(context, 1, shape.channels, &args.variance));
    args.x = elements<T>(x);
    batch_norm(shape, args, PoolExecutor(context));
  }
};

template <typename T>
class BatchNormInferenceOp : public ChannelsOp {
 public:
  using ChannelsOp::ChannelsOp;
  using S = fastreg::Compute<Element<T>>;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    BatchNormShape shape;
    BatchNormInference<Element<T>> args = {};
    OP_REQUIRES_OK(context, read_shape(x, &shape));
    const int64_t channels = shape.channels;
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(1), "mean", channels, &args.mean));
    OP_REQUIRES_OK(context, read_channels(context->input(2), "variance", channels, &args.variance));
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(3), "gamma", channels, &args.gamma));
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(4), "beta", channels, &args.beta));
    OP_REQUIRES_OK(context, read_epsilon(context->input(5), &args.epsilon));
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({0}, 0, x.shape(), &y));
    args.x = elements<T>(x);
    args.y = elements<T>(y);
    batch_norm_inference(shape, args, PoolExecutor(context));
  }
};

#define FASTREG_REGISTER(T)                                      \
  FASTREG_REGISTER_AS(T, "BatchNorm", BatchNormOp)               \
  FASTREG_REGISTER_AS(T, "BatchNormMoments", BatchNormMomentsOp) \
  FASTREG_REGISTER_AS(T, "BatchNormInference", BatchNormInferenceOp)
FASTREG_FOR_EACH_TF_DTYPE(FASTREG_REGISTER)
#undef FASTREG_REGISTER

}  // namespace
}  // namespace fastreg
