// In which type and layout a plan takes its inputs and gives its outputs, where that is not what
// the model declares: trtexec's --inputIOFormats and --outputIOFormats.
//
//   input %image : f32[n,3,8,8]         input %image : f16[n,8,8,3]                asked: fp16:hwc
//                                  ->   %image/chw : f16[n,3,8,8] = Transpose(%image)
//                                       %image/f32 : f32[n,3,8,8] = Cast(%image/chw)
//
// That stands in the graph right after import, before any pass and before the reference is made: a
// plan's reference has the plan's interface, and the passes that move casts and transposes cancel
// these against their own. Whichever type is narrower is transposed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace fusee::compiler {

struct ImportedModel;

// The type and layout of one input or output.
struct IoFormat {
  DType dtype = DType::kInvalid;
  bool channels_last = false;  // [N, spatial..., C] where the model has [N, C, spatial...]
  // Asked for as hwc8, which in TensorRT pads the channels to a multiple of 8. Here it never does.
  bool asked_padding = false;
};

// "fp16:chw,fp16:hwc": TYPE:FORMAT, comma-separated. Types: fp32, fp16, bf16, fp64, int8 to int64,
// uint8 to uint64, bool. Formats: chw (as the model has its axes), hwc and hwc8 (the same: channels
// last). Errors: kInvalidArgument quoting the entry and listing what there is.
Result<std::vector<IoFormat>> ParseIoFormats(std::string_view text);

// "fp16:hwc", as ParseIoFormats reads it.
std::string IoFormatText(const IoFormat& format);

// Gives the graph's inputs and outputs these formats: empty lists leave all as they are, a list of
// one entry is for all, else there is one for each, in the model's order. Shapes and the axes that
// symbols are read from follow; names stay. What hwc8 does not do here is added to the notes.
// Errors, naming input or output, and a list that would do: kInvalidArgument when the count is
// another, a type is not the model's (only a float may become another float: fp32, fp16 or bf16),
// channels are to be last in a rank that is not 3 to 5, or a pinned input is to change.
Status ApplyIoFormats(std::span<const IoFormat> inputs, std::span<const IoFormat> outputs,
                      ImportedModel* model);

}  // namespace fusee::compiler
