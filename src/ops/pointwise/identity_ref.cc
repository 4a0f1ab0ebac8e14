// Identity: a copy of the bytes. As a view it needs no step; constant folding runs this.
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckSameShape("Identity", args); }

Status Run(const Params&, const RunArgs& args) {
  const auto bytes = args.inputs[0].bytes();
  if (!bytes.empty()) std::memmove(args.outputs[0].data, bytes.data(), bytes.size());
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return MakeKernel(Params{}, &Check, &Run);
}

}  // namespace

extern const KernelDef identity_ref = {.id = "identity_ref.1",
                                       .op = "Identity",
                                       .reference = true,
                                       .in_place_inputs = 1,
                                       .bind = {&Bind, kNarrowToo}};

}  // namespace fusee::ops
