// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace fastreg {

// How many of `wanted` threads the system starts side by side: limits of memory or of processes may
// allow fewer. They have ended when this returns.
int startable_threads(int wanted);

}  // namespace fastreg
