// Writing JSON (RapidJSON behind a narrow face, so that its templates compile once).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace fusee::server {

class JsonWriter {
 public:
  JsonWriter();
  ~JsonWriter();
  void StartObject();
  void EndObject();
  void StartArray();
  void EndArray();
  void Key(std::string_view key);
  void String(std::string_view value);
  void Int(int64_t value);
  void Uint(uint64_t value);
  void Double(double value);
  void Bool(bool value);
  // The elements, without brackets; bool as true and false. Floats get the fewest digits that read
  // back as the same float; not-a-number and infinities are written as NaN, Infinity and -Infinity,
  // as Triton does. Precondition: not f16, not bf16, inside an array.
  void Elements(const ConstTensorView& tensor);
  // The text; the writer is then empty.
  std::string Take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fusee::server
