// SPDX-License-Identifier: Apache-2.0
#include "numpy/threads.h"

#include <atomic>

namespace fastreg {
namespace {

std::atomic<int> wanted_threads{1};
std::atomic<bool> is_serial{false};

class OpenMpExecutor final : public Executor {
 public:
  void run(int64_t tasks, const Task& body) const override {
    [[maybe_unused]] const int threads = num_threads();
    // The clause, not omp_set_num_threads: that would change it for the whole process.
#if defined(_OPENMP)
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
#endif
    for (int64_t task = 0; task < tasks; ++task) body(task);
  }
};

}  // namespace

const Executor& executor() {
  static const OpenMpExecutor executor;
  return executor;
}

int num_threads() { return is_serial || !has_openmp() ? 1 : wanted_threads.load(); }

void set_num_threads(int threads) { wanted_threads = threads; }

void stay_serial() { is_serial = true; }

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastreg
