// SPDX-License-Identifier: Apache-2.0
#include "fastreg/penalty.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

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

absl::Status read_factor(const Tensor& tensor, const char* name, double* factor) {
  TF_RETURN_IF_ERROR(read_scalar(tensor, name, factor));
  return expect(std::isfinite(*factor) && *factor >= 0.0, name, "a finite non-negative float",
                std::to_string(*factor));
}

template <typename T>
class PenaltyOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const StrictFloat guard;
    const Tensor& w = context->input(0);
    double l1, l2;
    OP_REQUIRES_OK(context, read_factor(context->input(1), "l1", &l1));
    OP_REQUIRES_OK(context, read_factor(context->input(2), "l2", &l2));
    Tensor* penalty;
    OP_REQUIRES_OK(context, context->allocate_output(0, {}, &penalty));
    penalty->scalar<T>()() = static_cast<T>(
        l1_l2_penalty(elements<T>(w), w.NumElements(), l1, l2, PoolExecutor(context)));
  }
};

template <typename T>
class PenaltyGradOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const StrictFloat guard;
    const Tensor& w = context->input(0);
    const Tensor& grad = context->input(3);
    double l1, l2;
    OP_REQUIRES_OK(context, read_factor(context->input(1), "l1", &l1));
    OP_REQUIRES_OK(context, read_factor(context->input(2), "l2", &l2));
    OP_REQUIRES_OK(context, expect(grad.dims() == 0, "grad", "a scalar",
                                   "shape " + grad.shape().DebugString()));
    // Factors take the precision of the computation first, as they do in stock Keras.
    using S = fastreg::Compute<Element<T>>;
    const S scale = static_cast<S>(grad.scalar<T>()());
    const S scaled_l1 = static_cast<S>(l1) * scale, scaled_l2 = static_cast<S>(l2) * scale;
    Tensor* gradient;
    OP_REQUIRES_OK(context,
                   context->forward_input_or_allocate_output({0}, 0, w.shape(), &gradient));
    l1_l2_gradient(elements<T>(w), w.NumElements(), scaled_l1, scaled_l2, elements<T>(gradient),
                   PoolExecutor(context));
  }
};

#define FASTREG_REGISTER(T)                                                                  \
  REGISTER_KERNEL_BUILDER(                                                                   \
      Name("Fastreg>L1L2Penalty").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),     \
      PenaltyOp<T>);                                                                         \
  REGISTER_KERNEL_BUILDER(                                                                   \
      Name("Fastreg>L1L2PenaltyGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      PenaltyGradOp<T>);
FASTREG_FOR_EACH_TF_DTYPE(FASTREG_REGISTER)
#undef FASTREG_REGISTER

}  // namespace
}  // namespace fastreg
