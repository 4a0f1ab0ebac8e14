// TfIdfVectorizer's table of n-grams, as attributes of the IR and of a plan's steps:
//
//   pool             all 1-grams, then all 2-grams, ...; an n-gram is n integers
//   ngram_counts     where in the pool the 1-grams begin, the 2-grams, ...
//   ngram_indexes    one number an n-gram: the element of the result that counts it
//   weights          one number an n-gram; absent: all 1
//   min_gram_length, max_gram_length, max_skip_count, mode ("TF", "IDF" or "TFIDF")
//
// An n-gram occurs where its integers stand in a row, one every k places, for each k from 1 to
// max_skip_count + 1; a 1-gram has no gaps and counts once.
//
// Header only, because definitions (compiler) and kernels (runtime) are two libraries that both
// need it.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

enum class TfIdfMode : uint8_t { kTf, kIdf, kTfIdf };

struct NGram {
  std::span<const int64_t> items;  // in TfIdf::pool
  int64_t element = 0;             // of the result
  double weight = 1;

  friend bool operator<(const NGram& a, const NGram& b) {
    return std::ranges::lexicographical_compare(a.items, b.items);
  }
};

struct TfIdf {
  TfIdfMode mode = TfIdfMode::kTf;
  int64_t min_length = 1, max_length = 1, max_skip = 0;
  int64_t elements = 0;                   // of a row of the result
  std::vector<int64_t> pool;              // moved with the struct, never copied: see grams
  std::vector<std::vector<NGram>> grams;  // [n - 1]: the n-grams in ascending order

  TfIdf() = default;
  TfIdf(TfIdf&&) = default;
  TfIdf& operator=(TfIdf&&) = default;
};

inline constexpr int64_t kTfIdfElementsMax = int64_t{1} << 31;

namespace tfidf_internal {

inline Status ReadNumbers(const Attrs& attrs, TfIdf* t) {
  FUSEE_TRY(const std::string mode, attrs.Str("mode", ""));
  if (mode == "TF") {
    t->mode = TfIdfMode::kTf;
  } else if (mode == "IDF") {
    t->mode = TfIdfMode::kIdf;
  } else if (mode == "TFIDF") {
    t->mode = TfIdfMode::kTfIdf;
  } else {
    return InvalidArgument(fmt::format("mode '{}' is unknown, expected TF, IDF or TFIDF", mode));
  }
  FUSEE_TRY(t->min_length, attrs.Int("min_gram_length", 0));
  FUSEE_TRY(t->max_length, attrs.Int("max_gram_length", 0));
  FUSEE_TRY(t->max_skip, attrs.Int("max_skip_count", -1));
  if (t->min_length < 1 || t->max_length < t->min_length || t->max_skip < 0) {
    return InvalidArgument(
        fmt::format("has n-grams of length {} to {} with at most {} skipped; expected 1 or more, "
                    "in ascending order, with 0 or more skipped",
                    t->min_length, t->max_length, t->max_skip));
  }
  return OkStatus();
}

// The n-grams of each length, in the order of the pool.
inline Status ReadPool(const Attrs& attrs, TfIdf* t) {
  FUSEE_TRY(t->pool, attrs.Ints("pool"));
  FUSEE_TRY(const std::vector<int64_t> begins, attrs.Ints("ngram_counts"));
  FUSEE_TRY(const std::vector<int64_t> places, attrs.Ints("ngram_indexes"));
  FUSEE_TRY(const std::vector<double> weights, attrs.Floats("weights"));
  const auto size = static_cast<int64_t>(t->pool.size());
  if (begins.empty() || begins[0] != 0)
    return InvalidArgument("ngram_counts should begin with 0, where the 1-grams do");
  if (t->max_length > static_cast<int64_t>(begins.size())) {
    return InvalidArgument(fmt::format("ngram_counts has {} lengths, max_gram_length is {}",
                                       begins.size(), t->max_length));
  }
  if (places.empty()) return InvalidArgument("ngram_indexes is empty");
  if (!weights.empty() && weights.size() != places.size()) {
    return InvalidArgument(
        fmt::format("there are {} weights for {} n-grams", weights.size(), places.size()));
  }
  size_t next = 0;
  for (size_t n = 1; n <= begins.size(); ++n) {
    const int64_t begin = begins[n - 1], end = n < begins.size() ? begins[n] : size;
    const auto length = static_cast<int64_t>(n);
    if (begin < 0 || end < begin || end > size || (end - begin) % length != 0) {
      return InvalidArgument(fmt::format(
          "{}-grams are said to be elements {} to {} of a pool of {}", n, begin, end, size));
    }
    std::vector<NGram>& grams = t->grams.emplace_back();
    for (int64_t at = begin; at < end; at += length, ++next) {
      if (next == places.size()) break;
      grams.push_back(
          {{t->pool.data() + at, n}, places[next], weights.empty() ? 1 : weights[next]});
    }
    if (static_cast<int64_t>(grams.size()) * length != end - begin) {
      return InvalidArgument(fmt::format(
          "ngram_indexes has {} numbers, fewer than the pool's n-grams", places.size()));
    }
  }
  if (next != places.size()) {
    return InvalidArgument(
        fmt::format("ngram_indexes has {} numbers for {} n-grams", places.size(), next));
  }
  for (const int64_t place : places) {
    if (place < 0 || place >= kTfIdfElementsMax)
      return InvalidArgument(fmt::format("ngram_indexes has the number {}", place));
    t->elements = std::max(t->elements, place + 1);
  }
  return OkStatus();
}

}  // namespace tfidf_internal

// Errors: kInvalidArgument for a table that is none; kUnimplemented for one that counts several
// n-grams in one element of mode IDF, whose one weight would not be theirs.
inline Result<TfIdf> ParseTfIdf(const Attrs& attrs) {
  TfIdf t;
  FUSEE_TRY(tfidf_internal::ReadNumbers(attrs, &t));
  FUSEE_TRY(tfidf_internal::ReadPool(attrs, &t));
  std::vector<int64_t> counted;
  for (std::vector<NGram>& grams : t.grams) {
    std::ranges::sort(grams, std::less<>());
    const auto twice =
        std::ranges::adjacent_find(grams, [](const NGram& a, const NGram& b) { return !(a < b); });
    if (twice != grams.end()) {
      return InvalidArgument(
          fmt::format("the pool holds the n-gram [{}] twice", fmt::join(twice->items, ", ")));
    }
    for (const NGram& gram : grams) counted.push_back(gram.element);
  }
  if (t.mode != TfIdfMode::kIdf) return t;
  std::ranges::sort(counted);
  const auto shared = std::ranges::adjacent_find(counted);
  if (shared != counted.end()) {
    return Unimplemented(fmt::format(
        "mode IDF with several n-grams that count in element {} is not supported; give each n-gram "
        "its own number in ngram_indexes",
        *shared));
  }
  return t;
}

}  // namespace fusee::ops
