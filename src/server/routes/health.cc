// Health is answered from atomics and has no body when it is good, as Triton's.
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

// Alive also while loading and draining: a process that is busy must not be killed for it.
void ServerLive(Service&, const RouteParams&, HttpRequest, Responder respond) {
  respond({.status = 200});
}

void ServerReady(Service& service, const RouteParams&, HttpRequest, Responder respond) {
  if (service.state() == ServerState::kDraining)
    return respond(HttpResponse::Error(503, "Server exiting"));
  respond({.status = service.ready() ? 200 : 400});
}

}  // namespace fusee::server::routes
