// SPDX-License-Identifier: Apache-2.0
#include "fastreg/isa.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "kernels/table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastreg {

#define FASTREG_ISA(name)            \
  namespace name {                   \
  extern const KernelTable& table(); \
  }
#include "isa_list.inc"
#undef FASTREG_ISA

namespace {

#if defined(__x86_64__)
// Clang's probe does not know this name. It needs no registers beyond those of AVX.
bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

// The compiler's probe also asks the operating system (XCR0) whether it saves the registers.
bool is_supported(const char* name) {
#if defined(__x86_64__)
  if (std::strcmp(name, "avx512") == 0) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_f16c();
  }
  if (std::strcmp(name, "avx2") == 0) {
    return __builtin_cpu_supports("avx2") && has_f16c();
  }
#endif
  return std::strcmp(name, "scalar") == 0 || std::strcmp(name, "reference") == 0;
}

std::vector<const KernelTable*> supported_tables() {
  std::vector<const KernelTable*> tables;
#define FASTREG_ISA(name) \
  if (is_supported(#name)) tables.push_back(&name::table());
#include "isa_list.inc"
#undef FASTREG_ISA
  return tables;
}

const KernelTable& table_named(const std::string& name) {
  const auto tables = supported_tables();
  if (name.empty()) return *tables.front();
  std::string choices;
  for (const KernelTable* table : tables) {
    if (name == table->name) return *table;
    choices += choices.empty() ? table->name : std::string(", ") + table->name;
  }
  throw std::invalid_argument("Invalid value received for FASTREG_ISA. Expected one of " + choices +
                              " on this processor. Received: FASTREG_ISA=" + name);
}

// Null until chosen, so that an invalid FASTREG_ISA is reported where it can be raised.
const KernelTable* selected = nullptr;

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : supported_tables()) names.push_back(table->name);
  return names;
}

void select_isa(const std::string& name) { selected = &table_named(name); }

std::string active_isa() { return kernels().name; }

const KernelTable& kernels() {
  if (selected == nullptr) {
    const char* name = std::getenv("FASTREG_ISA");
    select_isa(name == nullptr ? "" : name);
  }
  return *selected;
}

}  // namespace fastreg
