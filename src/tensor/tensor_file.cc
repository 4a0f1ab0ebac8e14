#include "tensor/tensor_file.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "base/checked_math.h"
#include "base/file.h"
#include "tensor/packed.h"
#include "tensor/tensor_proto.h"

namespace fusee {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kDataAlignment = 64;
// The header of a structured type can be long; those are refused anyway.
constexpr size_t kMaxHeaderBytes = 1u << 16;
// What decoding a TensorProto may allocate beside the mapped file.
constexpr uint64_t kProtoSlackBytes = 64u << 20;

struct NpyType {
  DType dtype;
  std::string_view descr;
};
constexpr NpyType kNpyTypes[] = {
    {DType::kF32, "<f4"},  {DType::kF64, "<f8"}, {DType::kF16, "<f2"}, {DType::kBF16, "<V2"},
    {DType::kI8, "|i1"},   {DType::kI16, "<i2"}, {DType::kI32, "<i4"}, {DType::kI64, "<i8"},
    {DType::kU8, "|u1"},   {DType::kU16, "<u2"}, {DType::kU32, "<u4"}, {DType::kU64, "<u8"},
    {DType::kBool, "|b1"},
};

// Empty for a type that .npy has no name for.
std::string_view NpyDescr(DType dtype) {
  for (const NpyType& type : kNpyTypes) {
    if (type.dtype == dtype) return type.descr;
  }
  return {};
}

// What the header's dictionary says.
struct NpyHeader {
  std::optional<std::string_view> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

// Reads the one Python literal that .npy uses: {'descr': '<f4', 'fortran_order': False, 'shape':
// (3, 4), }.
class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : text_(text) {}

  Status Parse(NpyHeader* header) {
    FUSEE_TRY(Expect('{'));
    while (!Accept('}')) {
      FUSEE_TRY(const std::string_view key, String());
      FUSEE_TRY(Expect(':'));
      if (key == "descr") {
        if (Peek() == '[') return Unimplemented("a structured type is not supported");
        FUSEE_TRY(header->descr, String());
      } else if (key == "fortran_order") {
        FUSEE_TRY(header->fortran_order, Boolean());
      } else if (key == "shape") {
        FUSEE_TRY(header->shape, Tuple());
      } else {
        return Error("expected the key 'descr', 'fortran_order' or 'shape'");
      }
      if (!Accept(',') && Peek() != '}') return Error("expected ',' or '}'");
    }
    if (Peek() != '\0') return Error("expected the end of the header");
    return OkStatus();
  }

