// SPDX-License-Identifier: Apache-2.0
#include "fastreg/penalty.h"

#include "core/chunks.h"
#include "core/scratch.h"
#include "core/stores.h"
#include "fastreg/isa.h"
#include "kernels/table.h"

namespace fastreg {
namespace {

int terms_of(double l1, double l2) {
  return (l1 != 0.0 ? kL1 : kNoPenalty) | (l2 != 0.0 ? kL2 : kNoPenalty);
}

// Partial sums per chunk, added in the order of the chunks. `gradient` may be null.
template <typename T>
double evaluate(const T* w, int64_t n, double l1, double l2, bool wants_penalty, T* gradient,
                const Executor& executor) {
  const StrictFloat guard;
  const PenaltyKernels<T>& kernel = kernels().of(w).penalty;
  const int terms = terms_of(l1, l2);
  // Sums that have to be taken once more need w as it was.
  const bool has_one_pass = wants_penalty && gradient && gradient != w && terms != kNoPenalty;
  const Stores stores = stores_for(gradient, n, w);
  Scratch<PenaltySums> scratch(wants_penalty ? chunk_count(n) : 0);
  PenaltySums* const partial = scratch.data();
  for_each_chunk(n, executor, [&](int64_t chunk, int64_t begin, int64_t size) {
    if (has_one_pass) {
      partial[chunk] =
          kernel.sums_and_gradient(w + begin, size, terms, l1, l2, gradient + begin, stores);
      return;
    }
    if (wants_penalty) partial[chunk] = kernel.sums(w + begin, size, terms);
    if (gradient) kernel.gradient(w + begin, size, terms, l1, l2, gradient + begin, stores);
  });
  PenaltySums total = {0.0, 0.0};
  for (int64_t chunk = 0; wants_penalty && chunk < chunk_count(n); ++chunk) {
    total.magnitudes += partial[chunk].magnitudes;
    total.squares += partial[chunk].squares;
  }
  return (terms & kL1 ? l1 * total.magnitudes : 0.0) + (terms & kL2 ? l2 * total.squares : 0.0);
}

}  // namespace

template <typename T>
double l1_l2_penalty(const T* w, int64_t n, double l1, double l2, const Executor& executor) {
  if (l1 == 0.0 && l2 == 0.0) return 0.0;
  return evaluate<T>(w, n, l1, l2, true, nullptr, executor);
}

template <typename T>
void l1_l2_gradient(const T* w, int64_t n, double l1, double l2, T* gradient,
                    const Executor& executor) {
  evaluate(w, n, l1, l2, false, gradient, executor);
}

template <typename T>
double l1_l2_penalty_and_gradient(const T* w, int64_t n, double l1, double l2, T* gradient,
                                  const Executor& executor) {
  return evaluate(w, n, l1, l2, true, gradient, executor);
}

#define FASTREG_INSTANTIATE(T)                                                             \
  template double l1_l2_penalty<T>(const T*, int64_t, double, double, const Executor&);    \
  template void l1_l2_gradient<T>(const T*, int64_t, double, double, T*, const Executor&); \
  template double l1_l2_penalty_and_gradient<T>(const T*, int64_t, double, double, T*,     \
                                                const Executor&);
FASTREG_FOR_EACH_DTYPE(FASTREG_INSTANTIATE)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg
