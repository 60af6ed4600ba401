// SPDX-License-Identifier: Apache-2.0
#include "ops/channels.h"

namespace fastreg {

void run_batch_norm_share(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const BatchNormShape shape = read_shape(x, attributes);
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    const Operand mask = call.operand(1);
    const auto weights = read_mask<S>(mask, x, attributes);
    BatchNormShare share;
    share.weight = call.result_as<double>(0, {shape.channels});
    share.mean = call.result_as<double>(1, {shape.channels});
    share.squares = call.result_as<double>(2, {shape.channels});
    if (!batch_norm_share(shape, x.as<T>(), weights, share, call.executor())) {
      refuse_weights<S>(mask);
    }
  });
}

void run_batch_norm_merged(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const BatchNormShape shape = read_shape(x, attributes);
  const int64_t channels = shape.channels;
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormMerged<T> args = {};
    args.mean = read_channels<double>(call.operand(1), "mean", channels);
    args.variance = read_channels<double>(call.operand(2), "variance", channels);
    args.gamma = read_optional_channels<S>(call.operand(3), "gamma", channels);
    args.beta = read_optional_channels<S>(call.operand(4), "beta", channels);
    args.epsilon = read_epsilon(call.operand(5));
    args.x = x.as<T>();
    args.y = call.result_as<T>(0, x.sizes, {0});
    batch_norm_merged(shape, args, call.executor());
  });
}

void run_batch_norm_grad_share(Call& call, const Attributes& attributes) {
  const Operand grad = call.operand(0), x = call.operand(1);
  expect_same_shape(x, grad);
  const BatchNormShape shape = read_shape(x, attributes);
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const double* mean = read_channels<double>(call.operand(2), "mean", shape.channels);
    double* sum_grad = call.result_as<double>(0, {shape.channels});
    double* sum_grad_centered = call.result_as<double>(1, {shape.channels});
    batch_norm_gradient_share(shape, grad.as<T>(), x.as<T>(), mean, sum_grad, sum_grad_centered,
                              call.executor());
  });
}

void run_batch_norm_merged_grad(Call& call, const Attributes& attributes) {
  const Operand grad = call.operand(0), x = call.operand(1);
  expect_same_shape(x, grad);
  const BatchNormShape shape = read_shape(x, attributes);
  const int64_t channels = shape.channels;
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormMergedGradient<T> args = {};
    args.weight = read_channels<double>(call.operand(2), "weight", channels);
    args.mean = read_channels<double>(call.operand(3), "mean", channels);
    args.variance = read_channels<double>(call.operand(4), "variance", channels);
    args.sum_grad = read_channels<double>(call.operand(5), "sum_grad", channels);
    args.sum_grad_centered = read_channels<double>(call.operand(6), "sum_grad_centered", channels);
    args.gamma = read_optional_channels<S>(call.operand(7), "gamma", channels);
    args.weights = read_mask<S>(call.operand(8), x, attributes);
    args.epsilon = read_epsilon(call.operand(9));
    args.grad = grad.as<T>();
    args.x = x.as<T>();
    args.grad_x = call.result_as<T>(0, x.sizes, {0, 1});
    batch_norm_merged_gradient(shape, args, call.executor());
  });
}

}  // namespace fastreg