 private:
  Status Error(std::string_view expected) const {
    return InvalidArgument(fmt::format("header, character {}: {}", at_, expected));
  }
  // The next character that is no white space, '\0' at the end.
  char Peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Accept(char c) {
    if (Peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  Status Expect(char c) { return Accept(c) ? OkStatus() : Error(fmt::format("expected '{}'", c)); }

  Result<std::string_view> String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Error("expected a string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) return Error("a string without an end");
    const std::string_view value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return value;
  }

  Result<bool> Boolean() {
    (void)Peek();
    for (const auto& [word, value] :
         {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    return Error("expected True or False");
  }

  Result<std::vector<int64_t>> Tuple() {
    FUSEE_TRY(Expect('('));
    std::vector<int64_t> values;
    while (!Accept(')')) {
      (void)Peek();
      int64_t value = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error != std::errc()) return Error("expected a dimension");
      at_ = static_cast<size_t>(end - text_.data());
      (void)Accept('L');  // Python 2 wrote long integers so
      values.push_back(value);
      if (!Accept(',') && Peek() != ')') return Error("expected ',' or ')'");
    }
    return values;
  }

  std::string_view text_;
  size_t at_ = 0;
};

Result<DType> NpyDType(std::string_view descr) {
  for (const NpyType& type : kNpyTypes) {
    // Byte order does not matter for one byte: '|', '<' and '>' all occur.
    const bool one_byte = type.descr[0] == '|';
    if (descr == type.descr ||
        (one_byte && descr.size() == 3 && descr.substr(1) == type.descr.substr(1))) {
      return type.dtype;
    }
    if (!one_byte && descr == fmt::format("|{}", type.descr.substr(1)) &&
        type.dtype == DType::kBF16)
      return type.dtype;
  }
  if (descr.starts_with('>')) {
    return Unimplemented(fmt::format("big-endian data (descr '{}'); save it with .astype('<{}')",
                                     descr, descr.substr(1)));
  }
  return Unimplemented(fmt::format("elements of NumPy type '{}' are not supported", descr));
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Splits a file into header text and data.
Status SplitNpy(std::span<const std::byte> bytes, std::string_view* header,
                std::span<const std::byte>* data) {
  const std::string_view text = AsText(bytes);
  if (!text.starts_with(kMagic))
    return InvalidArgument("not an .npy file: it does not begin with \\x93NUMPY");
  constexpr size_t kVersionAt = kMagic.size();
  if (bytes.size() < kVersionAt + 4) return InvalidArgument("the file ends within the .npy header");
  const auto byte_at = [&](size_t i) { return static_cast<size_t>(bytes[i]); };
  const size_t major = byte_at(kVersionAt);
  if (major < 1 || major > 3)
    return Unimplemented(fmt::format(".npy version {}, expected 1 to 3", major));
  size_t header_at = kVersionAt + 4;
  size_t header_bytes = byte_at(kVersionAt + 2) | byte_at(kVersionAt + 3) << 8;
  if (major >= 2) {
    if (bytes.size() < header_at + 2)
      return InvalidArgument("the file ends within the .npy header");
    header_bytes |= byte_at(header_at) << 16 | byte_at(header_at + 1) << 24;
    header_at += 2;
  }
  if (header_bytes > kMaxHeaderBytes) {
    return InvalidArgument(
        fmt::format("a header of {} bytes, expected at most {}", header_bytes, kMaxHeaderBytes));
  }
  if (header_bytes > bytes.size() - header_at) {
    return InvalidArgument(fmt::format("the header claims {} bytes, {} are left", header_bytes,
                                       bytes.size() - header_at));
  }
  *header = text.substr(header_at, header_bytes);
  *data = bytes.subspan(header_at + header_bytes);
  return OkStatus();
}

Result<Tensor> ParseProto(std::shared_ptr<const MappedFile> file) {
  const auto bytes = file->bytes();
  wire::Budget budget{bytes.size() / 5 + kProtoSlackBytes, bytes.size() / 5 + kProtoSlackBytes};
  wire::Reader in(bytes, &budget);
  TensorProto proto;
  FUSEE_TRY(ReadTensorProto(in, &proto));
  return TensorFromProto(proto, std::move(file), &budget);
}

template <typename T>
Result<T> Named(Result<T> result, std::string_view what, const std::string& path) {
  if (result.ok()) return result;
  return std::move(result).status().Annotate(fmt::format("{} '{}'", what, path));
}

}  // namespace

bool HasNpyType(DType dtype) { return !NpyDescr(dtype).empty(); }

Result<Tensor> ReadNpy(const std::string& path) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  return Named(ParseNpy(bytes, std::move(file)), ".npy file", path);
}

Result<Tensor> ParseNpy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  std::string_view text;
  std::span<const std::byte> data;
  FUSEE_TRY(SplitNpy(bytes, &text, &data));
  NpyHeader header;
  FUSEE_TRY(LiteralParser(text).Parse(&header));
  if (!header.descr || !header.fortran_order || !header.shape) {
    return InvalidArgument("the header lacks one of 'descr', 'fortran_order', 'shape'");
  }
  TensorSpec spec;
  FUSEE_TRY(spec.dtype, NpyDType(*header.descr));
  FUSEE_TRY(spec.shape, CheckedShape(*header.shape, spec.dtype));
  if (*header.fortran_order && spec.shape.rank() > 1) {
    return Unimplemented("Fortran order; save it with numpy.ascontiguousarray");
  }
  spec.size_bytes = static_cast<uint64_t>(spec.shape.elements() * BytesPerElement(spec.dtype));
  return TensorOverBytes(spec, data, std::move(owner), "the data");
}

Status WriteNpy(const std::string& path, const ConstTensorView& tensor) {
  FUSEE_CHECK(tensor.present(), "WriteNpy of an absent tensor");
  const std::string_view descr = NpyDescr(tensor.dtype);
  if (descr.empty()) {
    return Unimplemented(
        fmt::format("'{}': .npy has no type {}; write a .pb file (TensorProto), or a raw one", path,
                    DTypeName(tensor.dtype)));
  }
  std::string dims;
  for (const int64_t dim : tensor.shape.dims()) dims += fmt::format("{}, ", dim);
  if (tensor.shape.rank() == 1)
    dims.resize(dims.size() - 1);  // "(3,)"
  else if (!dims.empty())
    dims.resize(dims.size() - 2);  // "(3, 4)"
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, dims);
  const size_t head = kMagic.size() + 4;
  header.resize(AlignUp(head + header.size() + 1, kDataAlignment) - head - 1, ' ');
  header += '\n';
  std::string out(kMagic);
  out += {'\x01', '\x00', static_cast<char>(header.size() & 0xff),
          static_cast<char>(header.size() >> 8)};
  out += header;
  out += AsText(tensor.bytes());
  return WriteFileAtomically(path, out);
}

Result<Tensor> ReadRawTensor(const std::string& path, DType dtype, const Shape& shape) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  TensorSpec spec{dtype, shape, 0};
  if (auto checked = CheckedShape(shape.dims(), dtype); !checked.ok()) {
    return Named(Result<Tensor>(std::move(checked).status()), "tensor file", path);
  }
  spec.size_bytes = static_cast<uint64_t>(PackedBytes(dtype, shape.elements()));
  const auto bytes = file->bytes();
  return Named(TensorOverBytes(spec, bytes, std::move(file), "the file"), "tensor file", path);
}

Status WriteRawTensor(const std::string& path, const ConstTensorView& tensor) {
  if (IsPacked(tensor.dtype)) return WriteFileAtomically(path, Pack(tensor));
  return WriteFileAtomically(path, tensor.bytes());
}

Result<Tensor> ReadTensorProtoFile(const std::string& path) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  return Named(ParseProto(std::move(file)), "TensorProto file", path);
}

Status WriteTensorProtoFile(const std::string& path, const ConstTensorView& tensor,
                            std::string_view name) {
  return WriteFileAtomically(path, EncodeTensorProto(tensor, name));
}

}  // namespace fusee
