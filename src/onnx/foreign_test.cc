#include "onnx/foreign.h"

#include <gmock/gmock.h>

#include "onnx/model.h"

namespace fusee::onnx {
namespace {

using namespace std::string_view_literals;
using testing::HasSubstr;
using testing::StartsWith;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string Says(std::string_view bytes) { return Parse(Bytes(bytes)).status().message(); }

TEST(Foreign, IsNamed) {
  const std::pair<std::string_view, const char*> cases[] = {
      {"", "it is empty"},
      {"FUSEEPLN\1\0\0\0"sv, "it is a plan already; fusee run"},
      {"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer; fetch"},
      {"PK\3\4\x14\0\0\0"sv, "it is a ZIP archive"},
      {"\x80\x02\x8a\x0a"sv, "it is a Python pickle"},
      {"\x89HDF\r\n\x1a\n\0"sv, "it is an HDF5 file"},
      {"\x1c\0\0\0TFL3"sv, "it is a TensorFlow Lite model"},
      {"\x1f\x8b\x08\0"sv, "it is compressed with gzip"},
      {"\x28\xb5\x2f\xfd\0"sv, "it is compressed with zstd"},
      {"\x93NUMPY\1\0"sv, "it is a NumPy array"},
      {"\x7f"
       "ELF\2\1"sv,
       "it is a program or a library"},
      {"<!DOCTYPE html><html>", "it is a web page"},
      {"GGUF\3\0\0\0"sv, "it is a GGUF file"},
      {"ir_version: 8\nproducer_name: \"x\"\n", "it is text"},
      {"{\"a\": 1}", "it is text"},
  };
  for (const auto& [bytes, says] : cases) {
    EXPECT_THAT(Says(bytes), StartsWith("this is not an ONNX model: it is ")) << says;
    EXPECT_THAT(Says(bytes), HasSubstr(says));
  }
}

TEST(Foreign, UnknownBytesAreNoModelEither) {
  EXPECT_THAT(Says("\xf3\x01\x02\x03"sv),
              StartsWith("this is not an ONNX model: no known format begins like this ("));
}

TEST(Foreign, ADamagedModelIsCalledDamaged) {
  EXPECT_THAT(Says("\x08\x08\x3a\x7f\x01"sv), StartsWith("not a readable ONNX model: byte "));
}

TEST(Foreign, LooksAtTheBeginningOnly) {
  std::string long_text(512, 'a');
  long_text += '\0';
  EXPECT_EQ(DescribeForeign(Bytes(long_text)), "text");
  EXPECT_EQ(DescribeForeign(Bytes("abc\0def"sv)), "");
}

TEST(Foreign, AModelBeginsWithItsIrVersion) {
  EXPECT_TRUE(BeginsAsModel(Bytes("\x08\x09"sv)));
  EXPECT_FALSE(BeginsAsModel(Bytes("\x12\x01"sv)));
  EXPECT_FALSE(BeginsAsModel({}));
}

}  // namespace
}  // namespace fusee::onnx
