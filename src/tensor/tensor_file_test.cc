#include "tensor/tensor_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/file.h"

namespace fusee {
namespace {

using ::testing::HasSubstr;

constexpr DType kAllTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8,
                               DType::kI16, DType::kI32, DType::kI64, DType::kU8,   DType::kU16,
                               DType::kU32, DType::kU64, DType::kBool};

class TensorFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tensor_file_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::string Write(std::string_view bytes) const {
    const std::string path = Path("input");
    EXPECT_TRUE(WriteFileAtomically(path, bytes).ok());
    return path;
  }

  std::filesystem::path folder_;
};

Tensor Numbers(DType dtype, const Shape& shape) {
  TensorView view;
  auto tensor = Tensor::Allocate(dtype, shape, &view);
  EXPECT_TRUE(tensor.ok());
  for (int64_t i = 0; i < view.elements(); ++i) StoreInt(view, i, i * 7 + 1);
  return std::move(tensor).value();
}

void ExpectSame(const Tensor& got, const Tensor& want) {
  EXPECT_EQ(got.dtype(), want.dtype());
  EXPECT_EQ(got.shape(), want.shape());
  ASSERT_EQ(got.bytes().size(), want.bytes().size());
  if (!want.bytes().empty()) {
    EXPECT_EQ(0, std::memcmp(got.bytes().data(), want.bytes().data(), want.bytes().size()));
  }
}

// An .npy file of version 1 around a header and data.
std::string Npy(std::string_view header, std::string_view data, char major = 1) {
  std::string out = "\x93NUMPY";
  out +=
      {major, '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  if (major > 1) out += {'\0', '\0'};
  out += header;
  out += data;
  return out;
}

TEST_F(TensorFile, NpyRoundTripsEveryTypeAndRank) {
  for (const DType dtype : kAllTypes) {
    for (const Shape& shape :
         {Shape{}, Shape{5}, Shape{0}, Shape{2, 3}, Shape{2, 1, 2, 1, 2, 1, 2, 1}}) {
      const Tensor tensor = Numbers(dtype, shape);
      ASSERT_TRUE(WriteNpy(Path("t.npy"), tensor.view()).ok());
      const auto read = ReadNpy(Path("t.npy"));
      ASSERT_TRUE(read.ok()) << read.status().message();
      ExpectSame(*read, tensor);
    }
  }
}

TEST_F(TensorFile, NpyDataIsAligned) {
  ASSERT_TRUE(WriteNpy(Path("t.npy"), Numbers(DType::kF32, {2, 3}).view()).ok());
  const auto read = ReadNpy(Path("t.npy"));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read->view().data) % kTensorAlignment, 0u);
}

