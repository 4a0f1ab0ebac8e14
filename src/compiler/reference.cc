#include "compiler/reference.h"

#include <fmt/format.h>

#include <cstring>
#include <functional>

#include "compiler/emit.h"
#include "compiler/lower_if.h"
#include "compiler/select.h"
#include "passes/permutation.h"
#include "plan/dims.h"

namespace fusee::compiler {
namespace {

Result<std::vector<int64_t>> ShapeAt(const plan::Plan& plan, const plan::IoDef& io,
                                     std::span<const int64_t> symbol_values) {
  std::vector<int64_t> dims(plan.dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan.dims, symbol_values, dims));
  FUSEE_TRY(Shape shape, plan::ShapeOf(plan.tensors[io.tensor], dims));
  return std::vector<int64_t>(shape.dims().begin(), shape.dims().end());
}

// The shape in the model's order of axes.
Result<std::vector<int64_t>> ModelShapeAt(const plan::Plan& plan, const plan::IoDef& io,
                                          std::span<const int64_t> symbol_values) {
  FUSEE_TRY(std::vector<int64_t> shape, ShapeAt(plan, io, symbol_values));
  if (!io.channels_last) return shape;
  return passes::Permuted(shape, passes::ToChannelsFirst(shape.size()));
}

Result<Tensor> PinOf(const plan::Plan& plan, const plan::IoDef& io) {
  const std::vector<int64_t> opt = plan::SymbolValues(plan, plan::ProfilePoint::kOpt);
  FUSEE_TRY(std::vector<int64_t> shape, ShapeAt(plan, io, opt));
  TensorView writable;
  FUSEE_TRY(Tensor tensor,
            Tensor::Allocate(plan.tensors[io.tensor].dtype, Shape(shape), &writable));
  if (writable.bytes().size() != io.pinned.size())
    return Internal("a pinned input's bytes are not its tensor's");
  if (!io.pinned.empty()) std::memcpy(writable.data, io.pinned.data(), io.pinned.size());
  return tensor;
}

// The comparison binds both plans by position, so names, types and symbols must agree.
Status CheckSameInterface(const plan::Plan& plan, const plan::Plan& reference) {
  const auto differ = [](std::string what) {
    return FailedPrecondition(
        fmt::format("the model gives other {} than the plan has; was the plan built from it with "
                    "this version of Fusee?",
                    what));
  };
  const auto same_io = [&](const std::vector<plan::IoDef>& a, const std::vector<plan::IoDef>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      const plan::TensorDef &x = plan.tensors[a[i].tensor], &y = reference.tensors[b[i].tensor];
      if (a[i].name != b[i].name || x.dtype != y.dtype || x.shape.size() != y.shape.size())
        return false;
    }
    return true;
  };
  if (!same_io(plan.inputs, reference.inputs)) return differ("inputs");
  if (!same_io(plan.outputs, reference.outputs)) return differ("outputs");
  if (plan.symbols.size() != reference.symbols.size()) return differ("dynamic dimensions");
  for (size_t i = 0; i < plan.symbols.size(); ++i) {
    const plan::Symbol &a = plan.symbols[i], &b = reference.symbols[i];
    if (a.name != b.name || a.min != b.min || a.max != b.max) return differ("dynamic dimensions");
  }
  return OkStatus();
}

}  // namespace

Sha256Digest ModelDigest(const onnx::Model& model) {
  Sha256Stream digest;
  const auto file = model.file->bytes();
  digest.Update(file);
  for (const onnx::TensorRef& t : model.graph.initializers) {
    if (!t.tensor.present() || t.tensor.view().size_bytes() == 0) continue;
    const auto bytes = t.tensor.bytes();
    const bool inside = std::greater_equal<>()(bytes.data(), file.data()) &&
                        std::less<>()(bytes.data(), file.data() + file.size());
    if (!inside) digest.Update(bytes);
  }
  return digest.Finish();
}

Result<plan::Plan> ReferencePlan(const ImportedModel& model) {
  const std::unique_ptr<ir::Graph> graph = ir::Clone(*model.graph);
  FUSEE_TRY(LowerIf(*graph));
  FUSEE_TRY(SeparateOutputs(*graph));
  const SelectOptions select{.max_isa = HostCpu().isa, .reference_only = true, .pack = false};
  FUSEE_TRY(std::vector<SelectedNode> selection, SelectKernels(*graph, select));
  return EmitPlan(model, *graph, selection, {.in_place = false});
}

Result<BuildOptions> OptionsOf(const plan::Plan& plan) {
  BuildOptions options;
  for (const plan::IoDef& io : plan.inputs) {
    InputProfile& profile = options.profiles[io.name];
    for (const plan::Bucket& bucket : plan.buckets) {
      FUSEE_TRY(std::vector<int64_t> shape, ModelShapeAt(plan, io, bucket.symbol_values));
      profile.shapes.push_back(std::move(shape));
    }
    FUSEE_TRY(profile.opt,
              ModelShapeAt(plan, io, plan::SymbolValues(plan, plan::ProfilePoint::kOpt)));
    options.input_formats.push_back({plan.tensors[io.tensor].dtype, io.channels_last});
    if (!io.is_pinned) continue;
    FUSEE_TRY(Tensor pin, PinOf(plan, io));
    options.pins[io.name] = std::move(pin);
  }
  for (const plan::Count& count : plan.counts) options.bounds[count.name] = count.max;
  for (const plan::IoDef& io : plan.outputs)
    options.output_formats.push_back({plan.tensors[io.tensor].dtype, io.channels_last});
  return options;
}

Result<plan::Plan> ReferenceFor(const plan::Plan& plan, const std::string& model_path) {
  FUSEE_TRY(auto model, onnx::Load(model_path));
  const Sha256Digest digest = ModelDigest(*model);
  if (digest != plan.provenance.model_digest) {
    return FailedPrecondition(
        fmt::format("the plan was built from another model than '{}': its digest is {}, the plan "
                    "says {}; give the plan's own model, or rebuild",
                    model_path, ToHex(digest), ToHex(plan.provenance.model_digest)));
  }
  FUSEE_TRY(BuildOptions options, OptionsOf(plan));
  FUSEE_TRY(ImportedModel imported, Import(*model, options));
  FUSEE_TRY(plan::Plan reference, ReferencePlan(imported));
  FUSEE_TRY(CheckSameInterface(plan, reference));
  return reference;
}

}  // namespace fusee::compiler
