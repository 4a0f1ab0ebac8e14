// POST .../infer: decode, place a deadline, hand over to the dispatcher, encode.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>

#include "base/checked_math.h"
#include "server/compression.h"
#include "server/infer_request.h"
#include "server/infer_response.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

constexpr std::string_view kTimeoutHeader = "Fusee-Timeout-Us";
constexpr Duration kMemoryRetry = std::chrono::seconds(1);

// Everything one inference needs until its response is on the wire.
struct Exchange {
  HttpRequest http;
  std::string inflated;  // the body, when it came compressed
  InferRequest request;
  std::vector<ipc::Block> copied;  // inputs that came where devices cannot read them
  ContentEncoding answer_encoding = ContentEncoding::kIdentity;
};

HttpResponse FromStatus(const Status& status, Duration retry_after = {}, bool poisonous = false) {
  HttpResponse response = poisonous ? HttpResponse::Error(kPoisonHttpStatus, status.message())
                                    : HttpResponse::Error(status);
  // The header knows whole seconds only; the text says milliseconds.
  if (retry_after > Duration(0)) {
    const auto seconds =
        (retry_after + std::chrono::seconds(1) - Duration(1)) / std::chrono::seconds(1);
    response.headers.emplace_back("Retry-After", fmt::format_int(seconds).str());
  }
  return response;
}

// The client's timeout: the header if there is one (a gateway sets it), else the parameter; 0 when
// there is neither.
Result<uint64_t> TimeoutUs(const HttpRequest& http, const InferRequest& request) {
  const std::string* header = http.Header(kTimeoutHeader);
  if (header == nullptr) return request.timeout_us;
  uint64_t us = 0;
  const char* end = header->data() + header->size();
  const auto read = std::from_chars(header->data(), end, us);
  if (read.ec != std::errc() || read.ptr != end) {
    return InvalidArgument(
        fmt::format("Unable to parse {}: expected microseconds as a whole number, got: {}",
                    kTimeoutHeader, header->substr(0, 64)));
  }
  return us;
}

// Absolute, from arrival; a client cannot ask for more than the server's ceiling.
TimePoint DeadlineOf(const ServeOptions& options, TimePoint arrival, uint64_t timeout_us) {
  if (timeout_us == 0) return arrival + options.default_deadline;
  const auto ceiling = std::chrono::duration_cast<std::chrono::microseconds>(options.max_deadline);
  return arrival + std::chrono::microseconds(
                       std::min<uint64_t>(timeout_us, static_cast<uint64_t>(ceiling.count())));
}

// Assigning an empty string would keep the memory.
void Release(std::string* text) { std::string().swap(*text); }
void Release(HttpRequest* http) {
  Release(&http->body);
  http->placed = {};
}

Status NoMemory(const Exchange& exchange, uint64_t bytes) {
  if (exchange.http.memory.Possible(bytes)) {
    return Unavailable(
        fmt::format("no room for the {} bytes of this request's tensors beside those of the "
                    "requests being answered; try again in a moment",
                    bytes));
  }
  return InvalidArgument(
      fmt::format("the request's inputs and outputs take {} bytes, more than all requests together "
                  "may hold; send fewer rows",
                  bytes));
}

// The same for one block of a source.
Status NoBlock(const Exchange& exchange, const ipc::BlockSource& source, uint64_t bytes) {
  if (bytes <= source.largest_block()) return NoMemory(exchange, bytes);
  return InvalidArgument(
      fmt::format("{}the request's tensors take {} bytes, more than devices can be given at once "
                  "({}): send fewer rows, or start the server with a larger --request-memory",
                  RequestPrefix(exchange.request.id), bytes, source.largest_block()));
}

Status Decompressed(const ServeOptions& options, Exchange* exchange) {
  const std::string* header = exchange->http.Header("Content-Encoding");
  FUSEE_TRY(const ContentEncoding encoding, ParseContentEncoding(header == nullptr ? "" : *header));
  if (encoding == ContentEncoding::kIdentity) return OkStatus();
  ByteReservation& memory = exchange->http.memory;
  const uint64_t compressed = memory.bytes();
  FUSEE_TRY(exchange->inflated,
            Decompress(exchange->http.content(), encoding, options.http.body_bytes,
                       [&](uint64_t bytes) { return memory.Resize(compressed + bytes); }));
  Release(&exchange->http);
  memory.Resize(memory.bytes() - compressed);
  return OkStatus();
}

