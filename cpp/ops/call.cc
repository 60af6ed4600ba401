// SPDX-License-Identifier: Apache-2.0
#include "ops/call.h"

#include <cstdio>
#include <cstdlib>

namespace fastreg {

std::string to_string(const Sizes& sizes) {
  std::string text = "[";
  for (int64_t size : sizes) text += (text.size() > 1 ? "," : "") + std::to_string(size);
  return text + "]";
}

std::string to_string(double value) {
  char text[32];
  for (int digits = 15; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

double read_scalar(const Operand& operand, const char* name) {
  if (operand.rank() != 0) {
    throw InvalidInput(name, "a scalar", "shape " + to_string(operand.sizes));
  }
  return *operand.as<double>();
}

void expect_channels(const Operand& operand, const char* name, int64_t channels) {
  if (operand.sizes != Sizes{channels}) {
    throw InvalidInput(name, "a vector of " + std::to_string(channels) + " channels",
                       "shape " + to_string(operand.sizes));
  }
}

}  // namespace fastreg
