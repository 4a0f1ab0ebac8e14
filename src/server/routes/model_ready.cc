#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {

void ModelReady(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  const auto model = service.catalogue().Find(params.model, params.version);
  if (model.ok()) return respond({.status = 200});
  if (model.status().code() == StatusCode::kInvalidArgument)
    return respond(HttpResponse::Error(model.status()));
  // Triton's answer for a model that is loading, failed to load, or never was.
  respond(HttpResponse::Error(400, "Model version not ready"));
}

}  // namespace fusee::server::routes
