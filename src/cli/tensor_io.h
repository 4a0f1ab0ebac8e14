// Tensors between files and commands: options that name files, readers and writers by suffix,
// one-line summaries.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace fusee::cli {

// "NAME=FILE". option is for messages. Errors: kInvalidArgument.
struct NamedFile {
  std::string name, file;
};
Result<NamedFile> ParseNamedFile(std::string_view text, std::string_view option);

// trtexec's spelling of several: "NAME:FILE,NAME:FILE"; a name or file may stand in single quotes
// (which may hold colons and commas). Errors: kInvalidArgument quoting the part.
Result<std::vector<NamedFile>> ParseLoadInputs(std::string_view text);

// "--input NAME=FILE" and "--loadInputs" together. Errors: as above, and a name given twice.
Result<std::vector<NamedFile>> ParseInputFiles(std::span<const std::string> inputs,
                                               std::string_view load_inputs);

// Which form a file has, by its suffix: .npy, .pb (a serialised TensorProto), or anything else: raw
// little-endian.
enum class TensorFormat { kNpy, kProto, kRaw };
TensorFormat FormatOf(std::string_view path);

// dtype and shape are used for raw files only. Errors: as tensor/tensor_file.h, naming the file.
Result<Tensor> ReadTensor(const std::string& path, DType dtype, const Shape& raw_shape);
// name is stored in .pb files.
Status WriteTensor(const std::string& path, const ConstTensorView& tensor, std::string_view name);

// A model's tensor name as a file name: everything but letters, digits, '.', '_' and '-' becomes
// '_'; a leading dot too.
std::string FileNameOf(std::string_view tensor_name);

// What a person wants to see of a tensor. NaNs are counted, not mixed into the figures; 0
// everywhere when empty.
struct TensorSummary {
  int64_t elements = 0, nans = 0;
  double min = 0, max = 0, mean = 0;
  std::vector<double> first;  // at most kSummaryFirst
};
inline constexpr int64_t kSummaryFirst = 8;
TensorSummary Summarise(const ConstTensorView& tensor);

}  // namespace fusee::cli
