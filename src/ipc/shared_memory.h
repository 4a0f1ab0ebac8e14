// Memory that two processes map: an anonymous file whose size can never change, so that no peer can
// make an access fail by shrinking it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/descriptor.h"
#include "base/status.h"

namespace fusee::ipc {

enum class Access : uint8_t { kRead, kReadWrite };

// A mapping of a whole such file. Move-only; unmapped and closed at its end. Pages cost memory only
// once written.
class SharedMemory {
 public:
  // Creates one of this many bytes (rounded up to pages), zeroed, and seals its size. name is for
  // /proc/PID/maps only. Errors: kResourceExhausted, kUnavailable with errno's text.
  static Result<SharedMemory> Create(const std::string& name, size_t bytes);
  // Maps what a descriptor of Create stands for; takes the descriptor over. Errors:
  // kInvalidArgument when its size is not sealed (a peer could shrink it), kUnavailable.
  static Result<SharedMemory> Map(Descriptor fd, Access access);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }
  int fd() const { return fd_.get(); }

  // A descriptor of the same memory through which nobody can write. Errors: kUnavailable (no
  // /proc).
  Result<Descriptor> ReadOnlyDescriptor() const;

 private:
  SharedMemory(Descriptor fd, std::byte* data, size_t size)
      : fd_(std::move(fd)), data_(data), size_(size) {}
  Descriptor fd_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace fusee::ipc
