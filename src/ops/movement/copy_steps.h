// Parameters, checks and strided copies of the operators that only copy boxes of elements: Slice,
// Expand, Tile, Concat and Split. Kernels of every device read their steps through these, and
// differ in how they run the copies.
//
// Read... says kInvalidArgument for a step that no kernel could run. Check... reads shapes and dims
// only, and once it said yes the copies stay within their operands.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {

// Copy and Reshape: the bytes of operand 0, under any shape of as many elements.
Status ReadCopy(const StepSpec& spec);
Status CheckCopy(const RunArgs& args);

// Shape and Size: i64 results that only the operand's shape decides.
struct ShapeParams {
  int rank = 0;
  int start = 0;
  int end = 0;
};
Result<ShapeParams> ReadShape(const StepSpec& spec);
Status CheckShapeOf(const ShapeParams& params, const RunArgs& args);
Status ReadSize(const StepSpec& spec);
Status CheckSize(const RunArgs& args);

// Starts and ends come as run-time dims and are clamped as slice_def.cc says, so that no value of
// theirs leaves the operand.
struct SliceParams {
  int rank = 0;
  size_t count = 0;
  std::array<int, kMaxRank> axes{};
  std::array<int64_t, kMaxRank> steps{};
};
Result<SliceParams> ReadSlice(const StepSpec& spec);
Status CheckSlice(const SliceParams& params, const RunArgs& args);
StridedCopy SliceCopy(const SliceParams& params, const RunArgs& args);

// The source stride is 0 along every broadcast axis.
struct ExpandParams {
  size_t dims = 0;
};
Result<ExpandParams> ReadExpand(const StepSpec& spec);
Status CheckExpand(const ExpandParams& params, const RunArgs& args);
StridedCopy ExpandCopy(const RunArgs& args);

// Two axes per dimension, the outer one repeating (source stride 0).
struct TileParams {
  int rank = 0;
};
Result<TileParams> ReadTile(const StepSpec& spec);
Status CheckTile(const TileParams& params, const RunArgs& args);
StridedCopy TileCopy(const TileParams& params, const RunArgs& args);

// Concat and Split: each operand or result is a part of a whole.
struct JoinParams {
  int rank = 0;
  int axis = 0;
};
struct JoinedPart {
  int64_t outer = 0;   // rows, of the part as of the whole
  int64_t row = 0;     // of the part
  int64_t offset = 0;  // in a row of the whole
  int64_t whole = 0;   // row of the whole
};
Result<JoinParams> ReadConcat(const StepSpec& spec);
Status CheckConcat(const JoinParams& params, const RunArgs& args);
Result<JoinParams> ReadSplit(const StepSpec& spec);
Status CheckSplit(const JoinParams& params, const RunArgs& args);
// Part i of a whole of this shape, given its size on the axis and where it begins there.
JoinedPart PartOf(const JoinParams& params, const Shape& whole, int64_t begin, int64_t size);

}  // namespace fusee::ops
