// Files: read-only mapping and all-or-nothing writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fusee {

// A read-only, private mapping of a whole regular file; empty files are allowed and map nothing.
// The bytes live as long as the object. A file that shrinks while mapped raises SIGBUS on access
// (the kernel's rule); callers that map files of others say so in their contract. Thread-safety:
// immutable after Open.
class MappedFile {
 public:
  // Errors: kNotFound, kInvalidArgument (not a regular file), kPermissionDenied, kUnavailable.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  // Maps an open descriptor (the caller keeps and closes it); name is for messages.
  static Result<std::shared_ptr<const MappedFile>> FromDescriptor(int fd, const std::string& name);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const std::byte* data_;
  size_t size_;
};

// Writes path so that it holds either its old content or all of the new: temporary file beside it,
// fsync, rename, fsync of the folder. Errors: kUnavailable with errno's text; nothing is left
// behind.
Status WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes);
Status WriteFileAtomically(const std::string& path, std::string_view text);

// Whole content of a small file; refuses more than limit_bytes with kResourceExhausted.
Result<std::string> ReadSmallFile(const std::string& path, size_t limit_bytes = 64u << 20);

}  // namespace fusee