TEST_F(TensorFile, NpyAcceptsVersionsAndSpellings) {
  const std::string one("\x01\x00\x02\x00", 4);
  const struct {
    std::string bytes;
  } cases[] = {
      {Npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", one)},
      {Npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", one, 2)},
      {Npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", one, 3)},
      {Npy("{\"shape\":(2L,),\"fortran_order\":True,\"descr\":\"<i2\"}", one)},
  };
  for (const auto& c : cases) {
    const auto read = ReadNpy(Write(c.bytes));
    ASSERT_TRUE(read.ok()) << read.status().message();
    ExpectSame(*read, Tensor::Of<int16_t>({2}, {1, 2}));
  }
}

TEST_F(TensorFile, NpyRefusesByName) {
  const auto header = [](std::string_view descr, std::string_view shape,
                         std::string_view order = "False") {
    return "{'descr': " + std::string(descr) + ", 'fortran_order': " + std::string(order) +
           ", 'shape': " + std::string(shape) + ", }\n";
  };
  const std::string four("\x01\x00\x02\x00", 4);
  std::string no_end = Npy(header("'<i2'", "(2,)"), four);
  no_end[8] = '\xff';  // the header's length
  const struct {
    std::string bytes;
    StatusCode code;
    const char* says;
  } cases[] = {
      {"", StatusCode::kInvalidArgument, "not an .npy file"},
      {"PK\x03\x04", StatusCode::kInvalidArgument, "not an .npy file"},
      {"\x93NUMPY\x01", StatusCode::kInvalidArgument, "ends within the .npy header"},
      {Npy(header("'<i2'", "(2,)"), four, 9), StatusCode::kUnimplemented, "version 9"},
      {no_end, StatusCode::kInvalidArgument, "header claims"},
      {Npy(header("'<i2'", "(3,)"), four), StatusCode::kInvalidArgument,
       "the data has 4 bytes, expected 6 for i16[3]"},
      {Npy(header("'<i2'", "(1,)"), four), StatusCode::kInvalidArgument, "expected 2"},
      {Npy(header("'>i2'", "(2,)"), four), StatusCode::kUnimplemented, "big-endian"},
      {Npy(header("'<i2'", "(1, 2)", "True"), four), StatusCode::kUnimplemented, "Fortran order"},
      {Npy(header("'<c8'", "(2,)"), four), StatusCode::kUnimplemented, "'<c8'"},
      {Npy(header("'<U1'", "(1,)"), four), StatusCode::kUnimplemented, "'<U1'"},
      {Npy(header("'|O'", "(1,)"), four), StatusCode::kUnimplemented, "'|O'"},
      {Npy(header("[('a', '<i2')]", "(2,)"), four), StatusCode::kUnimplemented, "structured"},
      {Npy(header("'|b1'", "(4,)"), four), StatusCode::kInvalidArgument,
       "element 2 of a bool tensor is 2"},
      {Npy(header("'<i2'", "(-2,)"), four), StatusCode::kInvalidArgument, "dims[0] is -2"},
      {Npy(header("'<i2'", "(9223372036854775807, 9)"), four), StatusCode::kInvalidArgument,
       "overflows"},
      {Npy(header("'<i2'", "(99999999999999999999,)"), four), StatusCode::kInvalidArgument,
       "expected a dimension"},
      {Npy(header("'<i2'", "(1,1,1,1,1,1,1,1,2)"), four), StatusCode::kUnimplemented,
       "9 dimensions"},
      {Npy("{'descr': '<i2'}", four), StatusCode::kInvalidArgument, "lacks one of"},
      {Npy("{'descr': '<i2", four), StatusCode::kInvalidArgument, "string without an end"},
      {Npy("{'x': 1}", four), StatusCode::kInvalidArgument, "expected the key"},
      {Npy("[]", four), StatusCode::kInvalidArgument, "expected '{'"},
      {Npy(header("'<i2'", "(2,)", "0"), four), StatusCode::kInvalidArgument, "True or False"},
      {Npy(header("'<i2'", "(2,)") + "x", four), StatusCode::kInvalidArgument, "end of the header"},
  };
  for (const auto& c : cases) {
    const auto read = ReadNpy(Write(c.bytes));
    EXPECT_EQ(read.status().code(), c.code) << read.status().message();
    EXPECT_THAT(read.status().message(), HasSubstr(c.says));
    EXPECT_THAT(read.status().message(), HasSubstr("/input'"));
  }
}

TEST_F(TensorFile, NpySurvivesEveryTruncationAndBitFlip) {
  ASSERT_TRUE(WriteNpy(Path("t.npy"), Numbers(DType::kF32, {2, 3}).view()).ok());
  const auto bytes = ReadSmallFile(Path("t.npy"));
  ASSERT_TRUE(bytes.ok());
  const auto parse = [](const std::string& text) {
    return ParseNpy(std::as_bytes(std::span(text.data(), text.size())), nullptr);
  };
  for (size_t size = 0; size < bytes->size(); ++size)
    EXPECT_FALSE(parse(bytes->substr(0, size)).ok()) << size;
  for (size_t bit = 0; bit < bytes->size() * 8; ++bit) {
    std::string flipped = *bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    if (const auto read = parse(flipped); read.ok()) {
      EXPECT_LE(read->bytes().size(), bytes->size());
    }
  }
}

TEST_F(TensorFile, RawTensorNeedsTheExactSize) {
  const std::string path = Write("12345678");
  const auto read = ReadRawTensor(path, DType::kF32, {2});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->bytes().size(), 8u);
  EXPECT_THAT(ReadRawTensor(path, DType::kF32, {3}).status().message(),
              HasSubstr("has 8 bytes, expected 12"));
  EXPECT_THAT(ReadRawTensor(path, DType::kF32, {-1}).status().message(),
              HasSubstr("dims[0] is -1"));
}

TEST_F(TensorFile, TensorProtoRoundTripsEveryType) {
  for (const DType dtype : kAllTypes) {
    const Tensor tensor = Numbers(dtype, {3, 2});
    ASSERT_TRUE(WriteTensorProtoFile(Path("t.pb"), tensor.view(), "x").ok());
    const auto read = ReadTensorProtoFile(Path("t.pb"));
    ASSERT_TRUE(read.ok()) << read.status().message();
    ExpectSame(*read, tensor);
  }
}

TEST_F(TensorFile, TensorOutlivesItsFile) {
  const Tensor tensor = Numbers(DType::kF32, {64, 64});
  ASSERT_TRUE(WriteNpy(Path("t.npy"), tensor.view()).ok());
  const auto read = ReadNpy(Path("t.npy"));
  ASSERT_TRUE(read.ok());
  std::filesystem::remove(Path("t.npy"));
  ExpectSame(*read, tensor);
}

TEST_F(TensorFile, MissingFileIsNotFound) {
  EXPECT_EQ(ReadNpy(Path("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadTensorProtoFile(Path("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadRawTensor(Path("none"), DType::kF32, {}).status().code(), StatusCode::kNotFound);
}

TEST_F(TensorFile, NarrowTypesTravelRawAndAsProtoButNotAsNpy) {
  for (const DType dtype : {DType::kF8E5M2, DType::kI4, DType::kU2, DType::kF4E2M1}) {
    const Tensor tensor = Numbers(dtype, {3, 3});
    const std::string raw = Path("t.bin"), proto = Path("t.pb");
    ASSERT_TRUE(WriteRawTensor(raw, tensor.view()).ok());
    EXPECT_EQ(std::filesystem::file_size(raw), (9 * PackedBitsPerElement(dtype) + 7) / 8);
    const auto from_raw = ReadRawTensor(raw, dtype, {3, 3});
    ASSERT_TRUE(from_raw.ok()) << from_raw.status().message();
    ExpectSame(*from_raw, tensor);
    ASSERT_TRUE(WriteTensorProtoFile(proto, tensor.view()).ok());
    const auto from_proto = ReadTensorProtoFile(proto);
    ASSERT_TRUE(from_proto.ok()) << from_proto.status().message();
    ExpectSame(*from_proto, tensor);
    const Status npy = WriteNpy(Path("t.npy"), tensor.view());
    EXPECT_EQ(npy.code(), StatusCode::kUnimplemented);
    EXPECT_FALSE(HasNpyType(dtype));
    EXPECT_THAT(npy.message(), HasSubstr(".pb"));
  }
  EXPECT_EQ(ReadRawTensor(Path("t.bin"), DType::kF4E2M1, {3, 4}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee
