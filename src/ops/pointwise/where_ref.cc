// Reference kernel of Where: copies bits, so one loop per element size serves every type.
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status Run(const WhereParams& params, const RunArgs& args) {
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  BroadcastWalk<3> walk(y.shape,
                        {&args.inputs[0].shape, &args.inputs[1].shape, &args.inputs[2].shape});
  for (int64_t i = 0; i < n; ++i) {
    const size_t chosen = Load<bool>(args.inputs[0].data, walk.operand(0)) ? 1 : 2;
    std::memmove(static_cast<char*>(y.data) + i * params.element_bytes,
                 static_cast<const char*>(args.inputs[chosen].data) +
                     walk.operand(chosen) * params.element_bytes,
                 static_cast<size_t>(params.element_bytes));
    walk.Next();
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const WhereParams params, ReadWhere(spec));
  return MakeKernel(params, &CheckWhere, &Run);
}

}  // namespace

// In place on the values only: the condition's elements have another size.
extern const KernelDef where_ref = {
    .id = "where_ref.1", .op = "Where", .reference = true, .in_place_inputs = 6, .bind = &Bind};

}  // namespace fusee::ops
