// Decodes the body of POST .../infer: KServe v2 JSON, with or without binary tensors behind it, or
// one raw tensor.
//
//   no header                           N bytes JSON
//   Inference-Header-Content-Length: N  | JSON | input blobs in the order of "inputs" |
//   Inference-Header-Content-Length: 0  | the bytes of the only input |
//
// Texts and codes are those of Triton (its own tests match on them), which answers 500 to JSON of
// the wrong type or count; where it accepts silently what must be wrong (an integer that does not
// fit its type), this refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ipc/executor.h"
#include "ipc/memory.h"

namespace fusee::server {

struct RequestedOutput {
  uint32_t index = 0;  // into ModelInfo::outputs
  bool binary = false;
};

struct InferRequest {
  std::string id;                        // empty: none was given
  std::vector<ConstTensorView> inputs;   // in the model's order; into the body or into `converted`
  std::vector<RequestedOutput> outputs;  // in the order of the answer: the model's
  uint64_t timeout_us = 0;               // 0: none was given
  std::vector<ipc::Block> converted;     // JSON numbers as tensor bytes
};

struct DecodeLimits {
  uint64_t input_bytes = 64ull << 20;  // of one JSON input after conversion
  uint32_t json_depth = 100;           // nesting of "data"
};

// body must outlive *out; numbers from JSON are written once, into blocks of memory. header_length
// is the text of Inference-Header-Content-Length, if there was one. On success inputs are complete
// and agree with the model in names, dtypes, fixed dimensions and byte sizes; what remains to be
// checked are the ranges and equalities of the dynamic dimensions (ipc::Model::OutputShapes).
// Errors: kInvalidArgument, kInternal (Triton's 500s, see above), kUnimplemented, kUnavailable
// (memory has no room now). Cost: one pass; memory at most a few times the body. Thread-safe.
Status DecodeInferRequest(const ipc::ModelInfo& model, std::string_view body,
                          std::optional<std::string_view> header_length, const DecodeLimits& limits,
                          ipc::BlockSource& memory, InferRequest* out);

// "[request id: X] ", the prefix of Triton's messages about a request.
std::string RequestPrefix(const std::string& id);

}  // namespace fusee::server
