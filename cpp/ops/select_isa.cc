// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "fastreg/isa.h"

// A library of ops has its own copy of the core. Python gives it the instruction set that the numpy
// door runs on, and gets the name back; null if there is no such one.
extern "C" __attribute__((visibility("default"))) const char* fastreg_select_isa(
    const char* name) noexcept {
  static std::string active;
  try {
    fastreg::select_isa(name);
    active = fastreg::active_isa();
    return active.c_str();
  } catch (...) {
    return nullptr;
  }
}
