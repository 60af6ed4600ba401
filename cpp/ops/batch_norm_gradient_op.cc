// SPDX-License-Identifier: Apache-2.0
#include "ops/channels.h"

namespace fastreg {

void run_batch_norm_grad(Call& call, const Attributes& attributes) {
  const Operand grad = call.operand(0), x = call.operand(1);
  expect_same_shape(x, grad);
  const BatchNormShape shape = read_shape(x, attributes);
  const int64_t channels = shape.channels;
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormGradient<T> args = {};
    args.mean = read_channels<S>(call.operand(2), "mean", channels);
    args.variance = read_channels<S>(call.operand(3), "variance", channels);
    args.gamma = read_optional_channels<S>(call.operand(4), "gamma", channels);
    args.weights = read_mask<S>(call.operand(5), x, attributes);
    args.grad_mean = read_optional_channels<S>(call.operand(6), "grad_mean", channels);
    args.grad_variance = read_optional_channels<S>(call.operand(7), "grad_variance", channels);
    args.epsilon = read_epsilon(call.operand(8));
    args.grad_gamma = call.result_as<S>(1, {channels});
    args.grad_beta = call.result_as<S>(2, {channels});
    args.grad = grad.as<T>();
    args.x = x.as<T>();
    args.grad_x = call.result_as<T>(0, x.sizes, {0, 1});
    if (!batch_norm_gradient(shape, args, call.executor())) refuse_weights<S>(call.operand(5));
  });
}

void run_batch_norm_grad_sums(Call& call, const Attributes& attributes) {
  const Operand grad = call.operand(0), x = call.operand(1);
  expect_same_shape(x, grad);
  const BatchNormShape shape = read_shape(x, attributes);
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    const S* mean = read_channels<S>(call.operand(2), "mean", shape.channels);
    S* sum_grad = call.result_as<S>(0, {shape.channels});
    S* sum_grad_centered = call.result_as<S>(1, {shape.channels});
    batch_norm_gradient_sums(shape, grad.as<T>(), x.as<T>(), mean, sum_grad, sum_grad_centered,
                             call.executor());
  });
}

}  // namespace fastreg
