// BatchNormalization with given statistics. With those of the batch itself (training_mode, since
// opset 14) it is spelled: they are computed beside it.
#include <fmt/format.h>

#include "ops/nn/speller_def.h"
#include "ops/nn/window.h"
#include "ops/op_def.h"

namespace fusee::ops {

namespace {

Status CheckOperands(ImportContext& c) {
  for (size_t i = 0; i < 5; ++i) {
    if (!c.has_input(i))
      return c.Error(fmt::format("operand {} is missing; expected x, scale, b, mean, var", i));
  }
  return OkStatus();
}

Status EmitNormalised(ImportContext& c, double epsilon, ir::ValueId mean, ir::ValueId var) {
  Attrs attrs;
  attrs.Set("epsilon", epsilon);
  FUSEE_TRY(ir::ValueId y,
            c.Emit("BatchNormalization", {c.input(0), c.input(1), c.input(2), mean, var},
                   std::move(attrs)));
  c.SetOutput(0, y);
  return OkStatus();
}

Status ImportInference(ImportContext& c, double epsilon) {
  for (size_t i = 1; i < c.output_count(); ++i) {
    if (c.wants_output(i))
      return c.Refuse("results beyond the first exist in training only; export for inference");
  }
  return EmitNormalised(c, epsilon, c.input(3), c.input(4));
}

// Until opset 13 training is asked for by further results, whose number and statistics differ from
// what came later; it is refused.
Status ImportOldBatchNorm(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(int64_t spatial, c.Int("spatial", 1));
  c.Ignore("momentum");         // moves the running statistics, which inference does not
  c.Ignore("consumed_inputs");  // a memory hint of opset 1
  c.Ignore("is_test");          // opset 6; training shows in the results
  if (spatial == 0 && c.rank(0) > 2)
    return c.Refuse("spatial 0 (statistics per element) is not supported");
  return ImportInference(c, epsilon);
}

// Operands 3 and 4 are [channels], as only the running statistics are made of them.
Status CheckRunning(ImportContext& c) {
  for (size_t i = 0; i < 5; ++i) {
    if (!IsFloat(c.info(i).dtype))
      return c.Error(fmt::format("operand {} should be floating-point", i));
  }
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  for (size_t i = 3; i < 5; ++i) {
    if (c.rank(i) != 1)
      return c.Error(fmt::format("operand {} has rank {}, expected 1", i, c.rank(i)));
    FUSEE_TRY(c.RequireEqual(c.info(0).shape[1], c.info(i).shape[0],
                             "the channels and the running statistics"));
  }
  return OkStatus();
}

// mean    = ReduceMean(x)                        over all axes but the channels
// var     = ReduceMean((x - mean)^2)             of the population, as it cannot become negative
// y       = BatchNormalization(x, scale, b, mean, var)
// running = running * momentum + mean * (1 - momentum), and var alike
//
// The statistics of 16-bit operands are f32, which the operator takes beside them.
Status ImportTraining(ImportContext& c, double epsilon, double momentum) {
  FUSEE_TRY(CheckRunning(c));
  for (size_t i = 3; i < c.output_count(); ++i) {
    if (c.wants_output(i)) return c.Error("training has three results: y, mean and var");
  }
  std::vector<int64_t> axes = {0};
  for (int axis = 2; axis < c.rank(0); ++axis) axes.push_back(axis);
  const ir::Dim channels = c.info(0).shape[1];
  const DType type = c.info(0).dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  Speller s(c);
  const auto mean_of = [&](ir::ValueId x) {
    return s.Op("ReduceMean", {x}, {{"axes", axes}, {"keepdims", int64_t{1}}});
  };
  const ir::ValueId x = s.Cast(c.input(0), type);
  const ir::ValueId mean = mean_of(x);
  const ir::ValueId centred = s.Sub(x, mean);
  const ir::ValueId statistics[2] = {s.Reshape(mean, {channels}),
                                     s.Reshape(mean_of(s.Mul(centred, centred)), {channels})};
  FUSEE_TRY(s.status());
  FUSEE_TRY(EmitNormalised(c, epsilon, statistics[0], statistics[1]));
  for (size_t i = 0; i < 2; ++i) {
    if (!c.wants_output(i + 1)) continue;
    const ir::ValueId old = s.Cast(c.input(i + 3), type);
    const ir::ValueId kept = s.Mul(old, s.Scalar(type, momentum));
    const ir::ValueId moved = s.Mul(statistics[i], s.Scalar(type, 1 - momentum));
    const ir::ValueId running = s.Cast(s.Add(kept, moved), c.info(i + 3).dtype);
    FUSEE_TRY(s.status());
    c.SetOutput(i + 1, running);
  }
  return OkStatus();
}

Status ImportBatchNorm(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(double momentum, c.Float("momentum", static_cast<double>(0.9f)));
  FUSEE_TRY(int64_t training, c.Int("training_mode", 0));
  return training == 0 ? ImportInference(c, epsilon) : ImportTraining(c, epsilon, momentum);
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
          .imports = {{.onnx_op = "BatchNormalization", .until = 13, .import = ImportOldBatchNorm},
                      {.onnx_op = "BatchNormalization", .since = 14, .import = ImportBatchNorm}}};
}

}  // namespace fusee::ops
