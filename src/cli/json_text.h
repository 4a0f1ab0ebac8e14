// JSON as the commands print it: two-space indent, keys in the order written, numbers that read
// back exactly; a number JSON has no word for (NaN, infinity) becomes null.
#pragma once

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace fusee::cli {

//   JsonText json;
//   json.Object().Field("runs", 10).Array("names").Value("a").EndArray().EndObject();
//   json.Print();
// Not thread-safe. Precondition: calls nest properly.
class JsonText {
 public:
  JsonText() : writer_(buffer_) { writer_.SetIndent(' ', 2); }

  JsonText& Object(std::string_view key = {}) {
    Key(key);
    writer_.StartObject();
    return *this;
  }
  JsonText& EndObject() {
    writer_.EndObject();
    return *this;
  }
  JsonText& Array(std::string_view key = {}) {
    Key(key);
    writer_.StartArray();
    return *this;
  }
  JsonText& EndArray() {
    writer_.EndArray();
    return *this;
  }

  JsonText& Value(std::string_view text) {
    writer_.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
    return *this;
  }
  JsonText& Value(const char* text) { return Value(std::string_view(text)); }
  JsonText& Value(const std::string& text) { return Value(std::string_view(text)); }
  JsonText& Value(bool value) {
    writer_.Bool(value);
    return *this;
  }
  JsonText& Value(double value) {
    std::isfinite(value) ? writer_.Double(value) : writer_.Null();
    return *this;
  }
  template <std::integral T>
  JsonText& Value(T value) {
    std::signed_integral<T> ? writer_.Int64(static_cast<int64_t>(value))
                            : writer_.Uint64(static_cast<uint64_t>(value));
    return *this;
  }
  // Text that is JSON already.
  JsonText& Raw(std::string_view key, std::string_view json) {
    Key(key);
    writer_.RawValue(json.data(), json.size(), rapidjson::kObjectType);
    return *this;
  }
  template <typename T>
  JsonText& Field(std::string_view key, const T& value) {
    Key(key);
    return Value(value);
  }

  std::string Text() const { return std::string(buffer_.GetString(), buffer_.GetSize()) + "\n"; }
  void Print() const { std::fputs(Text().c_str(), stdout); }

 private:
  void Key(std::string_view key) {
    if (!key.empty()) writer_.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  }

  rapidjson::StringBuffer buffer_;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> writer_;
};

}  // namespace fusee::cli
