// Reference kernel of Clip.
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status Run(const ClipParams& params, const RunArgs& args) {
  const void* x = args.inputs[0].data;
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  VisitType(params.dtype, [&]<typename T>() {
    T* out = y.as<T>();
    for (int64_t i = 0; i < n; ++i) {
      Wide<T> value = Load<T>(x, i);
      if (args.has_input(1) && value < Load<T>(args.inputs[1].data, 0))
        value = Load<T>(args.inputs[1].data, 0);
      if (args.has_input(2) && value > Load<T>(args.inputs[2].data, 0))
        value = Load<T>(args.inputs[2].data, 0);
      out[i] = Narrow<T>(value);
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ClipParams params, ReadClip(spec));
  return MakeKernel(params, &CheckClip, &Run);
}

}  // namespace

extern const KernelDef clip_ref = {
    .id = "clip_ref.1", .op = "Clip", .reference = true, .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
