// SPDX-License-Identifier: Apache-2.0
#include "ops/channels.h"

namespace fastreg {
namespace {

// Shaped like the given ones; where there are none, a scalar 0 each.
template <typename S>
MovingStatistics<S> read_moving(Call& call, int64_t channels) {
  const Operand mean = call.operand(4), variance = call.operand(5);
  MovingStatistics<S> moving = {};
  moving.mean = read_optional_channels<S>(mean, "moving_mean", channels);
  moving.variance = read_optional_channels<S>(variance, "moving_variance", channels);
  if ((mean.rank() == 0) != (variance.rank() == 0)) {
    throw InvalidInput("moving_variance", "both moving statistics or none", "one");
  }
  moving.momentum = read_scalar(call.operand(7), "momentum");
  moving.new_mean = call.result_as<S>(3, mean.sizes);
  moving.new_variance = call.result_as<S>(4, variance.sizes);
  if (mean.rank() == 0) *moving.new_mean = *moving.new_variance = S(0);
  return moving;
}

}  // namespace

void run_batch_norm(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const BatchNormShape shape = read_shape(x, attributes);
  const int64_t channels = shape.channels;
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormForward<T> args = {};
    args.gamma = read_optional_channels<S>(call.operand(1), "gamma", channels);
    args.beta = read_optional_channels<S>(call.operand(2), "beta", channels);
    args.weights = read_mask<S>(call.operand(3), x, attributes);
    args.epsilon = read_epsilon(call.operand(6));
    const MovingStatistics<S> moving = read_moving<S>(call, channels);
    if (moving.mean != nullptr) args.moving = &moving;
    args.mean = call.result_as<S>(1, {channels});
    args.variance = call.result_as<S>(2, {channels});
    args.x = x.as<T>();
    args.y = call.result_as<T>(0, x.sizes, {0});
    if (!batch_norm(shape, args, call.executor())) refuse_weights<S>(call.operand(3));
  });
}

void run_batch_norm_moments(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const BatchNormShape shape = read_shape(x, attributes);
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormForward<T> args = {};
    args.weights = read_mask<S>(call.operand(1), x, attributes);
    args.x = x.as<T>();
    args.mean = call.result_as<S>(0, {shape.channels});
    args.variance = call.result_as<S>(1, {shape.channels});
    if (!batch_norm(shape, args, call.executor())) refuse_weights<S>(call.operand(1));
  });
}

void run_batch_norm_inference(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const BatchNormShape shape = read_shape(x, attributes);
  const int64_t channels = shape.channels;
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    BatchNormInference<T> args = {};
    args.mean = read_optional_channels<S>(call.operand(1), "mean", channels);
    args.variance = read_channels<S>(call.operand(2), "variance", channels);
    args.gamma = read_optional_channels<S>(call.operand(3), "gamma", channels);
    args.beta = read_optional_channels<S>(call.operand(4), "beta", channels);
    args.epsilon = read_epsilon(call.operand(5));
    args.x = x.as<T>();
    args.y = call.result_as<T>(0, x.sizes, {0});
    batch_norm_inference(shape, args, call.executor());
  });
}

}  // namespace fastreg
