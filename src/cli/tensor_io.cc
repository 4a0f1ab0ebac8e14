#include "cli/tensor_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "tensor/tensor_file.h"

namespace fusee::cli {
namespace {

// Takes one token of NAME:FILE,... from text: up to stop or the end, or whatever stands between
// single quotes.
Result<std::string> TakeToken(std::string_view& text, std::string_view stop) {
  if (text.starts_with('\'')) {
    const size_t close = text.find('\'', 1);
    if (close == std::string_view::npos)
      return InvalidArgument(fmt::format("the quote in '{}' is not closed", text));
    std::string token(text.substr(1, close - 1));
    text.remove_prefix(close + 1);
    return token;
  }
  const size_t end = std::min(text.find_first_of(stop), text.size());
  std::string token(text.substr(0, end));
  text.remove_prefix(end);
  return token;
}

Result<NamedFile> TakeNamedFile(std::string_view& text) {
  const std::string_view whole = text;
  NamedFile named;
  FUSEE_TRY(named.name, TakeToken(text, ":,"));
  if (named.name.empty() || !text.starts_with(':')) {
    return InvalidArgument(
        fmt::format("--loadInputs: '{}' is not NAME:FILE[,NAME:FILE...]", whole));
  }
  text.remove_prefix(1);
  FUSEE_TRY(named.file, TakeToken(text, ","));
  if (named.file.empty() || !(text.empty() || text.starts_with(','))) {
    return InvalidArgument(
        fmt::format("--loadInputs: '{}' is not NAME:FILE[,NAME:FILE...]", whole));
  }
  return named;
}

}  // namespace

Result<NamedFile> ParseNamedFile(std::string_view text, std::string_view option) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return InvalidArgument(fmt::format("{}: '{}' is not NAME=FILE", option, text));
  }
  return NamedFile{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Result<std::vector<NamedFile>> ParseLoadInputs(std::string_view text) {
  std::vector<NamedFile> files;
  while (true) {
    FUSEE_TRY(NamedFile named, TakeNamedFile(text));
    files.push_back(std::move(named));
    if (text.empty()) return files;
    text.remove_prefix(1);
  }
}

Result<std::vector<NamedFile>> ParseInputFiles(std::span<const std::string> inputs,
                                               std::string_view load_inputs) {
  std::vector<NamedFile> files;
  if (!load_inputs.empty()) {
    FUSEE_TRY(files, ParseLoadInputs(load_inputs));
  }
  for (const std::string& text : inputs) {
    FUSEE_TRY(NamedFile named, ParseNamedFile(text, "--input"));
    files.push_back(std::move(named));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (files[i].name != files[j].name) continue;
      return InvalidArgument(fmt::format("input '{}' is given twice: {} and {}", files[i].name,
                                         files[j].file, files[i].file));
    }
  }
  return files;
}

TensorFormat FormatOf(std::string_view path) {
  if (path.ends_with(".npy")) return TensorFormat::kNpy;
  if (path.ends_with(".pb")) return TensorFormat::kProto;
  return TensorFormat::kRaw;
}

Result<Tensor> ReadTensor(const std::string& path, DType dtype, const Shape& raw_shape) {
  switch (FormatOf(path)) {
    case TensorFormat::kNpy: return ReadNpy(path);
    case TensorFormat::kProto: return ReadTensorProtoFile(path);
    case TensorFormat::kRaw: return ReadRawTensor(path, dtype, raw_shape);
  }
  return Internal("unknown tensor format");
}

Status WriteTensor(const std::string& path, const ConstTensorView& tensor, std::string_view name) {
  switch (FormatOf(path)) {
    case TensorFormat::kNpy: return WriteNpy(path, tensor);
    case TensorFormat::kProto: return WriteTensorProtoFile(path, tensor, name);
    case TensorFormat::kRaw: return WriteRawTensor(path, tensor);
  }
  return Internal("unknown tensor format");
}

std::string FileNameOf(std::string_view tensor_name) {
  std::string name(tensor_name);
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (!plain) c = '_';
  }
  if (name.empty() || name[0] == '.') name.insert(0, "_");
  return name;
}

TensorSummary Summarise(const ConstTensorView& tensor) {
  TensorSummary summary;
  summary.elements = tensor.elements();
  double sum = 0;
  int64_t numbers = 0;
  for (int64_t i = 0; i < summary.elements; ++i) {
    const double value = DoubleAt(tensor, i);
    if (i < kSummaryFirst) summary.first.push_back(value);
    if (std::isnan(value)) {
      ++summary.nans;
      continue;
    }
    summary.min = numbers == 0 ? value : std::min(summary.min, value);
    summary.max = numbers == 0 ? value : std::max(summary.max, value);
    sum += value;
    ++numbers;
  }
  if (numbers > 0) summary.mean = sum / static_cast<double>(numbers);
  return summary;
}

}  // namespace fusee::cli
