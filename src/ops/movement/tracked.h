// Helpers of shape inference for operators that exporters use to compute shapes: reading what is
// known of a small integer tensor's elements, and moving them around as the operator would.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ops/op_def.h"

namespace fusee::ops {

using DimVector = std::vector<ir::Dim>;

// What is known of operand i, element by element: tracked elements, or a small integer constant.
std::optional<DimVector> KnownElements(const InferContext& context, size_t i);

// Whether a result of this dtype and shape is tracked: integers or bool, every dimension constant,
// at most ir::kMaxTrackedElements.
bool IsTrackable(DType dtype, const ir::SymShape& shape);

// The elements of a result when every operand's elements are known and the result is trackable:
// source(index) gives the element at a multi-index of the result, or nullopt to give up.
std::optional<DimVector> MapElements(
    const ir::SymShape& shape,
    const std::function<std::optional<ir::Dim>(std::span<const int64_t> index)>& source);

// Row-major position of a multi-index. Precondition: IsStatic(shape).
size_t FlatIndex(const ir::SymShape& shape, std::span<const int64_t> index);

// Distinct, normalised axes in ascending order. Errors: kInvalidArgument on range or repetition.
Result<std::vector<int64_t>> NormaliseAxes(const ImportContext& context, std::vector<int64_t> axes,
                                           int rank);

// Every dimension of a value, as import rules see them.
inline const ir::SymShape& ShapeOf(const ImportContext& context, size_t i) {
  return context.info(i).shape;
}

}  // namespace fusee::ops
