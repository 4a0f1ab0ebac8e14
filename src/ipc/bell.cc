#include "ipc/bell.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace fusee::ipc {

Result<Bell> Bell::Create() {
  Descriptor fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.ok()) return ResourceExhausted(fmt::format("eventfd: {}", std::strerror(errno)));
  return Bell(std::move(fd));
}

void Bell::Ring() const {
  const uint64_t one = 1;
  if (write(fd_.get(), &one, sizeof(one)) < 0) {
  }  // full: it is ringing already
}

void Bell::Hear() const {
  uint64_t count = 0;
  if (read(fd_.get(), &count, sizeof(count)) < 0) {
  }  // empty: somebody else heard it
}

}  // namespace fusee::ipc
