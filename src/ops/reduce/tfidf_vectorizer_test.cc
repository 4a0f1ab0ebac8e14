// TfIdfVectorizer: inference, import, the kernel against counting written out here, and tables that
// are none.
#include <map>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "ops/number_stream_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;
using Ints = std::vector<int64_t>;
constexpr uint64_t kSeed = 4711;

// 1-grams 5 and 6, 2-grams (5, 6) and (5, 5).
Attrs Table(const char* mode, int64_t max_skip = 0) {
  return {{"mode", std::string(mode)},     {"min_gram_length", int64_t{1}},
          {"max_gram_length", int64_t{2}}, {"max_skip_count", max_skip},
          {"ngram_counts", Ints{0, 2}},    {"ngram_indexes", Ints{2, 0, 1, 4}},
          {"pool", Ints{5, 6, 5, 6, 5, 5}}};
}

Attrs With(Attrs attrs, const char* name, AttrValue value) {
  attrs.Set(name, std::move(value));
  return attrs;
}

Tensor Items(DType dtype, const Shape& shape, const Ints& values) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  EXPECT_EQ(view.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) StoreInt(view, static_cast<int64_t>(i), values[i]);
  return tensor;
}

KernelCall Count(const Attrs& table, const Tensor& items, int64_t elements = 5) {
  Shape out = items.shape();
  out[out.rank() - 1] = elements;
  return {
      .op = "TfIdfVectorizer", .attrs = table, .inputs = {items}, .outputs = {{DType::kF32, out}}};
}

std::vector<float> Counts(const KernelCall& call) {
  const auto got = RunKernel("tfidf_vectorizer_ref.1", call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  if (!got.ok()) return {};
  return {(*got)[0].as<float>(), (*got)[0].as<float>() + (*got)[0].elements()};
}

std::vector<onnx::Attribute> OnnxTable() {
  return H::Attrs(H::Attr("mode", "TF"), H::Attr("min_gram_length", 1),
                  H::Attr("max_gram_length", 2), H::Attr("max_skip_count", 0),
                  H::Attr("ngram_counts", Ints{0, 2}), H::Attr("ngram_indexes", Ints{2, 0, 1, 4}));
}
std::vector<onnx::Attribute> OnnxTableWithPool() {
  std::vector<onnx::Attribute> attrs = OnnxTable();
  attrs.push_back(H::Attr("pool_int64s", Ints{5, 6, 5, 6, 5, 5}));
  return attrs;
}

TEST(TfIdfVectorizerDef, CountsAlongTheLastAxis) {
  H h;
  const ir::Dim n = h.Symbol("n", 0, 8), c = h.Symbol("c", 0, 100);
  for (const int opset : {9, 26}) {
    const ir::ValueId y = h.Import("TfIdfVectorizer", opset, {h.Input("rows", DType::kI64, {n, c})},
                                   OnnxTableWithPool());
    EXPECT_EQ(h.Shape(y), "[n,5]");
    EXPECT_EQ(h.graph.value(y).info.dtype, DType::kF32);
    EXPECT_EQ(h.Shape(h.Import("TfIdfVectorizer", opset, {h.Input("row", DType::kI32, {c})},
                               OnnxTableWithPool())),
              "[5]");
  }
}

TEST(TfIdfVectorizerDef, RefusesWhatItDoesNotTake) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kI64, {7});
  const auto code = [&](ir::ValueId in, std::vector<onnx::Attribute> attrs) {
    return h.TryImport("TfIdfVectorizer", 9, {in}, std::move(attrs)).status().code();
  };
  EXPECT_EQ(code(x, OnnxTableWithPool()), StatusCode::kOk);
  EXPECT_EQ(code(h.Input("f", DType::kF32, {7}), OnnxTableWithPool()),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Input("s", DType::kI64, {}), OnnxTableWithPool()), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Input("v", DType::kI64, {1, 2, 3}), OnnxTableWithPool()),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ir::ValueId(), OnnxTableWithPool()), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, OnnxTable()), StatusCode::kInvalidArgument) << "no pool";
  EXPECT_EQ(code(x, H::Attrs(H::Attr("pool_int64s", Ints{5, 6}))), StatusCode::kInvalidArgument)
      << "nothing but a pool";
  onnx::Attribute words;
  words.name = "pool_strings";
  words.type = onnx::AttrType::kStrings;
  words.strings = {"a", "b"};
  std::vector<onnx::Attribute> of_words = OnnxTable();
  of_words.push_back(std::move(words));
  EXPECT_EQ(code(x, std::move(of_words)), StatusCode::kUnimplemented);
}

