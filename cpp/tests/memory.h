// SPDX-License-Identifier: Apache-2.0
// How much memory is held by what `new` gave.
#pragma once

#include <cstdint>

namespace fastreg {
namespace test {

int64_t held_memory();
int64_t most_held_memory();
void forget_most_held_memory();

// The most that is held at once during `body`, beyond what is held before.
template <typename Body>
int64_t most_memory_of(Body body) {
  forget_most_held_memory();
  const int64_t before = held_memory();
  body();
  return most_held_memory() - before;
}

}  // namespace test
}  // namespace fastreg
