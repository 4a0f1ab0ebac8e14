// The kernels whose results are as large as the data makes them.
#include <gtest/gtest.h>

#include <limits>

#include "ops/kernel_test_util.h"
#include "ops/number_stream_test_util.h"

namespace fusee::ops {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr uint64_t kSeed = 7;

struct Found {
  int64_t count = -1;
  std::vector<std::vector<int64_t>> ints;  // results of i64, as far as the count says
  std::vector<Tensor> results;
  StatusCode code = StatusCode::kOk;
  std::string message;
};

std::vector<int64_t> Head(const Tensor& tensor, int64_t count) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(IntAt(tensor.view(), i));
  return values;
}

// Runs the reference.
Found RunReference(const KernelCall& call) {
  Found found;
  std::vector<int64_t> counts;
  auto results = RunKernel(KernelsFor(call.op).back()->id, call, nullptr, &counts);
  found.code = results.status().code();
  found.message = results.status().message();
  if (!results.ok()) return found;
  found.results = *results;
  found.count = counts.at(0);
  return found;
}

KernelCall NonZeroOf(Tensor x, int64_t room) {
  const int64_t rank = x.shape().rank();
  return {.op = "NonZero",
          .inputs = {std::move(x)},
          .outputs = {{DType::kI64, {rank, room}}},
          .counts = {room}};
}

TEST(NonZero, TellsPositionsColumnByColumn) {
  const Tensor x = Tensor::Of<float>({2, 3}, {1, 0, -0.0f, kNaN, 0, 2});
  const Found found = RunReference(NonZeroOf(x, 6));
  ASSERT_EQ(found.count, 3) << found.message;
  // Rows are as long as what was found, not as the room.
  EXPECT_EQ(Head(found.results[0], 6), (std::vector<int64_t>{0, 1, 1, 0, 0, 2}));
}

TEST(NonZero, OfScalarsEmptyTensorsAndEveryType) {
  EXPECT_EQ(RunReference(NonZeroOf(Tensor::Of<float>({}, {3}), 1)).count, 1);
  EXPECT_EQ(RunReference(NonZeroOf(Tensor::Of<float>({}, {0}), 1)).count, 0);
  EXPECT_EQ(RunReference(NonZeroOf(Tensor::Of<float>({2, 0}, {}), 0)).count, 0);
  for (const DType dtype :
       {DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kU8, DType::kI16, DType::kU16,
        DType::kI32, DType::kU32, DType::kI64, DType::kU64, DType::kBool}) {
    TensorView view;
    Tensor x = Tensor::Allocate(dtype, {4}, &view).value();
    for (int64_t i = 0; i < 4; ++i) StoreDouble(view, i, i == 2 ? 1 : 0);
    const Found found = RunReference(NonZeroOf(std::move(x), 4));
    ASSERT_EQ(found.count, 1) << DTypeName(dtype) << found.message;
    EXPECT_EQ(Head(found.results[0], 1), (std::vector<int64_t>{2})) << DTypeName(dtype);
  }
}

TEST(NonZero, MoreThanTheRoomIsAnErrorThatNamesTheOption) {
  const Found found = RunReference(NonZeroOf(Tensor::Of<float>({3}, {1, 1, 1}), 2));
  EXPECT_EQ(found.code, StatusCode::kOutOfRange);
  EXPECT_NE(found.message.find("--bound"), std::string::npos) << found.message;
}

KernelCall NmsOf(Tensor boxes, Tensor scores, Tensor limit, Tensor share, Tensor least,
                 int64_t room, int64_t center = 0) {
  return {.op = "NonMaxSuppression",
          .attrs = {{"center_point_box", center}},
          .inputs = {std::move(boxes), std::move(scores), std::move(limit), std::move(share),
                     std::move(least)},
          .outputs = {{DType::kI64, {room, 3}}},
          .counts = {room}};
}

Tensor One(float value) { return Tensor::Of<float>({1}, {value}); }
Tensor Limit(int64_t value) { return Tensor::Of<int64_t>({}, {value}); }

const std::vector<float> kSixBoxes = {0, 0,  1, 1,  0, 0.1f,  1, 1.1f,  0, -0.1f, 1, 0.9f,
                                      0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100,   1, 101};

