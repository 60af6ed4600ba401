// SPDX-License-Identifier: Apache-2.0
#include "fastreg/batch_norm.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Output 0 like input 0, the others one value per channel.
absl::Status infer_shapes(InferenceContext* context) {
  const ShapeHandle x = context->input(0);
  int axis;
  TF_RETURN_IF_ERROR(context->GetAttr("axis", &axis));
  DimensionHandle channels = context->UnknownDim();
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

absl::Status infer_batch_norm(InferenceContext* context) {
  TF_RETURN_IF_ERROR(infer_shapes(context));
  for (int i : {4, 5}) context->set_output(i - 1, context->input(i));  // moving statistics, if any
  return absl::OkStatus();
}

absl::Status infer_channels(InferenceContext* context) {
  TF_RETURN_IF_ERROR(infer_shapes(context));
  context->set_output(0, context->output(1));
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

// What all these ops share: the channels' axis, and reading a shape by it.
class ChannelsOp : public tensorflow::OpKernel {
 public:
  explicit ChannelsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("axis", &axis_));
  }

 protected:
  absl::Status read_shape(const Tensor& x, BatchNormShape* shape) const {
    const int axis = axis_ < 0 ? axis_ + x.dims() : axis_;
    TF_RETURN_IF_ERROR(expect(axis >= 0 && axis < x.dims(), "axis",
                              "an axis of a tensor of rank " + std::to_string(x.dims()),
                              std::to_string(axis_)));
    *shape = {1, x.dim_size(axis), 1};
    for (int d = 0; d < axis; ++d) shape->outer *= x.dim_size(d);
    for (int d = axis + 1; d < x.dims(); ++d) shape->inner *= x.dim_size(d);
    return absl::OkStatus();
  }

  static absl::Status read_epsilon(const Tensor& tensor, double* epsilon) {
    TF_RETURN_IF_ERROR(read_scalar(tensor, "epsilon", epsilon));
    return expect(std::isfinite(*epsilon) && *epsilon > 0.0, "epsilon", "a finite positive float",
                  std::to_string(*epsilon));
  }

  // One value per sample or, in the shape of x, one per element; a scalar stands for none.
  template <typename S>
  absl::Status read_mask(const Tensor& tensor, const Tensor& x,
                         BatchNormWeights<S>* weights) const {
    *weights = {nullptr, false};
    if (tensor.dims() == 0) return absl::OkStatus();
    tensorflow::TensorShape samples = x.shape();
    samples.RemoveDim(axis_ < 0 ? axis_ + x.dims() : axis_);
    *weights = {tensor.flat<S>().data(), tensor.dims() == x.dims()};
    return expect(tensor.shape() == (weights->per_element ? x.shape() : samples), "mask",
                  "the shape of the samples, " + samples.DebugString(),
                  "shape " + tensor.shape().DebugString());
  }

  static absl::Status same_shape(const Tensor& x, const Tensor& grad) {
    return expect(x.shape() == grad.shape(), "grad", "the shape of x, " + x.shape().DebugString(),
                  "shape " + grad.shape().DebugString());
  }

  // Output i as one value per channel.
  template <typename S>
  static absl::Status allocate(OpKernelContext* context, int i, int64_t channels, S** values) {
    Tensor* output;
    TF_RETURN_IF_ERROR(context->allocate_output(i, {channels}, &output));
    *values = output->flat<S>().data();
    return absl::OkStatus();
  }

 private:
  int axis_;
};

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
class BatchNormGradOp : public ChannelsOp {
 public:
  using ChannelsOp::ChannelsOp;
  using S = fastreg::Compute<Element<T>>;

  void Compute(OpKernelContext* context) override {
    const Tensor& grad = context->input(0);
    const Tensor& x = context->input(1);
    BatchNormShape shape;
    BatchNormGradient<Element<T>> args = {};
    OP_REQUIRES_OK(context, same_shape(x, grad));
    OP_REQUIRES_OK(context, read_shape(x, &shape));
    const int64_t channels = shape.channels;
    OP_REQUIRES_OK(context, read_channels(context->input(2), "mean", channels, &args.mean));
    OP_REQUIRES_OK(context, read_channels(context->input(3), "variance", channels, &args.variance));
    OP_REQUIRES_OK(context,
                   read_optional_channels(context->input(4), "gamma", channels, &args.gamma));
    OP_REQUIRES_OK(context, read_mask(context->input(5), x, &args.weights));
    OP_REQUIRES_OK(
        context, read_optional_channels(context->input(6), "grad_mean", channels, &args.grad_mean));
    OP_REQUIRES_OK(context, read_optional_channels(context->input(7), "grad_variance", channels,
                                                   &args.grad_variance));
    OP_REQUIRES_OK(context, read_epsilon(context->input(8), &args.epsilon));
    OP_REQUIRES_OK(context, allocate(context, 1, channels, &args.grad_gamma));
    OP_REQUIRES_OK(context, allocate(context, 2, channels, &args.grad_beta));
    Tensor* grad_x;
    OP_REQUIRES_OK(context,
                   context->forward_input_or_allocate_output({0, 1}, 0, x.shape(), &grad_x));
    args.grad = elements<T>(grad);
    args.x = elements<T>(x);
    args.grad_x = elements<T>(grad_x);
    batch_norm_gradient(shape, args, PoolExecutor(context));
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

template <typename T>
class BatchNormGradSumsOp : public ChannelsOp {
 public:
  using ChannelsOp::ChannelsOp;
  using S = fastreg::Compute<Element<T>>;

  void Compute(OpKernelContext* context) override {
    const Tensor& grad = context->input(0);
    const Tensor& x = context->input(1);
    BatchNormShape shape;
    const S* mean = nullptr;
    S *sum_grad = nullptr, *sum_grad_centered = nullptr;
    OP_REQUIRES_OK(context, same_shape(x, grad));
    OP_REQUIRES_OK(context, read_shape(x, &shape));
    OP_REQUIRES_OK(context, read_channels(context->input(2), "mean", shape.channels, &mean));
    OP_REQUIRES_OK(context, allocate(context, 0, shape.channels, &sum_grad));
    OP_REQUIRES_OK(context, allocate(context, 1, shape.channels, &sum_grad_centered));
    batch_norm_gradient_sums(shape, elements<T>(grad), elements<T>(x), mean, sum_grad,
                             sum_grad_centered, PoolExecutor(context));
  }
};

#define FASTREG_REGISTER_AS(T, name, Op)                                          \
  REGISTER_KERNEL_BUILDER(Name("Fastreg>" name)                                   \
                              .Device(tensorflow::DEVICE_CPU)                     \
                              .TypeConstraint<T>("T")                             \
                              .TypeConstraint<fastreg::Compute<Element<T>>>("U"), \
                          Op<T>);
#define FASTREG_REGISTER(T)                                          \
  FASTREG_REGISTER_AS(T, "BatchNorm", BatchNormOp)                   \
  FASTREG_REGISTER_AS(T, "BatchNormMoments", BatchNormMomentsOp)     \
  FASTREG_REGISTER_AS(T, "BatchNormGrad", BatchNormGradOp)           \
  FASTREG_REGISTER_AS(T, "BatchNormInference", BatchNormInferenceOp) \
  FASTREG_REGISTER_AS(T, "BatchNormGradSums", BatchNormGradSumsOp)
FASTREG_FOR_EACH_TF_DTYPE(FASTREG_REGISTER)
#undef FASTREG_REGISTER
#undef FASTREG_REGISTER_AS

}  // namespace
}  // namespace fastreg
