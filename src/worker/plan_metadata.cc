#include "worker/plan_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/dims.h"
#include "plan/print.h"

namespace fusee::worker {
namespace {

using plan::DimExpr;
using plan::DimOp;
using plan::Plan;

const plan::TensorDef& TensorOf(const Plan& plan, const plan::IoDef& io) {
  return plan.tensors[io.tensor];
}

bool IsSymbol(const DimExpr& dim, size_t symbol) {
  return dim.op == DimOp::kSymbol && dim.a == static_cast<int64_t>(symbol);
}

// For each expression, whether its value depends on the symbol.
std::vector<bool> DependsOn(const Plan& plan, size_t symbol) {
  std::vector<bool> depends;
  for (const DimExpr& dim : plan.dims) {
    switch (dim.op) {
      case DimOp::kConstant:
      case DimOp::kCount: depends.push_back(false); break;
      case DimOp::kSymbol: depends.push_back(IsSymbol(dim, symbol)); break;
      case DimOp::kAdd:
      case DimOp::kMul:
      case DimOp::kFloorDiv:
      case DimOp::kMod:
      case DimOp::kMin:
      case DimOp::kMax:
        depends.push_back(depends[static_cast<size_t>(dim.a)] ||
                          depends[static_cast<size_t>(dim.b)]);
        break;
    }
  }
  return depends;
}

// Why requests cannot share a batch along this symbol; empty when they can.
std::string WhyNotBatch(const Plan& plan, size_t symbol) {
  const std::vector<bool> depends = DependsOn(plan, symbol);
  for (const auto* list : {&plan.inputs, &plan.outputs}) {
    for (const plan::IoDef& io : *list) {
      const auto& shape = TensorOf(plan, io).shape;
      if (io.is_pinned) return fmt::format("input '{}' is fixed to one value", io.name);
      if (shape.empty() || !IsSymbol(plan.dims[shape[0]], symbol)) {
        return fmt::format("dimension 0 of '{}' is not {}", io.name, plan.symbols[symbol].name);
      }
      for (size_t i = 1; i < shape.size(); ++i) {
        if (depends[shape[i]])
          return fmt::format("dimension {} of '{}' also depends on {}", i, io.name,
                             plan.symbols[symbol].name);
      }
    }
  }
  const std::vector<int64_t> known = plan::KnownAfter(plan);
  for (const plan::IoDef& io : plan.outputs) {
    if (plan::LastKnown(plan, known, io.tensor) != plan::kKnownAtStart)
      return fmt::format("'{}' is as large as the data makes it", io.name);
  }
  for (const plan::Symbol& s : plan.symbols) {
    if (s.axis < 0) return fmt::format("{} is read from the values of an input", s.name);
  }
  if (!plan.certificate.batch_invariant) {
    return plan.certificate.batch_checked ? "a row's result depends on its neighbours"
                                          : "the plan does not certify that rows are independent";
  }
  return "";
}

ipc::TensorInfo Describe(const Plan& plan, const plan::IoDef& io) {
  const plan::TensorDef& tensor = TensorOf(plan, io);
  ipc::TensorInfo info{.name = io.name, .dtype = tensor.dtype, .shape = {}};
  for (uint32_t d : tensor.shape) {
    info.shape.push_back(plan.dims[d].op == DimOp::kConstant ? plan.dims[d].a : ipc::kDynamicDim);
  }
  return info;
}

std::string Verification(const plan::Certificate& certificate) {
  if (!certificate.verified)
    return certificate.reason.empty() ? "not verified" : "not verified: " + certificate.reason;
  return fmt::format("verified against the reference at {} points, {}", certificate.corners.size(),
                     plan::WorstErrorText(certificate.corners));
}

}  // namespace

ipc::ModelInfo DescribePlan(const Plan& plan, const std::string& name, int64_t version) {
  ipc::ModelInfo info{.name = name, .version = version};
  for (const auto& io : plan.inputs) info.inputs.push_back(Describe(plan, io));
  for (const auto& io : plan.outputs) info.outputs.push_back(Describe(plan, io));
  for (const auto& s : plan.symbols) {
    info.symbols.push_back(
        {.name = s.name, .min = s.min, .max = s.max, .input = s.input, .axis = s.axis});
  }
  for (const auto& b : plan.buckets) {
    info.buckets.push_back({.symbol_values = b.symbol_values,
                            .count = b.latency.count,
                            .p50_us = b.latency.p50_us,
                            .p99_us = b.latency.p99_us,
                            .p999_us = b.latency.p999_us,
                            .max_us = b.latency.max_us});
  }
  info.not_batched_because = "no dimension varies";
  for (size_t s = 0; s < plan.symbols.size() && info.batch_symbol < 0; ++s) {
    std::string why = WhyNotBatch(plan, s);
    if (why.empty()) info.batch_symbol = static_cast<int32_t>(s);
    // Of several symbols, the first is the one a person means by "batch".
    if (s == 0 || why.empty()) info.not_batched_because = std::move(why);
  }
  info.verified = plan.certificate.verified;
  info.verification = Verification(plan.certificate);
  return info;
}

ipc::ShapeProgram DescribeShapes(const Plan& plan) {
  using Op = ipc::ShapeProgram::Op;
  ipc::ShapeProgram program;
  for (const DimExpr& e : plan.dims) {
    if (e.op == DimOp::kCount) {  // results have room for the most of it; the run says how many
      program.dims.push_back({.op = Op::kConstant, .a = e.b});
      continue;
    }
    Op op = Op::kConstant;
    switch (e.op) {
      case DimOp::kConstant: op = Op::kConstant; break;
      case DimOp::kSymbol: op = Op::kSymbol; break;
      case DimOp::kAdd: op = Op::kAdd; break;
      case DimOp::kMul: op = Op::kMul; break;
      case DimOp::kFloorDiv: op = Op::kFloorDiv; break;
      case DimOp::kMod: op = Op::kMod; break;
      case DimOp::kMin: op = Op::kMin; break;
      case DimOp::kMax: op = Op::kMax; break;
      case DimOp::kCount: break;
    }
    program.dims.push_back({.op = op, .a = e.a, .b = e.b});
  }
  for (const auto& io : plan.inputs) program.inputs.push_back(TensorOf(plan, io).shape);
  for (const auto& io : plan.outputs) program.outputs.push_back(TensorOf(plan, io).shape);
  const std::vector<int64_t> known = plan::KnownAfter(plan);
  for (const auto& c : plan.constraints) {
    // What a run finds, the run checks.
    if (std::max(known[c.a], known[c.b]) == plan::kKnownAtStart)
      program.equal.push_back({.a = c.a, .b = c.b, .reason = c.reason});
  }
  return program;
}

}  // namespace fusee::worker
