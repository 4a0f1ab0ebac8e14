#include <fmt/format.h>

#include "ops/nn/window.h"
#include "ops/op_def.h"

namespace fusee::ops {

namespace {

// Inference only. Until opset 13 training is asked for by further results, from 14 on by
// training_mode.
Status ImportBatchNorm(ImportContext& c) {
  for (size_t i = 0; i < 5; ++i) {
    if (!c.has_input(i))
      return c.Error(fmt::format("operand {} is missing; expected x, scale, b, mean, var", i));
  }
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(int64_t training, c.Int("training_mode", 0));
  FUSEE_TRY(int64_t spatial, c.Int("spatial", 1));
  c.Ignore("momentum");         // moves the running statistics, which inference does not
  c.Ignore("consumed_inputs");  // a memory hint of opset 1
  c.Ignore("is_test");          // opset 6; training shows in the results
  if (training != 0)
    return c.Refuse("training_mode 1 is not supported; export the model for inference");
  if (spatial == 0 && c.rank(0) > 2)
    return c.Refuse("spatial 0 (statistics per element) is not supported");
  for (size_t i = 1; i < c.output_count(); ++i) {
    if (c.wants_output(i))
      return c.Refuse("results beyond the first exist in training only; export for inference");
  }
  Attrs attrs;
  attrs.Set("epsilon", epsilon);
  FUSEE_TRY(ir::ValueId y,
            c.Emit("BatchNormalization",
                   {c.input(0), c.input(1), c.input(2), c.input(3), c.input(4)}, std::move(attrs)));
  c.SetOutput(0, y);
  return OkStatus();
}

Status InferBatchNorm(InferContext& c) {
  if (c.input_count() != 5) return c.Error("expected operands x, scale, b, mean, var");
  for (size_t i = 0; i < 5; ++i) {
    if (!c.has_input(i)) return c.Error("expected operands x, scale, b, mean, var");
    if (!IsFloat(c.dtype(i))) return c.Error(fmt::format("operand {} should be floating-point", i));
  }
  if (c.dtype(2) != c.dtype(1) || c.dtype(4) != c.dtype(3))
    return c.Error("scale and b, mean and var differ in type");
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  auto channels_last = ParseChannelsLast(c.attrs());
  if (!channels_last.ok()) return c.Error(channels_last.status().message());
  const ir::Dim& channels = *channels_last ? c.shape(0).back() : c.shape(0)[1];
  for (size_t i = 1; i < 5; ++i) {
    if (c.rank(i) != 1)
      return c.Error(fmt::format("operand {} has rank {}, expected 1", i, c.rank(i)));
    FUSEE_TRY(c.RequireEqual(channels, c.shape(i)[0], "the channels and the statistics"));
  }
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

}  // namespace

OpDef DefineBatchNormalization() {
  return {.name = "BatchNormalization",
          .infer = InferBatchNorm,
          .imports = {{.onnx_op = "BatchNormalization", .since = 1, .import = ImportBatchNorm}}};
}

}  // namespace fusee::ops
