#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

void ModelReady(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  const auto model = service.catalogue().Find(params.model, params.version);
  if (model.ok()) return respond({.status = 200});
  // Triton's way to say "known, but not now"; an unknown model is an error of its own.
  if (model.status().code() == StatusCode::kUnavailable)
    return respond(HttpResponse::Error(400, "Model version not ready"));
  respond(HttpResponse::Error(model.status()));
}

}  // namespace fusee::server::routes
