#include "cli/inspect_capability.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "compiler/capability.h"
#include "compiler/repro.h"

namespace fusee::cli {
namespace {

using compiler::Capability;
using compiler::OperatorSupport;
using compiler::Refusal;

std::string OpsetText(int64_t opset) {
  return opset == 0 ? "not imported" : fmt::format("{}", opset);
}

std::string SupportText(const OperatorSupport& row) {
  if (row.refused.empty()) return "yes";
  if (row.refused.size() == row.count) return "no";
  return fmt::format("not in {} of {}", row.refused.size(), row.count);
}

void PrintRefusal(const Refusal& refusal) {
  fmt::print("refused: {}{}\n", compiler::DescribeFunction(refusal), refusal.status.message());
  if (refusal.node != nullptr) {
    fmt::print("  operands: {}\n", compiler::DescribeOperands(refusal.operands));
  }
  if (!refusal.remedy.empty()) fmt::print("  remedy: {}\n", refusal.remedy);
}

void PrintText(const Capability& capability) {
  Table table({"operator", "domain", "opset", "count", "supported"});
  table.LeftFrom(4);
  for (const OperatorSupport& row : capability.operators) {
    table.Row(
        {row.op, row.domain, OpsetText(row.opset), fmt::format("{}", row.count), SupportText(row)});
  }
  std::fputs(table.Text().c_str(), stdout);
  for (const Refusal& refusal : capability.refusals) PrintRefusal(refusal);
  if (!capability.unjudged.empty()) {
    fmt::print(
        "not judged: {} nodes behind these, of whose operands nothing is known (such as '{}'); "
        "onnx.shape_inference writes the types of all values into the model\n",
        capability.unjudged.size(), capability.unjudged[0]->DisplayName());
  }
  const size_t n = capability.refusals.size();
  fmt::print("{}\n", capability.supported()
                         ? "supported: the whole model imports"
                         : fmt::format("not supported: {} refusal{}", n, n == 1 ? "" : "s"));
}

void PutRefusal(const Refusal& refusal, JsonText* json) {
  json->Object();
  if (refusal.node != nullptr) {
    json->Field("node", refusal.node->DisplayName())
        .Field("operator", refusal.node->op_type)
        .Field("domain", refusal.node->domain.empty() ? "ai.onnx" : refusal.node->domain)
        .Field("opset", refusal.opset);
    if (refusal.function != nullptr)
      json->Field("function", compiler::FunctionName(*refusal.function));
    json->Array("operands");
    for (const compiler::RefusedOperand& operand : refusal.operands) {
      json->Object()
          .Field("name", operand.name)
          .Field("type", compiler::DescribeOperands({operand}))
          .EndObject();
    }
    json->EndArray();
  }
  json->Field("code", StatusCodeName(refusal.status.code()));
  json->Field("reason", refusal.status.message());
  json->Field("remedy", refusal.remedy).EndObject();
}

void PrintJson(const Capability& capability) {
  JsonText json;
  json.Object().Field("supported", capability.supported()).Array("operators");
  for (const OperatorSupport& row : capability.operators) {
    json.Object()
        .Field("operator", row.op)
        .Field("domain", row.domain)
        .Field("opset", row.opset)
        .Field("count", row.count)
        .Field("supported", row.refused.empty());
    if (!row.reason.empty()) json.Field("reason", row.reason);
    json.Array("refused");
    for (const std::string& name : row.refused) json.Value(name);
    json.EndArray().EndObject();
  }
  json.EndArray().Array("refusals");
  for (const Refusal& refusal : capability.refusals) PutRefusal(refusal, &json);
  json.EndArray().Array("not_judged");
  for (const onnx::Node* node : capability.unjudged) json.Value(node->DisplayName());
  json.EndArray().EndObject();
  json.Print();
}

// The first node that is refused and of whose operands enough is known.
Status WriteFirst(const onnx::Model& model, const Capability& capability, const std::string& file) {
  Status why = NotFound("--repro: no node of the model is refused, so there is nothing to write");
  for (const Refusal& refusal : capability.refusals) {
    if (refusal.node == nullptr) continue;
    auto repro = compiler::WriteRepro(model, refusal, capability.symbols);
    if (!repro.ok()) {
      why = std::move(repro).status().Annotate(
          fmt::format("--repro: {}", compiler::DescribePlace(refusal)));
      continue;
    }
    FUSEE_TRY(WriteFileAtomically(file, std::string_view(repro->model)));
    fmt::print(stderr, "wrote {} to {}; see it with `fusee inspect capability {}{}{}`\n",
               compiler::DescribePlace(refusal), file, file, repro->options.empty() ? "" : " ",
               repro->options);
    return OkStatus();
  }
  return why;
}

}  // namespace

Result<ExitCode> InspectCapability(const onnx::Model& model, const compiler::BuildOptions& options,
                                   const std::string& repro, bool json) {
  const Capability capability = compiler::FindCapability(model, options);
  json ? PrintJson(capability) : PrintText(capability);
  std::fflush(stdout);
  if (!repro.empty()) {
    const Status written = WriteFirst(model, capability, repro);
    // Nothing refused: the file that was asked for is not there, but the model is fine.
    if (!written.ok() && !capability.supported()) return written;
    if (!written.ok()) fmt::print(stderr, "{}\n", written.message());
  }
  if (capability.unsupported()) return ExitCode::kUnsupported;
  return capability.supported() ? ExitCode::kOk : ExitCode::kError;
}

}  // namespace fusee::cli
