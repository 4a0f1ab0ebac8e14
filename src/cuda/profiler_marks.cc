#include "cuda/profiler_marks.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define FUSEE_HAVE_NVTX 1
#endif

namespace fusee::cuda {

#ifdef FUSEE_HAVE_NVTX
namespace {

// Null without a profiler.
nvtxDomainHandle_t Domain() {
  static const nvtxDomainHandle_t domain = nvtxDomainCreateA("fusee");
  return domain;
}

}  // namespace

void PushRange(const char* name) {
  if (Domain() == nullptr) return;
  nvtxEventAttributes_t range{};
  range.version = NVTX_VERSION;
  range.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  range.messageType = NVTX_MESSAGE_TYPE_ASCII;
  range.message.ascii = name;
  (void)nvtxDomainRangePushEx(Domain(), &range);
}

void PopRange() {
  if (Domain() != nullptr) (void)nvtxDomainRangePop(Domain());
}

#else

void PushRange(const char*) {}
void PopRange() {}

#endif

}  // namespace fusee::cuda
