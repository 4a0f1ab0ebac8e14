#include "onnx/external_data.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

#include "base/descriptor.h"
#include "tensor/packed.h"

namespace fusee::onnx {
namespace {

constexpr size_t kMaxLocationBytes = 4096;  // PATH_MAX

Status OpenError(int error, const std::string& location) {
  const std::string message = fmt::format("external data '{}': {}", location, std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR: return NotFound(message + "; it must lie below the model's folder");
    case ELOOP:
    case EXDEV:
      return Status(
          StatusCode::kPermissionDenied,
          fmt::format(
              "external data '{}' is or passes through a link; only plain files below the model's "
              "folder are read; replace the link by the file",
              location));
    case EACCES:
    case EPERM: return Status(StatusCode::kPermissionDenied, message);
    default: return Unavailable(message);
  }
}

// Refuses what no honest exporter writes, before any system call.
Result<std::vector<std::string>> Components(std::string_view location) {
  const auto denied = [&](std::string_view why) {
    return Status(
        StatusCode::kPermissionDenied,
        fmt::format("external data '{}' {}; expected a relative path below the model's folder",
                    location.substr(0, kMaxLocationBytes), why));
  };
  if (location.empty()) return InvalidArgument("external_data has no 'location'");
  if (location.size() > kMaxLocationBytes) return denied("is too long");
  if (location.find('\0') != std::string_view::npos) return denied("holds a NUL byte");
  if (location.front() == '/') return denied("is an absolute path");
  std::vector<std::string> components;
  while (!location.empty()) {
    const size_t slash = location.find('/');
    const std::string_view component = location.substr(0, slash);
    if (component == "..") return denied("leaves the folder with '..'");
    if (!component.empty() && component != ".") components.emplace_back(component);
    if (slash == std::string_view::npos) break;
    location.remove_prefix(slash + 1);
  }
  if (components.empty()) return denied("names no file");
  return components;
}

// O_NONBLOCK: opening a FIFO must not wait; it is refused afterwards as not regular.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;

// A decimal entry of external_data ("offset", "length").
Result<uint64_t> Decimal(std::string_view key, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return InvalidArgument(fmt::format("external_data '{}' is '{}', expected a decimal number", key,
                                       text.substr(0, 40)));
  }
  return value;
}

}  // namespace

namespace internal {

Result<int> OpenBeneathByWalking(int folder, const std::string& location) {
  FUSEE_TRY(const std::vector<std::string> components, Components(location));
  Descriptor at(-1);
  for (size_t i = 0; i < components.size(); ++i) {
    const bool last = i + 1 == components.size();
    const int flags = last ? kOpenFlags : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
    const int fd = ::openat(i == 0 ? folder : at.get(), components[i].c_str(), flags);
    if (fd < 0) {
      const int error = errno;
      // A link in the middle reads as "not a directory": say what it is.
      struct stat info {};
      const bool link = ::fstatat(i == 0 ? folder : at.get(), components[i].c_str(), &info,
                                  AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISLNK(info.st_mode);
      return OpenError(link ? ELOOP : error, location);
    }
    at.Reset(fd);
  }
  return at.Release();
}

Result<int> OpenBeneath(int folder, const std::string& location) {
  FUSEE_TRY(Components(location));
  open_how how{};
  how.flags = kOpenFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, folder, location.c_str(), &how, sizeof(how));
  if (fd >= 0) return static_cast<int>(fd);
  // Old kernels say ENOSYS, old container sandboxes EPERM. EAGAIN: a rename elsewhere raced with
  // the look-up.
  if (errno == ENOSYS || errno == EPERM || errno == EAGAIN)
    return OpenBeneathByWalking(folder, location);
  return OpenError(errno, location);
}

}  // namespace internal

Result<std::shared_ptr<const MappedFile>> ExternalData::Map(std::string_view location) {
  if (const auto known = files_.find(location); known != files_.end()) return known->second;
  if (files_.size() >= max_files_) {
    return ResourceExhausted(
        fmt::format("external data in more than {} files; store the weights in one", max_files_));
  }
  const std::string name(location.substr(0, kMaxLocationBytes + 1));
  auto open = [&]() -> Result<std::shared_ptr<const MappedFile>> {
    Descriptor folder(::open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return OpenError(errno, folder_);
    FUSEE_TRY(const int raw_fd, internal::OpenBeneath(folder.get(), name));
    Descriptor fd(raw_fd);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return OpenError(errno, name);
    if (S_ISREG(info.st_mode) && info.st_nlink != 1) {
      return Status(
          StatusCode::kPermissionDenied,
          fmt::format("external data '{}' has {} names (hard links), expected one; copy the file",
                      name, info.st_nlink));
    }
    return MappedFile::FromDescriptor(fd.get(), name);
  };
  auto file = open();
  if (file.ok()) mapped_bytes_ += (*file)->bytes().size();
  return files_.emplace(name, std::move(file)).first->second;
}

Result<Tensor> ExternalData::Resolve(const TensorProto& proto, const TensorSpec& spec) {
  std::string_view location;
  std::optional<uint64_t> offset;
  std::optional<uint64_t> length;
  for (const auto& [key, value] : proto.external_data) {
    if (key == "location") location = value;
    if (key == "offset") {
      FUSEE_TRY(offset, Decimal(key, value));
    }
    if (key == "length") {
      FUSEE_TRY(length, Decimal(key, value));
    }
  }
  if (!proto.raw_data.empty())
    return InvalidArgument("the tensor has raw_data and external data, expected one");
  FUSEE_TRY(auto file, Map(location));
  const uint64_t size = file->bytes().size();
  const uint64_t begin = offset.value_or(0);
  if (begin > size) {
    return InvalidArgument(fmt::format(
        "external data '{}': offset {} lies behind the file's {} bytes", location, begin, size));
  }
  const uint64_t count = length.value_or(spec.size_bytes);
  if (count > size - begin) {
    return InvalidArgument(
        fmt::format("external data '{}': {} bytes at offset {} reach behind the file's {} bytes",
                    location, count, begin, size));
  }
  if (IsPacked(spec.dtype) && count == spec.size_bytes) {
    unpacked_elements_ += static_cast<uint64_t>(spec.shape.elements());
    if (unpacked_elements_ / kMaxElementsPerByte > mapped_bytes_) {
      return ResourceExhausted(fmt::format(
          "external data '{}': tensors of {} claim more elements than their files' {} bytes hold; "
          "store each once",
          location, DTypeName(spec.dtype), mapped_bytes_));
    }
  }
  const auto bytes = file->bytes().subspan(begin, count);
  return TensorOverBytes(spec, bytes, std::move(file), fmt::format("external data '{}'", location));
}

}  // namespace fusee::onnx
