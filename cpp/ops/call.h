// SPDX-License-Identifier: Apache-2.0
// One call of an op as its body sees it, whoever makes it: TensorFlow or a program of XLA. Each
// door brings its own Call; ops.h lists the bodies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "fastreg/dtype.h"
#include "fastreg/parallel.h"

namespace fastreg {

// The sizes of all axes, seen where they lie.
class Sizes {
 public:
  Sizes(const int64_t* sizes, size_t rank) : sizes_(sizes), rank_(rank) {}
  Sizes(const std::vector<int64_t>& sizes) : Sizes(sizes.data(), sizes.size()) {}
  // Only within the expression that lists them.
  Sizes(std::initializer_list<int64_t> sizes) : Sizes(sizes.begin(), sizes.size()) {}

  const int64_t* begin() const { return sizes_; }
  const int64_t* end() const { return sizes_ + rank_; }
  size_t size() const { return rank_; }
  int64_t operator[](size_t axis) const { return sizes_[axis]; }
  friend bool operator==(const Sizes& a, const Sizes& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend bool operator!=(const Sizes& a, const Sizes& b) { return !(a == b); }

 private:
  const int64_t* sizes_;
  size_t rank_;
};

std::string to_string(const Sizes& sizes);
// With all digits: what reads back as the same number.
std::string to_string(double value);

// An operand is there whatever its size, so its memory is not null: empty tensors may have none.
struct Operand {
  Operand(const void* memory, const Sizes& sizes_of_axes)
      : data(memory != nullptr ? memory : &kNoElements), sizes(sizes_of_axes) {}

  const void* data;
  Sizes sizes;

  int rank() const { return static_cast<int>(sizes.size()); }
  int64_t size() const {
    int64_t n = 1;
    for (int64_t size : sizes) n *= size;
    return n;
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }

 private:
  static constexpr double kNoElements = 0.0;
};

class Call {
 public:
  virtual ~Call() = default;
  // Of operand 0. The other floats are of its Compute type, or double.
  virtual Dtype dtype() const = 0;
  virtual Operand operand(int i) const = 0;
  // Memory for result i, which may be that of one of the operands in `reusable`.
  virtual void* result(int i, const Sizes& sizes, std::initializer_list<int> reusable) = 0;
  virtual const Executor& executor() const = 0;

  template <typename T>
  T* result_as(int i, const Sizes& sizes, std::initializer_list<int> reusable = {}) {
    return static_cast<T*>(result(i, sizes, reusable));
  }
};

// What a door reports as its framework's error for invalid arguments.
class InvalidInput : public std::invalid_argument {
 public:
  InvalidInput(const char* name, const std::string& expected, const std::string& received)
      : std::invalid_argument("Invalid value received for input `" + std::string(name) +
                              "`. Expected " + expected + ". Received: " + received) {}
};

// Calls f with a null pointer of the call's element type.
template <typename F>
void with_dtype(const Call& call, F&& f) {
  with_dtype(call.dtype(), [&](auto* type) {
    f(static_cast<std::remove_const_t<std::remove_pointer_t<decltype(type)>>*>(nullptr));
  });
}

double read_scalar(const Operand& operand, const char* name);

// One value per channel.
void expect_channels(const Operand& operand, const char* name, int64_t channels);

template <typename S>
const S* read_channels(const Operand& operand, const char* name, int64_t channels) {
  expect_channels(operand, name, channels);
  return operand.as<S>();
}

// A scalar stands for none, and reads as null.
template <typename S>
const S* read_optional_channels(const Operand& operand, const char* name, int64_t channels) {
  return operand.rank() == 0 ? nullptr : read_channels<S>(operand, name, channels);
}

}  // namespace fastreg
