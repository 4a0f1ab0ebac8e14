// Sizes: reads and copies.
#include <fmt/format.h>

#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  if (args.inputs[0].elements() != static_cast<int64_t>(args.counts.size())) {
    return InvalidArgument(fmt::format("Sizes: {} elements, finds {} sizes",
                                       args.inputs[0].elements(), args.counts.size()));
  }
  return ExpectShape("Sizes", "result", args.inputs[0].shape, args.outputs[0].shape);
}

Status Run(const Params&, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  for (size_t i = 0; i < args.counts.size(); ++i) {
    const int64_t value = IntAt(in, static_cast<int64_t>(i));
    if (value < 0)
      return OutOfRange(fmt::format("element {} is {}, a size is at least 0", i, value));
    if (value > args.counts[i]) return MoreThanBound(value, args.counts[i]);
  }
  for (size_t i = 0; i < args.counts.size(); ++i)
    args.counts[i] = IntAt(in, static_cast<int64_t>(i));
  std::memcpy(args.outputs[0].data, in.data, in.bytes().size());
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  if (spec.count_count < 1) return BadStep(spec, "should find a size");
  if (!IsInt(spec.inputs[0].dtype)) return BadStep(spec, "the operand should hold integers");
  FUSEE_TRY(CheckSameDType(spec, spec.outputs[0], spec.inputs[0], "result"));
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef sizes_ref = {
    .id = "sizes_ref.1", .op = "Sizes", .reference = true, .bind = Bind};

}  // namespace fusee::ops
