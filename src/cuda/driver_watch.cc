#include "cuda/driver_watch.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <string_view>

#include "cuda/libraries.h"

#if __has_include(<cupti.h>)
#include <cupti.h>
#define FUSEE_HAVE_CUPTI 1
#endif

namespace fusee::cuda {

#ifdef FUSEE_HAVE_CUPTI
namespace {

std::atomic<uint64_t> allocations{0}, frees{0}, code_loads{0};

void CUPTIAPI OnEvent(void*, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void* data) {
  if (domain == CUPTI_CB_DOMAIN_RESOURCE) {
    if (id == CUPTI_CBID_RESOURCE_MODULE_LOADED) ++code_loads;
    return;
  }
  const auto* call = static_cast<const CUpti_CallbackData*>(data);
  if (call->callbackSite != CUPTI_API_ENTER || call->functionName == nullptr) return;
  const std::string_view name = call->functionName;
  if (name.starts_with("cuMemAlloc") || name.starts_with("cuMemHostAlloc") ||
      name.starts_with("cuMemHostRegister") || name.starts_with("cuMemCreate")) {
    ++allocations;
  } else if (name.starts_with("cuMemFree") || name.starts_with("cuMemHostUnregister") ||
             name.starts_with("cuMemRelease")) {
    ++frees;
  } else if (name.starts_with("cuModuleLoad") || name.starts_with("cuLibraryLoad")) {
    ++code_loads;
  }
}

Status Subscribe() {
  FUSEE_TRY(void* const library, CuptiLibrary());
  FUSEE_TRY(void* const subscribe, FindSymbol(library, "cuptiSubscribe"));
  FUSEE_TRY(void* const enable, FindSymbol(library, "cuptiEnableDomain"));
  static CUpti_SubscriberHandle subscriber = nullptr;
  const CUptiResult subscribed =
      reinterpret_cast<decltype(&::cuptiSubscribe)>(subscribe)(&subscriber, &OnEvent, nullptr);
  const CUptiResult enabled = subscribed != CUPTI_SUCCESS
                                  ? subscribed
                                  : reinterpret_cast<decltype(&::cuptiEnableDomain)>(enable)(
                                        1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API);
  if (enabled == CUPTI_SUCCESS) {
    // Code that is loaded late, at a kernel's first launch, is no call that says so. Where CUPTI
    // does not tell, the calls alone count.
    if (const auto one = FindSymbol(library, "cuptiEnableCallback"); one.ok()) {
      (void)reinterpret_cast<decltype(&::cuptiEnableCallback)> (*one)(
          1, subscriber, CUPTI_CB_DOMAIN_RESOURCE, CUPTI_CBID_RESOURCE_MODULE_LOADED);
    }
    return OkStatus();
  }
  return Unavailable(
      fmt::format("CUPTI refuses (error {}): is a profiler attached?", static_cast<int>(enabled)));
}

}  // namespace

Status WatchDriver() {
  static const Status* const status = new Status(Subscribe());
  return *status;
}

DriverCalls CountedDriverCalls() { return {allocations, frees, code_loads}; }

#else

Status WatchDriver() { return Unavailable("built without CUPTI's headers"); }
DriverCalls CountedDriverCalls() { return {}; }

#endif

}  // namespace fusee::cuda