TEST(TfIdfVectorizer, WeighsByMode) {
  const std::vector<double> weights = {10, 20, 30, 40};
  for (const DType dtype : {DType::kI32, DType::kI64}) {
    const Tensor x = Items(dtype, {7}, {5, 6, 5, 5, 5, 7, 6});
    EXPECT_EQ(Counts(Count(Table("TF"), x)), (std::vector<float>{2, 1, 4, 0, 2}));
    EXPECT_EQ(Counts(Count(Table("IDF"), x)), (std::vector<float>{1, 1, 1, 0, 1}));
    EXPECT_EQ(Counts(Count(Table("TFIDF"), x)), (std::vector<float>{2, 1, 4, 0, 2}));
    // The weights are in the order of the n-grams, not of the elements that count them.
    EXPECT_EQ(Counts(Count(With(Table("TF"), "weights", weights), x)),
              (std::vector<float>{2, 1, 4, 0, 2}));
    EXPECT_EQ(Counts(Count(With(Table("IDF"), "weights", weights), x)),
              (std::vector<float>{20, 30, 10, 0, 40}));
    EXPECT_EQ(Counts(Count(With(Table("TFIDF"), "weights", weights), x)),
              (std::vector<float>{40, 30, 40, 0, 80}));
    const Attrs shared =
        With(With(Table("TFIDF"), "weights", weights), "ngram_indexes", Ints{0, 0, 1, 4});
    EXPECT_EQ(Counts(Count(shared, x)), (std::vector<float>{80, 30, 0, 0, 80}));
  }
}

TEST(TfIdfVectorizer, LeavesOtherLengthsOut) {
  const Tensor x = Items(DType::kI64, {4}, {5, 6, 5, 6});
  EXPECT_EQ(Counts(Count(With(Table("TF"), "max_gram_length", int64_t{1}), x)),
            (std::vector<float>{2, 0, 2, 0, 0}));
  EXPECT_EQ(Counts(Count(With(Table("TF"), "min_gram_length", int64_t{2}), x)),
            (std::vector<float>{0, 2, 0, 0, 0}));
}

TEST(TfIdfVectorizer, CountsRowsOfNoneAndOne) {
  EXPECT_EQ(Counts(Count(Table("TF"), Items(DType::kI64, {0}, {}))), std::vector<float>(5));
  EXPECT_EQ(Counts(Count(Table("TF"), Items(DType::kI64, {2, 0}, {}))), std::vector<float>(10));
  EXPECT_EQ(Counts(Count(Table("TF"), Items(DType::kI64, {0, 3}, {}))), std::vector<float>());
  EXPECT_EQ(Counts(Count(Table("TF", INT64_MAX), Items(DType::kI32, {2, 1}, {5, 6}))),
            (std::vector<float>{0, 0, 1, 0, 0, 1, 0, 0, 0, 0}));
  const Tensor limits = Items(DType::kI64, {2}, {INT64_MIN, INT64_MAX});
  const Attrs extreme = {{"mode", std::string("TF")},         {"min_gram_length", int64_t{2}},
                         {"max_gram_length", int64_t{2}},     {"max_skip_count", int64_t{0}},
                         {"ngram_counts", Ints{0, 0}},        {"ngram_indexes", Ints{0}},
                         {"pool", Ints{INT64_MIN, INT64_MAX}}};
  EXPECT_EQ(Counts(Count(extreme, limits, 1)), (std::vector<float>{1}));
}

// Every n-gram of every gap, counted one by one.
TEST(TfIdfVectorizer, CountsWhatStandsInTheRows) {
  NumberStream draw(kSeed, 1);
  const int64_t letters = 3, length = 17, rows = 3;
  Ints begins, pool, places;
  std::map<Ints, int64_t> place_of;
  for (int64_t n = 1, count = letters; n <= 3; ++n, count *= letters) {
    begins.push_back(static_cast<int64_t>(pool.size()));
    for (int64_t code = 0; code < count; ++code) {
      if (draw(0, 2) == 0) continue;
      Ints gram;
      for (int64_t k = 0, rest = code; k < n; ++k, rest /= letters) gram.push_back(rest % letters);
      pool.insert(pool.end(), gram.begin(), gram.end());
      place_of[gram] = static_cast<int64_t>(places.size());
      places.push_back(static_cast<int64_t>(places.size()));
    }
  }
  Ints items;
  for (int64_t i = 0; i < rows * length; ++i) items.push_back(draw(0, letters - 1));
  const auto elements = static_cast<int64_t>(places.size());
  for (const int64_t max_skip : {0, 1, 4, 40}) {
    std::vector<float> want(static_cast<size_t>(rows * elements));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t n = 1; n <= 3; ++n) {
        for (int64_t gap = 1; gap <= (n == 1 ? 1 : max_skip + 1); ++gap) {
          for (int64_t at = 0; at + (n - 1) * gap < length; ++at) {
            Ints gram;
            for (int64_t k = 0; k < n; ++k)
              gram.push_back(items[static_cast<size_t>(row * length + at + k * gap)]);
            const auto known = place_of.find(gram);
            if (known != place_of.end())
              ++want[static_cast<size_t>(row * elements + known->second)];
          }
        }
      }
    }
    const Attrs table = {{"mode", std::string("TF")},
                         {"min_gram_length", int64_t{1}},
                         {"max_gram_length", int64_t{3}},
                         {"max_skip_count", max_skip},
                         {"ngram_counts", begins},
                         {"ngram_indexes", places},
                         {"pool", pool}};
    EXPECT_EQ(Counts(Count(table, Items(DType::kI32, {rows, length}, items), elements)), want)
        << "seed " << kSeed << ", at most " << max_skip << " skipped";
  }
}

