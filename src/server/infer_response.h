// Encodes the answer of POST .../infer: KServe v2 JSON, binary outputs behind it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ipc/executor.h"
#include "server/compression.h"
#include "server/http.h"
#include "server/infer_request.h"

namespace fusee::server {

// outputs: all of the model's, in its order; request.outputs says which are sent, in what order and
// how. Binary outputs are not copied: owner keeps their memory until the response is sent. Content
// type and Inference-Header-Content-Length as Triton sets them: both say "binary" only if some
// binary output is not empty.
// served_by: the device that answered; stands in the response's parameters, unless empty.
HttpResponse EncodeInferResponse(const ipc::ModelInfo& model, const InferRequest& request,
                                 std::span<const TensorView> outputs, std::string_view served_by,
                                 std::shared_ptr<const void> owner, ContentEncoding encoding);

}  // namespace fusee::server
