#include "ipc/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/checked_math.h"

namespace fusee::ipc {
namespace {

constexpr size_t kPage = 4096;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

Status Failed(const std::string& what) {
  const int error = errno;
  std::string text = fmt::format("{}: {}", what, std::strerror(error));
  return error == ENOMEM || error == EMFILE || error == ENFILE ? ResourceExhausted(std::move(text))
                                                               : Unavailable(std::move(text));
}

}  // namespace

Result<SharedMemory> SharedMemory::Create(const std::string& name, size_t bytes) {
  const size_t size = AlignUp(bytes, kPage);
  Descriptor fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return Failed("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return Failed(fmt::format("shared memory of {} bytes", size));
  // F_SEAL_SEAL too: nobody may add a seal against writing later.
  if (fcntl(fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0) return Failed("sealing memory");
  return Map(std::move(fd), Access::kReadWrite);
}

Result<SharedMemory> SharedMemory::Map(Descriptor fd, Access access) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) {
    return InvalidArgument(fmt::format(
        "descriptor {}: expected shared memory of sealed size, got something else", fd.get()));
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return Failed("fstat");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return InvalidArgument("shared memory of no bytes");
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* data = mmap(nullptr, size, protection, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return Failed(fmt::format("mapping {} bytes of shared memory", size));
  return SharedMemory(std::move(fd), static_cast<std::byte*>(data), size);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

Result<Descriptor> SharedMemory::ReadOnlyDescriptor() const {
  // A memfd has no name to open; the link in /proc is the documented way to another open file
  // description.
  const std::string path = fmt::format("/proc/self/fd/{}", fd_.get());
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return Failed(path);
  return fd;
}

}  // namespace fusee::ipc
