// SPDX-License-Identifier: Apache-2.0
#include "fastreg/dropout.h"
#include "ops/ops.h"

namespace fastreg {
namespace {

double read_rate(const Operand& operand) {
  const StrictFloat guard;  // a negative denormal is not 0
  const double rate = read_scalar(operand, "rate");
  if (!(rate >= 0.0 && rate <= 1.0)) {
    throw InvalidInput("rate", "a float between 0 and 1", to_string(rate));
  }
  return rate;
}

Seed read_seed(const Operand& operand) {
  if (operand.sizes != Sizes{2}) {
    throw InvalidInput("seed", "a pair of ints", "shape " + to_string(operand.sizes));
  }
  return Seed::reduced(operand.as<int64_t>()[0], operand.as<int64_t>()[1]);
}

std::vector<int64_t> read_noise_shape(const Operand& operand, const Sizes& shape) {
  const Sizes noise_shape(operand.as<int64_t>(), operand.size());
  bool fits = operand.rank() == 1 && noise_shape.size() == shape.size();
  for (size_t d = 0; fits && d < shape.size(); ++d) {
    fits = noise_shape[d] == shape[d] || noise_shape[d] == 1;
  }
  if (!fits) {
    throw InvalidInput("noise_shape", "a shape that broadcasts to the input's",
                       to_string(noise_shape));
  }
  return {noise_shape.begin(), noise_shape.end()};
}

}  // namespace

void run_dropout(Call& call, const Attributes& attributes) {
  const Operand x = call.operand(0);
  const DropoutSpec spec = {read_rate(call.operand(1)), read_seed(call.operand(2)), attributes.rng};
  const std::vector<int64_t> shape(x.sizes.begin(), x.sizes.end());
  const std::vector<int64_t> noise_shape = read_noise_shape(call.operand(3), x.sizes);
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    dropout(x.as<T>(), shape, noise_shape, spec, call.result_as<T>(0, x.sizes, {0}),
            call.executor());
  });
}

}  // namespace fastreg
