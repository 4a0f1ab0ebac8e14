// Static parameters of an operator: a small sorted map from name to value, the same in the IR and
// in a plan's steps. Values that depend on run-time shapes are not here; they are dimension
// expressions ("dims") beside the attributes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace fusee {

using AttrValue =
    std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

// Iteration is in name order, so that printing and encoding are deterministic. A value type; not
// thread-safe to write.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<const std::string, AttrValue>> values) : values_(values) {}

  void Set(std::string name, AttrValue value) {
    values_.insert_or_assign(std::move(name), std::move(value));
  }
  void Erase(std::string_view name);
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  // The value, or fallback when absent. Errors: kInvalidArgument when present with another type.
  Result<int64_t> Int(std::string_view name, int64_t fallback) const;
  Result<double> Float(std::string_view name, double fallback) const;
  Result<std::string> Str(std::string_view name, std::string fallback) const;
  Result<std::vector<int64_t>> Ints(std::string_view name,
                                    std::vector<int64_t> fallback = {}) const;
  Result<std::vector<double>> Floats(std::string_view name,
                                     std::vector<double> fallback = {}) const;

  const AttrValue* Find(std::string_view name) const;
  const std::map<std::string, AttrValue, std::less<>>& values() const { return values_; }
  friend bool operator==(const Attrs&, const Attrs&) = default;

 private:
  std::map<std::string, AttrValue, std::less<>> values_;
};

}  // namespace fusee
