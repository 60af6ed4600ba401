// SPDX-License-Identifier: Apache-2.0
// Which instruction set runs. Chosen once, from FASTREG_ISA or as the best that the processor and
// the operating system support; every thread and every call uses the same.
#pragma once

#include <string>
#include <vector>

namespace fastreg {

struct KernelTable;

// Best first, "reference" (plain double loops, for comparison) last.
std::vector<std::string> available_isas();

std::string active_isa();

// An empty name means the best. Throws std::invalid_argument, listing the choices, if `name` is
// unknown or not supported here; the selection is then unchanged.
void select_isa(const std::string& name);

const KernelTable& kernels();

}  // namespace fastreg
