// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/op.h"
#include "tf/channels_op.h"

namespace fastreg {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

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

#define FASTREG_REGISTER(T)                                \
  FASTREG_REGISTER_AS(T, "BatchNormGrad", BatchNormGradOp) \
  FASTREG_REGISTER_AS(T, "BatchNormGradSums", BatchNormGradSumsOp)
FASTREG_FOR_EACH_TF_DTYPE(FASTREG_REGISTER)
#undef FASTREG_REGISTER

}  // namespace
}  // namespace fastreg
