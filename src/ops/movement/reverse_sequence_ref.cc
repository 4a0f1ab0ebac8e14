// ReverseSequence: whole slices of the axes behind batch and time move. All lengths are checked
// before anything is written.
#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  int time = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  if (data.rank() < 2) return InvalidArgument("ReverseSequence: needs rank 2 or more");
  FUSEE_TRY(ExpectShape("ReverseSequence", "lengths", Shape{data[1 - params.time]},
                        args.inputs[1].shape));
  return ExpectShape("ReverseSequence", "result", data, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const int64_t batch = data[1 - params.time], time = data[params.time];
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = IntAt(args.inputs[1], b);
    if (length >= 0 && length <= time) continue;
    return OutOfRange("ReverseSequence: length " + std::to_string(length) + " of batch " +
                      std::to_string(b) + " is out of range, expected 0 to " +
                      std::to_string(time));
  }
  const auto bytes =
      static_cast<size_t>(data.elements(2, data.rank()) * BytesPerElement(args.inputs[0].dtype));
  const auto* src = static_cast<const std::byte*>(args.inputs[0].data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  const auto slice = [&](int64_t b, int64_t t) {
    return static_cast<size_t>(params.time == 0 ? t * batch + b : b * time + t) * bytes;
  };
  ParallelBlocks(args.parallel, bytes == 0 ? 0 : batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t length = IntAt(args.inputs[1], b);
      for (int64_t t = 0; t < time; ++t) {
        const int64_t from = t < length ? length - 1 - t : t;
        std::memcpy(dst + slice(b, t), src + slice(b, from), bytes);
      }
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (spec.inputs[1].dtype != DType::kI64) return BadStep(spec, "the lengths should be i64");
  FUSEE_TRY(const int64_t time, spec.attrs->Int("time_axis", 0));
  if (time != 0 && time != 1) return BadStep(spec, "time_axis should be 0 or 1");
  return MakeKernel(Params{static_cast<int>(time)}, Check, Run);
}

}  // namespace

extern const KernelDef reverse_sequence_ref = {
    .id = "reverse_sequence_ref.1", .op = "ReverseSequence", .reference = true, .bind = Bind};

}  // namespace fusee::ops