bool PointsInto(const ConstTensorView& view, std::string_view body) {
  const auto* data = static_cast<const char*>(view.data);
  const std::less<const char*> before;
  return data != nullptr && !before(data, body.data()) && before(data, body.data() + body.size());
}

// Inputs lie where devices can read them: most were read or converted to there; the rest (a chunked
// or compressed body) is copied.
Status CopyInputs(ipc::BlockSource& memory, Exchange* exchange) {
  for (ConstTensorView& input : exchange->request.inputs) {
    const auto bytes = static_cast<size_t>(input.size_bytes());
    if (bytes == 0 || memory.Holds(input.data, bytes)) continue;
    ipc::Block block = memory.Take(bytes);
    if (!block) return NoBlock(*exchange, memory, bytes);
    std::memcpy(block.data(), input.data, bytes);
    input.data = block.data();
    exchange->copied.push_back(std::move(block));
  }
  return OkStatus();
}

// After decoding, only what the inputs lie in is still needed, be it the body or numbers converted
// from JSON; that much stays reserved.
Status KeepInputsOnly(std::string_view body, Exchange* exchange) {
  ByteReservation& memory = exchange->http.memory;
  const InferRequest& request = exchange->request;
  const bool body_needed = std::ranges::any_of(
      request.inputs, [&](const ConstTensorView& input) { return PointsInto(input, body); });
  if (!body_needed) {
    Release(&exchange->http);
    Release(&exchange->inflated);
  }
  uint64_t bytes = body_needed ? memory.bytes() : 0;
  for (const auto& converted : request.converted) bytes += converted.bytes();
  for (const auto& copied : exchange->copied) bytes += copied.bytes();
  return memory.Resize(bytes) ? OkStatus() : NoMemory(*exchange, bytes);
}

// What each kind of device says to these shapes. The first that takes them says how large the
// outputs are; another that would answer with other shapes is not used.
Status JudgeShapes(const ServedModel& model, const InferRequest& request, InferCall* call) {
  const ipc::ModelInfo& info = model.info();
  std::vector<Shape> inputs, outputs(info.outputs.size()), others(info.outputs.size());
  for (const ConstTensorView& input : request.inputs) inputs.push_back(input.shape);
  Status first;
  bool found = false;
  for (const OnKind& kind : model.kinds) {
    std::vector<Shape>& shapes = found ? others : outputs;
    Status status = kind.model->OutputShapes(inputs, shapes);
    call->shapes.emplace_back();
    if (!status.ok()) {
      if (first.ok()) first = std::move(status);
    } else if (!found || others == outputs) {
      found = true;
      call->shapes.back() = ClassifyShape(kind, request.inputs);
    }
  }
  if (!found) return Status(first.code(), RequestPrefix(request.id) + first.message());
  for (size_t i = 0; i < outputs.size(); ++i)
    call->outputs.push_back({.dtype = info.outputs[i].dtype, .shape = outputs[i]});
  return OkStatus();
}

// Shapes within the plan's profile; memory for the outputs, counted before it is taken.
Status PlaceTensors(const ServedModel& model, const QueueLimits& queue,
                    ipc::BlockSource& output_memory, Exchange* exchange, InferCall* call) {
  const InferRequest& request = exchange->request;
  FUSEE_TRY(JudgeShapes(model, request, call));
  for (const ConstTensorView& input : request.inputs)
    call->bytes += static_cast<uint64_t>(input.size_bytes());
  uint64_t bytes = 0;
  for (const TensorView& output : call->outputs)
    bytes += AlignUp(static_cast<uint64_t>(output.size_bytes()), kTensorAlignment);
  ByteReservation& memory = exchange->http.memory;
  if (const uint64_t total = memory.bytes() + bytes; !memory.Resize(total))
    return NoMemory(*exchange, total);
  call->bytes += bytes;
  if (call->bytes > queue.bytes) {
    return InvalidArgument(
        fmt::format("{}the request's inputs and outputs take {} bytes, the whole queue may hold "
                    "{}: send fewer rows, or start the server with a larger --max-queue-bytes",
                    RequestPrefix(request.id), call->bytes, queue.bytes));
  }
  if (!PlaceOutputs(output_memory, call)) return NoBlock(*exchange, output_memory, bytes);
  call->inputs = request.inputs;
  return OkStatus();
}

