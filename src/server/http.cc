#include "server/http.h"

#include <algorithm>

#include "server/json.h"

namespace fusee::server {
namespace {

bool SameIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

const std::string* HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (SameIgnoringCase(key, name)) return &value;
  }
  return nullptr;
}

void Responder::operator()(HttpResponse response) const {
  send_([r = std::make_shared<HttpResponse>(std::move(response))] { return std::move(*r); });
}

HttpResponse HttpResponse::Json(std::string text, int status) {
  HttpResponse response{.status = status};
  response.headers.emplace_back("Content-Type", "application/json");
  response.body = std::move(text);
  return response;
}

HttpResponse HttpResponse::Text(std::string text, std::string content_type) {
  HttpResponse response;
  response.headers.emplace_back("Content-Type", std::move(content_type));
  response.body = std::move(text);
  return response;
}

HttpResponse HttpResponse::Error(int status, std::string_view message) {
  JsonWriter json;
  json.StartObject();
  json.Key("error");
  json.String(message);
  json.EndObject();
  return Json(json.Take(), status);
}

HttpResponse HttpResponse::Error(const Status& status) {
  return Error(HttpStatusOf(status.code()), status.message());
}

int HttpStatusOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk: return 200;
    case StatusCode::kNotFound: return 404;
    case StatusCode::kPermissionDenied: return 403;
    case StatusCode::kResourceExhausted: return 429;
    case StatusCode::kUnknown:
    case StatusCode::kInternal:
    case StatusCode::kDataLoss: return 500;
    case StatusCode::kUnimplemented: return 501;
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kUnavailable: return 503;
    case StatusCode::kCancelled:
    case StatusCode::kInvalidArgument:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kAborted:
    case StatusCode::kOutOfRange: return 400;
  }
  return 500;
}

}  // namespace fusee::server
