// TfIdfVectorizer, plainly: each place of a row, with each gap, is looked up in the sorted n-grams
// of each length. A row's sums stand in the workspace, in double.
#include <algorithm>

#include "ops/movement/indexing.h"
#include "ops/reduce/tfidf.h"

namespace fusee::ops {
namespace {

Status Check(const TfIdf& table, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != 1 && want.rank() != 2)
    return InvalidArgument("TfIdfVectorizer: needs an operand [C] or [N, C]");
  want[want.rank() - 1] = table.elements;
  return ExpectShape("TfIdfVectorizer", "result", want, args.outputs[0].shape);
}

// An n-gram compared with the integers at `at`, at + stride, ...: below 0, 0 or above 0.
int Compare(const NGram& gram, const ConstTensorView& in, int64_t at, int64_t stride) {
  for (const int64_t item : gram.items) {
    const int64_t other = IndexAt(in, at);
    if (item != other) return item < other ? -1 : 1;
    at += stride;
  }
  return 0;
}

void CountAt(const TfIdf& table, const std::vector<NGram>& grams, const ConstTensorView& in,
             int64_t at, int64_t stride, double* sums) {
  const auto gram = std::ranges::partition_point(
      grams, [&](const NGram& g) { return Compare(g, in, at, stride) < 0; });
  if (gram == grams.end() || Compare(*gram, in, at, stride) != 0) return;
  double& sum = sums[gram->element];
  switch (table.mode) {
    case TfIdfMode::kTf: sum += 1; break;
    case TfIdfMode::kIdf: sum = gram->weight; break;
    case TfIdfMode::kTfIdf: sum += gram->weight; break;
  }
}

// Elements [begin, begin + length) of the operand.
void CountRow(const TfIdf& table, const ConstTensorView& in, int64_t begin, int64_t length,
              double* sums) {
  for (int64_t n = table.min_length; n <= table.max_length; ++n) {
    const std::vector<NGram>& grams = table.grams[static_cast<size_t>(n) - 1];
    if (grams.empty()) continue;
    // The gaps that fit in the row bound the loop, whatever max_skip says.
    for (int64_t stride = 1; stride - 1 <= table.max_skip; ++stride) {
      const int64_t extent = (n - 1) * stride;
      if (extent >= length) break;
      for (int64_t at = begin; at + extent < begin + length; ++at)
        CountAt(table, grams, in, at, stride, sums);
      if (n == 1) break;
    }
  }
}

Status Run(const TfIdf& table, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int64_t length = in.shape[in.shape.rank() - 1];
  const int64_t rows = in.shape.rank() == 2 ? in.shape[0] : 1;
  auto* sums = reinterpret_cast<double*>(args.workspace.data());
  for (int64_t row = 0; row < rows; ++row) {
    std::fill(sums, sums + table.elements, 0.0);
    CountRow(table, in, row * length, length, sums);
    for (int64_t i = 0; i < table.elements; ++i)
      StoreDouble(args.outputs[0], row * table.elements + i, sums[i]);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  if (!IsIndexType(spec.inputs[0].dtype)) return BadStep(spec, "takes i32 and i64 only");
  if (spec.outputs[0].dtype != DType::kF32) return BadStep(spec, "gives f32");
  auto table = ParseTfIdf(*spec.attrs);
  if (!table.ok()) return BadStep(spec, table.status().message());
  const size_t workspace = static_cast<size_t>(table->elements) * sizeof(double);
  return MakeKernel(std::move(table).value(), Check, Run, workspace);
}

}  // namespace

extern const KernelDef tfidf_vectorizer_ref = {
    .id = "tfidf_vectorizer_ref.1", .op = "TfIdfVectorizer", .reference = true, .bind = Bind};

}  // namespace fusee::ops
