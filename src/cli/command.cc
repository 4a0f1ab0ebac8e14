#include "cli/command.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdio>

namespace fusee::cli {

ExitCode ExitCodeFor(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return ExitCode::kOk;
    case StatusCode::kUnimplemented: return ExitCode::kUnsupported;
    case StatusCode::kFailedPrecondition:
    case StatusCode::kDataLoss: return ExitCode::kIncompatiblePlan;
    case StatusCode::kAborted: return ExitCode::kVerificationFailed;
    case StatusCode::kResourceExhausted: return ExitCode::kResourceLimit;
    case StatusCode::kCancelled:
    case StatusCode::kUnknown:
    case StatusCode::kInvalidArgument:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kPermissionDenied:
    case StatusCode::kOutOfRange:
    case StatusCode::kInternal:
    case StatusCode::kUnavailable: return ExitCode::kError;
  }
  return ExitCode::kError;
}

void PrintError(const Status& status, bool json) {
  if (!json) {
    std::fprintf(stderr, "error: %s\n", status.message().c_str());
    return;
  }
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> w(buffer);
  w.StartObject();
  w.Key("error");
  w.StartObject();
  w.Key("code");
  const std::string_view name = StatusCodeName(status.code());
  w.String(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  w.Key("message");
  w.String(status.message().c_str());
  w.EndObject();
  w.EndObject();
  std::printf("%s\n", buffer.GetString());
}

ExitCode PrintUsageError(const Status& status, bool json) {
  PrintError(status, json);
  return status.code() == StatusCode::kInvalidArgument ? ExitCode::kUsage : ExitCodeFor(status);
}

namespace {
std::vector<std::string> arguments_of_command;
}  // namespace

void SetArguments(std::vector<std::string> arguments) {
  arguments_of_command = std::move(arguments);
}
const std::vector<std::string>& Arguments() { return arguments_of_command; }

}  // namespace fusee::cli
