// How functions of the C ABI answer. Internal to this room.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/status.h"
#include "capi/handles.h"
#include "device/device.h"
#include "fusee/fusee.h"
#include "plan/check.h"

namespace fusee::capi {

inline fusee_status* Give(Status status) {
  return status.ok() ? nullptr : new (std::nothrow) fusee_status{std::move(status)};
}

inline fusee_status* NullArgument(const char* what) {
  return Give(InvalidArgument(fmt::format("{} is NULL", what)));
}

// Writes an info struct: no more than the caller's version has room for. False when struct_size was
// not set.
template <typename Info>
bool WriteInfo(Info value, Info* out) {
  if (out == nullptr || out->struct_size < sizeof(size_t)) return false;
  value.struct_size = out->struct_size;
  std::memcpy(out, &value, std::min(out->struct_size, sizeof(Info)));
  return true;
}

template <typename Info>
fusee_status* GiveInfo(const Info& value, Info* out) {
  return WriteInfo(value, out)
             ? nullptr
             : Give(InvalidArgument("set the struct's struct_size to sizeof it first"));
}

}  // namespace fusee::capi
