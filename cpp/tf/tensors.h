// SPDX-License-Identifier: Apache-2.0
// TensorFlow's tensors and threads as the core sees them. Every op checks its inputs through these.
#pragma once

#include <cmath>
#include <string>

#include "fastreg/dtype.h"
#include "fastreg/parallel.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"

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

// Our name of a type that TensorFlow calls T; the memory is the same.
template <typename T>
struct ElementOf {
  using type = T;
};
template <>
struct ElementOf<Eigen::half> {
  using type = Half;
};
template <>
struct ElementOf<Eigen::bfloat16> {
  using type = BFloat16;
};
template <typename T>
using Element = typename ElementOf<T>::type;

// T is TensorFlow's name, the result has ours.
template <typename T>
const Element<T>* elements(const tensorflow::Tensor& tensor) {
  return reinterpret_cast<const Element<T>*>(tensor.flat<T>().data());
}
template <typename T>
Element<T>* elements(tensorflow::Tensor* tensor) {
  return reinterpret_cast<Element<T>*>(tensor->flat<T>().data());
}

inline absl::Status expect(bool holds, const char* name, const std::string& expected,
                           const std::string& received) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError("Invalid value received for input `" + std::string(name) +
                                    "`. Expected " + expected + ". Received: " + received);
}

inline absl::Status read_scalar(const tensorflow::Tensor& tensor, const char* name, double* value) {
  TF_RETURN_IF_ERROR(
      expect(tensor.dims() == 0, name, "a scalar", "shape " + tensor.shape().DebugString()));
  *value = tensor.scalar<double>()();
  return absl::OkStatus();
}

// One value per channel.
template <typename S>
absl::Status read_channels(const tensorflow::Tensor& tensor, const char* name, int64_t channels,
                           const S** values) {
  *values = tensor.flat<S>().data();
  return expect(tensor.dims() == 1 && tensor.dim_size(0) == channels, name,
                "a vector of " + std::to_string(channels) + " channels",
                "shape " + tensor.shape().DebugString());
}

// A scalar stands for none, and reads as null.
template <typename S>
absl::Status read_optional_channels(const tensorflow::Tensor& tensor, const char* name,
                                    int64_t channels, const S** values) {
  if (tensor.dims() > 0) return read_channels(tensor, name, channels, values);
  *values = nullptr;
  return absl::OkStatus();
}

// One op is registered for each of TensorFlow's names of the types of FASTREG_FOR_EACH_DTYPE.
#define FASTREG_FOR_EACH_TF_DTYPE(REGISTER) \
  REGISTER(float)                           \
  REGISTER(double)                          \
  REGISTER(Eigen::half)                     \
  REGISTER(Eigen::bfloat16)
#define FASTREG_TF_DTYPES "{float, double, half, bfloat16}"

}  // namespace fastreg
