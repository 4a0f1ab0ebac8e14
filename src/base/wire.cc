#include "base/wire.h"

#include <fmt/format.h>

#include <bit>
#include <vector>

namespace fusee::wire {
namespace {

constexpr int kMaxVarintBytes = 10;
constexpr uint32_t kStartGroup = 3;
constexpr uint32_t kEndGroup = 4;

std::string_view TypeName(Type type) {
  switch (type) {
    case Type::kVarint: return "a varint (wire type 0)";
    case Type::kFixed64: return "a fixed64 (wire type 1)";
    case Type::kBytes: return "length-delimited bytes (wire type 2)";
    case Type::kFixed32: return "a fixed32 (wire type 5)";
  }
  return "an unknown wire type";
}

}  // namespace

bool DecodeVarint(const std::byte** at, const std::byte* end, uint64_t* value) {
  const std::byte* p = *at;
  uint64_t result = 0;
  for (int i = 0; i < kMaxVarintBytes && p < end; ++i, ++p) {
    const auto byte = static_cast<uint64_t>(*p);
    if (i == kMaxVarintBytes - 1 && byte > 1) return false;  // the tenth byte holds bit 63 only
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *at = p + 1;
      *value = result;
      return true;
    }
  }
  return false;
}

bool Reader::Fail(std::string_view what) {
  status_ = Error(nullptr, what);
  at_ = end_;
  return false;
}

bool Reader::Next() {
  if (at_ >= end_ || !status_.ok()) return false;
  field_begin_ = at_;
  uint64_t tag = 0;
  if (!DecodeVarint(&at_, end_, &tag))
    return Fail("expected a field's tag, got a varint that is cut off or too long");
  if (tag > UINT32_MAX || (tag >> 3) == 0) {
    return Fail(fmt::format("expected a field number of 1 to 2^29-1, got tag {:#x}", tag));
  }
  field_ = static_cast<uint32_t>(tag >> 3);
  const auto type = static_cast<uint32_t>(tag & 7);
  const auto left = static_cast<uint64_t>(end_ - at_);
  switch (type) {
    case static_cast<uint32_t>(Type::kVarint):
      if (!DecodeVarint(&at_, end_, &value_)) {
        return Fail(fmt::format("field {}: a varint is cut off or exceeds 64 bits", field_));
      }
      break;
    case static_cast<uint32_t>(Type::kFixed64):
      if (left < 8)
        return Fail(fmt::format("field {}: expected 8 bytes, {} are left", field_, left));
      std::memcpy(&value_, at_, 8);
      at_ += 8;
      break;
    case static_cast<uint32_t>(Type::kFixed32): {
      if (left < 4)
        return Fail(fmt::format("field {}: expected 4 bytes, {} are left", field_, left));
      uint32_t word = 0;
      std::memcpy(&word, at_, 4);
      value_ = word;
      at_ += 4;
      break;
    }
    case static_cast<uint32_t>(Type::kBytes): {
      uint64_t length = 0;
      if (!DecodeVarint(&at_, end_, &length)) {
        return Fail(fmt::format("field {}: a length is cut off or exceeds 64 bits", field_));
      }
      const auto rest = static_cast<uint64_t>(end_ - at_);
      if (length > rest) {
        return Fail(
            fmt::format("field {} claims {} bytes, {} are left; the file is truncated or corrupt",
                        field_, length, rest));
      }
      bytes_ = {at_, static_cast<size_t>(length)};
      at_ += length;
      break;
    }
    case kStartGroup:
    case kEndGroup:
      return Fail(
          fmt::format("field {} is a group (wire type {}), which ONNX never uses", field_, type));
    default: return Fail(fmt::format("field {} has the unknown wire type {}", field_, type));
  }
  type_ = static_cast<Type>(type);
  return true;
}

Status Reader::Expect(const char* name, Type type) const {
  if (type_ == type) return OkStatus();
  return Error(name, fmt::format("expected {}, got {}", TypeName(type), TypeName(type_)));
}

