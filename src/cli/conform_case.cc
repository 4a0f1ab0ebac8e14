#include "cli/conform_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "compiler/build.h"
#include "device/thread_pool.h"
#include "onnx/model.h"
#include "ops/module.h"
#include "runtime/runtime.h"
#include "tensor/compare.h"

namespace fusee::cli {
namespace fs = std::filesystem;
namespace {

constexpr int kMaxSearchDepth = 6;

std::vector<std::string> DataSets(const fs::path& folder) {
  std::vector<std::string> sets;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_directory(ignored) &&
        entry.path().filename().string().starts_with("test_data_set")) {
      sets.push_back(entry.path().string());
    }
  }
  std::ranges::sort(sets);
  return sets;
}

// light_resnet50.onnx beside light_resnet50_output_0.pb, ...
std::vector<std::string> LightOutputs(const fs::path& model) {
  std::vector<std::string> outputs;
  std::error_code ignored;
  for (int i = 0;; ++i) {
    fs::path file = model.parent_path() / fmt::format("{}_output_{}.pb", model.stem().string(), i);
    if (!fs::exists(file, ignored)) return outputs;
    outputs.push_back(file.string());
  }
}

void Search(const fs::path& root, const fs::path& folder, int depth,
            std::vector<ConformCase>* cases) {
  std::error_code ignored;
  if (fs::exists(folder / "model.onnx", ignored)) {
    const fs::path name = folder == root ? folder.filename() : fs::relative(folder, root, ignored);
    cases->push_back({name.string(), (folder / "model.onnx").string(), DataSets(folder), {}});
    return;
  }
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) {
      if (depth < kMaxSearchDepth) Search(root, entry.path(), depth + 1, cases);
    } else if (entry.path().extension() == ".onnx") {
      auto outputs = LightOutputs(entry.path());
      if (outputs.empty()) continue;
      const fs::path name = fs::relative(entry.path(), root, ignored).replace_extension();
      cases->push_back({name.string(), entry.path().string(), {}, std::move(outputs)});
    }
  }
}

// Inputs by name, and what is expected.
struct DataSet {
  std::string name;
  std::vector<std::pair<std::string, Tensor>> inputs;
  std::vector<Tensor> outputs;
  Status unreadable;  // a sequence or a string tensor: the importer has to refuse such a model by
                      // itself
};

std::vector<const onnx::ValueDecl*> RealInputs(const onnx::Model& model) {
  std::vector<const onnx::ValueDecl*> inputs;
  for (const onnx::ValueDecl& d : model.graph.inputs) {
    const bool initialised = std::ranges::any_of(
        model.graph.initializers, [&](const onnx::TensorRef& t) { return t.name == d.name; });
    if (!initialised) inputs.push_back(&d);
  }
  return inputs;
}

DataSet ReadDataSet(const onnx::Model& model, const std::string& folder) {
  DataSet data{fs::path(folder).filename().string(), {}, {}, {}};
  // Files are numbered by the inputs that have no initialiser; a case with more files numbers all
  // declared ones.
  std::vector<const onnx::ValueDecl*> inputs = RealInputs(model);
  std::error_code ignored;
  if (fs::exists(fmt::format("{}/input_{}.pb", folder, inputs.size()), ignored)) {
    inputs.clear();
    for (const onnx::ValueDecl& d : model.graph.inputs) inputs.push_back(&d);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string file = fmt::format("{}/input_{}.pb", folder, i);
    if (!fs::exists(file, ignored)) continue;
    auto tensor = onnx::LoadTensorFile(file);
    if (!tensor.ok()) {
      data.unreadable = tensor.status();
    } else {
      data.inputs.emplace_back(std::string(inputs[i]->name), *tensor);
    }
  }
  for (size_t i = 0; i < model.graph.outputs.size(); ++i) {
    auto tensor = onnx::LoadTensorFile(fmt::format("{}/output_{}.pb", folder, i));
    if (!tensor.ok()) {
      data.unreadable = tensor.status();
      break;
    }
    data.outputs.push_back(*tensor);
  }
  return data;
}

