#include "server/json.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <charconv>
#include <cmath>
#include <cstring>

namespace fusee::server {
namespace {

template <typename T>
T Load(const void* data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + static_cast<size_t>(i) * sizeof(T),
              sizeof(T));
  return value;
}

}  // namespace

struct JsonWriter::Impl {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};

  void Raw(std::string_view text) {
    writer.RawValue(text.data(), text.size(), rapidjson::kNumberType);
  }

  template <typename T>
  void Number(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) return Raw("NaN");
      if (std::isinf(value)) return Raw(value < 0 ? "-Infinity" : "Infinity");
    }
    char text[40];
    const auto end = std::to_chars(text, text + sizeof(text), value);
    // 1e+20 and 3 are numbers to any reader, but a reader in a typed language wants to see a float.
    std::string_view written(text, static_cast<size_t>(end.ptr - text));
    if (std::is_floating_point_v<T> && written.find_first_of(".e") == written.npos) {
      *end.ptr = '.';
      *(end.ptr + 1) = '0';
      written = {text, written.size() + 2};
    }
    Raw(written);
  }

  template <typename T>
  void Numbers(const ConstTensorView& tensor) {
    for (int64_t i = 0; i < tensor.elements(); ++i) Number(Load<T>(tensor.data, i));
  }
};

JsonWriter::JsonWriter() : impl_(std::make_unique<Impl>()) {}
JsonWriter::~JsonWriter() = default;
void JsonWriter::StartObject() { impl_->writer.StartObject(); }
void JsonWriter::EndObject() { impl_->writer.EndObject(); }
void JsonWriter::StartArray() { impl_->writer.StartArray(); }
void JsonWriter::EndArray() { impl_->writer.EndArray(); }
void JsonWriter::Key(std::string_view key) { String(key); }
void JsonWriter::String(std::string_view value) {
  impl_->writer.String(value.data() == nullptr ? "" : value.data(),
                       static_cast<rapidjson::SizeType>(value.size()));
}
void JsonWriter::Int(int64_t value) { impl_->writer.Int64(value); }
void JsonWriter::Uint(uint64_t value) { impl_->writer.Uint64(value); }
void JsonWriter::Double(double value) { impl_->Number(value); }
void JsonWriter::Bool(bool value) { impl_->writer.Bool(value); }

void JsonWriter::Elements(const ConstTensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32: return impl_->Numbers<float>(tensor);
    case DType::kF64: return impl_->Numbers<double>(tensor);
    case DType::kI8: return impl_->Numbers<int8_t>(tensor);
    case DType::kI16: return impl_->Numbers<int16_t>(tensor);
    case DType::kI32: return impl_->Numbers<int32_t>(tensor);
    case DType::kI64: return impl_->Numbers<int64_t>(tensor);
    case DType::kU8: return impl_->Numbers<uint8_t>(tensor);
    case DType::kU16: return impl_->Numbers<uint16_t>(tensor);
    case DType::kU32: return impl_->Numbers<uint32_t>(tensor);
    case DType::kU64: return impl_->Numbers<uint64_t>(tensor);
    case DType::kBool:
      for (int64_t i = 0; i < tensor.elements(); ++i) Bool(Load<uint8_t>(tensor.data, i) != 0);
      return;
    default: break;  // halves, and types of no model that is loaded (CheckTypesHaveNames)
  }
  FUSEE_CHECK(false, "a dtype without a JSON form reached the writer");
}

std::string JsonWriter::Take() {
  std::string text(impl_->buffer.GetString(), impl_->buffer.GetSize());
  impl_->buffer.Clear();
  impl_->writer.Reset(impl_->buffer);
  return text;
}

}  // namespace fusee::server
