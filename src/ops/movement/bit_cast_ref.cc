// BitCast: the same bytes under another type; of less than 8 bits, the byte that the other type has
// for them.
#include <cstring>

#include "ops/movement/kernel_support.h"
#include "tensor/narrow.h"
#include "tensor/packed.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  return ExpectShape("BitCast", "result", args.inputs[0].shape, args.outputs[0].shape);
}

Status Run(const Params&, const RunArgs& args) {
  const DType to = args.outputs[0].dtype;
  if (IsPacked(to)) {
    const auto* in = static_cast<const uint8_t*>(args.inputs[0].data);
    auto* out = static_cast<uint8_t*>(args.outputs[0].data);
    const int mask = (1 << PackedBitsPerElement(to)) - 1;
    for (int64_t i = 0; i < args.outputs[0].elements(); ++i) {
      out[i] = static_cast<uint8_t>(IsNarrowInt(to) ? NarrowToInt(to, in[i]) : in[i] & mask);
    }
    return OkStatus();
  }
  const auto bytes = args.inputs[0].bytes();
  if (!bytes.empty()) std::memmove(args.outputs[0].data, bytes.data(), bytes.size());
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  const DType from = spec.inputs[0].dtype, to = spec.outputs[0].dtype;
  if (PackedBitsPerElement(from) != PackedBitsPerElement(to))
    return BadStep(spec, "the types differ in width");
  if (to == DType::kBool) return BadStep(spec, "bytes need not be bools");
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef bit_cast_ref = {.id = "bit_cast_ref.1",
                                       .op = "BitCast",
                                       .reference = true,
                                       .in_place_inputs = 1,
                                       .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