DataSet LightDataSet(const onnx::Model& model, const std::vector<std::string>& outputs) {
  DataSet data{"light", {}, {}, {}};
  for (const onnx::ValueDecl* decl : RealInputs(model)) {
    Shape shape;
    for (const onnx::DimDecl& d : decl->shape) shape.push_back(d.value.value_or(1));
    TensorView out;
    auto tensor = Tensor::Allocate(DType::kF32, shape, &out);
    if (!tensor.ok()) {
      data.unreadable = tensor.status();
      return data;
    }
    const auto n = static_cast<double>(shape.elements());
    for (int64_t k = 0; k < shape.elements(); ++k) StoreDouble(out, k, static_cast<double>(k) / n);
    data.inputs.emplace_back(std::string(decl->name), std::move(tensor).value());
  }
  for (const std::string& file : outputs) {
    auto tensor = onnx::LoadTensorFile(file);
    if (!tensor.ok()) {
      data.unreadable = tensor.status();
      return data;
    }
    data.outputs.push_back(*tensor);
  }
  return data;
}

CaseOutcome FromStatus(const Status& status) {
  const bool refused = status.code() == StatusCode::kUnimplemented;
  return {refused ? Verdict::kRefused : Verdict::kWrong, status.ToString()};
}

Result<std::shared_ptr<const runtime::LoadedPlan>> BuildFor(const ConformCase& test,
                                                            const DataSet& data,
                                                            compiler::BuildOptions options,
                                                            const ops::OpenedDevice& where) {
  for (const auto& [name, tensor] : data.inputs) {
    const auto dims = tensor.shape().dims();
    options.profiles[name].shapes = {std::vector<int64_t>(dims.begin(), dims.end())};
    options.pin_if_needed[name] = tensor;
  }
  FUSEE_TRY(compiler::BuildResult built, compiler::Build(test.model, options));
  auto bytes = std::make_shared<std::vector<std::byte>>(std::move(built.bytes));
  return runtime::LoadedPlan::FromBytes(*bytes, bytes,
                                        {.device = where.device.get(), .kernels = where.kernels});
}

Result<CaseOutcome> RunDataSet(const ConformCase& test, const DataSet& data,
                               const compiler::BuildOptions& options) {
  FUSEE_TRY(const ops::OpenedDevice where, ops::OpenDevice(options.device));
  FUSEE_TRY(auto plan, BuildFor(test, data, options, where));
  if (!data.unreadable.ok())
    return Internal("the data set cannot be read: " + data.unreadable.message());
  ThreadPool pool({.width = options.threads});
  FUSEE_TRY(auto context, runtime::Context::Create(plan, {.parallel = &pool}));
  for (const auto& [name, tensor] : data.inputs) {
    const auto index = plan->FindInput(name);
    if (!index) continue;  // an input that no node reads
    FUSEE_TRY(context->SetInputShape(*index, tensor.shape()));
    FUSEE_TRY(context->BindInput(*index, tensor.bytes().data(), tensor.bytes().size()));
  }
  FUSEE_TRY(context->Run());
  for (size_t i = 0; i < data.outputs.size(); ++i) {
    const Tensor& want = data.outputs[i];
    const Comparison c = Compare(context->output(i), want.view(), DefaultTolerance(want.dtype()));
    if (!c.passed) {
      return CaseOutcome{Verdict::kWrong, fmt::format("{}: output '{}': {}", data.name,
                                                      plan->plan().outputs[i].name, c.reason)};
    }
  }
  return CaseOutcome{};
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPassed: return "passed";
    case Verdict::kRefused: return "refused";
    case Verdict::kWrong: return "wrong";
    case Verdict::kCrashed: return "crashed";
  }
  return "unknown";
}

Result<std::vector<ConformCase>> FindCases(const std::string& dir) {
  std::error_code error;
  if (!fs::is_directory(dir, error)) return NotFound(fmt::format("'{}' is not a folder", dir));
  std::vector<ConformCase> cases;
  const fs::path root = fs::canonical(dir, error);
  Search(root, root, 0, &cases);
  std::ranges::sort(cases, {}, &ConformCase::name);
  return cases;
}

CaseOutcome RunCase(const ConformCase& test, const compiler::BuildOptions& options) {
  auto model = onnx::Load(test.model);
  if (!model.ok()) return FromStatus(model.status());
  std::vector<DataSet> sets;
  if (!test.light_outputs.empty()) sets.push_back(LightDataSet(**model, test.light_outputs));
  for (const std::string& folder : test.data_sets) sets.push_back(ReadDataSet(**model, folder));
  if (sets.empty()) return {Verdict::kWrong, "the case has no test_data_set folder"};
  CaseOutcome worst;
  for (const DataSet& data : sets) {
    auto outcome = RunDataSet(test, data, options);
    CaseOutcome now = outcome.ok() ? *outcome : FromStatus(outcome.status());
    if (now.verdict > worst.verdict) worst = std::move(now);
  }
  return worst;
}

}  // namespace fusee::cli
