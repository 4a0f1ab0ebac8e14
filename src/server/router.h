// From a request's path to an endpoint, by the table in routes.inc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/http.h"

namespace fusee::server {

class Service;

// What the path's placeholders matched, percent-decoded.
struct RouteParams {
  std::string model, version;  // empty when the pattern has none
};

using Endpoint = void (*)(Service& service, const RouteParams& params, HttpRequest request,
                          Responder respond);

struct Route {
  HttpMethod method;
  std::string_view pattern;
  Endpoint endpoint;
  std::string_view name;
  std::string_view help;
};
std::span<const Route> Routes();

struct RouteMatch {
  const Route* route = nullptr;  // null: status says why
  int status = 200;              // 404 or 405 otherwise
  RouteParams params;
};
// path: as sent. A trailing slash is ignored on /metrics only. Pure.
RouteMatch MatchRoute(HttpMethod method, std::string_view path);

// %XX to bytes. False when an escape is broken.
bool PercentDecode(std::string_view text, std::string* out);

// The handlers, one file each in routes/ (lines of one handler share it).
namespace routes {
#define FUSEE_ROUTE(method, pattern, handler, help) \
  void handler(Service& service, const RouteParams& params, HttpRequest request, Responder respond);
#include "server/routes.inc"
#undef FUSEE_ROUTE
}  // namespace routes

}  // namespace fusee::server
