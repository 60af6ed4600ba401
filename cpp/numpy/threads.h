// SPDX-License-Identifier: Apache-2.0
// The threads of the numpy door: OpenMP where the compiler has it, else none. This is the only
// code that knows of OpenMP, so that no other library of ours links its runtime.
#pragma once

#include "fastreg/parallel.h"

namespace fastreg {

const Executor& executor();

// How many run: 1 without OpenMP, whatever is wanted.
int num_threads();
void set_num_threads(int threads);

// From now on, one thread: in a forked child, OpenMP's own threads are gone and it waits for them.
void stay_serial();

bool has_openmp();

}  // namespace fastreg
