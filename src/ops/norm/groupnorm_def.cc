// GroupNormalization, and InstanceNormalization as the case of one channel per group. IR: operands
// x [N, C, ...], scale [C], bias [C]; attributes num_groups and epsilon. Each group of channels of
// each image is normalised alone.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

Status ImportInstance(ImportContext& c) {
  for (size_t i = 0; i < 3; ++i) {
    if (!c.has_input(i)) return c.Error("expected operands x, scale and b");
  }
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  c.Ignore("consumed_inputs");  // a memory hint of opset 1
  if (c.rank(0) < 3) return c.Error(fmt::format("x has rank {}, expected at least 3", c.rank(0)));
  const ir::Dim channels = c.info(0).shape[1];
  if (!channels.is_constant())
    return c.Refuse("the number of channels must be known while building");
  Attrs attrs;
  attrs.Set("epsilon", epsilon);
  attrs.Set("num_groups", channels.constant());
  return c.EmitAs("GroupNormalization", std::move(attrs));
}

// Opset 18 had scale and bias per group; 21 has them per channel.
Status ImportGroup(ImportContext& c) {
  for (size_t i = 0; i < 3; ++i) {
    if (!c.has_input(i)) return c.Error("expected operands x, scale and bias");
  }
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(int64_t groups, c.RequiredInt("num_groups"));
  c.Ignore("stash_type");  // statistics are computed in f32 or better
  if (groups < 1) return c.Error(fmt::format("num_groups {} is not positive", groups));
  std::vector<ir::ValueId> inputs{c.input(0), c.input(1), c.input(2)};
  if (c.opset() < 21) {
    const ir::Dim channels = c.rank(0) >= 2 ? c.info(0).shape[1] : ir::Dim(0);
    if (!channels.is_constant() || channels.constant() % groups != 0) {
      return c.Refuse(
          "the number of channels must be known while building, and a multiple of num_groups");
    }
    for (size_t i = 1; i < 3; ++i) {
      FUSEE_TRY(Tensor per_group, c.ConstInput(i, "scale or bias per group"));
      if (per_group.elements() != groups)
        return c.Error("scale and bias should have one element per group");
      TensorView out;
      FUSEE_TRY(Tensor full, Tensor::Allocate(per_group.dtype(), Shape{channels.constant()}, &out));
      for (int64_t k = 0; k < channels.constant(); ++k) {
        StoreDouble(out, k, DoubleAt(per_group.view(), k / (channels.constant() / groups)));
      }
      inputs[i] = c.Constant(std::move(full));
    }
  }
  Attrs attrs;
  attrs.Set("epsilon", epsilon);
  attrs.Set("num_groups", groups);
  return c.EmitAs("GroupNormalization", std::move(inputs), std::move(attrs));
}

Status InferGroupNorm(InferContext& c) {
  if (c.input_count() != 3 || !c.has_input(0) || !c.has_input(1) || !c.has_input(2)) {
    return c.Error("expected operands x, scale and bias");
  }
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  if (!IsFloat(c.dtype(0)) || c.dtype(1) != c.dtype(0) || c.dtype(2) != c.dtype(0)) {
    return c.Error("x, scale and bias should be of one floating-point type");
  }
  FUSEE_TRY(int64_t groups, c.attrs().Int("num_groups", 0));
  const ir::Dim& channels = c.shape(0)[1];
  if (groups < 1 || (channels.is_constant() && channels.constant() % groups != 0)) {
    return c.Error(
        fmt::format("{} channels do not divide into {} groups", channels.ToString(), groups));
  }
  for (size_t i = 1; i < 3; ++i) {
    if (c.rank(i) != 1) return c.Error("scale and bias should be 1-D");
    FUSEE_TRY(c.RequireEqual(c.shape(i)[0], channels, "scale or bias and the channels"));
  }
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

}  // namespace

OpDef DefineGroupNormalization() {
  return {.name = "GroupNormalization",
          .infer = InferGroupNorm,
          .imports = {{.onnx_op = "GroupNormalization", .since = 18, .import = ImportGroup},
                      {.onnx_op = "InstanceNormalization", .since = 1, .import = ImportInstance}}};
}

}  // namespace fusee::ops
