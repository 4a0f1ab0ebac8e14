#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/descriptor.h"

namespace fusee {
namespace {

Status ErrnoStatus(std::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message = fmt::format("{} '{}': {}", what, path, std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR: return NotFound(message);
    case EACCES:
    case EPERM: return Status(StatusCode::kPermissionDenied, message);
    default: return Unavailable(message);
  }
}

Status WriteAll(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("cannot write", path);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return OkStatus();
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused below as not regular.
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return ErrnoStatus("cannot open", path);
  return FromDescriptor(fd.get(), path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::FromDescriptor(int fd,
                                                                     const std::string& name) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus("cannot stat", name);
  if (!S_ISREG(info.st_mode))
    return InvalidArgument(fmt::format("'{}' is not a regular file", name));
  const size_t size = static_cast<size_t>(info.st_size);
  const std::byte* data = nullptr;
  if (size > 0) {
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) return ErrnoStatus("cannot map", name);
    data = static_cast<const std::byte*>(mapped);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(name, data, size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Status WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes) {
  std::string temporary = path + ".tmp.XXXXXX";
  Descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus("cannot create a temporary file beside", path);
  auto fail = [&](Status status) {
    ::unlink(temporary.c_str());
    return status;
  };
  if (Status s = WriteAll(fd.get(), bytes, temporary); !s.ok()) return fail(std::move(s));
  if (::fchmod(fd.get(), 0644) != 0 || ::fsync(fd.get()) != 0)
    return fail(ErrnoStatus("cannot sync", temporary));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(ErrnoStatus("cannot rename into", path));
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() >= 0)
    (void)::fsync(dir.get());  // the rename is visible either way; this makes it durable
  return OkStatus();
}

Status WriteFileAtomically(const std::string& path, std::string_view text) {
  return WriteFileAtomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

Result<std::string> ReadSmallFile(const std::string& path, size_t limit_bytes) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  if (bytes.size() > limit_bytes) {
    return ResourceExhausted(fmt::format("'{}' has {} bytes, more than the limit of {}", path,
                                         bytes.size(), limit_bytes));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace fusee