Status Reader::Int64(const char* name, int64_t* out) const {
  FUSEE_TRY(Expect(name, Type::kVarint));
  *out = static_cast<int64_t>(value_);
  return OkStatus();
}

Status Reader::Int32(const char* name, int32_t* out) const {
  FUSEE_TRY(Expect(name, Type::kVarint));
  *out = static_cast<int32_t>(static_cast<uint32_t>(value_));
  return OkStatus();
}

Status Reader::Float(const char* name, float* out) const {
  FUSEE_TRY(Expect(name, Type::kFixed32));
  *out = std::bit_cast<float>(static_cast<uint32_t>(value_));
  return OkStatus();
}

Status Reader::String(const char* name, std::string_view* out) const {
  FUSEE_TRY(Expect(name, Type::kBytes));
  *out = {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  return OkStatus();
}

Status Reader::Bytes(const char* name, std::span<const std::byte>* out) const {
  FUSEE_TRY(Expect(name, Type::kBytes));
  *out = bytes_;
  return OkStatus();
}

Reader Reader::Message(const char* name, int64_t index) const {
  Status expected = Expect(name, Type::kBytes);
  Reader nested(expected.ok() ? bytes_ : std::span<const std::byte>(at_, 0), budget_);
  nested.file_begin_ = file_begin_;
  nested.parent_ = this;
  nested.name_ = name;
  nested.index_ = index;
  nested.status_ = std::move(expected);
  return nested;
}

uint64_t Reader::CountVarints() const {
  if (type_ != Type::kBytes) return 1;
  uint64_t count = 0;
  for (const std::byte b : bytes_) count += static_cast<uint8_t>(b) < 0x80 ? 1 : 0;
  return count;
}

std::string Reader::Describe(const std::byte* place, const char* name) const {
  std::vector<const Reader*> chain;
  for (const Reader* r = this; r->parent_ != nullptr; r = r->parent_) chain.push_back(r);
  std::string path;
  for (auto r = chain.rbegin(); r != chain.rend(); ++r) {
    if (!path.empty()) path += '.';
    path += (*r)->name_;
    if ((*r)->index_ >= 0) path += fmt::format("[{}]", (*r)->index_);
  }
  if (name != nullptr) {
    if (!path.empty()) path += '.';
    path += name;
  }
  const auto offset = static_cast<uint64_t>(place - file_begin_);
  return path.empty() ? fmt::format("byte {}", offset) : fmt::format("byte {}, {}", offset, path);
}

std::string Reader::Where(const char* name) const {
  return Describe(field_begin_ != nullptr ? field_begin_ : begin_, name);
}

std::string Reader::Place() const { return Describe(begin_, nullptr); }

Status Reader::Error(const char* name, std::string_view what) const {
  return InvalidArgument(fmt::format("{}: {}", Where(name), what));
}

Status Reader::Charge(uint64_t bytes) const {
  if (budget_ == nullptr) return OkStatus();
  if (bytes > budget_->left) {
    return ResourceExhausted(
        fmt::format("{}: reading this would take {} bytes, {} of {} are left; the content is far "
                    "larger in memory than in the file",
                    Where(), bytes, budget_->left, budget_->total));
  }
  budget_->left -= bytes;
  return OkStatus();
}

void Writer::Raw(uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
  out_ += static_cast<char>(value);
}

void Writer::Varint(uint32_t field, uint64_t value) {
  Raw(uint64_t{field} << 3);
  Raw(value);
}

void Writer::Float(uint32_t field, float value) {
  Raw(uint64_t{field} << 3 | 5);
  out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void Writer::BytesHead(uint32_t field, uint64_t size) {
  Raw(uint64_t{field} << 3 | 2);
  Raw(size);
}

void Writer::Bytes(uint32_t field, std::string_view bytes) {
  BytesHead(field, bytes.size());
  out_ += bytes;
}

}  // namespace fusee::wire
