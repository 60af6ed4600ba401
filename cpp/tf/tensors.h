// SPDX-License-Identifier: Apache-2.0
// TensorFlow's tensors and threads as the bodies of the ops see them, and the kernel around a body.
#pragma once

#include "ops/ops.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tf/attributes.h"

namespace fastreg {

// The pool of the device that the op runs on; the calling thread takes its share.
class PoolExecutor final : public Executor {
 public:
  explicit PoolExecutor(tensorflow::OpKernelContext* context)
      : pool_(context->device()->tensorflow_cpu_worker_threads()->workers) {}

  void run(int64_t tasks, const Task& body) const override {
    using Pool = tensorflow::thread::ThreadPool;
    const int64_t block = ceil_div(tasks, pool_->NumThreads());
    pool_->ParallelFor(tasks, Pool::SchedulingParams::Fixed(block),
                       [&](int64_t begin, int64_t end) {
                         for (int64_t task = begin; task < end; ++task) body(task);
                       });
  }

 private:
  tensorflow::thread::ThreadPool* pool_;
};

// An error of TensorFlow's own on its way through a body.
struct StatusError : std::exception {
  explicit StatusError(absl::Status given) : status(std::move(given)) {}
  absl::Status status;
};

class TensorCall final : public Call {
 public:
  explicit TensorCall(tensorflow::OpKernelContext* context)
      : context_(context), pool_(context), sizes_(context->num_inputs()) {}

  Dtype dtype() const override {
    switch (context_->input_dtype(0)) {
      case tensorflow::DT_DOUBLE:
        return Dtype::kFloat64;
      case tensorflow::DT_HALF:
        return Dtype::kFloat16;
      case tensorflow::DT_BFLOAT16:
        return Dtype::kBFloat16;
      default:
        return Dtype::kFloat32;
    }
  }

  Operand operand(int i) const override {
    const tensorflow::Tensor& tensor = context_->input(i);
    sizes_[i] = tensor.shape().dim_sizes();
    return {tensor.data(), Sizes(sizes_[i].data(), sizes_[i].size())};
  }

  void* result(int i, const Sizes& sizes, std::initializer_list<int> reusable) override {
    tensorflow::Tensor* tensor;
    const tensorflow::TensorShape shape(absl::MakeConstSpan(sizes.begin(), sizes.size()));
    const absl::Status status = reusable.size() == 0 ? context_->allocate_output(i, shape, &tensor)
                                                     : context_->forward_input_or_allocate_output(
                                                           reusable, i, shape, &tensor);
    if (!status.ok()) throw StatusError(status);
    return tensor->data();
  }

  const Executor& executor() const override { return pool_; }

 private:
  tensorflow::OpKernelContext* context_;
  PoolExecutor pool_;
  // Of the operands that have been asked for.
  mutable absl::InlinedVector<decltype(tensorflow::TensorShape().dim_sizes()), 12> sizes_;
};

template <Body body>
class BodyOp : public tensorflow::OpKernel {
 public:
  explicit BodyOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, read_attributes(context, &attributes_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    TensorCall call(context);
    try {
      body(call, attributes_);
    } catch (const InvalidInput& error) {
      context->CtxFailure(__FILE__, __LINE__, absl::InvalidArgumentError(error.what()));
    } catch (const StatusError& error) {
      context->CtxFailure(__FILE__, __LINE__, error.status);
    } catch (const std::bad_alloc&) {
      context->CtxFailure(__FILE__, __LINE__, absl::ResourceExhaustedError("Out of memory"));
    }
  }

 private:
  Attributes attributes_;
};

#define FASTREG_TF_DTYPES "{float, double, half, bfloat16}"
#define FASTREG_REGISTER_KERNEL(name, body) \
  REGISTER_KERNEL_BUILDER(Name("Fastreg>" name).Device(tensorflow::DEVICE_CPU), BodyOp<body>);

// With statistics of type U, which is T's compute type.
#define FASTREG_REGISTER_KERNEL_AS(name, body, T, U)          \
  REGISTER_KERNEL_BUILDER(Name("Fastreg>" name)               \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint("T", T)         \
                              .TypeConstraint("U", U),        \
                          BodyOp<body>);
#define FASTREG_REGISTER_CHANNELS_KERNEL(name, body)                                   \
  FASTREG_REGISTER_KERNEL_AS(name, body, tensorflow::DT_DOUBLE, tensorflow::DT_DOUBLE) \
  FASTREG_REGISTER_KERNEL_AS(                                                          \
      name, body,                                                                      \
      (std::vector<tensorflow::DataType>{tensorflow::DT_FLOAT, tensorflow::DT_HALF,    \
                                         tensorflow::DT_BFLOAT16}),                    \
      tensorflow::DT_FLOAT)

}  // namespace fastreg
