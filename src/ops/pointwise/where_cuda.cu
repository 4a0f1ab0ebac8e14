// Where on elements of 1, 2, 4 and 8 bytes: a choice of bits, so one kernel a size serves every
// type.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/broadcast_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

template <typename Bits>
struct WhereFn {
  using A = Truth;
  using B = Bits;
  using C = Bits;
  using Out = Bits;
  __device__ __forceinline__ Bits operator()(Truth condition, Bits yes, Bits no) const {
    return condition.byte != 0 ? yes : no;
  }
};

Status Run(const WhereParams& params, const RunArgs& args) {
  switch (params.element_bytes) {
    case 1: return LaunchBroadcast(args, WhereFn<uint8_t>{});
    case 2: return LaunchBroadcast(args, WhereFn<uint16_t>{});
    case 4: return LaunchBroadcast(args, WhereFn<uint32_t>{});
    default: return LaunchBroadcast(args, WhereFn<uint64_t>{});
  }
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const WhereParams params, ReadWhere(spec));
  return MakeKernel(params, &CheckWhere, &Run);
}

}  // namespace

// Not in place on the condition: a result of one byte is no truth value.
extern const KernelDef where_cuda = {.id = "where_cuda.1",
                                     .op = "Where",
                                     .device = DeviceKind::kCuda,
                                     .in_place_inputs = 6,
                                     .bind = &Bind};

}  // namespace fusee::ops
