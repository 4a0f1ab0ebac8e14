// RNN, GRU and LSTM as their kernels see them: a checked step, and the sizes of one set of run-time
// shapes. What the attributes mean: cell.h. Shapes of the operands: cell_def.cc.
#pragma once

#include "ops/kernel.h"
#include "ops/recurrent/cell.h"

namespace fusee::ops {

struct RecurrentParams {
  std::string_view op;
  CellAttrs cell;
  DType dtype = DType::kInvalid;
  int64_t batch_max = 0, input_max = 0;  // of the profile: they size the workspace
};

struct RecurrentShape {
  int64_t steps = 0, batch = 0, input = 0;
};

// Everything bind checks, types included. Errors: kInvalidArgument.
Result<RecurrentParams> ReadRecurrent(const StepSpec& spec);

// Precondition: x has rank 3.
RecurrentShape SizesOf(const RecurrentParams& params, const Shape& x);

// The whole of CheckShapes.
Status CheckRecurrent(const RecurrentParams& params, const RunArgs& args);

// sequence_lens, when present, lie in [0, steps]. Its values come with the request, so this is part
// of Run, before anything is written. Errors: kInvalidArgument.
Status CheckLengths(const RecurrentParams& params, const RunArgs& args);

// The equations' functions on a double, the operand clipped first. A NaN stays one.
double Activate(const CellActivation& activation, double clip, double x);

}  // namespace fusee::ops
