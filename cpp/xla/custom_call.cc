// SPDX-License-Identifier: Apache-2.0
#include "xla/custom_call.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/compiler/tf2xla/shape_util.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/public/version.h"
#include "tf/attributes.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/layout_util.h"
#include "xla/shape_util.h"

namespace fastreg {
namespace {

using tensorflow::DataType;
using tensorflow::OpKernelConstruction;
using tensorflow::TensorShape;
using tensorflow::XlaOpKernelContext;

// Operands and results lie in memory as TensorFlow's tensors do.
absl::StatusOr<xla::Shape> row_major(DataType dtype, const TensorShape& shape) {
  xla::Shape result;
  TF_RETURN_IF_ERROR(tensorflow::TensorShapeToXLAShape(dtype, shape, &result));
  xla::LayoutUtil::SetToDefaultLayout(&result);
  return result;
}

using Aliases = std::vector<std::pair<xla::ShapeIndex, std::pair<int64_t, xla::ShapeIndex>>>;

std::map<std::string, std::vector<InPlace>>& in_place_of() {
  static std::map<std::string, std::vector<InPlace>> in_place;
  return in_place;
}

class CustomCallOp : public tensorflow::XlaOpKernel {
 public:
  explicit CustomCallOp(OpKernelConstruction* context) : XlaOpKernel(context) {
    Attributes attributes;
    OP_REQUIRES_OK(context, read_attributes(context, &attributes));
    const auto truth = [](bool value) { return value ? "true" : "false"; };
    config_ = "{axis = " + std::to_string(attributes.axis) +
              " : i64, fast = " + truth(attributes.rng == Rng::kFast) +
              ", with_gradient = " + truth(attributes.with_gradient) + "}";
    if (!context->HasAttr("U")) return;
    DataType dtype, statistics;
    OP_REQUIRES_OK(context, context->GetAttr("T", &dtype));
    OP_REQUIRES_OK(context, context->GetAttr("U", &statistics));
    OP_REQUIRES(
        context, (dtype == tensorflow::DT_DOUBLE) == (statistics == tensorflow::DT_DOUBLE),
        absl::InvalidArgumentError("Statistics of float64 belong to an input of float64 alone"));
  }

  void Compile(XlaOpKernelContext* context) override {
    std::vector<xla::XlaOp> operands;
    std::vector<xla::Shape> shapes;
    std::vector<TensorShape> sizes;
    for (int i = 0; i < context->num_inputs(); ++i) {
      const auto given = context->InputXlaShape(i);
      OP_REQUIRES_OK(context, given.status());
      // The memory of such an operand is of its bound's size.
      OP_REQUIRES(context, !given->is_dynamic(),
                  absl::UnimplementedError(type_string() +
                                           " takes no operand whose size depends on values"));
      sizes.emplace_back();
      OP_REQUIRES_OK(context, tensorflow::XLAShapeToTensorShape(*given, &sizes.back()));
      const auto shape = row_major(context->input_type(i), sizes.back());
      OP_REQUIRES_OK(context, shape.status());
      shapes.push_back(*shape);
      operands.push_back(context->Input(i));
    }
    std::vector<xla::Shape> results;
    OP_REQUIRES_OK(context, infer(context, sizes, &results));
    const bool is_tuple = results.size() > 1;
    Aliases aliases;
    for (const auto& [result, operand] : in_place_of()[type_string()]) {
      if (shapes[operand] != results[result] || sizes[operand].dims() == 0) continue;
      aliases.push_back({is_tuple ? xla::ShapeIndex{result} : xla::ShapeIndex{}, {operand, {}}});
    }
    const xla::XlaOp call = xla::CustomCallWithLayout(
        context->builder(), type_string(), operands,
        is_tuple ? xla::ShapeUtil::MakeTupleShape(results) : results[0], shapes, config_,
        /*has_side_effect=*/false, aliases, /*literal=*/nullptr,
        xla::CustomCallSchedule::SCHEDULE_NONE, xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    for (int i = 0; i < context->num_outputs(); ++i) {
      context->SetOutput(i, is_tuple ? xla::GetTupleElement(call, i) : call);
    }
  }

 private:
  // By the op's own shape function, so that XLA and graphs agree.
  absl::Status infer(XlaOpKernelContext* context, const std::vector<TensorShape>& sizes,
                     std::vector<xla::Shape>* results) {
    const tensorflow::OpRegistrationData* op;
    TF_RETURN_IF_ERROR(tensorflow::OpRegistry::Global()->LookUp(type_string(), &op));
    tensorflow::shape_inference::InferenceContext inference(
        TF_GRAPH_DEF_VERSION, tensorflow::AttrSlice(def()), op->op_def,
        std::vector<tensorflow::shape_inference::ShapeHandle>(sizes.size()), {}, {}, {});
    for (size_t i = 0; i < sizes.size(); ++i) {
      tensorflow::shape_inference::ShapeHandle handle;
      TF_RETURN_IF_ERROR(inference.MakeShapeFromTensorShape(sizes[i], &handle));
      inference.SetInput(static_cast<int>(i), handle);
    }
    TF_RETURN_IF_ERROR(inference.Run(op->shape_inference_fn));
    for (int i = 0; i < inference.num_outputs(); ++i) {
      TensorShape shape;
      for (int d = 0; d < inference.Rank(inference.output(i)); ++d) {
        shape.AddDim(inference.Value(inference.Dim(inference.output(i), d)));
      }
      TF_ASSIGN_OR_RETURN(xla::Shape result, row_major(context->expected_output_dtype(i), shape));
      results->push_back(std::move(result));
    }
    return absl::OkStatus();
  }

  std::string config_;
};

}  // namespace

// As a kernel for the device that stands for compilation: what REGISTER_XLA_OP notes down is read
// but once, before the first program is compiled, which may be before fastreg is imported.
void register_lowering(const char* op, std::initializer_list<InPlace> in_place) {
  in_place_of()[op] = in_place;
  const tensorflow::KernelDef* def = tensorflow::KernelDefBuilder(op).Device("XLA_CPU_JIT").Build();
  tensorflow::kernel_factory::OpKernelRegistrar(
      def, "CustomCallOp", [](OpKernelConstruction* context) -> tensorflow::OpKernel* {
        return new CustomCallOp(context);
      });
}

}  // namespace fastreg
