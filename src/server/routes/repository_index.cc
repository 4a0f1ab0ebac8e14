#include <fmt/format.h>
#include <simdjson.h>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

// Body: empty, or {"ready": true} for ready models only. There is one repository, so a name in the
// path changes nothing.
void RepositoryIndex(Service& service, const RouteParams&, HttpRequest request, Responder respond) {
  bool ready_only = false;
  if (!request.body.empty()) {
    simdjson::dom::parser parser;
    simdjson::dom::element root, ready;
    if (const auto error = parser.parse(request.body).get(root); error) {
      return respond(
          HttpResponse::Error(500, fmt::format("failed to parse the request JSON buffer: {}",
                                               simdjson::error_message(error))));
    }
    if (root.is_object() && root["ready"].get(ready) == simdjson::SUCCESS &&
        ready.get(ready_only) != simdjson::SUCCESS) {
      return respond(HttpResponse::Error(500, "attempt to access JSON non-boolean as boolean"));
    }
  }
  JsonWriter json;
  json.StartArray();
  for (const auto& entry : service.catalogue().List()) {
    if (ready_only && entry.state != ModelState::kReady) continue;
    json.StartObject();
    json.Key("name");
    json.String(entry.name);
    if (entry.version > 0) {  // a folder without any is listed for its reason only
      json.Key("version");
      json.String(fmt::format_int(entry.version).str());
    }
    json.Key("state");
    json.String(ModelStateName(entry.state));
    if (!entry.reason.empty()) {
      json.Key("reason");
      json.String(entry.reason);
    }
    json.EndObject();
  }
  json.EndArray();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
