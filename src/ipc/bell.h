// Wakes another process: an eventfd, rung after something was written to a ring.
//
// A ring of the bell is never lost: it stays until it is heard. Ringing twice before it is heard
// counts as one, so whoever hears it reads the ring until it is empty.
#pragma once

#include "base/descriptor.h"
#include "base/status.h"

namespace fusee::ipc {

class Bell {
 public:
  Bell() = default;
  // Errors: kResourceExhausted.
  static Result<Bell> Create();
  explicit Bell(Descriptor fd) : fd_(std::move(fd)) {}

  // Async-signal-safe; never blocks.
  void Ring() const;
  // Takes what has been rung since the last time; never blocks.
  void Hear() const;
  // Readable while rung.
  int fd() const { return fd_.get(); }

 private:
  Descriptor fd_;
};

}  // namespace fusee::ipc