TEST(NonMaxSuppression, TakesTheBestAndDropsWhatOverlaps) {
  const Tensor boxes = Tensor::Of<float>({1, 6, 4}, kSixBoxes);
  const Tensor scores = Tensor::Of<float>({1, 1, 6}, {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f});
  Found found = RunReference(NmsOf(boxes, scores, Limit(3), One(0.5f), One(0), 3));
  ASSERT_EQ(found.count, 3) << found.message;
  EXPECT_EQ(Head(found.results[0], 9), (std::vector<int64_t>{0, 0, 3, 0, 0, 0, 0, 0, 5}));
  EXPECT_EQ(RunReference(NmsOf(boxes, scores, Limit(3), One(0.5f), One(0.4f), 3)).count, 2);
  EXPECT_EQ(RunReference(NmsOf(boxes, scores, Limit(30), One(1), Tensor(), 6)).count, 6);
  EXPECT_EQ(RunReference(NmsOf(boxes, scores, Limit(0), One(0.5f), One(0), 6)).count, 0);
  EXPECT_EQ(RunReference(NmsOf(boxes, scores, Tensor(), One(0.5f), One(0), 6)).count, 0);
  EXPECT_EQ(RunReference(NmsOf(boxes, scores, Limit(6), One(0.5f), One(0), 2)).code,
            StatusCode::kOutOfRange);
}

TEST(NonMaxSuppression, CornersComeInAnyOrderAndCentersWithSizes) {
  std::vector<float> flipped = kSixBoxes, centers;
  for (size_t i = 0; i < 6; ++i) {
    float* b = &flipped[4 * i];
    for (float value : {(b[1] + b[3]) / 2, (b[0] + b[2]) / 2, b[3] - b[1], b[2] - b[0]})
      centers.push_back(value);
    std::swap(b[0], b[2]);
    std::swap(b[1], b[3]);
  }
  const Tensor scores = Tensor::Of<float>({1, 1, 6}, {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f});
  for (const int64_t center : {0, 1}) {
    const Tensor boxes = Tensor::Of<float>({1, 6, 4}, center != 0 ? centers : flipped);
    const Found found = RunReference(NmsOf(boxes, scores, Limit(3), One(0.5f), One(0), 3, center));
    ASSERT_EQ(found.count, 3) << found.message;
    EXPECT_EQ(Head(found.results[0], 9), (std::vector<int64_t>{0, 0, 3, 0, 0, 0, 0, 0, 5}));
  }
}

TEST(NonMaxSuppression, OrdersBatchesClassesAndEqualScores) {
  const Tensor boxes =
      Tensor::Of<float>({2, 2, 4}, {0, 0, 1, 1, 5, 5, 6, 6, 0, 0, 1, 1, 0, 0, 1, 1});
  const Tensor scores = Tensor::Of<float>({2, 2, 2}, {1, 1, 0, kNaN, 1, 2, 3, 3});
  const Found found = RunReference(NmsOf(boxes, scores, Limit(2), One(0.5f), Tensor(), 8));
  ASSERT_EQ(found.count, 6) << found.message;
  EXPECT_EQ(Head(found.results[0], 18),
            (std::vector<int64_t>{0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0}));
}

KernelCall UniqueOf(Tensor x, std::optional<int64_t> axis, bool sorted) {
  Attrs attrs = {{"sorted", int64_t{sorted}}};
  Shape out = {x.elements()};
  int64_t room = x.elements();
  if (axis) {
    attrs.Set("axis", *axis);
    out = x.shape();
    room = out[static_cast<int>(*axis)];
  }
  const DType dtype = x.dtype();
  return {.op = "Unique",
          .attrs = std::move(attrs),
          .inputs = {std::move(x)},
          .outputs = {{dtype, out},
                      {DType::kI64, {room}},
                      {DType::kI64, {room}},
                      {DType::kI64, {room}}},
          .counts = {room}};
}

TEST(Unique, SortsElementsOrKeepsTheirOrder) {
  const Tensor x = Tensor::Of<float>({2, 3}, {2, 1, 1, 3, 4, 3});
  Found found = RunReference(UniqueOf(x, std::nullopt, true));
  ASSERT_EQ(found.count, 4) << found.message;
  EXPECT_EQ(Head(found.results[0], 0).size(), 0u);
  EXPECT_EQ(DoubleAt(found.results[0].view(), 0), 1);
  EXPECT_EQ(DoubleAt(found.results[0].view(), 3), 4);
  EXPECT_EQ(Head(found.results[1], 4), (std::vector<int64_t>{1, 0, 3, 4}));
  EXPECT_EQ(Head(found.results[2], 6), (std::vector<int64_t>{1, 0, 0, 2, 3, 2}));
  EXPECT_EQ(Head(found.results[3], 4), (std::vector<int64_t>{2, 1, 2, 1}));
  found = RunReference(UniqueOf(x, std::nullopt, false));
  EXPECT_EQ(Head(found.results[1], 4), (std::vector<int64_t>{0, 1, 3, 4}));
  EXPECT_EQ(Head(found.results[2], 6), (std::vector<int64_t>{0, 1, 1, 2, 3, 2}));
}

