// SPDX-License-Identifier: Apache-2.0
// Work without the interpreter's lock (GIL).
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

namespace fastreg {

// While the interpreter ends, Python before 3.14 gives a daemon thread no lock: it ends the thread
// by an unwinding of its stack. That must not pass our frames: their destructors would touch
// Python's objects without the lock, and leaving a noexcept one aborts the process. So the thread
// waits here for the end of the process, as Python 3.14 lets it do.
inline void take_gil(PyThreadState* state) {
#if defined(__GLIBCXX__)
  try {
    PyEval_RestoreThread(state);
  } catch (abi::__forced_unwind&) {
    for (;;) pause();
  }
#else
  PyEval_RestoreThread(state);
#endif
}

class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() { take_gil(state_); }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace fastreg
