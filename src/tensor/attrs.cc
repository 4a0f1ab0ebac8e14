#include "tensor/attrs.h"

namespace fusee {
namespace {

template <typename T>
Result<T> Get(const Attrs& attrs, std::string_view name, T fallback, const char* type) {
  const AttrValue* value = attrs.Find(name);
  if (value == nullptr) return fallback;
  if (const T* typed = std::get_if<T>(value)) return *typed;
  return InvalidArgument("attribute '" + std::string(name) + "' should be " + type);
}

}  // namespace

const AttrValue* Attrs::Find(std::string_view name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? nullptr : &it->second;
}

void Attrs::Erase(std::string_view name) {
  if (const auto it = values_.find(name); it != values_.end()) values_.erase(it);
}

Result<int64_t> Attrs::Int(std::string_view n, int64_t f) const {
  return Get<int64_t>(*this, n, f, "an integer");
}
Result<double> Attrs::Float(std::string_view n, double f) const {
  return Get<double>(*this, n, f, "a float");
}
Result<std::string> Attrs::Str(std::string_view n, std::string f) const {
  return Get<std::string>(*this, n, std::move(f), "a string");
}
Result<std::vector<int64_t>> Attrs::Ints(std::string_view n, std::vector<int64_t> f) const {
  return Get<std::vector<int64_t>>(*this, n, std::move(f), "a list of integers");
}
Result<std::vector<double>> Attrs::Floats(std::string_view n, std::vector<double> f) const {
  return Get<std::vector<double>>(*this, n, std::move(f), "a list of floats");
}

}  // namespace fusee
