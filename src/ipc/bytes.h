// Plain values to bytes and back, for messages between processes of one machine: native byte order,
// no padding, lengths before lists. The reader is bounded: it never reads past the end, and a
// list's count is checked against the bytes that are there before anything is allocated for it.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/status.h"
#include "tensor/shape.h"

namespace fusee::ipc {

// Appends to a buffer that its owner reuses.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>* out) : out_(out) { out_->clear(); }

  template <typename T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    Raw(&value, sizeof(value));
  }
  void Text(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    Raw(text.data(), text.size());
  }
  void Dims(std::span<const int64_t> dims) {
    Put(static_cast<uint32_t>(dims.size()));
    Raw(dims.data(), dims.size_bytes());
  }

 private:
  void Raw(const void* data, size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    out_->insert(out_->end(), from, from + bytes);
  }
  std::vector<std::byte>* out_;
};

// Each method is false, and *out unspecified, when the bytes do not hold what is asked for. After
// the first false, all are false.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : left_(bytes) {}

  template <typename T>
  [[nodiscard]] bool Get(T* out) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    return Raw(out, sizeof(T));
  }
  // A flag: exactly 0 or 1.
  [[nodiscard]] bool Flag(bool* out) {
    uint8_t value = 0;
    if (!Get(&value) || value > 1) return Fail();
    *out = value == 1;
    return true;
  }
  [[nodiscard]] bool Text(std::string* out, size_t max) {
    uint32_t size = 0;
    if (!Count(&size, max, 1)) return false;
    out->assign(reinterpret_cast<const char*>(left_.data()), size);
    left_ = left_.subspan(size);
    return true;
  }
  [[nodiscard]] bool Dims(std::vector<int64_t>* out, size_t max) {
    uint32_t count = 0;
    if (!Count(&count, max, sizeof(int64_t))) return false;
    out->resize(count);
    return Raw(out->data(), count * sizeof(int64_t));
  }
  // A list's count: at most max, and there are that many times each_bytes left.
  [[nodiscard]] bool Count(uint32_t* out, size_t max, size_t each_bytes) {
    if (!Get(out) || *out > max || *out > left_.size() / each_bytes) return Fail();
    return true;
  }
  // True when everything was read and nothing failed.
  [[nodiscard]] bool AtEnd() const { return good_ && left_.empty(); }

 private:
  bool Fail() {
    good_ = false;
    left_ = {};
    return false;
  }
  bool Raw(void* out, size_t bytes) {
    if (!good_ || bytes > left_.size()) return Fail();
    if (bytes > 0) std::memcpy(out, left_.data(), bytes);
    left_ = left_.subspan(bytes);
    return true;
  }
  std::span<const std::byte> left_;
  bool good_ = true;
};

}  // namespace fusee::ipc
