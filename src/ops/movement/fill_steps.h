// Parameters and checks of the operators that compute where an element comes from, or what it is,
// from its position: Pad, Range, OneHot, EyeLike, Trilu, CumSum and CumProd. Kernels of every
// device read their steps through these.
//
// Read... says kInvalidArgument for a step that no kernel could run. Check... reads shapes and dims
// only.
#pragma once

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

// A negative pad first crops the operand to a window of n elements per axis; position p of the
// result, counted from the window's start, then reads
//   edge     clamp(p, 0, n-1)
//   wrap     p mod n
//   reflect  p mod 2(n-1), folded back at n-1, so that the border itself is not repeated
//   constant the window where it has p, else the constant
enum class PadMode : uint8_t { kConstant, kReflect, kEdge, kWrap };
struct PadParams {
  int rank = 0;
  PadMode mode = PadMode::kConstant;
};
struct PadAxis {
  int64_t begin = 0;   // elements before the window in the result, if positive
  int64_t low = 0;     // first element of the window in the operand
  int64_t window = 0;  // elements in the window
};
Result<PadParams> ReadPad(const StepSpec& spec);
Status CheckPad(const PadParams& params, const RunArgs& args);
PadAxis ResolvePad(const PadParams& params, const RunArgs& args, int axis);

// Element i is start + i * delta.
Status ReadRange(const StepSpec& spec);
Status CheckRange(const RunArgs& args);

// Indices [outer, inner] into [outer, depth, inner]; an index outside [-depth, depth) turns nothing
// on.
struct OneHotParams {
  int rank = 0;
  int axis = 0;
};
Result<OneHotParams> ReadOneHot(const StepSpec& spec);
Status CheckOneHot(const OneHotParams& params, const RunArgs& args);

struct EyeLikeParams {
  int64_t diagonal = 0;  // at most 2^48 in magnitude
};
Result<EyeLikeParams> ReadEyeLike(const StepSpec& spec);
Status CheckEyeLike(const RunArgs& args);

struct TriluParams {
  bool upper = true;
};
Result<TriluParams> ReadTrilu(const StepSpec& spec);
Status CheckTrilu(const RunArgs& args);
// Columns [0, cut) of row r are the lower part, where cut = clamp(r + first_edge, 0, columns).
int64_t TriluFirstEdge(const TriluParams& params, const RunArgs& args);

// Over operand [outer, n, inner]; n is the axis.
struct CumulateParams {
  int rank = 0;
  int axis = 0;
  bool exclusive = false;
  bool reverse = false;
};
Result<CumulateParams> ReadCumulate(const StepSpec& spec);
Status CheckCumulate(const CumulateParams& params, const RunArgs& args);

}  // namespace fusee::ops
