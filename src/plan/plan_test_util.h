// A small, valid plan for tests: y = neg(abs(x) + w), x f32[batch,4], with the middle value written
// in place, a view of the input, tuned points and a filled-in record.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "plan/plan.h"
#include "tensor/tensor.h"

namespace fusee::plan::testing {

// Tensor indices of SmallPlan.
enum SmallTensor : uint32_t { kX, kW, kA, kB, kY };

inline Plan SmallPlan(int64_t max_batch = 8) {
  Plan plan;
  plan.provenance = {"0.1.0", "small", Sha256({}), {{"", 17}}, "--precision fp32", Sha256({})};
  plan.target = {"cpu", 1};
  plan.symbols = {{"batch", 1, 4, max_batch, 0, 0, 0}};
  plan.dims = {{DimOp::kSymbol, 0, 0}, {DimOp::kConstant, 4, 0}};
  const auto rows = static_cast<uint64_t>(max_batch) * 16;
  const uint64_t bytes = (rows + 63) / 64 * 64;
  plan.tensors = {
      {"x", DType::kF32, {0, 1}, Region::kIo, 0, bytes},
      {"w", DType::kF32, {1}, Region::kWeights, 0, 16},
      {"a", DType::kF32, {0, 1}, Region::kActivations, 0, bytes},
      {"b", DType::kF32, {0, 1}, Region::kActivations, 0, bytes},  // over a, which dies there
      {"y", DType::kF32, {0, 1}, Region::kIo, bytes, bytes},
  };
  const auto step = [](std::string op, std::string kernel, std::vector<uint32_t> in, uint32_t out) {
    Step s;
    s.op = std::move(op);
    s.kernel = std::move(kernel);
    s.inputs = std::move(in);
    s.outputs = {out};
    return s;
  };
  plan.steps = {step("Abs", "abs_ref.1", {kX}, kA), step("Add", "add_ref.1", {kA, kW}, kB),
                step("Neg", "neg_ref.1", {kB}, kY)};
  plan.steps[0].sources = {"abs_0"};
  plan.steps[1].sources = {"add_1", "bias_2"};
  plan.steps[1].tried = {{"add_f32_cpu.1", "accepted", 2.5}, {"add_ref.1", "chosen", 1.5}};
  plan.inputs = {{"x", kX, {}, false}};
  plan.outputs = {{"y", kY, {}, false}};
  plan.buckets = {{{1}, 64, {1000, 1, 2, 3, 4, 5}}, {{max_batch}, bytes, {1000, 2, 3, 4, 5, 6}}};
  plan.activation_bytes = bytes;
  plan.io_bytes = 2 * bytes;
  plan.certificate.verified = true;
  plan.certificate.rtol = 1e-3;
  plan.certificate.atol = 1e-5;
  plan.certificate.batch_invariant = plan.certificate.batch_checked = true;
  plan.certificate.corners = {{{max_batch}, Fill::kTiny, "y", false, max_batch * 4, 0.0, 0.0, 5.5}};
  plan.fusions = {{"fuse_bias", true, "add_1 + bias_2", ""},
                  {"fuse_relu", false, "neg_3", "not a Relu"}};
  const Tensor weights = Tensor::Of<float>({16}, {1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  plan.weights = weights.bytes();
  plan.weights_owner = std::make_shared<Tensor>(weights);
  return plan;
}

// The plan with a step of every attribute type, an absent operand and a deep dimension, for
// encoding tests only.
inline Plan RichPlan() {
  Plan plan = SmallPlan();
  plan.steps[1].attrs = Attrs({{"axis", int64_t{-1}},
                               {"alpha", 0.5},
                               {"mode", std::string("edge")},
                               {"pads", std::vector<int64_t>{1, 2, 3}},
                               {"scales", std::vector<double>{1.5, -0.0}}});
  plan.steps[1].inputs.push_back(kNoTensor);
  plan.dims.push_back({DimOp::kMul, 0, 1});
  plan.dims.push_back({DimOp::kFloorDiv, 2, 1});
  plan.steps[1].dims = {2, 3};
  plan.constraints = {{0, 3, "batch is itself"}};
  plan.certificate.golden = {{{2}, Fill::kUniform, 7, {Sha256({})}}};
  return plan;
}

// y = copy of NonZero(x), x f32[batch,4]: a result as large as the data makes it, at most
// max_count.
inline Plan CountingPlan(int64_t max_batch = 8, int64_t max_count = 32) {
  Plan plan = SmallPlan(max_batch);
  const auto bytes = static_cast<uint64_t>((2 * max_count * 8 + 63) / 64 * 64);
  plan.counts = {{"find/y:1", max_count}};
  plan.dims = {{DimOp::kSymbol, 0, 0},
               {DimOp::kConstant, 4, 0},
               {DimOp::kConstant, 2, 0},
               {DimOp::kCount, 0, max_count}};
  const uint64_t x_bytes = plan.tensors[kX].capacity_bytes;
  plan.tensors = {plan.tensors[kX],
                  {"i", DType::kI64, {2, 3}, Region::kActivations, 0, bytes},
                  {"y", DType::kI64, {2, 3}, Region::kIo, x_bytes, bytes}};
  Step find, copy;
  find.op = "NonZero";
  find.kernel = "non_zero_ref.1";
  find.inputs = {0};
  find.outputs = {1};
  find.counts = {0};
  copy.op = "Copy";
  copy.kernel = "copy_ref.1";
  copy.inputs = {1};
  copy.outputs = {2};
  plan.steps = {find, copy};
  plan.outputs = {{"y", 2, {}, false}};
  plan.activation_bytes = bytes;
  plan.io_bytes = x_bytes + bytes;
  for (Bucket& bucket : plan.buckets) bucket.arena_bytes = bytes;
  return plan;
}

// y = |x| where c, else -x: x f32[batch,4], c a bool that every run is given. Steps: Abs when c,
// Neg when not c, Where.
inline Plan GuardedPlan(int64_t max_batch = 8) {
  Plan plan = SmallPlan(max_batch);
  const uint64_t bytes = plan.tensors[kX].capacity_bytes;
  plan.tensors = {plan.tensors[kX],
                  {"c", DType::kBool, {}, Region::kIo, 2 * bytes, 64},
                  {"a", DType::kF32, {0, 1}, Region::kActivations, 0, bytes},
                  {"b", DType::kF32, {0, 1}, Region::kActivations, bytes, bytes},
                  {"y", DType::kF32, {0, 1}, Region::kIo, bytes, bytes}};
  Step abs, neg, where;
  abs.op = "Abs";
  abs.kernel = "abs_ref.1";
  abs.inputs = {0};
  abs.outputs = {2};
  abs.guards = {{1, true}};
  neg.op = "Neg";
  neg.kernel = "neg_ref.1";
  neg.inputs = {0};
  neg.outputs = {3};
  neg.guards = {{1, false}};
  where.op = "Where";
  where.kernel = "where_ref.1";
  where.inputs = {1, 2, 3};
  where.outputs = {4};
  plan.steps = {abs, neg, where};
  plan.inputs.push_back({"c", 1, {}, false});
  plan.outputs = {{"y", 4, {}, false}};
  plan.activation_bytes = 2 * bytes;
  plan.io_bytes = 2 * bytes + 64;
  for (Bucket& bucket : plan.buckets) bucket.arena_bytes = 2 * bytes;
  return plan;
}

// RichPlan for a GPU: a step on the host, configurations that steps and buckets share, a pinned
// library.
inline Plan GpuPlan() {
  Plan plan = RichPlan();
  plan.target.device = "cuda";
  plan.target.gpu = {"NVIDIA H200", 90, 132, 13000, {{"cublaslt", 130100}, {"cudnn", 91400}}};
  const ConfigBytes first{std::byte{1}, std::byte{2}, std::byte{3}};
  const ConfigBytes second{std::byte{9}};
  plan.steps[0].device = plan.steps[1].device = 1;
  plan.steps[0].config = first;
  plan.steps[0].bucket_tactics = {{0, "abs_cuda.1", second}, {1, "abs_other_cuda.1", {}}};
  plan.steps[1].bucket_tactics = {{1, "add_cuda.1", first}};
  return plan;
}

// The 64-byte aligned copy that a mapping would be.
inline Tensor AlignedCopy(std::span<const std::byte> bytes) {
  TensorView view;
  auto tensor = Tensor::Allocate(DType::kU8, Shape{static_cast<int64_t>(bytes.size())}, &view);
  if (!bytes.empty()) std::memcpy(view.data, bytes.data(), bytes.size());
  return std::move(tensor).value();
}

}  // namespace fusee::plan::testing
