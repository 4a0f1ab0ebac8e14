// A kernel's configuration: opaque bytes that many steps and buckets may share. Copying shares
// them; nobody changes them. Empty by default. Value type, thread-safe as one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace fusee::plan {

class ConfigBytes {
 public:
  ConfigBytes() = default;
  ConfigBytes(std::vector<std::byte> bytes)  // NOLINT: a vector of bytes is one
      : bytes_(bytes.empty() ? nullptr
                             : std::make_shared<const std::vector<std::byte>>(std::move(bytes))) {}
  ConfigBytes(std::initializer_list<std::byte> bytes)
      : ConfigBytes(std::vector<std::byte>(bytes)) {}

  // 16-byte aligned (it is memory of its own); null when empty.
  const std::byte* data() const { return bytes_ == nullptr ? nullptr : bytes_->data(); }
  size_t size() const { return bytes_ == nullptr ? 0 : bytes_->size(); }
  bool empty() const { return bytes_ == nullptr; }
  const std::byte* begin() const { return data(); }
  const std::byte* end() const { return data() + size(); }
  std::span<const std::byte> span() const { return {data(), size()}; }

  bool operator==(const ConfigBytes& other) const {
    return bytes_ == other.bytes_ || std::ranges::equal(span(), other.span());
  }

 private:
  std::shared_ptr<const std::vector<std::byte>> bytes_;  // null: empty
};

}  // namespace fusee::plan
