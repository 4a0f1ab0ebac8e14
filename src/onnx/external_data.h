// Weights that lie in files beside the model, opened as if the model's author were an attacker.
//
// A location is a path below the model's folder. Neither ".." nor an absolute path nor a symbolic
// link anywhere in it is followed, and the file must be regular with a single name (a hard link
// could be a door to someone else's file). Each file is mapped once and shared by all tensors in
// it; nothing is read or copied, but for packed elements (tensor/packed.h), which become memory of
// their own: in all no more of them than the files could hold, however many tensors point at the
// same bytes.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"
#include "tensor/tensor_proto.h"

namespace fusee::onnx {

class ExternalData {
 public:
  // folder: of the model; max_files: how many different locations may be tried, each one a mapping.
  ExternalData(std::string folder, size_t max_files)
      : folder_(std::move(folder)), max_files_(max_files) {}

  // The tensor that proto's external_data entries point to, borrowing the mapped file.
  // Errors: kNotFound (no such file), kPermissionDenied (a link, "..", an absolute path),
  // kInvalidArgument (bad entries, a range outside the file, a size that is not the tensor's),
  // kResourceExhausted (too many files, or packed elements).
  Result<Tensor> Resolve(const TensorProto& proto, const TensorSpec& spec);

 private:
  Result<std::shared_ptr<const MappedFile>> Map(std::string_view location);

  std::string folder_;
  size_t max_files_;
  uint64_t mapped_bytes_ = 0;
  uint64_t unpacked_elements_ = 0;
  // By location; failures too, so that a thousand tensors of a missing file cost one look.
  std::map<std::string, Result<std::shared_ptr<const MappedFile>>, std::less<>> files_;
};

namespace internal {

// Opens location below the folder descriptor without following links; the caller closes the result.
// Errors as ExternalData::Resolve. OpenBeneath asks the kernel (openat2, Linux 5.6);
// OpenBeneathByWalking opens one component after the other, for kernels and sandboxes without it,
// and is equally safe: no component can be a link.
Result<int> OpenBeneath(int folder, const std::string& location);
Result<int> OpenBeneathByWalking(int folder, const std::string& location);

}  // namespace internal
}  // namespace fusee::onnx
