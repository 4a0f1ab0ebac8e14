// Where on elements of 1, 4 and 8 bytes, by rows: a blend of bits, so one loop per size serves
// every type.
#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

template <typename Bits>
void Row(const uint8_t* condition, const Bits* a, const Bits* b,
         const std::array<int64_t, 3>& stride, Bits* out, int64_t n) {
  if (stride[0] == 0) {  // one side is copied whole
    const Bits* chosen = *condition != 0 ? a : b;
    const int64_t step = *condition != 0 ? stride[1] : stride[2];
    for (int64_t i = 0; i < n; ++i) out[i] = chosen[i * step];
  } else if (stride[1] != 0 && stride[2] != 0) {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = condition[i] != 0 ? a[i] : b[i];
  } else if (stride[1] != 0) {
    const Bits constant = *b;
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = condition[i] != 0 ? a[i] : constant;
  } else if (stride[2] != 0) {
    const Bits constant = *a;
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = condition[i] != 0 ? constant : b[i];
  } else {
    const Bits yes = *a;
    const Bits no = *b;
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = condition[i] != 0 ? yes : no;
  }
}

template <typename Bits>
void RunTyped(const RunArgs& args) {
  const auto* condition = static_cast<const uint8_t*>(args.inputs[0].data);
  const auto* a = static_cast<const Bits*>(args.inputs[1].data);
  const auto* b = static_cast<const Bits*>(args.inputs[2].data);
  auto* out = static_cast<Bits*>(args.outputs[0].data);
  const BroadcastRows<3> rows(
      args.outputs[0].shape, {&args.inputs[0].shape, &args.inputs[1].shape, &args.inputs[2].shape});
  rows.Run(args.parallel, [&](int64_t at, const std::array<int64_t, 3>& offset,
                              const std::array<int64_t, 3>& stride, int64_t n) {
    Row<Bits>(condition + offset[0], a + offset[1], b + offset[2], stride, out + at, n);
  });
}

Status Run(const WhereParams& params, const RunArgs& args) {
  switch (params.element_bytes) {
    case 1: RunTyped<uint8_t>(args); break;
    case 4: RunTyped<uint32_t>(args); break;
    default: RunTyped<uint64_t>(args); break;
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const WhereParams params, ReadWhere(spec));
  if (params.element_bytes == 2) return RefuseTactic(spec, "takes elements of 1, 4 and 8 bytes");
  return MakeKernel(params, &CheckWhere, &Run);
}

}  // namespace

// Not in place on the condition: a result of one byte is no truth value.
extern const KernelDef where_cpu = {
    .id = "where_cpu.1", .op = "Where", .in_place_inputs = 6, .bind = &Bind};

}  // namespace fusee::ops
