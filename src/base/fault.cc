#include "base/fault.h"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <mutex>
#include <optional>
#include <vector>

namespace fusee::fault {
namespace internal {
std::atomic<bool> armed{false};
}  // namespace internal

namespace {

constexpr size_t kFaultsMax = 64;
constexpr uint64_t kSlowMsMax = 600'000;

constexpr std::string_view kPointNames[] = {
#define FUSEE_FAULT_POINT(id, name, what) name,
#include "base/fault_points.inc"
#undef FUSEE_FAULT_POINT
};

enum class Action : uint8_t { kKill, kStop, kSlow, kWrong, kSticky };
constexpr std::string_view kActionNames[] = {"kill", "stop", "slow", "wrong", "sticky"};

struct Fault {
  Point point;
  Action action;
  uint64_t slow_ms = 0;
  uint64_t first = 1;  // passages, from 1
  uint64_t times = 1;  // 0: for ever
  uint64_t passed = 0;
};

std::mutex mutex;
std::vector<Fault> faults;  // guarded by mutex

template <typename Names>
std::optional<size_t> IndexOf(const Names& names, std::string_view name) {
  for (size_t i = 0; i < std::size(names); ++i) {
    if (names[i] == name) return i;
  }
  return std::nullopt;
}

// The decimal number after `mark` at the end of *text, which it is cut off from; `otherwise` when
// the mark is absent.
Result<uint64_t> Suffix(std::string_view* text, char mark, uint64_t otherwise) {
  const size_t at = text->rfind(mark);
  if (at == text->npos) return otherwise;
  const std::string_view digits = text->substr(at + 1);
  uint64_t value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size())
    return InvalidArgument(fmt::format("expected a number after '{}', got '{}'", mark, digits));
  *text = text->substr(0, at);
  return value;
}

Result<Fault> Parse(std::string_view text) {
  const size_t colon = text.find(':');
  const auto point = IndexOf(kPointNames, text.substr(0, colon));
  if (colon == text.npos || !point) {
    return InvalidArgument(
        fmt::format("expected POINT:ACTION with POINT one of {}", fmt::join(kPointNames, ", ")));
  }
  Fault fault{.point = static_cast<Point>(*point), .action = Action::kKill};
  std::string_view rest = text.substr(colon + 1);
  FUSEE_TRY(fault.times, Suffix(&rest, 'x', 1));
  FUSEE_TRY(fault.first, Suffix(&rest, '@', 1));
  FUSEE_TRY(fault.slow_ms, Suffix(&rest, '=', 0));
  const auto action = IndexOf(kActionNames, rest);
  if (!action) {
    return InvalidArgument(
        fmt::format("expected an action of {}, got '{}'", fmt::join(kActionNames, ", "), rest));
  }
  fault.action = static_cast<Action>(*action);
  if (fault.slow_ms > kSlowMsMax)
    return InvalidArgument(fmt::format("at most {} ms, got {}", kSlowMsMax, fault.slow_ms));
  return fault;
}

void Sleep(uint64_t ms) {
  timespec left{.tv_sec = static_cast<time_t>(ms / 1000),
                .tv_nsec = static_cast<long>(ms % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

}  // namespace

Status Arm(std::string_view spec) {
  std::vector<Fault> parsed;
  while (!spec.empty()) {
    const size_t comma = spec.find(',');
    const std::string_view one = spec.substr(0, comma);
    auto fault = Parse(one);
    if (!fault.ok())
      return std::move(fault).status().Annotate(fmt::format("fault '{}'", one.substr(0, 80)));
    parsed.push_back(*fault);
    spec = comma == spec.npos ? std::string_view() : spec.substr(comma + 1);
  }
  const std::lock_guard lock(mutex);
  if (faults.size() + parsed.size() > kFaultsMax)
    return InvalidArgument(fmt::format("more than {} faults at once", kFaultsMax));
  faults.insert(faults.end(), parsed.begin(), parsed.end());
  internal::armed.store(!faults.empty(), std::memory_order_relaxed);
  return OkStatus();
}

void Disarm() {
  const std::lock_guard lock(mutex);
  faults.clear();
  internal::armed.store(false, std::memory_order_relaxed);
}

Effect internal::HitArmed(Point point) {
  Effect effect = Effect::kNone;
  uint64_t slow_ms = 0;
  bool kill_now = false, stop_now = false;
  {
    const std::lock_guard lock(mutex);
    for (Fault& fault : faults) {
      if (fault.point != point) continue;
      ++fault.passed;
      const bool begun = fault.passed >= fault.first;
      if (!begun || (fault.times != 0 && fault.passed >= fault.first + fault.times)) continue;
      switch (fault.action) {
        case Action::kKill: kill_now = true; break;
        case Action::kStop: stop_now = true; break;
        case Action::kSlow: slow_ms += fault.slow_ms; break;
        case Action::kWrong: effect = Effect::kWrong; break;
        case Action::kSticky: effect = Effect::kSticky; break;
      }
    }
  }
  // Outside the lock: a stopped thread must not hold it.
  if (kill_now) kill(getpid(), SIGKILL);
  if (stop_now) kill(getpid(), SIGSTOP);
  if (slow_ms > 0) Sleep(slow_ms);
  return effect;
}

}  // namespace fusee::fault
