#include "onnx/foreign.h"

#include <algorithm>

namespace fusee::onnx {
namespace {

constexpr size_t kLooked = 512;

struct Signature {
  size_t offset;
  std::string_view bytes;
  std::string_view description;
};

using namespace std::string_view_literals;

constexpr Signature kSignatures[] = {
    {0, "FUSEEPLN"sv, "a plan already; fusee run, bench, verify and inspect take it"},
    {0, "version https://git-lfs"sv, "a Git LFS pointer; fetch the model with 'git lfs pull'"},
    {0, "PK\x03\x04"sv,
     "a ZIP archive, as PyTorch and Keras save models; unpack it, or export the "
     "model to ONNX first (torch.onnx.export, tf2onnx)"},
    {0, "\x80\x02"sv,
     "a Python pickle, as PyTorch saved models; export the model to ONNX first "
     "(torch.onnx.export)"},
    {0, "\x89HDF\r\n\x1a\n"sv,
     "an HDF5 file, as Keras saves models; export the model to ONNX first "
     "(tf2onnx)"},
    {4, "TFL3"sv, "a TensorFlow Lite model; export the original to ONNX (tf2onnx)"},
    {0, "\x1f\x8b"sv, "compressed with gzip; unpack it first"},
    {0, "\x28\xb5\x2f\xfd"sv, "compressed with zstd; unpack it first"},
    {0, "\x93NUMPY"sv, "a NumPy array"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program or a library"},
    {0, "<!DOCTYPE"sv, "a web page; the download gave that instead of the file"},
    {0, "<!doctype"sv, "a web page; the download gave that instead of the file"},
    {0, "<html"sv, "a web page; the download gave that instead of the file"},
    {0, "GGUF"sv, "a GGUF file, which holds weights without a graph"},
};

bool IsText(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
}

std::string_view Head(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kLooked)};
}

}  // namespace

std::string_view DescribeForeign(std::span<const std::byte> bytes) {
  const std::string_view head = Head(bytes);
  if (head.empty()) return "empty";
  for (const Signature& s : kSignatures) {
    if (head.size() >= s.offset && head.substr(s.offset).starts_with(s.bytes)) return s.description;
  }
  return IsText(head) ? "text" : "";
}

bool BeginsAsModel(std::span<const std::byte> bytes) {
  constexpr char kIrVersionTag = 0x08;  // field 1, varint
  const std::string_view head = Head(bytes);
  return !head.empty() && head[0] == kIrVersionTag;
}

}  // namespace fusee::onnx
