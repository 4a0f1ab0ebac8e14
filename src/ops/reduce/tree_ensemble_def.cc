// TreeEnsemble of ai.onnx.ml: rows of features [N, F] to what the leaves of decision trees say of
// them, [N, n_targets]. The trees are a part of the operator (tree_ensemble.h).
#include <cmath>

#include "ops/op_def.h"
#include "ops/reduce/tree_ensemble.h"

namespace fusee::ops {
namespace {

bool HasTrees(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16;
}

Status InferTreeEnsemble(InferContext& context) {
  if (context.input_count() != 1 || !context.has_input(0)) return context.Error("needs an operand");
  if (!HasTrees(context.dtype(0))) {
    return context.Error(
        fmt::format("the operand is {}, expected f32, f64 or f16", DTypeName(context.dtype(0))));
  }
  if (context.rank(0) != 2) return context.Error("needs an operand [N, features]");
  auto trees = ParseTreeEnsemble(context.attrs());
  if (!trees.ok()) {
    const std::string& message = trees.status().message();
    return trees.status().code() == StatusCode::kUnimplemented ? context.Refuse(message)
                                                               : context.Error(message);
  }
  const ir::SymShape& shape = context.shape(0);
  if (shape[1].Range(context.symbols()).max < trees->features) {
    return context.Error(fmt::format("the operand has {} features, the trees need {}",
                                     shape[1].ToString(), trees->features));
  }
  context.SetOutput(0, context.dtype(0), {shape[0], ir::Dim(trees->targets)});
  return OkStatus();
}

// An attribute that is a list of numbers in a tensor, of this type where one is given.
Result<Tensor> ListAttr(ImportContext& context, const char* name, DType dtype) {
  FUSEE_TRY(Tensor list, context.TensorAttr(name));
  if (list.shape().rank() == 1 && list.dtype() == dtype) return list;
  return context.Error(fmt::format("attribute {} is {}{}, expected a list of {}", name,
                                   DTypeName(list.dtype()), list.shape().ToString(),
                                   DTypeName(dtype)));
}

Result<std::vector<double>> FloatsIn(ImportContext& context, const char* name) {
  FUSEE_TRY(const Tensor list, ListAttr(context, name, context.info(0).dtype));
  std::vector<double> values;
  for (int64_t i = 0; i < list.elements(); ++i) values.push_back(DoubleAt(list.view(), i));
  return values;
}

// ONNX puts a NaN behind each set, and says nothing of one behind the last.
Status ReadSets(ImportContext& context, Attrs* attrs) {
  if (!context.HasAttr("membership_values")) return OkStatus();
  FUSEE_TRY(const std::vector<double> list, FloatsIn(context, "membership_values"));
  std::vector<double> members;
  std::vector<int64_t> sizes;
  int64_t size = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool is_end = std::isnan(list[i]);
    if (!is_end) {
      members.push_back(list[i]);
      ++size;
    }
    if (!is_end && i + 1 < list.size()) continue;
    sizes.push_back(size);
    size = 0;
  }
  attrs->Set("membership_values", std::move(members));
  attrs->Set("membership_sizes", std::move(sizes));
  return OkStatus();
}

Status ReadTrees(ImportContext& context, Attrs* attrs) {
  for (const char* name : {"tree_roots", "nodes_featureids", "nodes_truenodeids", "nodes_trueleafs",
                           "nodes_falsenodeids", "nodes_falseleafs", "leaf_targetids"}) {
    FUSEE_TRY(std::vector<int64_t> list, context.Ints(name));
    attrs->Set(name, std::move(list));
  }
  if (context.HasAttr("nodes_missing_value_tracks_true")) {
    FUSEE_TRY(std::vector<int64_t> missing, context.Ints("nodes_missing_value_tracks_true"));
    if (!missing.empty()) attrs->Set("nodes_missing_value_tracks_true", std::move(missing));
  }
  FUSEE_TRY(std::vector<double> weights, FloatsIn(context, "leaf_weights"));
  attrs->Set("leaf_weights", std::move(weights));
  FUSEE_TRY(std::vector<double> splits, FloatsIn(context, "nodes_splits"));
  FUSEE_TRY(const Tensor bytes, ListAttr(context, "nodes_modes", DType::kU8));
  std::vector<int64_t> modes;
  for (int64_t i = 0; i < bytes.elements(); ++i) {
    modes.push_back(IntAt(bytes.view(), i));
    // Some number stands where a set is asked for instead; equal trees shall have equal attributes.
    if (modes.back() == static_cast<int64_t>(TreeMode::kMember) && modes.size() <= splits.size())
      splits[modes.size() - 1] = 0;
  }
  attrs->Set("nodes_splits", std::move(splits));
  attrs->Set("nodes_modes", std::move(modes));
  return ReadSets(context, attrs);
}

Status ImportTreeEnsemble(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  context.Ignore("nodes_hitrates");  // how often a node was met: a hint
  FUSEE_TRY(const int64_t transform, context.Int("post_transform", 0));
  if (transform != 0) {
    return context.Refuse(
        fmt::format("post_transform {} is not supported, as implementations differ in what it is "
                    "of which number; export without, and put a Softmax or Sigmoid behind",
                    transform));
  }
  FUSEE_TRY(const int64_t aggregate, context.Int("aggregate_function", 1));
  const char* const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  if (aggregate < 0 || aggregate >= static_cast<int64_t>(std::size(names)))
    return context.Error(fmt::format("aggregate_function {} is unknown", aggregate));
  FUSEE_TRY(const int64_t targets, context.RequiredInt("n_targets"));
  Attrs attrs = {{"aggregate", std::string(names[aggregate])}, {"n_targets", targets}};
  FUSEE_TRY(ReadTrees(context, &attrs));
  return context.EmitAs("TreeEnsemble", std::move(attrs));
}

}  // namespace

OpDef DefineTreeEnsemble() {
  return {.name = "TreeEnsemble",
          .infer = InferTreeEnsemble,
          .imports = {{.onnx_op = "TreeEnsemble",
                       .since = 5,
                       .import = ImportTreeEnsemble,
                       .domain = "ai.onnx.ml"}}};
}

}  // namespace fusee::ops
