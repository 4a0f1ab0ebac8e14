// TfIdfVectorizer: how often each n-gram of a table occurs in a row of integers, [C] or [N, C]. The
// table is a part of the operator (tfidf.h); strings, which ONNX also has here, are no tensors of
// ours.
#include "ops/op_def.h"
#include "ops/reduce/tfidf.h"

namespace fusee::ops {
namespace {

Status InferTfIdf(InferContext& context) {
  if (context.input_count() != 1 || !context.has_input(0)) return context.Error("needs an operand");
  if (context.dtype(0) != DType::kI32 && context.dtype(0) != DType::kI64) {
    return context.Error(
        fmt::format("the operand is {}, expected i32 or i64", DTypeName(context.dtype(0))));
  }
  const ir::SymShape& shape = context.shape(0);
  if (shape.size() != 1 && shape.size() != 2)
    return context.Error("needs an operand [C] or [N, C]");
  auto table = ParseTfIdf(context.attrs());
  if (!table.ok()) {
    const std::string& message = table.status().message();
    return table.status().code() == StatusCode::kUnimplemented ? context.Refuse(message)
                                                               : context.Error(message);
  }
  ir::SymShape out = shape;
  out.back() = ir::Dim(table->elements);
  context.SetOutput(0, DType::kF32, std::move(out));
  return OkStatus();
}

Status ImportTfIdf(ImportContext& context) {
  Attrs attrs;
  for (const char* name : {"min_gram_length", "max_gram_length", "max_skip_count"}) {
    FUSEE_TRY(const int64_t value, context.RequiredInt(name));
    attrs.Set(name, value);
  }
  FUSEE_TRY(std::string mode, context.Str("mode", ""));
  attrs.Set("mode", std::move(mode));
  for (const char* name : {"ngram_counts", "ngram_indexes"}) {
    FUSEE_TRY(std::vector<int64_t> values, context.Ints(name));
    attrs.Set(name, std::move(values));
  }
  FUSEE_TRY(std::vector<double> weights, context.Floats("weights"));
  if (!weights.empty()) attrs.Set("weights", std::move(weights));
  FUSEE_TRY(const std::vector<std::string> strings, context.Strings("pool_strings"));
  FUSEE_TRY(std::vector<int64_t> pool, context.Ints("pool_int64s"));
  if (!strings.empty()) {
    return context.Refuse(
        "pool_strings is not supported; look the words' numbers up before the model, and give "
        "n-grams of numbers in pool_int64s");
  }
  attrs.Set("pool", std::move(pool));
  return context.EmitAs("TfIdfVectorizer", std::move(attrs));
}

}  // namespace

OpDef DefineTfIdfVectorizer() {
  return {.name = "TfIdfVectorizer",
          .infer = InferTfIdf,
          .imports = {{"TfIdfVectorizer", 9, 1 << 20, ImportTfIdf}}};
}

}  // namespace fusee::ops
