// Status and Result: how every fallible function of Fusee reports failure.
//
// A Status is either ok (one null pointer, free to return) or a code with a message. Codes carry
// the numbers of the gRPC canonical codes, so that the wire mapping is the identity. A message says
// what failed, where, what was expected, what was got and what to do next: "node 'attn/Softmax':
// axis 3 out of range for rank 3; ...".
//
//   Result<Plan> LoadPlan(const std::string& path);
//   Status Use() {
//     FUSEE_TRY(Plan plan, LoadPlan("m.plan"));   // declares plan, or returns the error
//     FUSEE_TRY(plan.Check());                    // for a Status
//     return OkStatus();
//   }
//
// Thread-safety: values; share const ones freely. Cost: an error allocates, success does not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace fusee {

// What the caller should do, by code. Numbers are gRPC's
// (https://grpc.io/docs/guides/status-codes/); never renumber.
enum class StatusCode : uint8_t {
  kOk = 0,
  kCancelled = 1,         // the caller asked to stop
  kUnknown = 2,           // do not use; exists for mapping foreign errors
  kInvalidArgument = 3,   // the request or model is wrong; repeating it will not help
  kDeadlineExceeded = 4,  // too late; the answer has no value any more
  kNotFound = 5,          // the named thing does not exist
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,   // a named limit was reached; shed load or raise the limit
  kFailedPrecondition = 9,  // right request, wrong state (an incompatible plan, an unverified one)
  kAborted = 10,
  kOutOfRange = 11,     // a run-time value left the profile the plan was built for
  kUnimplemented = 12,  // valid, but Fusee does not support it; never here
  kInternal = 13,       // a broken invariant of ours; please report
  kUnavailable = 14,    // try again later
  kDataLoss = 15,       // bytes are truncated or corrupt
};

// "INVALID_ARGUMENT" and so on.
std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message)
      : error_(std::make_unique<Error>(Error{code, std::move(message)})) {}
  Status(const Status& other)
      : error_(other.error_ ? std::make_unique<Error>(*other.error_) : nullptr) {}
  Status(Status&&) noexcept = default;
  Status& operator=(const Status& other) {
    error_ = other.error_ ? std::make_unique<Error>(*other.error_) : nullptr;
    return *this;
  }
  Status& operator=(Status&&) noexcept = default;

  bool ok() const { return error_ == nullptr; }
  StatusCode code() const { return error_ ? error_->code : StatusCode::kOk; }
  // Empty when ok.
  const std::string& message() const;
  // "INVALID_ARGUMENT: message", or "OK".
  std::string ToString() const;

  // Prefixes the message with "where: ", so that an error grows its path on the way up. No effect
  // when ok.
  Status Annotate(std::string_view where) &&;

 private:
  struct Error {
    StatusCode code;
    std::string message;
  };
  std::unique_ptr<Error> error_;
};

inline Status OkStatus() { return Status(); }

// Named factories; the message is the argument.
Status InvalidArgument(std::string message);
Status NotFound(std::string message);
Status ResourceExhausted(std::string message);
Status FailedPrecondition(std::string message);
Status OutOfRange(std::string message);
Status Unimplemented(std::string message);
Status Internal(std::string message);
Status Unavailable(std::string message);
Status DataLoss(std::string message);
Status DeadlineExceeded(std::string message);

// A value or a Status that is not ok.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {
    FUSEE_CHECK(!status_.ok(), "Result built from an ok Status");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  T& value() & {
    FUSEE_CHECK(ok(), status_.message().c_str());
    return *value_;
  }
  const T& value() const& {
    FUSEE_CHECK(ok(), status_.message().c_str());
    return *value_;
  }
  T&& value() && {
    FUSEE_CHECK(ok(), status_.message().c_str());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

namespace internal {
inline Status ToStatus(Status&& status) { return std::move(status); }
template <typename T>
Status ToStatus(Result<T>&& result) {
  return std::move(result).status();
}
}  // namespace internal

}  // namespace fusee

#define FUSEE_CONCAT_INNER(a, b) a##b
#define FUSEE_CONCAT(a, b) FUSEE_CONCAT_INNER(a, b)
#define FUSEE_TRY_STATUS(expr)                                     \
  do {                                                             \
    if (auto fusee_status = (expr); !fusee_status.ok())            \
      return ::fusee::internal::ToStatus(std::move(fusee_status)); \
  } while (false)
#define FUSEE_TRY_ASSIGN_INNER(result, lhs, expr)                          \
  auto result = (expr);                                                    \
  if (!result.ok()) return ::fusee::internal::ToStatus(std::move(result)); \
  lhs = std::move(result).value()
#define FUSEE_TRY_ASSIGN(lhs, ...) \
  FUSEE_TRY_ASSIGN_INNER(FUSEE_CONCAT(fusee_result_, __COUNTER__), lhs, (__VA_ARGS__))
#define FUSEE_TRY_PICK(_1, _2, _3, _4, _5, _6, _7, _8, NAME, ...) NAME
// FUSEE_TRY(status_expression);  or  FUSEE_TRY(Type name, result_expression);
// The second form is two statements: it needs braces behind an if.
#define FUSEE_TRY(...)                                                                   \
  FUSEE_TRY_PICK(__VA_ARGS__, FUSEE_TRY_ASSIGN, FUSEE_TRY_ASSIGN, FUSEE_TRY_ASSIGN,      \
                 FUSEE_TRY_ASSIGN, FUSEE_TRY_ASSIGN, FUSEE_TRY_ASSIGN, FUSEE_TRY_ASSIGN, \
                 FUSEE_TRY_STATUS)                                                       \
  (__VA_ARGS__)
