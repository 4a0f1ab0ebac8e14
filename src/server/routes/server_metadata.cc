#include "server/json.h"
#include "server/router.h"
#include "server/service.h"
#include "server/version.h"

namespace fusee::server::routes {

void ServerMetadata(Service&, const RouteParams&, HttpRequest, Responder respond) {
  JsonWriter json;
  json.StartObject();
  json.Key("name");
  json.String(kServerName);
  json.Key("version");
  json.String(kServerVersion);
  json.Key("extensions");
  json.StartArray();
  for (const char* extension : kExtensions) json.String(extension);
  json.EndArray();
  json.EndObject();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
