#include "tensor/tensor_proto.h"

#include <gmock/gmock.h>

#include <cstring>

namespace fusee {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Field numbers, spelled out so that a wrong one in the reader cannot hide.
constexpr uint32_t kDims = 1, kType = 2, kFloats = 4, kInts = 5, kInt64s = 7, kName = 8, kRaw = 9,
                   kDoubles = 10, kUint64s = 11;

// The tensor that lies in the bytes, or why there is none. The bytes must outlive it.
Result<Tensor> Parse(const std::string& bytes, uint64_t budget_bytes = 1u << 20) {
  wire::Budget budget{budget_bytes, budget_bytes};
  wire::Reader in(Bytes(bytes), &budget);
  TensorProto proto;
  FUSEE_TRY(ReadTensorProto(in, &proto));
  return TensorFromProto(proto, nullptr, &budget);
}

wire::Writer Head(int type, std::initializer_list<int64_t> dims) {
  wire::Writer out;
  for (const int64_t dim : dims) out.Varint(kDims, static_cast<uint64_t>(dim));
  out.Varint(kType, static_cast<uint64_t>(type));
  return out;
}

template <typename T>
std::string_view AsText(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(TensorProto, RoundTripsEveryType) {
  for (int type = 1; type <= 26; ++type) {
    const auto dtype = DTypeFromOnnx(type);
    if (!dtype) continue;
    TensorView view;
    auto tensor = Tensor::Allocate(*dtype, {2, 3}, &view);
    ASSERT_TRUE(tensor.ok());
    for (int64_t i = 0; i < 6; ++i) StoreInt(view, i, i);  // narrow ones wrap
    const std::string bytes = EncodeTensorProto(view, "w");
    const auto read = Parse(bytes);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->dtype(), *dtype);
    EXPECT_EQ(read->shape(), (Shape{2, 3}));
    EXPECT_EQ(0, std::memcmp(read->bytes().data(), tensor->bytes().data(), tensor->bytes().size()));
  }
}

TEST(TensorProto, BorrowsRawDataAndPackedFloats) {
  const std::vector<float> values(1000, 3);
  for (const uint32_t field : {kRaw, kFloats}) {
    auto out = Head(1, {1000});
    out.Bytes(field, AsText(values));
    const std::string bytes = out.str();
    const auto tensor = Parse(bytes, 1000);  // a budget that allows no copy
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
    const auto* data = reinterpret_cast<const char*>(tensor->view().data);
    EXPECT_TRUE(data >= bytes.data() && data < bytes.data() + bytes.size());
    EXPECT_EQ(DoubleAt(tensor->view(), 2), 3);
  }
}

TEST(TensorProto, JoinsPackedAndUnpackedPieces) {
  auto out = Head(1, {4});
  const std::vector<float> packed = {2, 3};
  out.Float(kFloats, 1);
  out.Bytes(kFloats, AsText(packed));
  out.Float(kFloats, 4);
  const std::string bytes = out.str();
  const auto tensor = Parse(bytes);
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(DoubleAt(tensor->view(), i), static_cast<double>(i + 1));
}

TEST(TensorProto, Int32DataCarriesNarrowTypes) {
  const struct {
    DType dtype;
    int64_t stored;
    double value;
  } cases[] = {{DType::kI8, -128, -128},
               {DType::kU8, 255, 255},
               {DType::kI16, -32768, -32768},
               {DType::kU16, 65535, 65535},
               {DType::kI32, INT32_MIN, INT32_MIN},
               {DType::kBool, 1, 1},
               {DType::kF16, 0x3c00, 1},
               {DType::kF16, 0xbc00, -1},
               {DType::kF16, -0x4400, -1},
               {DType::kBF16, 0x3f80, 1},
               {DType::kF8E4M3FN, 0x38, 1},
               {DType::kF8E4M3FNUZ, 0xc0, -1},
               {DType::kF8E5M2, 0xbc, -1},
               {DType::kF8E5M2, -0x44, -1},
               {DType::kF8E5M2FNUZ, 0x40, 1},
               {DType::kF8E8M0, 0x7f, 1},
               {DType::kI4, 0x0f, -1},
               {DType::kI4, 0xf7, 7},
               {DType::kU4, 0x0f, 15},
               {DType::kF4E2M1, 0x0a, -1},
               {DType::kI2, 0x02, -2},
               {DType::kU2, 0x02, 2}};
  for (const auto& c : cases) {
    auto out = Head(static_cast<int>(c.dtype), {1});
    out.Varint(kInts, static_cast<uint64_t>(c.stored));
    const std::string bytes = out.str();
    const auto tensor = Parse(bytes);
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
    EXPECT_EQ(DoubleAt(tensor->view(), 0), c.value) << DTypeName(c.dtype);
  }
}

TEST(TensorProto, RefusesStoredValuesOutOfRange) {
  const struct {
    DType dtype;
    uint32_t field;
    int64_t stored;
  } cases[] = {{DType::kI8, kInts, 128},         {DType::kI8, kInts, -129},
               {DType::kU8, kInts, -1},          {DType::kU8, kInts, 256},
               {DType::kI16, kInts, 32768},      {DType::kU16, kInts, 65536},
               {DType::kBool, kInts, 2},         {DType::kF16, kInts, 65536},
               {DType::kF8E4M3FN, kInts, 256},   {DType::kF8E5M2FNUZ, kInts, -129},
               {DType::kF8E8M0, kInts, 1 << 20}, {DType::kU32, kUint64s, int64_t{1} << 32},
               {DType::kU32, kUint64s, -1}};
  for (const auto& c : cases) {
    auto out = Head(static_cast<int>(c.dtype), {2});
    out.Varint(c.field, 0);
    out.Varint(c.field, static_cast<uint64_t>(c.stored));
    const std::string bytes = out.str();
    const auto tensor = Parse(bytes);
    EXPECT_THAT(tensor.status().message(), HasSubstr("[1] is")) << DTypeName(c.dtype);
  }
}

TEST(TensorProto, RefusesWhatDoesNotFit) {
  const std::vector<float> three = {1, 2, 3};
  const auto with = [&](wire::Writer out, uint32_t field, std::string_view bytes) {
    out.Bytes(field, bytes);
    return out.str();
  };
  const int64_t huge = int64_t{1} << 62;
  const struct {
    std::string bytes;
    StatusCode code;
    const char* says;
  } cases[] = {
      {with(Head(1, {4}), kRaw, AsText(three)), StatusCode::kInvalidArgument,
       "raw_data has 12 bytes, expected 16 for f32[4]"},
      {with(Head(1, {2}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "expected 8"},
      {with(Head(1, {0}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "expected 0"},
      {with(Head(1, {0}), kFloats, AsText(three)), StatusCode::kInvalidArgument,
       "float_data has 3 elements"},
      {with(Head(1, {4}), kFloats, AsText(three)), StatusCode::kInvalidArgument,
       "float_data has 3 elements"},
      {with(Head(11, {3}), kFloats, AsText(three)), StatusCode::kInvalidArgument,
       "float_data has 3 elements, expected the data of f64 in double_data"},
      {with(Head(7, {3}), kInts, "\x01\x02\x03"), StatusCode::kInvalidArgument,
       "int32_data has 3 elements, expected the data of i64 in int64_data"},
      {Head(1, {3}).str(), StatusCode::kInvalidArgument, "float_data has 0 elements"},
      {with(Head(1, {-3}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "dims[0] is -3"},
      {with(Head(1, {huge, 4}), kRaw, AsText(three)), StatusCode::kInvalidArgument,
       "overflows at dims[0]"},
      {with(Head(1, {1 << 30, 1 << 30, 1 << 30}), kRaw, ""), StatusCode::kInvalidArgument,
       "overflows at dims[1]"},
      {with(Head(1, {0, huge, 8}), kRaw, ""), StatusCode::kInvalidArgument, "overflows at dims[1]"},
      {with(Head(1, {1, 1, 1, 1, 1, 1, 1, 1, 3}), kRaw, AsText(three)), StatusCode::kUnimplemented,
       "9 dimensions"},
      {with(Head(0, {3}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "no data_type"},
      {with(Head(8, {1}), 6, "text"), StatusCode::kUnimplemented, "string"},
      {with(Head(14, {12}), kRaw, AsText(three)), StatusCode::kUnimplemented, "complex64"},
      {with(Head(17, {11}), kRaw, AsText(three)), StatusCode::kInvalidArgument,
       "raw_data has 12 bytes, expected 11 for f8e4m3fn[11]"},
      {with(Head(22, {25}), kRaw, AsText(three)), StatusCode::kInvalidArgument,
       "raw_data has 12 bytes, expected 13 for i4[25]"},
      {with(Head(21, {22}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "expected 11"},
      {with(Head(26, {49}), kRaw, AsText(three)), StatusCode::kInvalidArgument, "expected 13"},
      {with(Head(22, {3}), kInts, "\x01\x02\x03"), StatusCode::kInvalidArgument,
       "int32_data has 3 elements and raw_data none, expected 2 for i4[3]"},
      {with(Head(22, {huge, 4}), kRaw, ""), StatusCode::kInvalidArgument, "overflows at dims[0]"},
      {with(Head(22, {huge / 2}), kRaw, ""), StatusCode::kInvalidArgument, "overflows at dims[0]"},
      {with(Head(22, {int64_t{1} << 59}), kRaw, "1"), StatusCode::kInvalidArgument,
       "raw_data has 1 bytes, expected 288230376151711744"},
      {with(Head(99, {12}), kRaw, AsText(three)), StatusCode::kUnimplemented, "type 99"},
      {with(Head(-1, {12}), kRaw, AsText(three)), StatusCode::kUnimplemented, "type -1"},
      {with(Head(9, {3}), kRaw, std::string_view("\x01\x00\x02", 3)), StatusCode::kInvalidArgument,
       "element 2 of a bool tensor is 2"},
      {with(Head(1, {3}), 3, ""), StatusCode::kUnimplemented, "segments"},
      {with(Head(1, {3}), kFloats, "12345"), StatusCode::kInvalidArgument,
       "float_data: packed values of 4 bytes"},
      {with(Head(7, {3}), kInt64s, "\x80"), StatusCode::kInvalidArgument,
       "int64_data: a packed varint is cut off"},
      {with(Head(11, {3}), kDoubles, "12345"), StatusCode::kInvalidArgument,
       "double_data: packed values of 8 bytes"},
  };
  for (const auto& c : cases) {
    const auto tensor = Parse(c.bytes);
    EXPECT_EQ(tensor.status().code(), c.code) << tensor.status().message();
    EXPECT_THAT(tensor.status().message(), HasSubstr(c.says));
  }
}

TEST(TensorProto, UnpacksNibblesLowestFirst) {
  const auto check = [](const std::string& bytes) {
    const auto tensor = Parse(bytes);
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
    EXPECT_EQ(tensor->shape(), (Shape{3}));
    EXPECT_EQ(IntAt(tensor->view(), 0), 1);
    EXPECT_EQ(IntAt(tensor->view(), 1), -2);
    EXPECT_EQ(IntAt(tensor->view(), 2), -8);
  };
  auto raw = Head(22, {3});
  raw.Bytes(kRaw, "\xe1\x78");  // what fills up the last byte does not matter
  check(raw.str());
  auto typed = Head(22, {3});
  typed.Varint(kInts, 0xe1);
  typed.Varint(kInts, 0x08);
  check(typed.str());
}

TEST(TensorProto, RefusesPackedBytesOutOfRange) {
  for (const int64_t bad : {int64_t{256}, int64_t{-129}, int64_t{1} << 30}) {
    auto out = Head(22, {3});
    out.Varint(kInts, 0);
    out.Varint(kInts, static_cast<uint64_t>(bad));
    EXPECT_THAT(Parse(out.str()).status().message(), HasSubstr("int32_data[1] is")) << bad;
  }
}

TEST(TensorProto, RefusesRawAndTypedDataTogether) {
  auto out = Head(1, {1});
  out.Float(kFloats, 1);
  out.Bytes(kRaw, "1234");
  const std::string bytes = out.str();
  EXPECT_THAT(Parse(bytes).status().message(), HasSubstr("or raw_data alone"));
}

TEST(TensorProto, RefusesExternalData) {
  auto out = Head(1, {1});
  out.Varint(14, 1);
  const std::string bytes = out.str();
  EXPECT_EQ(Parse(bytes).status().code(), StatusCode::kFailedPrecondition);
}

// One byte a varint, eight bytes an element: the decoded size must come out of the budget.
TEST(TensorProto, ChargesDecodedDataToTheBudget) {
  const std::string zeros(1000, '\0');
  auto out = Head(7, {1000});
  out.Bytes(kInt64s, zeros);
  const std::string bytes = out.str();
  EXPECT_TRUE(Parse(bytes, 9000).ok());
  const auto tensor = Parse(bytes, 4000);
  EXPECT_EQ(tensor.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(tensor.status().message(), HasSubstr("int64_data"));
}

TEST(TensorProto, LastScalarWinsAndRepeatedFieldsAppend) {
  auto out = Head(7, {1});
  out.Bytes(kName, "first");
  out.Varint(kType, 1);
  out.Varint(kDims, 2);
  out.Bytes(kName, "last");
  const std::string bytes = out.str();
  wire::Reader in(Bytes(bytes));
  TensorProto proto;
  ASSERT_TRUE(ReadTensorProto(in, &proto).ok());
  EXPECT_EQ(proto.name, "last");
  EXPECT_EQ(proto.onnx_type, 1);
  EXPECT_EQ(proto.dims, (std::vector<int64_t>{1, 2}));
}

TEST(TensorProto, ScalarsAndEmptyTensors) {
  auto scalar = Head(1, {});
  scalar.Float(kFloats, 2.5f);
  const std::string bytes = scalar.str();
  const auto tensor = Parse(bytes);
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(tensor->shape().rank(), 0);
  EXPECT_EQ(DoubleAt(tensor->view(), 0), 2.5);
  const std::string empty = Head(1, {0, 3}).str();
  const auto none = Parse(empty);
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_EQ(none->elements(), 0);
}

}  // namespace
}  // namespace fusee
