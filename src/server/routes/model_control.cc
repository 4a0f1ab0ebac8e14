// Loading and unloading over the network: refused as Triton does in its default control mode,
// "none".
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

void ModelControl(Service&, const RouteParams&, HttpRequest, Responder respond) {
  respond(HttpResponse::Error(503,
                              "explicit model load / unload is not allowed if polling is enabled"));
}

void NamedModelControl(Service&, const RouteParams&, HttpRequest, Responder respond) {
  respond(HttpResponse::Error(501, "'repository_name' specification is not supported"));
}

}  // namespace fusee::server::routes