TEST(Unique, OfSlicesAlongEachAxis) {
  // Rows 0 and 2 are equal; so are columns 0 and 1.
  const Tensor x = Tensor::Of<int32_t>({3, 3}, {1, 1, 0, 0, 0, 5, 1, 1, 0});
  Found found = RunReference(UniqueOf(x, 0, true));
  ASSERT_EQ(found.count, 2) << found.message;
  EXPECT_EQ(Head(found.results[0], 6), (std::vector<int64_t>{0, 0, 5, 1, 1, 0}));
  EXPECT_EQ(Head(found.results[2], 3), (std::vector<int64_t>{1, 0, 1}));
  found = RunReference(UniqueOf(x, 1, true));
  ASSERT_EQ(found.count, 2);
  EXPECT_EQ(Head(found.results[0], 6), (std::vector<int64_t>{0, 1, 5, 0, 0, 1}));
}

TEST(Unique, NaNsAreOneAndZerosHaveNoSign) {
  const Tensor x = Tensor::Of<float>({5}, {kNaN, 0, -0.0f, kNaN, -1});
  const Found found = RunReference(UniqueOf(x, std::nullopt, true));
  ASSERT_EQ(found.count, 3);
  EXPECT_EQ(Head(found.results[2], 5), (std::vector<int64_t>{2, 1, 1, 2, 0}));
  EXPECT_EQ(RunReference(UniqueOf(Tensor::Of<float>({0}, {}), std::nullopt, true)).count, 0);
}

TEST(Sizes, ReadsWhatFitsTheirBounds) {
  const auto call = [](int64_t a, int64_t b) -> KernelCall {
    return {.op = "Sizes",
            .inputs = {Tensor::Of<int64_t>({2}, {a, b})},
            .outputs = {{DType::kI64, {2}}},
            .counts = {4, 9}};
  };
  EXPECT_EQ(RunReference(call(4, 9)).count, 4);
  EXPECT_EQ(RunReference(call(0, 0)).count, 0);
  EXPECT_EQ(RunReference(call(5, 9)).code, StatusCode::kOutOfRange);
  EXPECT_EQ(RunReference(call(-1, 9)).code, StatusCode::kOutOfRange);
}

// Steps with something wrong in them: refused, or within their operands (the canaries watch).
TEST(Selection, HostileStepsAreRefusedOrStayWithinTheirOperands) {
  for (uint64_t stream = 0; stream < 6000; ++stream) {
    NumberStream draw(kSeed, stream);
    const auto small = [&] { return draw(0, 3); };
    TensorView view;
    const Shape shape = draw(0, 1) == 0 ? Shape{small(), small()} : Shape{1, small(), 4};
    Tensor x = Tensor::Allocate(DType::kF32, shape, &view).value();
    for (int64_t i = 0; i < view.elements(); ++i)
      StoreDouble(view, i, draw(0, 9) == 0 ? kNaN : static_cast<double>(draw(-1, 1)));
    const int64_t room = draw(0, 5);
    KernelCall call;
    switch (draw(0, 3)) {
      case 0: call = NonZeroOf(x, room); break;
      case 1:
        call = NmsOf(x, x, Limit(draw(-2, 9)), One(static_cast<float>(draw(-1, 1))),
                     draw(0, 1) == 0 ? Tensor() : One(0), room);
        break;
      case 2:
        call = UniqueOf(x, draw(0, 1) == 0 ? std::nullopt : std::optional(draw(0, 1)),
                        draw(0, 1) == 0);
        break;
      default:
        call = {.op = "Sizes",
                .inputs = {Tensor::Of<int64_t>({2}, {draw(-2, 9), draw(-2, 9)})},
                .outputs = {{DType::kI64, {2}}},
                .counts = {room, small()}};
    }
    // Then one thing is changed.
    switch (draw(0, 5)) {
      case 0: call.counts[0] = draw(0, 9); break;
      case 1: call.counts.push_back(1); break;
      case 2: call.counts.clear(); break;
      case 3: call.outputs[0].second = Shape{small(), small()}; break;
      case 4: call.outputs.back().first = DType::kI32; break;
      default: break;
    }
    std::vector<int64_t> counts;
    const auto got = RunKernel(KernelsFor(call.op).back()->id, call, nullptr, &counts);
    ASSERT_NE(got.status().code(), StatusCode::kInternal)
        << call.op << ", seed " << kSeed << ", stream " << stream << ": "
        << got.status().ToString();
    for (size_t i = 0; got.ok() && i < counts.size(); ++i)
      ASSERT_TRUE(counts[i] >= 0 && counts[i] <= call.counts[i])
          << call.op << ", stream " << stream;
  }
}

}  // namespace
}  // namespace fusee::ops
