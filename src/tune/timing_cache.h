// What was timed, kept between builds: text, one fact a line, sorted, so that two caches diff and a
// person can take a line out to have it timed again.
//
//   fusee_timings 1
//   device     NVIDIA H200 ...            everything below was timed there (Environment::key)
//   problem    MatMul(f16[128,768] ...    tune::Signature
//   time       matmul_cuda.1 4.5 1 0.99 1.01 128       tune::KeyOf, Score
//   refused    matmul_lt_cuda.1#0f... two runs give different bits
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tune/contest.h"

namespace fusee::tune {

inline constexpr size_t kTimingCacheBytesMax = size_t{64} << 20;

// One candidate as it was found.
struct Timing {
  Score score;
  std::string refusal;  // why it could not be timed; empty when it was
  bool operator==(const Timing&) const = default;
};

using Timings = std::map<std::string, Timing>;  // by tune::KeyOf

class TimingCache {
 public:
  // Untrusted text. Errors: kInvalidArgument naming the line.
  static Result<TimingCache> Parse(std::string_view text);
  // Does the text claim to be one? Looks at its first line only.
  static bool IsOne(std::string_view text);
  std::string Text() const;

  // Null when nothing was timed there.
  const Timings* Find(const std::string& device, const std::string& signature) const;
  // Replaces.
  void Put(const std::string& device, const std::string& signature, Timings timings);
  bool empty() const { return by_device_.empty(); }

 private:
  std::map<std::string, std::map<std::string, Timings>> by_device_;
};

}  // namespace fusee::tune
