// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "fastreg/half.h"
#include "fastreg/penalty.h"
#include "ops/ops.h"

namespace fastreg {
namespace {

double read_factor(const Operand& operand, const char* name) {
  const double factor = read_scalar(operand, name);
  if (!(std::isfinite(factor) && factor >= 0.0)) {
    throw InvalidInput(name, "a finite non-negative float", to_string(factor));
  }
  return factor;
}

// Factors take the precision of the computation first, as they do in stock Keras, but for a float
// that overflows: large as it is, it leaves the gradient 0 at 0, which an infinite one does not.
double scaled(double factor, double scale) { return factor * scale; }
double scaled(double factor, float scale) {
  const float product = static_cast<float>(factor) * scale;
  if (std::isfinite(product) || !std::isfinite(scale)) return product;
  constexpr double kLargest = std::numeric_limits<double>::max();
  return std::clamp(factor * static_cast<double>(scale), -kLargest, kLargest);
}

}  // namespace

// With the gradient from the same reading, else a scalar 0 in its place.
void run_penalty(Call& call, const Attributes& attributes) {
  const StrictFloat guard;
  const Operand w = call.operand(0);
  const double l1 = read_factor(call.operand(1), "l1"), l2 = read_factor(call.operand(2), "l2");
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Executor& executor = call.executor();
    T* const gradient = call.result_as<T>(1, attributes.with_gradient ? w.sizes : Sizes{});
    double penalty;
    if (attributes.with_gradient) {
      penalty = l1_l2_penalty_and_gradient(w.as<T>(), w.size(), l1, l2, gradient, executor);
    } else {
      penalty = l1_l2_penalty(w.as<T>(), w.size(), l1, l2, executor);
      *gradient = T{};
    }
    *call.result_as<T>(0, {}) = from_compute<T>(static_cast<Compute<T>>(penalty));
  });
}

// `stored` is what the penalty's op gave besides, a scalar for none. Where the incoming gradient is
// 1 and its memory can be had, there is nothing to do.
void run_penalty_grad(Call& call, const Attributes&) {
  const StrictFloat guard;
  const Operand w = call.operand(0), grad = call.operand(3), stored = call.operand(4);
  const double l1 = read_factor(call.operand(1), "l1"), l2 = read_factor(call.operand(2), "l2");
  if (grad.rank() != 0) throw InvalidInput("grad", "a scalar", "shape " + to_string(grad.sizes));
  if (stored.rank() > 0 && stored.sizes != w.sizes) {
    throw InvalidInput("stored", "the shape of w, " + to_string(w.sizes),
                       "shape " + to_string(stored.sizes));
  }
  with_dtype(call, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using S = Compute<T>;
    const S scale = to_compute(*grad.as<T>());
    const bool is_stored = stored.rank() > 0 && scale == S(1);
    T* const gradient = call.result_as<T>(0, w.sizes, {is_stored ? 4 : 0});
    if (is_stored && gradient == stored.data) return;
    l1_l2_gradient(w.as<T>(), w.size(), scaled(l1, scale), scaled(l2, scale), gradient,
                   call.executor());
  });
}

}  // namespace fastreg
