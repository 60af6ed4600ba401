// SPDX-License-Identifier: Apache-2.0
// The one seam between work and threads. Work is cut into tasks whose number and bounds depend on
// the problem alone, so the bits of a result do not depend on who runs them.
#pragma once

#include <cstdint>

namespace fastreg {

// What is done for one task: a function object, which has to outlive this reference to it.
class Task {
 public:
  template <typename Body>
  Task(const Body& body)
      : body_(&body),
        call_([](const void* body, int64_t task) { (*static_cast<const Body*>(body))(task); }) {}
  void operator()(int64_t task) const { call_(body_, task); }

 private:
  const void* body_;
  void (*call_)(const void* body, int64_t task);
};

// Runs body(0) ... body(tasks - 1), in any order and on any thread, and returns when all are done.
// Each front door brings its own: OpenMP, TensorFlow's pool, XLA's pool.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void run(int64_t tasks, const Task& body) const = 0;
};

class SerialExecutor final : public Executor {
 public:
  void run(int64_t tasks, const Task& body) const override {
    for (int64_t task = 0; task < tasks; ++task) body(task);
  }
};

// Denormals are kept and rounding is to nearest while one of these is alive. TensorFlow's threads
// flush denormals to zero; without this, its door would give other bits than numpy's.
class StrictFloat {
 public:
  StrictFloat();
  ~StrictFloat();
  StrictFloat(const StrictFloat&) = delete;
  StrictFloat& operator=(const StrictFloat&) = delete;

 private:
  unsigned saved_;
};

// A single task runs on the caller.
void parallel_for(int64_t tasks, const Executor& executor, const Task& body);

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace fastreg
