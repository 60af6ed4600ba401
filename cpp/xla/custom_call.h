// SPDX-License-Identifier: Apache-2.0
// XLA compiles an op of ours to a custom call, and the call runs the op's body. What depends on
// the version of XLA is in the two sources of this header: custom_call.cc, which emits calls while
// TensorFlow compiles, and handler.cc, which answers them (FFI 0.2, of TensorFlow 2.21).
#pragma once

#include "ops/ops.h"
#include "xla/ffi/api/ffi.h"

namespace fastreg {

// A result that is written over an operand, where that has its shape.
struct InPlace {
  int result, operand;
};

// Lets TensorFlow compile the op to a call of the target of the same name.
void register_lowering(const char* op, std::initializer_list<InPlace> in_place);

// Lets compiled programs call the target.
void register_handler(const char* target, XLA_FFI_Handler* handler);

xla::ffi::Error run_body(Body body, xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs operands,
                         xla::ffi::RemainingRets results, const Attributes& attributes);

template <Body body>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  using xla::ffi::RemainingArgs;
  using xla::ffi::RemainingRets;
  using xla::ffi::ThreadPool;
  static const auto handler =
      xla::ffi::Ffi::Bind()
          .Ctx<ThreadPool>()
          .RemainingArgs()
          .RemainingRets()
          .Attr<int64_t>("axis")
          .Attr<bool>("fast")
          .Attr<bool>("with_gradient")
          .To([](ThreadPool pool, RemainingArgs operands, RemainingRets results, int64_t axis,
                 bool fast, bool with_gradient) {
            return run_body(
                body, pool, operands, results,
                {static_cast<int>(axis), fast ? Rng::kFast : Rng::kKeras, with_gradient});
          });
  return handler->Call(frame);
}

template <Body body>
struct RegisterXla {
  explicit RegisterXla(const char* op, std::initializer_list<InPlace> in_place = {}) {
    register_lowering(op, in_place);
    register_handler(op, handle<body>);
  }
};

}  // namespace fastreg
