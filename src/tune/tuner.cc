#include "tune/tuner.h"

#include <algorithm>

#include "tensor/random.h"

namespace fusee::tune {
namespace {

// Of the signature's text, so that a problem's rounds are ordered alike in every build.
uint64_t SeedOf(std::string_view signature) {
  uint64_t seed = 0;
  for (char c : signature) seed = SplitMix64(seed ^ static_cast<unsigned char>(c));
  return seed;
}

}  // namespace

Result<std::vector<Timing>> Tuner::Time(const Problem& problem) {
  const std::string signature = Signature(problem);
  const Timings* known = cache_->Find(where_.key, signature);
  const bool complete =
      known != nullptr && std::ranges::all_of(problem.candidates, [&](const Candidate& c) {
        return known->contains(KeyOf(c));
      });
  if (complete) {
    ++reused_;
  } else {
    FUSEE_TRY(Timings timings, Measure(problem));
    ++measured_;
    cache_->Put(where_.key, signature, std::move(timings));
    known = cache_->Find(where_.key, signature);
  }
  std::vector<Timing> result;
  for (const Candidate& c : problem.candidates) result.push_back(known->at(KeyOf(c)));
  return result;
}

Result<Timings> Tuner::Measure(const Problem& problem) {
  Timings timings;
  FUSEE_TRY(const std::unique_ptr<Bench> bench, Bench::Create(problem, where_));
  std::vector<std::unique_ptr<Contestant>> contestants;
  std::vector<std::string> keys;
  for (size_t i = 0; i < problem.candidates.size(); ++i) {
    auto ready = bench->Prepare(i);
    if (ready.ok()) {
      contestants.push_back(std::move(*ready));
      keys.push_back(KeyOf(problem.candidates[i]));
      continue;
    }
    if (ready.status().code() == StatusCode::kAborted) return std::move(ready).status();
    timings[KeyOf(problem.candidates[i])].refusal = ready.status().message();
  }
  if (contestants.empty()) return timings;
  FUSEE_TRY(const std::vector<Score> scores, RunContest(contestants, SeedOf(Signature(problem))));
  for (size_t i = 0; i < keys.size(); ++i) timings[keys[i]].score = scores[i];
  return timings;
}

}  // namespace fusee::tune
