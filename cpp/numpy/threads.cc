// SPDX-License-Identifier: Apache-2.0
#include "numpy/threads.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "numpy/startable_threads.h"

namespace fastreg {
namespace {

std::atomic<int> wanted_threads{1};
std::atomic<bool> is_serial{false};

// OpenMP keeps a pool for each thread that calls it, and ends the process where it cannot start a
// thread: so the pool grows only by threads that were seen to start. It does not shrink for small
// work, as OpenMP would end the others and have to start them again.
class Team {
 public:
  int size_for(int64_t tasks) {
    const int most = num_threads(), wanted = static_cast<int>(std::min<int64_t>(tasks, most));
    if (wanted > asked_) grow(wanted);
    if (most < size_) size_ = asked_ = most;
    return size_;
  }

 private:
  // Callers take turns, and start what they have counted within their own, so that no thread is
  // counted twice.
  void grow(int wanted) {
    static std::mutex turn;
    const std::lock_guard<std::mutex> own_turn(turn);
    size_ += startable_threads(wanted - size_);
    asked_ = wanted;
#if defined(_OPENMP)
    std::atomic<int> started{0};  // an empty region would be removed
#pragma omp parallel num_threads(size_)
    ++started;
#endif
  }

  int size_ = 1, asked_ = 1;
};

thread_local Team team;

class OpenMpExecutor final : public Executor {
 public:
  void run(int64_t tasks, const Task& body) const override {
    [[maybe_unused]] const int threads = team.size_for(tasks);
    // The clause, not omp_set_num_threads: that would change it for the whole process.
#if defined(_OPENMP)
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
#endif
    for (int64_t task = 0; task < tasks; ++task) body(task);
  }
};

}  // namespace

const Executor& executor() {
  // Never destroyed: daemon threads may use it until the process is gone.
  static const OpenMpExecutor& executor = *new OpenMpExecutor;
  return executor;
}

int num_threads() { return is_serial || !has_openmp() ? 1 : wanted_threads.load(); }

void set_num_threads(int threads) { wanted_threads = std::clamp(threads, 1, kMaxThreads); }

void stay_serial() { is_serial = true; }

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastreg
