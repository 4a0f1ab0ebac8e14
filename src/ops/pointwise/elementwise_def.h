// What the definitions of elementwise operators share: inference with broadcasting, tracking of
// integer elements, and the usual import rules.
//
// Tracking: exporters compute shapes by integer arithmetic on small tensors, so a result's elements
// are expressions of the operands' wherever the operator can be written as one
// (ValueInfo::elements). An element whose rule gives nullopt makes the whole result untracked,
// which is always sound.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "ops/op_def.h"
#include "ops/pointwise/type_set.h"

namespace fusee::ops::pointwise {

using TrackedDim = std::optional<ir::Dim>;
// The result's element, from the operands' elements at the same broadcast position.
using TrackUnary = TrackedDim (*)(const InferContext& context, const ir::Dim& x);
using TrackBinary = TrackedDim (*)(const InferContext& context, const ir::Dim& a, const ir::Dim& b);

// Errors: kInvalidArgument when the number of operands is not in [min, max] or one below min is
// absent; kUnimplemented when operand i's type is not in the set.
Status ExpectOperands(const InferContext& context, size_t min, size_t max);
Status ExpectType(const InferContext& context, size_t i, TypeSet types);
// Operands i and j have one dtype, or kInvalidArgument.
Status ExpectSameType(const InferContext& context, size_t i, size_t j);

// result kInvalid: the operand's type.
Status InferUnaryOf(InferContext& context, TypeSet types, DType result, TrackUnary track);
// Two operands of one type.
Status InferBinaryOf(InferContext& context, TypeSet types, DType result, TrackBinary track);

template <TypeSet kTypes, TrackUnary kTrack = nullptr, DType kResult = DType::kInvalid>
Status InferUnary(InferContext& context) {
  return InferUnaryOf(context, kTypes, kResult, kTrack);
}
template <TypeSet kTypes, TrackBinary kTrack = nullptr, DType kResult = DType::kInvalid>
Status InferBinary(InferContext& context) {
  return InferBinaryOf(context, kTypes, kResult, kTrack);
}

// Sets result 0's elements from the operands' (all of whose shapes broadcast to the result's) when
// everything is known. track gets one element per operand.
void TrackElements(InferContext& context, size_t operands,
                   const std::function<TrackedDim(std::span<const ir::Dim>)>& track);

// The expression if every value it can take fits the type, else nullopt. Symbolic i32 and i64
// values count as fitting: they stand for dimensions.
TrackedDim IfFits(const InferContext& context, const ir::Dim& dim, DType dtype);

// a < b of tracked elements: 0 or 1 where their ranges are apart or meet in one point only.
TrackedDim TrackLess(const InferContext& context, const ir::Dim& a, const ir::Dim& b);
// 1 for 0 and 0 for 1.
TrackedDim TrackNot(TrackedDim truth);

// --- import rules ---

// One node of the ONNX operator's own name, all operands.
Status ImportAsIs(ImportContext& context);
// The same with float attributes read and written out, so that kernels need no defaults.
Status ImportWithFloats(ImportContext& context,
                        std::initializer_list<std::pair<const char*, float>> defaults);
// Operand i; a float8 one converted to f32, which has all of its values.
Result<ir::ValueId> WideFloat(ImportContext& context, size_t i);
// op(op(a, b), c)...; one operand alone is its own result.
Result<ir::ValueId> EmitChain(ImportContext& context, std::string_view op);

// {name, infer, one rule}.
OpDef Simple(std::string_view name, Status (*infer)(InferContext&),
             Status (*import)(ImportContext&) = ImportAsIs);

}  // namespace fusee::ops::pointwise