Status Prepare(Service& service, const ServedModel& model, Exchange* exchange, InferCall* call) {
  FUSEE_TRY(Decompressed(service.options(), exchange));
  const std::string* accept = exchange->http.Header("Accept-Encoding");
  exchange->answer_encoding = ChooseEncoding(accept == nullptr ? "" : *accept);
  const std::string* length = exchange->http.Header("Inference-Header-Content-Length");
  const HttpLimits& limits = service.options().http;
  const std::string_view body =
      exchange->inflated.empty() ? exchange->http.content() : exchange->inflated;
  const ipc::RequestMemory memory = service.fleet().request_memory();
  FUSEE_TRY(DecodeInferRequest(
      model.info(), body,
      length == nullptr ? std::nullopt : std::optional<std::string_view>(*length),
      {.input_bytes = limits.body_bytes, .json_depth = limits.json_depth}, *memory.inputs,
      &exchange->request));
  FUSEE_TRY(CopyInputs(*memory.inputs, exchange));
  FUSEE_TRY(KeepInputsOnly(body, exchange));
  FUSEE_TRY(const uint64_t timeout_us, TimeoutUs(exchange->http, exchange->request));
  call->arrival = exchange->http.arrival;
  call->deadline = DeadlineOf(service.options(), call->arrival, timeout_us);
  return PlaceTensors(model, service.options().queue, *memory.outputs, exchange, call);
}

}  // namespace

void Infer(Service& service, const RouteParams& params, HttpRequest http, Responder respond) {
  auto found = service.catalogue().Find(params.model, params.version);
  if (!found.ok()) return respond(HttpResponse::Error(found.status()));
  const std::shared_ptr<const ServedModel> model = *found;

  // Shared by the call, which reads the inputs, and the response, which encodes as was asked.
  auto exchange = std::make_shared<Exchange>();
  exchange->http = std::move(http);
  auto call = std::make_unique<InferCall>();
  call->model = model;
  if (Status status = Prepare(service, *model, exchange.get(), call.get()); !status.ok()) {
    model->metrics->Add(obs::MetricId::kRequestFailure, obs::Reason::kOther);
    // The only thing here that another moment can mend is memory.
    const bool busy = status.code() == StatusCode::kUnavailable;
    HttpResponse response = FromStatus(status, busy ? kMemoryRetry : Duration(0));
    if (status.code() == StatusCode::kUnimplemented &&
        exchange->http.Header("Content-Encoding") != nullptr) {
      response.headers.emplace_back("Accept-Encoding", "gzip, deflate");
    }
    return respond(std::move(response));
  }
  call->memory = exchange;
  call->done = [exchange, respond, &clock = service.clock()](std::unique_ptr<InferCall> finished,
                                                             Status status) {
    auto shared = std::shared_ptr<InferCall>(std::move(finished));  // std::function wants to copy
    respond.Later([exchange, shared, status = std::move(status), &clock] {
      HttpResponse response =
          status.ok()
              ? EncodeInferResponse(shared->model->info(), exchange->request, shared->outputs,
                                    shared->served_by, shared, exchange->answer_encoding)
              : FromStatus(status, shared->retry_after, shared->poisonous);
      shared->model->metrics->Observe(obs::MetricId::kTotalSeconds, clock.Now() - shared->arrival);
      return response;
    });
  };
  Dispatcher& dispatcher = service.dispatcher();
  const auto admission = dispatcher.Submit(std::move(call));
  if (const auto* refused = std::get_if<Dispatcher::Refused>(&admission))
    return respond(FromStatus(refused->status, refused->retry_after, refused->poisonous()));
  // Whoever hangs up gives its place in the queue away. What runs already has none to give.
  const auto& admitted = std::get<Dispatcher::Admitted>(admission);
  if (!admitted.waits) return;
  respond.WhenPeerLeaves([&dispatcher, handle = admitted.handle] { dispatcher.Cancel(handle); });
}

}  // namespace fusee::server::routes