TEST(TfIdfVectorizer, RefusesTablesThatAreNone) {
  const Tensor x = Items(DType::kI64, {2}, {5, 6});
  const auto code = [&](const Attrs& table, int64_t elements = 5) {
    return RunKernel("tfidf_vectorizer_ref.1", Count(table, x, elements)).status().code();
  };
  const Attrs right = Table("TF");
  EXPECT_EQ(code(right), StatusCode::kOk);
  EXPECT_EQ(code(right, 4), StatusCode::kInvalidArgument);
  const std::pair<const char*, AttrValue> wrong[] = {
      {"mode", std::string("TFI")},
      {"min_gram_length", int64_t{0}},
      {"min_gram_length", int64_t{3}},
      {"max_gram_length", int64_t{3}},
      {"max_skip_count", int64_t{-1}},
      {"ngram_counts", Ints{}},
      {"ngram_counts", Ints{1, 2}},
      {"ngram_counts", Ints{0, 7}},
      {"ngram_counts", Ints{0, 3}},
      {"ngram_counts", Ints{0, -2}},
      {"ngram_counts", Ints{0, 2, INT64_MAX}},
      {"ngram_indexes", Ints{}},
      {"ngram_indexes", Ints{2, 0, 1}},
      {"ngram_indexes", Ints{2, 0, 1, 4, 3}},
      {"ngram_indexes", Ints{2, 0, 1, -1}},
      {"ngram_indexes", Ints{2, 0, 1, INT64_MAX}},
      {"weights", std::vector<double>{1, 2, 3}},
      {"pool", Ints{5, 6, 5, 6, 5}},
      {"pool", Ints{5, 5, 5, 6, 5, 5}},
      {"pool", Ints{5, 6, 5, 6, 5, 6}},
      {"pool", Ints{}},
      {"pool", int64_t{5}},
  };
  for (const auto& [name, value] : wrong)
    EXPECT_EQ(code(With(right, name, value)), StatusCode::kInvalidArgument) << name;
  EXPECT_FALSE(RunKernel("tfidf_vectorizer_ref.1",
                         Count(With(Table("IDF"), "ngram_indexes", Ints{4, 0, 1, 4}), x))
                   .ok());
}

// From the right step, steps with something wrong in them. The test utility's canaries and the
// sanitizers watch the runs.
TEST(TfIdfVectorizer, StaysWithinItsOperandsWhateverTheStepSays) {
  const char* const numbers[] = {"min_gram_length", "max_gram_length", "max_skip_count"};
  const char* const lists[] = {"ngram_counts", "ngram_indexes", "pool"};
  int ran = 0, refused = 0;
  for (uint64_t stream = 1; stream <= 400; ++stream) {
    NumberStream draw(kSeed, stream);
    KernelCall call = Count(Table("TFIDF", draw.Number(6)),
                            Items(DType::kI32, {2, 3}, {5, 6, 5, draw(4, 6), draw(4, 6), 6}));
    for (int64_t faults = draw(0, 2); faults > 0; --faults) {
      if (draw(0, 2) == 0) {
        call.attrs.Set(numbers[draw(0, 2)], draw.Number(6));
      } else if (draw(0, 1) == 0) {
        Ints list = *call.attrs.Ints(lists[draw(0, 2)]);
        if (!list.empty())
          list[static_cast<size_t>(draw(0, static_cast<int64_t>(list.size()) - 1))] =
              draw.Number(6);
        call.attrs.Set(lists[draw(0, 2)], list);
      } else {
        call.outputs[0].second[static_cast<int>(draw(0, 1))] = draw(0, 6);
      }
    }
    const auto got = RunKernel("tfidf_vectorizer_ref.1", call);
    ++(got.ok() ? ran : refused);
    ASSERT_NE(got.status().code(), StatusCode::kInternal) << "stream " << stream;
  }
  EXPECT_GT(ran, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace fusee::ops
