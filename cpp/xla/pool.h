// SPDX-License-Identifier: Apache-2.0
// XLA's threads as the core sees them.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "fastreg/parallel.h"
#include "xla/ffi/api/ffi.h"

namespace fastreg {

// The caller may be a thread of the pool, and all others busy or waiting like it: so it takes
// tasks itself, and waits only for those that a thread has begun, never for a thread to come.
class PoolExecutor final : public Executor {
 public:
  explicit PoolExecutor(xla::ffi::ThreadPool pool) : pool_(pool) {}

  void run(int64_t tasks, const Task& body) const override {
    const int64_t helpers = std::min(tasks, pool_.num_threads()) - 1;
    if (helpers <= 0) return SerialExecutor().run(tasks, body);
    // A helper that comes too late finds no task left; it may outlive this call, as may `work`.
    const auto work = std::make_shared<Work>(tasks, body);
    xla::ffi::ThreadPool pool = pool_;
    for (int64_t i = 0; i < helpers; ++i) pool.Schedule([work] { work->take(); });
    work->take();
    work->wait();
  }

 private:
  class Work {
   public:
    Work(int64_t tasks, const Task& body) : tasks_(tasks), body_(body) {}

    void take() {
      int64_t done = 0;
      for (int64_t task; (task = next_++) < tasks_; ++done) body_(task);
      if (done > 0) finish(done);
    }

    void wait() {
      std::unique_lock<std::mutex> lock(mutex_);
      all_done_.wait(lock, [this] { return done_ == tasks_; });
    }

   private:
    void finish(int64_t tasks) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ += tasks;
      if (done_ == tasks_) all_done_.notify_one();
    }

    const int64_t tasks_;
    const Task& body_;  // alive while a task is left
    std::atomic<int64_t> next_{0};
    int64_t done_ = 0;
    std::mutex mutex_;
    std::condition_variable all_done_;
  };

  xla::ffi::ThreadPool pool_;
};

}  // namespace fastreg
