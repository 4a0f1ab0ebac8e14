#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

void MetricsText(Service& service, const RouteParams&, HttpRequest, Responder respond) {
  respond(HttpResponse::Text(service.registry().Serialize(),
                             "text/plain; version=0.0.4; charset=utf-8"));
}

}  // namespace fusee::server::routes
