// Tensors in files: NumPy's .npy, a serialised TensorProto (.pb of ONNX's tests), raw bytes.
//
// Readers map the file; the tensor borrows the mapping and keeps it alive, so a file must not
// shrink while a tensor of it lives. Any bytes give a tensor or a Status that names the file and
// what was expected. Thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/tensor.h"

namespace fusee {

// An .npy file, versions 1 to 3: little-endian, C order, at most kMaxRank dimensions, nothing
// behind the data. bf16 has no NumPy type; it travels as '<V2', which is what ml_dtypes writes.
// Errors: kNotFound, kPermissionDenied, kInvalidArgument (not .npy, truncated), kUnimplemented
// (big-endian, Fortran order, a type Fusee has no tensors of; by name).
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Result<Tensor> ReadNpy(const std::string& path);
// The same from bytes; owner keeps them alive (null: the caller does).
Result<Tensor> ParseNpy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

// Whether .npy has a name for the type: all but the narrow ones.
bool HasNpyType(DType dtype);

// Version 1.0, data aligned to 64 bytes as NumPy does it, written atomically. Errors:
// kUnimplemented for the narrow types, which NumPy has no names for. Precondition: present.
Status WriteNpy(const std::string& path, const ConstTensorView& tensor);

// A file that is nothing but the elements, row-major, little-endian; its size must be exactly the
// tensor's. Elements of 2 and 4 bits are packed in it (tensor/packed.h).
Result<Tensor> ReadRawTensor(const std::string& path, DType dtype, const Shape& shape);
Status WriteRawTensor(const std::string& path, const ConstTensorView& tensor);

// A serialised TensorProto. External data is refused. Errors: kNotFound, kInvalidArgument (with
// byte offset and field), kUnimplemented (string tensors, ... by name),
// kResourceExhausted (decoded size out of proportion).
Result<Tensor> ReadTensorProtoFile(const std::string& path);
Status WriteTensorProtoFile(const std::string& path, const ConstTensorView& tensor,
                            std::string_view name = "");

}  // namespace fusee
