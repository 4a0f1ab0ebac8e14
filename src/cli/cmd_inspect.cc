// fusee inspect: what is in a model, what is in a plan, and what of a model Fusee supports.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "cli/command.h"
#include "cli/inspect_capability.h"
#include "cli/json_text.h"
#include "cli/plan_file.h"
#include "cli/shape_options.h"
#include "compiler/capability.h"
#include "compiler/reference.h"
#include "compiler/report.h"
#include "onnx/model.h"
#include "plan/print.h"

namespace fusee::cli {
namespace {

std::string TypeText(const onnx::ValueDecl& value) {
  if (value.kind != onnx::ValueDecl::Kind::kTensor) return "not a dense tensor";
  std::string text(OnnxTypeName(value.onnx_type));
  if (!value.has_shape) return text + "[?]";
  text += '[';
  for (size_t i = 0; i < value.shape.size(); ++i) {
    const onnx::DimDecl& dim = value.shape[i];
    if (i > 0) text += ',';
    text += dim.value          ? fmt::format("{}", *dim.value)
            : dim.name.empty() ? "?"
                               : std::string(dim.name);
  }
  return text + ']';
}

// What a model holds, counted.
struct ModelFacts {
  std::vector<const onnx::ValueDecl*> inputs;  // those that are no initialisers
  std::map<std::string, size_t> operators;
  uint64_t parameters = 0, parameter_bytes = 0;
  size_t unreadable = 0;  // initialisers of types Fusee does not have
};

ModelFacts Count(const onnx::Model& model) {
  ModelFacts facts;
  std::map<std::string_view, bool> initialisers;
  for (const onnx::TensorRef& t : model.graph.initializers) {
    initialisers[t.name] = true;
    if (!t.tensor.present()) {
      ++facts.unreadable;
      continue;
    }
    facts.parameters += static_cast<uint64_t>(t.tensor.elements());
    facts.parameter_bytes += static_cast<uint64_t>(t.tensor.view().size_bytes());
  }
  for (const onnx::ValueDecl& v : model.graph.inputs) {
    if (!initialisers.contains(v.name)) facts.inputs.push_back(&v);
  }
  for (const onnx::Node& n : model.graph.nodes)
    ++facts.operators[compiler::OperatorName(n.domain, n.op_type)];
  return facts;
}

std::string OpsetText(const onnx::Model& model) {
  std::string text;
  for (const auto& [domain, version] : model.opset_imports) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", domain.empty() ? "ai.onnx" : domain,
                        version);
  }
  return text.empty() ? "none" : text;
}

class InspectCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("what", words_,
                   "[model | plan | capability] FILE; without a word the file says what it is")
        ->required()
        ->expected(1, 2);
    app.add_flag("--steps", steps_, "plan: the step list");
    app.add_flag("--tensors", tensors_, "plan: every tensor with region, offset and capacity");
    app.add_flag("--tried", tried_,
                 "plan: the steps, and for each the tactics looked at, with verdicts and times");
    app.add_flag("--fusions", fusions_, "plan: fusions made and declined, with reasons");
    app.add_flag("--header", header_, "plan: the first page only; nothing else is read");
    shapes_.Add(app);
    app.add_option("--repro", repro_,
                   "capability: write the first node that is refused as a model of its own");
    app.add_flag("--json", json_, "print as JSON");
    app.footer(
        "capability exits with 3 when the model holds something Fusee does not support.\n"
        "Examples:\n"
        "  fusee inspect digits.plan --tensors --tried\n"
        "  fusee inspect model digits.onnx\n"
        "  fusee inspect capability model.onnx --shape-profile ids:1x128\n"
        "  fusee inspect capability model.onnx --repro refused.onnx");
  }

  Result<ExitCode> Run() override {
    const std::string& file = words_.back();
    std::string kind = words_.size() == 2 ? words_[0] : Guess(file);
    if (kind != "model" && kind != "plan" && kind != "capability") {
      return PrintUsageError(
          InvalidArgument(fmt::format(
              "cannot inspect '{}'; expected model, plan or capability, then a file", kind)),
          json_);
    }
    if (const std::string useless = OptionWithoutEffect(kind); !useless.empty()) {
      return PrintUsageError(
          InvalidArgument(fmt::format("{} has no effect on `fusee inspect {}`", useless, kind)),
          json_);
    }
    if (kind == "plan") return InspectPlan(file);
    FUSEE_TRY(auto model, onnx::Load(file));
    if (kind == "capability") {
      compiler::BuildOptions options;
      if (const Status applied = shapes_.Apply(&options); !applied.ok())
        return PrintUsageError(applied, json_);
      return InspectCapability(*model, options, repro_, json_);
    }
    json_ ? PrintModelJson(file, *model) : PrintModelText(file, *model);
    return ExitCode::kOk;
  }

 private:
  // A plan by its first bytes or, should those be damaged, by its name; anything else is taken for
  // a model.
  static std::string Guess(const std::string& file) {
    if (file.ends_with(".plan")) return "plan";
    const auto header = ReadPlanHeader(file);
    const StatusCode code = header.status().code();
    return code == StatusCode::kInvalidArgument || code == StatusCode::kNotFound ? "model" : "plan";
  }

  std::string OptionWithoutEffect(std::string_view kind) const {
    const std::pair<bool, const char*> flags[] = {
        {steps_, "--steps"}, {tensors_, "--tensors"}, {tried_, "--tried"}, {fusions_, "--fusions"}};
    for (const auto& [given, name] : flags) {
      if (given && kind != "plan") return name;
      if (given && header_) return fmt::format("{} beside --header", name);
    }
    if (header_ && kind != "plan") return "--header";
    const bool shapes = !shapes_.profiles.empty() || !shapes_.pins.empty() ||
                        !shapes_.fixed.empty() || !shapes_.min.empty() || !shapes_.opt.empty() ||
                        !shapes_.max.empty();
    if (!repro_.empty() && kind != "capability") return "--repro";
    return kind != "capability" && shapes ? "a shape profile or pin" : "";
  }

  Result<ExitCode> InspectPlan(const std::string& file) {
    if (header_) {
      auto header = ReadPlanHeader(file);
      if (!header.ok()) return PrintPlanError(header.status(), json_);
      std::fputs((json_ ? plan::HeaderJson(*header) : plan::HeaderText(*header)).c_str(), stdout);
      return ExitCode::kOk;
    }
    auto decoded = ReadPlan(file);
    if (!decoded.ok()) return PrintPlanError(decoded.status(), json_);
    plan::PrintOptions options;
    // Asked for something in particular: that and no more.
    const bool any = steps_ || tensors_ || tried_ || fusions_;
    options.tried = tried_;
    options.tensors = tensors_;
    options.steps = !any || steps_ || tried_;
    options.fusions = !any || fusions_;
    std::fputs(
        (json_ ? plan::PlanJson(**decoded, options) : plan::PlanText(**decoded, options)).c_str(),
        stdout);
    return ExitCode::kOk;
  }

  static void PrintModelText(const std::string& file, const onnx::Model& model) {
    const ModelFacts facts = Count(model);
    fmt::print("model        {} ({})\n", file, compiler::FormatBytes(model.file->bytes().size()));
    fmt::print("producer     {} {}\n", model.producer_name, model.producer_version);
    fmt::print("ir version   {}\nopsets       {}\n", model.ir_version, OpsetText(model));
    for (const onnx::ValueDecl* v : facts.inputs)
      fmt::print("input        {} {}\n", v->name, TypeText(*v));
    for (const onnx::ValueDecl& v : model.graph.outputs)
      fmt::print("output       {} {}\n", v.name, TypeText(v));
    fmt::print("parameters   {} in {} tensors ({})\n", facts.parameters,
               model.graph.initializers.size(), compiler::FormatBytes(facts.parameter_bytes));
    if (facts.unreadable > 0)
      fmt::print("unreadable   {} initialisers of types Fusee does not have\n", facts.unreadable);
    fmt::print("functions    {}\nnodes        {}\n", model.functions.size(),
               model.graph.nodes.size());
    for (const auto& [op, count] : facts.operators) fmt::print("  {:<22} {:>6}\n", op, count);
  }

  static void PrintModelJson(const std::string& file, const onnx::Model& model) {
    const ModelFacts facts = Count(model);
    JsonText json;
    json.Object().Field("model", file).Field("bytes", model.file->bytes().size());
    json.Field("sha256", ToHex(compiler::ModelDigest(model)));
    json.Field("producer", model.producer_name).Field("producer_version", model.producer_version);
    json.Field("ir_version", model.ir_version);
    json.Object("opsets");
    for (const auto& [domain, version] : model.opset_imports) {
      json.Field(domain.empty() ? "ai.onnx" : domain, version);
    }
    json.EndObject();
    const auto put = [&](const onnx::ValueDecl& v) {
      json.Object().Field("name", v.name).Field("type", TypeText(v)).EndObject();
    };
    json.Array("inputs");
    for (const onnx::ValueDecl* v : facts.inputs) put(*v);
    json.EndArray().Array("outputs");
    for (const onnx::ValueDecl& v : model.graph.outputs) put(v);
    json.EndArray();
    json.Field("parameters", facts.parameters).Field("parameter_bytes", facts.parameter_bytes);
    json.Field("unreadable_initializers", facts.unreadable)
        .Field("functions", model.functions.size());
    json.Field("nodes", model.graph.nodes.size()).Object("operators");
    for (const auto& [op, count] : facts.operators) json.Field(op, count);
    json.EndObject().EndObject();
    json.Print();
  }

  std::vector<std::string> words_;
  std::string repro_;
  ShapeOptions shapes_;
  bool steps_ = false, tensors_ = false, tried_ = false, fusions_ = false, header_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_inspect() { return std::make_unique<InspectCommand>(); }

}  // namespace fusee::cli
