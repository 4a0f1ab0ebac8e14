// Normalisations that ONNX Runtime's optimiser writes, spelled with sums, look-ups and
// LayerNormalization or RMSNormalization over the last axis:
//
//   SkipLayerNormalization             norm(input + skip + bias), the sum as result 3
//   SkipSimplifiedLayerNormalization   the same with RMSNormalization
//   SimplifiedLayerNormalization       RMSNormalization; in the domain ai.onnx too
//   EmbedLayerNormalization            norm(word + position + segment embedding), the sum as result
//   2
//
// Statistics (mean, inverse deviation) are for training and refused when a model asks for them.
#include <fmt/format.h>

#include "ops/nn/speller_def.h"

namespace fusee::ops {

namespace {

constexpr std::string_view kDomain = "com.microsoft";
constexpr auto kSkipEpsilon = static_cast<double>(1e-12f);
constexpr auto kSimplifiedEpsilon = static_cast<double>(1e-5f);

ir::ValueId Normalise(Speller& s, std::string_view op, ir::ValueId x, int64_t axis,
                      std::vector<ir::ValueId> scale_and_bias, double epsilon) {
  scale_and_bias.insert(scale_and_bias.begin(), x);
  while (!scale_and_bias.back().valid()) scale_and_bias.pop_back();
  return s.Op(op, std::move(scale_and_bias), {{"axis", axis}, {"epsilon", epsilon}});
}

// bias: the operand that is added before the norm.
Status ImportSkip(ImportContext& c, std::string_view op, std::vector<ir::ValueId> scale_and_bias,
                  size_t bias) {
  if (!c.has_input(0) || !c.has_input(1) || !c.has_input(2))
    return c.Error("operands input, skip and gamma are required");
  const int rank = c.rank(0);
  if (rank < 1 || c.rank(1) > rank)
    return c.Error(fmt::format("input has rank {} and skip {}", rank, c.rank(1)));
  FUSEE_TRY(const double epsilon, c.Float("epsilon", kSkipEpsilon));
  Speller s(c);
  ir::ValueId sum = s.Add(c.input(0), c.input(1));
  if (c.has_input(bias)) sum = s.Add(sum, c.input(bias));
  const ir::ValueId y = Normalise(s, op, sum, rank - 1, std::move(scale_and_bias), epsilon);
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  if (c.wants_output(3)) c.SetOutput(3, sum);
  return OkStatus();
}

Status ImportSkipLayer(ImportContext& c) {
  return ImportSkip(c, "LayerNormalization", {c.input(2), c.input(3)}, 4);
}

Status ImportSkipSimplified(ImportContext& c) {
  return ImportSkip(c, "RMSNormalization", {c.input(2)}, 3);
}

Status ImportSimplified(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands x and scale are required");
  FUSEE_TRY(const int64_t attribute, c.Int("axis", -1));
  FUSEE_TRY(const double epsilon, c.Float("epsilon", kSimplifiedEpsilon));
  FUSEE_TRY(const int64_t stash, c.Int("stash_type", 1));
  if (stash != 1) return c.Refuse(fmt::format("stash_type {} is not float (1)", stash));
  FUSEE_TRY(const int axis, c.Axis(attribute, c.rank(0)));
  Speller s(c);
  const ir::ValueId y = Normalise(s, "RMSNormalization", c.input(0), axis, {c.input(1)}, epsilon);
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  return OkStatus();
}

enum Embed : size_t {
  kIds,
  kSegments,
  kWords,
  kPositions,
  kSegmentTable,
  kGamma,
  kBeta,
  kMask,
  kPositionIds
};

Status CheckEmbed(ImportContext& c) {
  for (size_t i : {kIds, kWords, kPositions, kGamma})
    if (!c.has_input(i)) return c.Error(fmt::format("operand {} is missing", i));
  if (c.has_input(kSegments) != c.has_input(kSegmentTable))
    return c.Error("segment_ids and segment_embedding go together, got one of them");
  for (size_t i : {kIds, kSegments, kPositionIds, kMask}) {
    if (!c.has_input(i)) continue;
    if (c.rank(i) != 2 || (c.info(i).dtype != DType::kI32 && c.info(i).dtype != DType::kI64))
      return c.Error(fmt::format("operand {} should be integers of [batch, seq]", i));
  }
  for (size_t i : {kWords, kPositions, kSegmentTable}) {
    if (c.has_input(i) && c.rank(i) != 2)
      return c.Error(fmt::format("operand {} should be a table of embeddings, of rank 2", i));
  }
  return OkStatus();
}

Status ImportEmbed(ImportContext& c) {
  FUSEE_TRY(CheckEmbed(c));
  FUSEE_TRY(const double epsilon, c.Float("epsilon", kSkipEpsilon));
  FUSEE_TRY(const int64_t mask_type, c.Int("mask_index_type", 1));
  const ir::Dim batch = c.info(kIds).shape[0], seq = c.info(kIds).shape[1];
  Speller s(c);
  const auto look_up = [&](size_t table, ir::ValueId ids) {
    return s.Op("Gather", {c.input(table), ids}, {{"axis", int64_t{0}}});
  };
  // Without position_ids the first rows; a look-up, so that a table that is too short is an error.
  const ir::ValueId positions = c.has_input(kPositionIds) ? c.input(kPositionIds) : s.Iota(seq);
  ir::ValueId sum = look_up(kWords, c.input(kIds));
  sum = s.Add(sum, look_up(kPositions, positions));
  if (c.has_input(kSegments)) sum = s.Add(sum, look_up(kSegmentTable, c.input(kSegments)));
  const ir::ValueId y =
      Normalise(s, "LayerNormalization", sum, 2, {c.input(kGamma), c.input(kBeta)}, epsilon);
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  if (c.wants_output(2)) c.SetOutput(2, sum);
  if (!c.wants_output(1)) return OkStatus();
  // How many tokens of each sequence are no padding.
  ir::ValueId count;
  if (c.has_input(kMask) && mask_type != 0) {
    const ir::ValueId one = s.Op("Equal", {c.input(kMask), s.Scalar(c.info(kMask).dtype, 1)});
    count = s.Op("ReduceSum", {s.Cast(one, DType::kI32)},
                 {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
  } else {
    count = s.Expand(s.Scalar(DType::kI32, 0), {batch});
  }
  FUSEE_TRY(s.status());
  c.SetOutput(1, count);
  return OkStatus();
}

}  // namespace

OpDef DefineSimplifiedLayerNormalization() {
  return {.name = "SimplifiedLayerNormalization",
          .imports = {
              {.onnx_op = "SimplifiedLayerNormalization", .import = ImportSimplified},
              {.onnx_op = "SimplifiedLayerNormalization",
               .import = ImportSimplified,
               .domain = kDomain},
              {.onnx_op = "SkipLayerNormalization", .import = ImportSkipLayer, .domain = kDomain},
              {.onnx_op = "SkipSimplifiedLayerNormalization",
               .import = ImportSkipSimplified,
               .domain = kDomain}}};
}

OpDef DefineEmbedLayerNormalization() {
  return {.name = "EmbedLayerNormalization",
          .imports = {
              {.onnx_op = "EmbedLayerNormalization", .import = ImportEmbed, .domain = kDomain}}};
}

}  // namespace fusee::ops
