// SPDX-License-Identifier: Apache-2.0
#include "fastreg/dropout.h"
#include "fastreg/isa.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tf/tensors.h"

namespace fastreg {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

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

template <typename T>
class DropoutOp : public tensorflow::OpKernel {
 public:
  explicit DropoutOp(OpKernelConstruction* context) : OpKernel(context) {
    std::string rng;
    OP_REQUIRES_OK(context, context->GetAttr("rng", &rng));
    rng_ = rng == "fast" ? Rng::kFast : Rng::kKeras;
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const auto sizes = x.shape().dim_sizes();
    const std::vector<int64_t> shape(sizes.begin(), sizes.end());
    DropoutSpec spec = {0.0, {}, rng_};
    std::vector<int64_t> noise_shape;
    OP_REQUIRES_OK(context, read_rate(context->input(1), &spec.rate));
    OP_REQUIRES_OK(context, read_seed(context->input(2), &spec.seed));
    OP_REQUIRES_OK(context, read_noise_shape(context->input(3), shape, &noise_shape));
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({0}, 0, x.shape(), &y));
    dropout(elements<T>(x), shape, noise_shape, spec, elements<T>(y), PoolExecutor(context));
  }

 private:
  static absl::Status read_rate(const Tensor& tensor, double* rate) {
    TF_RETURN_IF_ERROR(read_scalar(tensor, "rate", rate));
    return expect(*rate >= 0.0 && *rate <= 1.0, "rate", "a float between 0 and 1",
                  std::to_string(*rate));
  }

  static absl::Status read_seed(const Tensor& tensor, Seed* seed) {
    TF_RETURN_IF_ERROR(expect(tensor.dims() == 1 && tensor.NumElements() == 2, "seed",
                              "a pair of ints", "shape " + tensor.shape().DebugString()));
    *seed = Seed::reduced(tensor.vec<int64_t>()(0), tensor.vec<int64_t>()(1));
    return absl::OkStatus();
  }

  static absl::Status read_noise_shape(const Tensor& tensor, const std::vector<int64_t>& shape,
                                       std::vector<int64_t>* noise_shape) {
    *noise_shape = shape;
    bool fits = tensor.dims() == 1 && tensor.NumElements() == static_cast<int64_t>(shape.size());
    for (size_t d = 0; fits && d < shape.size(); ++d) {
      (*noise_shape)[d] = tensor.vec<int64_t>()(d);
      fits = (*noise_shape)[d] == shape[d] || (*noise_shape)[d] == 1;
    }
    return expect(fits, "noise_shape", "a shape that broadcasts to the input's",
                  tensor.SummarizeValue(16));
  }

  Rng rng_;
};

#define FASTREG_REGISTER(T)                                                          \
  REGISTER_KERNEL_BUILDER(                                                           \
      Name("Fastreg>Dropout").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      DropoutOp<T>);
FASTREG_FOR_EACH_TF_DTYPE(FASTREG_REGISTER)
#undef FASTREG_REGISTER

}  // namespace
}  // namespace fastreg

// This library has its own copy of the core. Python gives it the instruction set that the numpy
// door runs on, and gets the name back; null if there is no such one.
extern "C" __attribute__((visibility("default"))) const char* fastreg_select_isa(
    const char* name) noexcept {
  static std::string active;
  try {
    fastreg::select_isa(name);
    active = fastreg::active_isa();
    return active.c_str();
  } catch (...) {
    return nullptr;
  }
}
