// Protobuf's wire format, read and written without generated code: bounded, and nothing is copied.
//
// A message is a list of fields, each a tag (number << 3 | wire type) and a value:
//   0     varint: 7 bits a byte, least first, high bit = more
//   1, 5  fixed64, fixed32: little-endian
//   2     bytes: length as a varint, then the bytes (strings, nested messages, packed scalars)
//   3, 4  groups: refused, no ONNX field uses them
//
// A Reader walks one message; nested messages are Readers of their own, which keep a pointer to
// their parent, so that an error can name the whole path at no cost on success: "byte 1234,
// graph.node[17].attribute[2].t: ...".
//
//   while (in.Next()) {
//     switch (in.field()) {
//       case 1: FUSEE_TRY(in.String("name", &name)); break;
//       case 2: FUSEE_TRY(ReadNode(in.Message("node", nodes.size()), ...)); break;
//     }                                     // a field that nobody asks for is skipped
//   }
//   return in.status();                     // why Next stopped: the end, or an error
//
// Contract: any bytes; no read outside them, no allocation except for error messages, linear time.
// Errors: kInvalidArgument with byte offset and path.
// Thread-safety: a Reader belongs to one thread.
// Source: https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fusee::wire {

enum class Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Bytes that the structures built while reading may still take. A message of two bytes can ask for
// a struct of two hundred; the budget keeps memory in proportion to the file whatever the bytes
// say.
struct Budget {
  uint64_t left = UINT64_MAX;
  uint64_t total = UINT64_MAX;  // for the message of the refusal
};

// Decodes one varint of at most ten bytes and moves *at behind it; false when it is cut off or
// exceeds 64 bits.
bool DecodeVarint(const std::byte** at, const std::byte* end, uint64_t* value);

class Reader {
 public:
  // The outermost message. budget may be null (no limit) and must outlive every Reader.
  explicit Reader(std::span<const std::byte> message, Budget* budget = nullptr)
      : begin_(message.data()),
        at_(begin_),
        end_(begin_ + message.size()),
        file_begin_(begin_),
        budget_(budget) {}

  // Steps to the next field. False at the end of the message and on an error: see status().
  bool Next();
  const Status& status() const { return status_; }

  // --- the current field; precondition: Next() returned true ---
  uint32_t field() const { return field_; }
  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }

  // Each reads the value, or refuses another wire type by name. Repeated scalar fields of one
  // message: the last wins.
  Status Int64(const char* name, int64_t* out) const;
  Status Int32(const char* name, int32_t* out) const;  // keeps the low 32 bits, as protobuf does
  Status Float(const char* name, float* out) const;
  Status String(const char* name, std::string_view* out) const;  // any bytes; UTF-8 is not enforced
  Status Bytes(const char* name, std::span<const std::byte>* out) const;
  // A nested message. A value that is not one gives a Reader whose status() is the error and whose
  // Next() is false. The parent must outlive it and must not step meanwhile.
  Reader Message(const char* name, int64_t index = -1) const;

  // Elements of a repeated scalar field, packed or one by one: calls sink(uint64_t) for varints,
  // sink(uint32_t) or sink(uint64_t) for fixed32 and fixed64, which returns nothing.
  template <typename Sink>
  Status Varints(const char* name, Sink&& sink) const;
  template <typename Word, typename Sink>
  Status Fixed(const char* name, Sink&& sink) const;
  // How many elements Varints would give, an upper bound that is exact for well-formed bytes.
  uint64_t CountVarints() const;

  // Length of a kBytes value.
  size_t byte_count() const { return bytes_.size(); }

  // --- the message ---
  std::span<const std::byte> message() const {
    return {begin_, static_cast<size_t>(end_ - begin_)};
  }
  // Occurrences of each field number below N in the whole message, so that vectors are sized once.
  // Bytes that cannot be read end the count; the real pass reports them.
  template <size_t N>
  std::array<size_t, N> CountFields() const;

  // "byte 1234, graph.node[17]": of the current field's start, or of the message's when none has
  // been read.
  std::string Where(const char* name = nullptr) const;
  // The same for the message as a whole: the offset of its first byte.
  std::string Place() const;
  // kInvalidArgument "<Where(name)>: <what>".
  Status Error(const char* name, std::string_view what) const;
  // Takes bytes from the budget. Errors: kResourceExhausted with the place.
  Status Charge(uint64_t bytes) const;
  Budget* budget() const { return budget_; }

 private:
  Status Expect(const char* name, Type type) const;
  bool Fail(std::string_view what);
  std::string Describe(const std::byte* place, const char* name) const;

  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  const std::byte* field_begin_ = nullptr;
  const std::byte* file_begin_;
  Budget* budget_;
  const Reader* parent_ = nullptr;
  const char* name_ = nullptr;  // of this message within its parent
  int64_t index_ = -1;
  uint32_t field_ = 0;
  Type type_ = Type::kVarint;
  uint64_t value_ = 0;  // varint, fixed64, fixed32
  std::span<const std::byte> bytes_;
  Status status_;
};

// Appends fields to a string. The caller chooses the numbers; nested messages are written to their
// own Writer first.
class Writer {
 public:
  void Varint(uint32_t field, uint64_t value);
  void Float(uint32_t field, float value);
  void Bytes(uint32_t field, std::string_view bytes);
  // The head of a bytes field whose size bytes the caller appends itself.
  void BytesHead(uint32_t field, uint64_t size);
  const std::string& str() const { return out_; }
  std::string& str() { return out_; }

 private:
  void Raw(uint64_t value);
  std::string out_;
};

// --- implementation of the templates ---

template <typename Sink>
Status Reader::Varints(const char* name, Sink&& sink) const {
  if (type_ == Type::kVarint) {
    sink(value_);
    return OkStatus();
  }
  FUSEE_TRY(Expect(name, Type::kBytes));
  const std::byte* at = bytes_.data();
  const std::byte* const end = at + bytes_.size();
  while (at < end) {
    uint64_t value = 0;
    if (!DecodeVarint(&at, end, &value))
      return Error(name, "a packed varint is cut off or exceeds 64 bits");
    sink(value);
  }
  return OkStatus();
}

template <typename Word, typename Sink>
Status Reader::Fixed(const char* name, Sink&& sink) const {
  static_assert(sizeof(Word) == 4 || sizeof(Word) == 8);
  constexpr Type kSingle = sizeof(Word) == 4 ? Type::kFixed32 : Type::kFixed64;
  if (type_ == kSingle) {
    sink(static_cast<Word>(value_));
    return OkStatus();
  }
  FUSEE_TRY(Expect(name, Type::kBytes));
  if (bytes_.size() % sizeof(Word) != 0) {
    return Error(name, "packed values of " + std::to_string(sizeof(Word)) + " bytes, got " +
                           std::to_string(bytes_.size()) + " bytes, which is no multiple");
  }
  for (size_t i = 0; i < bytes_.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes_.data() + i, sizeof(Word));
    sink(word);
  }
  return OkStatus();
}

template <size_t N>
std::array<size_t, N> Reader::CountFields() const {
  std::array<size_t, N> counts{};
  Reader scan(message());
  scan.file_begin_ = file_begin_;
  while (scan.Next()) {
    if (scan.field_ < N) ++counts[scan.field_];
  }
  return counts;
}

}  // namespace fusee::wire
