// Writes one ONNX operator with several of ours: what import rules of decompositions are made of.
//
//   Speller s(context);
//   const ir::ValueId scores = s.MatMul(s.Mul(q, scale), s.Transpose(k, {0, 1, 3, 2}));
//   ...
//   FUSEE_TRY(s.status());
//
// The first failure stays: from then on every call gives an invalid id and adds nothing, so a chain
// of calls is checked once, at its end. Each call may move the graph's values: copy shapes first.
// Two calls are never arguments of a third (outside braces): the compiler would choose which runs
// first, and with it the order of nodes.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/op_def.h"

namespace fusee::ops {

class Speller {
 public:
  explicit Speller(ImportContext& context) : context_(context) {}

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }

  // Empty after a failure, as for a scalar.
  ir::SymShape ShapeOf(ir::ValueId x) const {
    return status_.ok() ? context_.graph().value(x).info.shape : ir::SymShape();
  }

  // Any operator with one result.
  ir::ValueId Op(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs = {},
                 std::vector<ir::Dim> dims = {}) {
    if (!status_.ok()) return {};
    auto result = context_.Emit(op, std::move(inputs), std::move(attrs), std::move(dims));
    if (result.ok()) return *result;
    status_ = std::move(result).status();
    return {};
  }

  ir::ValueId Add(ir::ValueId a, ir::ValueId b) { return Op("Add", {a, b}); }
  ir::ValueId Sub(ir::ValueId a, ir::ValueId b) { return Op("Sub", {a, b}); }
  ir::ValueId Mul(ir::ValueId a, ir::ValueId b) { return Op("Mul", {a, b}); }
  ir::ValueId MatMul(ir::ValueId a, ir::ValueId b) { return Op("MatMul", {a, b}); }
  ir::ValueId Where(ir::ValueId condition, ir::ValueId a, ir::ValueId b) {
    return Op("Where", {condition, a, b});
  }
  ir::ValueId Reshape(ir::ValueId x, ir::SymShape shape) {
    return Op("Reshape", {x}, {}, std::move(shape));
  }
  ir::ValueId Expand(ir::ValueId x, ir::SymShape shape) {
    return Op("Expand", {x}, {}, std::move(shape));
  }
  ir::ValueId Transpose(ir::ValueId x, std::vector<int64_t> perm) {
    return Op("Transpose", {x}, {{"perm", std::move(perm)}});
  }
  ir::ValueId Concat(std::vector<ir::ValueId> parts, int64_t axis) {
    return Op("Concat", std::move(parts), {{"axis", axis}});
  }
  // Elements begin, begin + step, ... below end of one axis.
  ir::ValueId Slice(ir::ValueId x, int64_t axis, ir::Dim begin, ir::Dim end, int64_t step = 1) {
    return Op("Slice", {x},
              {{"axes", std::vector<int64_t>{axis}}, {"steps", std::vector<int64_t>{step}}},
              {std::move(begin), std::move(end)});
  }
  // Nothing when x has the type already.
  ir::ValueId Cast(ir::ValueId x, DType to) {
    if (!status_.ok() || context_.graph().value(x).info.dtype == to) return x;
    return Op("Cast", {x}, {{"to", static_cast<int64_t>(to)}});
  }
  // 0, 1, ... below count, as i64.
  ir::ValueId Iota(ir::Dim count) {
    return Op("Range", {Scalar(DType::kI64, 0), Scalar(DType::kI64, 1)}, {}, {std::move(count)});
  }
  // The size of one axis as i64[1]; x is an operand of the node or a result from here.
  ir::ValueId SizeOf(ir::ValueId x, int64_t axis) {
    return Op("Shape", {x}, {{"start", axis}, {"end", axis + 1}});
  }
  ir::ValueId Scalar(DType dtype, double value) { return context_.Scalar(dtype, value); }

 private:
  ImportContext& context_;
  Status status_;
};

}  // namespace fusee::ops
