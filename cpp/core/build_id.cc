// SPDX-License-Identifier: Apache-2.0
#include "core/build_id.h"

#include "build_id.inc"

extern "C" {
// Exported: a linker keeps it though no code reads it.
extern const char fastreg_build_id[] __attribute__((visibility("default")));
const char fastreg_build_id[] = "fastreg " FASTREG_LIBRARY " " FASTREG_BUILD_ID;
}

namespace fastreg {

const char* build_id() noexcept { return FASTREG_BUILD_ID; }

}  // namespace fastreg
