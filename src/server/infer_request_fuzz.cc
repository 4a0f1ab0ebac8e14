// Any bytes as an inference body: an error or a request that agrees with the model; never a crash,
// never unbounded memory.
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/infer_request.h"

namespace {

using fusee::DType;
using fusee::ipc::ModelInfo;

ModelInfo Model() {
  ModelInfo model{.name = "fuzz", .version = 1};
  model.inputs = {{"A", DType::kF32, {-1, 4}}, {"B", DType::kI8, {-1}}};
  model.outputs = {{"Y", DType::kF32, {-1, 4}}, {"H", DType::kF16, {-1}}};
  model.symbols = {{.name = "batch", .min = 1, .max = 8}};
  model.batch_symbol = 0;
  return model;
}

}  // namespace

// Byte 0 chooses: no header, a raw request, or a JSON length taken from bytes 1 and 2.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ModelInfo model = Model();
  static const auto memory = std::make_shared<fusee::ipc::HeapSource>();
  if (size < 3) return 0;
  const std::string length = data[0] % 3 == 1 ? "0" : std::to_string(data[1] + 256 * data[2]);
  const std::string body(reinterpret_cast<const char*>(data) + 3, size - 3);
  fusee::server::InferRequest request;
  const auto status = fusee::server::DecodeInferRequest(
      model, body, data[0] % 3 == 0 ? std::nullopt : std::optional<std::string_view>(length),
      {.input_bytes = 1 << 20}, *memory, &request);
  if (!status.ok()) return 0;
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    FUSEE_CHECK(request.inputs[i].dtype == model.inputs[i].dtype, "dtype of another model");
    unsigned sum = 0;  // under a sanitizer, reading proves that the bytes are there
    for (std::byte b : request.inputs[i].bytes()) sum += std::to_integer<unsigned>(b);
    static volatile unsigned sink;
    sink = sum;
  }
  return 0;
}
