// SPDX-License-Identifier: Apache-2.0
#include <new>
#include <string>

#include "xla/custom_call.h"
#include "xla/pool.h"

// The wheel lacks headers that the one with this declaration includes.
namespace xla::ffi {
const XLA_FFI_Api* GetXlaFfiApi();
}

namespace fastreg {
namespace {

using xla::ffi::AnyBuffer;
using xla::ffi::DataType;
using xla::ffi::Error;

Sizes sizes_of(const AnyBuffer& buffer) {
  const auto sizes = buffer.dimensions();
  return Sizes(sizes.begin(), sizes.size());
}

class BufferCall final : public Call {
 public:
  BufferCall(xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs operands,
             xla::ffi::RemainingRets results)
      : pool_(pool), operands_(operands), results_(results) {}

  Dtype dtype() const override {
    switch (operands_.get<AnyBuffer>(0)->element_type()) {
      case DataType::F64:
        return Dtype::kFloat64;
      case DataType::F16:
        return Dtype::kFloat16;
      case DataType::BF16:
        return Dtype::kBFloat16;
      default:
        return Dtype::kFloat32;
    }
  }

  Operand operand(int i) const override {
    const AnyBuffer buffer = *operands_.get<AnyBuffer>(i);
    return {buffer.untyped_data(), sizes_of(buffer)};
  }

  // XLA has chosen the memory.
  void* result(int i, const Sizes& sizes, std::initializer_list<int>) override {
    const AnyBuffer buffer = **results_.get<AnyBuffer>(i);
    if (sizes_of(buffer) != sizes) {
      throw std::logic_error("Expected a result of shape " + to_string(sizes_of(buffer)) +
                             ". Received: " + to_string(sizes));
    }
    return buffer.untyped_data();
  }

  const Executor& executor() const override { return pool_; }

 private:
  PoolExecutor pool_;
  xla::ffi::RemainingArgs operands_;
  xla::ffi::RemainingRets results_;
};

}  // namespace

Error run_body(Body body, xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs operands,
               xla::ffi::RemainingRets results, const Attributes& attributes) {
  BufferCall call(pool, operands, results);
  try {
    body(call, attributes);
  } catch (const InvalidInput& error) {
    return Error::InvalidArgument(error.what());
  } catch (const std::bad_alloc&) {
    return Error(xla::ffi::ErrorCode::kResourceExhausted, "Out of memory");
  } catch (const std::exception& error) {
    return Error::Internal(error.what());
  }
  return Error::Success();
}

void register_handler(const char* target, XLA_FFI_Handler* handler) {
  xla::ffi::Ffi::RegisterStaticHandler(xla::ffi::GetXlaFfiApi(), target, "Host", handler);
}

}  // namespace fastreg
