// SPDX-License-Identifier: Apache-2.0
// The threads of the numpy door: OpenMP where the compiler has it, else none. This is the only
// code that knows of OpenMP, so that no other library of ours links its runtime.
#pragma once

#include "fastreg/parallel.h"

namespace fastreg {

const Executor& executor();

// More than any machine has use for, and few enough that OpenMP can keep account of them on the
// stack of its caller.
constexpr int kMaxThreads = 1024;

// How many run at most: 1 without OpenMP, whatever is wanted. Fewer do where there are fewer tasks
// or where the system starts no more.
int num_threads();
void set_num_threads(int threads);

// From now on, one thread: in a forked child, OpenMP's own threads are gone and it waits for them.
void stay_serial();

bool has_openmp();

}  // namespace fastreg
