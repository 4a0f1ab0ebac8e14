// BitCast: the same bytes under another type.
#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  return ExpectShape("BitCast", "result", args.inputs[0].shape, args.outputs[0].shape);
}

Status Run(const Params&, const RunArgs& args) {
  const auto bytes = args.inputs[0].bytes();
  if (!bytes.empty()) std::memmove(args.outputs[0].data, bytes.data(), bytes.size());
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  const DType from = spec.inputs[0].dtype, to = spec.outputs[0].dtype;
  if (BitsPerElement(from) != BitsPerElement(to)) return BadStep(spec, "the types differ in width");
  if (to == DType::kBool) return BadStep(spec, "bytes need not be bools");
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef bit_cast_ref = {
    .id = "bit_cast_ref.1", .op = "BitCast", .reference = true, .in_place_inputs = 1, .bind = Bind};

}  // namespace fusee::ops
