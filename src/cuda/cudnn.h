// cuDNN's graph API through a table of its functions, and its descriptors as owners. Only what
// tactics need; cuDNN itself is opened at run time (libraries.h).
// Source: cuDNN backend API reference, https://docs.nvidia.com/deeplearning/cudnn/backend/latest/.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace fusee::cuda {

struct CudnnApi {
  decltype(&::cudnnCreate) create = nullptr;
  decltype(&::cudnnDestroy) destroy = nullptr;
  decltype(&::cudnnSetStream) set_stream = nullptr;
  decltype(&::cudnnGetErrorString) error_string = nullptr;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&::cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&::cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&::cudnnBackendFinalize) finalize = nullptr;
  decltype(&::cudnnBackendExecute) execute = nullptr;

  // kInternal with cuDNN's name of the error, or kUnimplemented for "not supported".
  Status ToStatus(cudnnStatus_t status, std::string_view what) const;
};

// Looked up once; thread-safe. Errors: kUnavailable (no cuDNN here, or one without these
// functions).
Result<const CudnnApi*> Cudnn();

// A cuDNN handle for the calling thread's use; its stream is set before each use.
class CudnnHandle {
 public:
  static Result<CudnnHandle> Create();
  CudnnHandle(CudnnHandle&& other) noexcept
      : api_(other.api_), handle_(std::exchange(other.handle_, nullptr)) {}
  CudnnHandle& operator=(CudnnHandle&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~CudnnHandle() {
    if (handle_ != nullptr) (void)api_->destroy(handle_);
  }
  cudnnHandle_t get() const { return handle_; }

 private:
  CudnnHandle(const CudnnApi* api, cudnnHandle_t handle) : api_(api), handle_(handle) {}
  const CudnnApi* api_;
  cudnnHandle_t handle_;
};

// The calling thread's handle, created at its first use and kept until the thread ends: a handle
// serves one thread at a time, and each takes device memory.
Result<cudnnHandle_t> ThreadHandle();

// Owner of one backend descriptor.
class CudnnDescriptor {
 public:
  CudnnDescriptor() = default;
  static Result<CudnnDescriptor> Create(const CudnnApi& api, cudnnBackendDescriptorType_t type);
  CudnnDescriptor(CudnnDescriptor&& other) noexcept
      : api_(other.api_), descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~CudnnDescriptor() {
    if (descriptor_ != nullptr) (void)api_->destroy_descriptor(descriptor_);
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  template <typename T>
  Status Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
             std::span<const T> values) {
    return api_->ToStatus(api_->set_attribute(descriptor_, name, type,
                                              static_cast<int64_t>(values.size()), values.data()),
                          "cudnnBackendSetAttribute");
  }
  template <typename T>
  Status Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    return Set(name, type, std::span<const T>(&value, 1));
  }
  Status SetDescriptor(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
    return Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  Status Finalize() { return api_->ToStatus(api_->finalize(descriptor_), "cudnnBackendFinalize"); }

  // How many elements an attribute has; 0 when it cannot be had.
  int64_t Count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    int64_t count = 0;
    if (api_->get_attribute(descriptor_, name, type, 0, &count, nullptr) != CUDNN_STATUS_SUCCESS)
      return 0;
    return count;
  }
  template <typename T>
  Result<T> Get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    T value{};
    int64_t count = 0;
    FUSEE_TRY(api_->ToStatus(api_->get_attribute(descriptor_, name, type, 1, &count, &value),
                             "cudnnBackendGetAttribute"));
    return value;
  }
  template <typename T>
  std::vector<T> List(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    std::vector<T> values(static_cast<size_t>(Count(name, type)));
    int64_t count = 0;
    if (values.empty() ||
        api_->get_attribute(descriptor_, name, type, static_cast<int64_t>(values.size()), &count,
                            values.data()) != CUDNN_STATUS_SUCCESS)
      return {};
    values.resize(static_cast<size_t>(count));
    return values;
  }
  // Fills descriptors of the given type, as many as the attribute has, at most `limit`.
  Result<std::vector<CudnnDescriptor>> Descriptors(cudnnBackendAttributeName_t name,
                                                   cudnnBackendDescriptorType_t type,
                                                   int64_t limit) const;

 private:
  CudnnDescriptor(const CudnnApi* api, cudnnBackendDescriptor_t descriptor)
      : api_(api), descriptor_(descriptor) {}
  const CudnnApi* api_ = nullptr;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace fusee::cuda
