#include "server/router.h"

#include <algorithm>

namespace fusee::server {
namespace {

constexpr Route kRoutes[] = {
#define FUSEE_ROUTE(method, pattern, handler, help) \
  {HttpMethod::method, pattern, &routes::handler, #handler, help},
#include "server/routes.inc"
#undef FUSEE_ROUTE
};

// Takes the first "/segment" off path; false when there is none.
bool TakeSegment(std::string_view* path, std::string_view* segment) {
  if (path->empty() || path->front() != '/') return false;
  path->remove_prefix(1);
  const size_t end = std::min(path->find('/'), path->size());
  *segment = path->substr(0, end);
  path->remove_prefix(end);
  return true;
}

bool MatchPattern(std::string_view pattern, std::string_view path, RouteParams* params) {
  std::string_view want, have;
  while (!pattern.empty()) {
    if (!TakeSegment(&pattern, &want) || !TakeSegment(&path, &have)) return false;
    if (want == "{model}") {
      if (have.empty() || !PercentDecode(have, &params->model)) return false;
    } else if (want == "{repository}") {
      if (have.empty()) return false;
    } else if (want == "{version}") {
      if (have.empty() || !std::ranges::all_of(have, [](char c) { return c >= '0' && c <= '9'; }))
        return false;
      params->version = have;
    } else if (want != have) {
      return false;
    }
  }
  return path.empty();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

bool PercentDecode(std::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    *out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

RouteMatch MatchRoute(HttpMethod method, std::string_view path) {
  if (path == "/metrics/") path = "/metrics";
  RouteMatch match{.status = 404};
  for (const Route& route : kRoutes) {
    RouteParams params;
    if (!MatchPattern(route.pattern, path, &params)) continue;
    if (route.method == method)
      return {.route = &route, .status = 200, .params = std::move(params)};
    match.status = 405;
  }
  return match;
}

}  // namespace fusee::server
