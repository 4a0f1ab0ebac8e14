#include "tune/timing_cache.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <vector>

namespace fusee::tune {
namespace {

constexpr std::string_view kFirstLine = "fusee_timings 1";

// What stands before the next separator; the rest stays in *text.
std::string_view Next(std::string_view* text, char separator) {
  const size_t end = text->find(separator);
  const std::string_view piece = text->substr(0, end);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
  return piece;
}

template <typename T>
bool Number(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(*value)) return false;
  }
  return error == std::errc() && end == text.data() + text.size();
}

bool ParseScore(std::string_view text, Score* score) {
  const std::string_view time = Next(&text, ' '), ratio = Next(&text, ' ');
  const std::string_view low = Next(&text, ' '), high = Next(&text, ' ');
  return Number(time, &score->time_us) && Number(ratio, &score->ratio) &&
         Number(low, &score->low) && Number(high, &score->high) && Number(text, &score->rounds);
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

}  // namespace

bool TimingCache::IsOne(std::string_view text) { return Next(&text, '\n') == kFirstLine; }

Result<TimingCache> TimingCache::Parse(std::string_view text) {
  const auto bad = [](size_t line, std::string_view want) {
    return InvalidArgument(fmt::format(
        "timing cache, line {}: expected {}; take the line out, or delete the file to time anew",
        line, want));
  };
  if (text.size() > kTimingCacheBytesMax)
    return ResourceExhausted(fmt::format("a timing cache of {} bytes, at most {} are read",
                                         text.size(), kTimingCacheBytesMax));
  TimingCache cache;
  std::map<std::string, Timings>* problems = nullptr;
  Timings* timings = nullptr;
  if (Next(&text, '\n') != kFirstLine) return bad(1, fmt::format("'{}'", kFirstLine));
  for (size_t number = 2; !text.empty(); ++number) {
    std::string_view line = Next(&text, '\n');
    if (line.empty()) continue;
    const std::string_view word = Next(&line, ' ');
    if (word == "device") {
      problems = &cache.by_device_[std::string(line)];
      timings = nullptr;
    } else if (word == "problem" && problems != nullptr) {
      timings = &(*problems)[std::string(line)];
    } else if ((word == "time" || word == "refused") && timings != nullptr) {
      Timing& timing = (*timings)[std::string(Next(&line, ' '))];
      if (word == "refused") {
        timing.refusal = line.empty() ? "refused" : std::string(line);
      } else if (!ParseScore(line, &timing.score)) {
        return bad(number, "a kernel, four times and a count");
      }
    } else {
      return bad(number, "device, then problem, then time or refused");
    }
  }
  return cache;
}

std::string TimingCache::Text() const {
  std::string text = fmt::format("{}\n", kFirstLine);
  for (const auto& [device, problems] : by_device_) {
    text += fmt::format("device {}\n", device);
    for (const auto& [signature, timings] : problems) {
      text += fmt::format("problem {}\n", signature);
      for (const auto& [key, t] : timings) {
        text += t.refusal.empty()
                    ? fmt::format("time {} {} {} {} {} {}\n", key, t.score.time_us, t.score.ratio,
                                  t.score.low, t.score.high, t.score.rounds)
                    : fmt::format("refused {} {}\n", key, OneLine(t.refusal));
      }
    }
  }
  return text;
}

const Timings* TimingCache::Find(const std::string& device, const std::string& signature) const {
  const auto problems = by_device_.find(device);
  if (problems == by_device_.end()) return nullptr;
  const auto timings = problems->second.find(signature);
  return timings == problems->second.end() ? nullptr : &timings->second;
}

void TimingCache::Put(const std::string& device, const std::string& signature, Timings timings) {
  for (auto& [key, timing] : timings) timing.refusal = OneLine(std::move(timing.refusal));
  by_device_[OneLine(device)][OneLine(signature)] = std::move(timings);
}

}  // namespace fusee::tune
