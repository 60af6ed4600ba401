// SPDX-License-Identifier: Apache-2.0
#include "fastreg/parallel.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fastreg {

#if defined(__SSE2__)
namespace {
constexpr unsigned kDefaultControl = 0x1f80;  // all exceptions masked, nearest, denormals kept
}
StrictFloat::StrictFloat() : saved_(_mm_getcsr()) { _mm_setcsr(kDefaultControl); }
StrictFloat::~StrictFloat() { _mm_setcsr(saved_); }
#else
StrictFloat::StrictFloat() : saved_(0) {}
StrictFloat::~StrictFloat() = default;
#endif

void parallel_for(int64_t tasks, const Executor& executor, const Task& body) {
  const auto strict = [&body](int64_t task) {
    const StrictFloat guard;
    body(task);
  };
  if (tasks <= 1) return SerialExecutor().run(tasks, strict);
  executor.run(tasks, strict);
}

}  // namespace fastreg
