// Import and shape inference of the sliding window (window.h), symbolic where the model is.
#pragma once

#include "base/status.h"
#include "ops/import_context.h"
#include "ops/nn/window.h"
#include "ops/op_def.h"

namespace fusee::ops {

// Reads strides, dilations, pads, auto_pad and (if asked) ceil_mode of an ONNX node into IR
// attributes: explicit lists, with auto_pad resolved to pads where the spatial sizes of `input`
// (operand 0) allow it. `kernel` has one entry per spatial axis and becomes kernel_shape.
Result<Attrs> ImportWindow(ImportContext& c, std::vector<int64_t> kernel, bool with_ceil_mode);

// Shape of the result for operand 0 of rank attrs.spatial + 2, with the given number of channels,
// both in attrs' layout: each spatial size is a function of the operand's. Errors: kInvalidArgument
// naming the node when a window cannot fit.
Result<ir::SymShape> InferWindow(InferContext& c, const WindowAttrs& attrs,
                                 const ir::Dim& channels);

// That operand 2, where present, is a bias [channels] of operand 0's type. Errors:
// kInvalidArgument.
Status CheckBias(InferContext& c, const ir::Dim& channels);

}  // namespace fusee::ops
