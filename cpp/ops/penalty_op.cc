// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "fastreg/half.h"
#include "fastreg/penalty.h"
#include "ops/ops.h"

namespace fastreg {
namespace {

double read_factor(const Operand& operand, const char* name) {
  const double factor = read_scalar(operand, name);
  if (!(std::isfinite(factor) && factor >= 0.0)) {
    throw InvalidInput(name, "a finite non-negative float", std::to_string(factor));
  }
  return factor;
}

}  // namespace

void run_penalty(Call& call, const Attributes&) {
  const StrictFloat guard;
  const Operand w = call.operand(0);
  const double l1 = read_factor(call.operand(1), "l1"), l2 = read_factor(call.operand(2), "l2");
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const double penalty = l1_l2_penalty(w.as<T>(), w.size(), l1, l2, call.executor());
    *call.result_as<T>(0, {}) = from_compute<T>(static_cast<Compute<T>>(penalty));
  });
}

void run_penalty_grad(Call& call, const Attributes&) {
  const StrictFloat guard;
  const Operand w = call.operand(0), grad = call.operand(3);
  const double l1 = read_factor(call.operand(1), "l1"), l2 = read_factor(call.operand(2), "l2");
  if (grad.rank() != 0) throw InvalidInput("grad", "a scalar", "shape " + to_string(grad.sizes));
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    // Factors take the precision of the computation first, as they do in stock Keras.
    const S scale = to_compute(*grad.as<T>());
    const S scaled_l1 = static_cast<S>(l1) * scale, scaled_l2 = static_cast<S>(l2) * scale;
    l1_l2_gradient(w.as<T>(), w.size(), scaled_l1, scaled_l2, call.result_as<T>(0, w.sizes, {0}),
                   call.executor());
  });
}

}  // namespace fastreg
