#include "base/clock.h"

namespace fusee {
namespace {
class RealClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};
}  // namespace

const Clock& SteadyClock() {
  static const RealClock clock;
  return clock;
}

}  // namespace fusee
