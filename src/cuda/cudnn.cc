#include "cuda/cudnn.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cuda/libraries.h"

namespace fusee::cuda {
namespace {

template <typename Function>
Status Find(void* library, const char* name, Function* function) {
  FUSEE_TRY(void* const symbol, FindSymbol(library, name));
  *function = reinterpret_cast<Function>(symbol);
  return OkStatus();
}

Result<const CudnnApi*> Load() {
  FUSEE_TRY(void* const library, CudnnLibrary());
  static CudnnApi api;
  FUSEE_TRY(Find(library, "cudnnCreate", &api.create));
  FUSEE_TRY(Find(library, "cudnnDestroy", &api.destroy));
  FUSEE_TRY(Find(library, "cudnnSetStream", &api.set_stream));
  FUSEE_TRY(Find(library, "cudnnGetErrorString", &api.error_string));
  FUSEE_TRY(Find(library, "cudnnBackendCreateDescriptor", &api.create_descriptor));
  FUSEE_TRY(Find(library, "cudnnBackendDestroyDescriptor", &api.destroy_descriptor));
  FUSEE_TRY(Find(library, "cudnnBackendSetAttribute", &api.set_attribute));
  FUSEE_TRY(Find(library, "cudnnBackendGetAttribute", &api.get_attribute));
  FUSEE_TRY(Find(library, "cudnnBackendFinalize", &api.finalize));
  FUSEE_TRY(Find(library, "cudnnBackendExecute", &api.execute));
  return &api;
}

}  // namespace

Status CudnnApi::ToStatus(cudnnStatus_t status, std::string_view what) const {
  if (status == CUDNN_STATUS_SUCCESS) return OkStatus();
  std::string text = fmt::format("{}: {}", what, error_string(status));
  // The hundreds are cuDNN's classes of errors; 3xxx is "not supported".
  constexpr int kNotSupportedClass = 3;
  if (static_cast<int>(status) / 1000 == kNotSupportedClass) return Unimplemented(std::move(text));
  return Internal(std::move(text));
}

Result<const CudnnApi*> Cudnn() {
  static const Result<const CudnnApi*>* const api = new Result<const CudnnApi*>(Load());
  return *api;
}

Result<CudnnHandle> CudnnHandle::Create() {
  FUSEE_TRY(const CudnnApi* api, Cudnn());
  cudnnHandle_t handle = nullptr;
  FUSEE_TRY(api->ToStatus(api->create(&handle), "cudnnCreate"));
  return CudnnHandle(api, handle);
}

Result<cudnnHandle_t> ThreadHandle() {
  thread_local std::optional<CudnnHandle> handle;
  if (!handle) {
    FUSEE_TRY(CudnnHandle fresh, CudnnHandle::Create());
    handle.emplace(std::move(fresh));
  }
  return handle->get();
}

Result<CudnnDescriptor> CudnnDescriptor::Create(const CudnnApi& api,
                                                cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  FUSEE_TRY(api.ToStatus(api.create_descriptor(type, &descriptor), "cudnnBackendCreateDescriptor"));
  return CudnnDescriptor(&api, descriptor);
}

Result<std::vector<CudnnDescriptor>> CudnnDescriptor::Descriptors(cudnnBackendAttributeName_t name,
                                                                  cudnnBackendDescriptorType_t type,
                                                                  int64_t limit) const {
  const int64_t wanted = std::min(Count(name, CUDNN_TYPE_BACKEND_DESCRIPTOR), limit);
  std::vector<CudnnDescriptor> list;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < wanted; ++i) {
    FUSEE_TRY(CudnnDescriptor one, Create(*api_, type));
    raw.push_back(one.get());
    list.push_back(std::move(one));
  }
  if (list.empty()) return list;
  int64_t count = 0;
  FUSEE_TRY(api_->ToStatus(api_->get_attribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                               wanted, &count, raw.data()),
                           "cudnnBackendGetAttribute"));
  list.resize(static_cast<size_t>(std::min(count, wanted)));
  return list;
}

}  // namespace fusee::cuda
