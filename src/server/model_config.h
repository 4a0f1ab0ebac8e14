// The one thing that config.pbtxt says and a plan cannot: on which devices the operator wants a
// model to run.
//
// The file is protobuf's text format (https://protobuf.dev/reference/protobuf/textformat-spec/).
// This is a bounded reader of that syntax which knows one field and skips every other, rather than
// protobuf with Triton's schema: of its hundred fields a plan answers all but this.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fusee::server {

inline constexpr size_t kModelConfigBytesMax = 1 << 20;

// The value of parameters { key: "device_order" value { string_value: "cpu,cuda" } }, split at
// commas; empty when there is no such parameter. Errors: kDataLoss with the line (the text is not
// of that format), kInvalidArgument (the value is no list of kinds).
Result<std::vector<std::string>> ReadDeviceOrder(std::string_view text);

// "cuda, cpu" to its parts. Errors: kInvalidArgument: an empty, unknown or repeated kind.
Result<std::vector<std::string>> ParseDeviceOrder(std::string_view text);

}  // namespace fusee::server
