#include "server/infer_request.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/checked_math.h"

namespace fusee::server {
namespace {

namespace dom = simdjson::dom;

constexpr std::string_view kLengthHeader = "Inference-Header-Content-Length";
// Levels around "data" (request, inputs, input), and a few for a message of our own instead of the
// parser's.
constexpr size_t kDepthAround = 8;
// A thread keeps its parser's buffers between requests unless a request was larger than this.
constexpr size_t kParserKeepBytes = 1 << 20;
constexpr size_t kShownMax = 256;

std::string Dims(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank) return fmt::format("[{},...]", fmt::join(dims.first(kMaxRank), ","));
  return fmt::format("[{}]", fmt::join(dims, ","));
}

// What a peer sent, short enough to send back.
std::string_view Shown(std::string_view text) { return text.substr(0, kShownMax); }

// ---- JSON access, with the words of Triton's JSON library ----

Status Missing(std::string_view name) {
  return Internal(fmt::format("attempt to access non-existing object member '{}'", name));
}
Status WrongType(std::string_view is_not, std::string_view wanted) {
  return Internal(fmt::format("attempt to access JSON non-{} as {}", is_not, wanted));
}
Status Unable(std::string_view what, const Status& why) {
  return Status(why.code(), fmt::format("Unable to parse '{}': {}", what, why.message()));
}

bool Find(const dom::element& object, std::string_view name, dom::element* out) {
  return object.is_object() && object[name].get(*out) == simdjson::SUCCESS;
}
Result<std::string_view> AsString(const dom::element& e) {
  std::string_view s;
  if (e.get(s) != simdjson::SUCCESS) return WrongType("string", "string");
  return s;
}
Result<bool> AsBool(const dom::element& e) {
  bool b = false;
  if (e.get(b) != simdjson::SUCCESS) return WrongType("boolean", "boolean");
  return b;
}
Result<uint64_t> AsUint(const dom::element& e) {
  uint64_t u = 0;
  if (!(e.is_uint64() || e.is_int64()) || e.get(u) != simdjson::SUCCESS) {
    return WrongType("unsigned-integer", "unsigned-integer");
  }
  return u;
}
Result<int64_t> AsInt(const dom::element& e) {
  int64_t i = 0;
  if (!(e.is_uint64() || e.is_int64()) || e.get(i) != simdjson::SUCCESS) {
    return WrongType("signed-integer", "signed-integer");
  }
  return i;
}

// A member that must exist, converted by `as`, with "Unable to parse 'name'" around what went
// wrong.
template <typename As>
auto Member(const dom::element& object, const char* name, As as) -> decltype(as(object)) {
  dom::element e;
  if (!Find(object, name, &e)) return Unable(name, Missing(name));
  auto value = as(e);
  if (!value.ok()) return Unable(name, value.status());
  return value;
}
Result<dom::array> AsArray(const dom::element& e) {
  dom::array a;
  if (e.get(a) != simdjson::SUCCESS) return WrongType("array", "array");
  return a;
}

// ---- "data" ----

template <typename T>
Status Convert(const dom::element& e, T* out) {
  if constexpr (std::is_same_v<T, bool>) {
    FUSEE_TRY(*out, AsBool(e));
  } else if constexpr (std::is_floating_point_v<T>) {
    double d = 0;
    if (e.get(d) != simdjson::SUCCESS) return WrongType("number", "double");
    *out = static_cast<T>(d);
  } else {
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    Wide wide = 0;
    if constexpr (std::is_signed_v<T>) {
      FUSEE_TRY(wide, AsInt(e));
    } else {
      FUSEE_TRY(wide, AsUint(e));
    }
    if (wide < static_cast<Wide>(std::numeric_limits<T>::min()) ||
        wide > static_cast<Wide>(std::numeric_limits<T>::max())) {
      return InvalidArgument(fmt::format("{} is outside the range of the datatype", wide));
    }
    *out = static_cast<T>(wide);
  }
  return OkStatus();
}

// Fills a tensor from numbers in arrays, nested in any way: only their order and count matter.
template <typename T>
struct Filler {
  std::byte* out;
  int64_t count = 0;
  int64_t expected;
  uint32_t depth_max;

  Status Fill(const dom::element& e, uint32_t depth) {
    if (depth >= depth_max) {
      return InvalidArgument(
          fmt::format("JSON nesting depth exceeds maximum allowed limit ({})", depth_max));
    }
    dom::array array;
    if (e.get(array) == simdjson::SUCCESS) {
      for (const dom::element& inner : array) FUSEE_TRY(Fill(inner, depth + 1));
      return OkStatus();
    }
    if (count >= expected) return Internal("Shape does not match true shape of 'data' field");
    T value{};
    FUSEE_TRY(Convert(e, &value));
    std::memcpy(out + static_cast<size_t>(count) * sizeof(T), &value, sizeof(T));
    ++count;
    return OkStatus();
  }
};

template <typename T>
Status FillAs(const dom::element& data, int64_t expected, uint32_t depth_max, std::byte* out) {
  Filler<T> filler{.out = out, .expected = expected, .depth_max = depth_max};
  if (Status s = filler.Fill(data, 0); !s.ok()) return Unable("data", s);
  if (filler.count != expected)
    return Internal("Failed to parse 'data' field: shape does not match true shape");
  return OkStatus();
}

Status FillTensor(std::string_view name, DType dtype, const dom::element& data, int64_t expected,
                  uint32_t depth_max, std::byte* out) {
  switch (dtype) {
    case DType::kBool: return FillAs<bool>(data, expected, depth_max, out);
    case DType::kU8: return FillAs<uint8_t>(data, expected, depth_max, out);
    case DType::kU16: return FillAs<uint16_t>(data, expected, depth_max, out);
    case DType::kU32: return FillAs<uint32_t>(data, expected, depth_max, out);
    case DType::kU64: return FillAs<uint64_t>(data, expected, depth_max, out);
    case DType::kI8: return FillAs<int8_t>(data, expected, depth_max, out);
    case DType::kI16: return FillAs<int16_t>(data, expected, depth_max, out);
    case DType::kI32: return FillAs<int32_t>(data, expected, depth_max, out);
    case DType::kI64: return FillAs<int64_t>(data, expected, depth_max, out);
    case DType::kF32: return FillAs<float>(data, expected, depth_max, out);
    case DType::kF64: return FillAs<double>(data, expected, depth_max, out);
    case DType::kF16:
    case DType::kBF16:
      return InvalidArgument(
          fmt::format("receiving {} data via JSON is not supported. Please use the binary data "
                      "format for input {}",
                      KserveName(dtype), name));
    default: break;  // no model with such an input is loaded (CheckTypesHaveNames)
  }
  return InvalidArgument(fmt::format("invalid datatype for input {}", name));
}

// ---- one request ----

class Decoder {
 public:
  Decoder(const ipc::ModelInfo& model, const DecodeLimits& limits, ipc::BlockSource& memory,
          InferRequest* out)
      : model_(model),
        limits_(limits),
        memory_(memory),
        out_(out),
        seen_(model.inputs.size(), false) {
    out_->inputs.assign(model.inputs.size(), {});
  }

  Status Run(std::string_view json, std::string_view blobs, bool blobs_allowed) {
    thread_local dom::parser parser;
    const Status status = Parse(parser, json, blobs, blobs_allowed);
    if (parser.capacity() > kParserKeepBytes) parser = dom::parser();
    return status;
  }

  Status RunRaw(std::string_view bytes);

 private:
  Status Parse(dom::parser& parser, std::string_view json, std::string_view blobs,
               bool blobs_allowed);
  Status Input(const dom::element& input);
  Status Inputs(const dom::element& root);
  Status Outputs(const dom::element& root);
  Status Parameters(const dom::element& root);
  Status ExactlyOneSource(const dom::element& input) const;
  Status FromJson(std::string_view name, DType dtype, const std::vector<int64_t>& dims,
                  const dom::element& input, ConstTensorView* view);
  Status CheckAgainstModel(const ipc::TensorInfo& want, DType dtype, std::string_view datatype,
                           const std::vector<int64_t>& dims) const;
  Status CheckOutputEncoding() const;
  std::string Prefix() const { return RequestPrefix(out_->id); }

  const ipc::ModelInfo& model_;
  const DecodeLimits& limits_;
  ipc::BlockSource& memory_;
  InferRequest* out_;
  std::vector<bool> seen_;
  std::string_view blobs_;
  bool blobs_allowed_ = false;
  size_t json_bytes_ = 0;
  bool binary_by_default_ = false;
};

Status Decoder::Parse(dom::parser& parser, std::string_view json, std::string_view blobs,
                      bool blobs_allowed) {
  blobs_ = blobs;
  blobs_allowed_ = blobs_allowed;
  json_bytes_ = json.size();
  const size_t depth = limits_.json_depth + kDepthAround;
  dom::element root;
  simdjson::error_code error = simdjson::EMPTY;
  if (!json.empty()) {
    error = parser.allocate(std::max(json.size(), kParserKeepBytes), depth);
    if (!error) error = parser.parse(json.data(), json.size()).get(root);
  }
  if (error == simdjson::DEPTH_ERROR) {
    return InvalidArgument(
        fmt::format("Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit ({})",
                    limits_.json_depth));
  }
  if (error) {
    return Internal(
        fmt::format("failed to parse the request JSON buffer: {}", simdjson::error_message(error)));
  }
  // The id first, so that every later message can carry it.
  if (dom::element id; Find(root, "id", &id)) {
    auto text = AsString(id);
    if (!text.ok()) return Unable("id", text.status());
    out_->id = *text;
  }
  FUSEE_TRY(Inputs(root));
  FUSEE_TRY(Parameters(root));
  FUSEE_TRY(Outputs(root));
  return CheckOutputEncoding();
}

Status Decoder::Inputs(const dom::element& root) {
  FUSEE_TRY(dom::array inputs, Member(root, "inputs", AsArray));
  size_t given = 0;
  std::string names;
  for (const dom::element& input : inputs) {
    FUSEE_TRY(Input(input));
    ++given;
    if (dom::element name; given <= model_.inputs.size() && Find(input, "name", &name)) {
      names += fmt::format("{}'{}'", names.empty() ? "" : ",", name.get_string().value_unsafe());
    }
  }
  if (!blobs_.empty())
    return InvalidArgument(
        fmt::format("unexpected additional input data for model '{}'", model_.name));
  if (given == model_.inputs.size()) return OkStatus();
  std::string missing;
  for (size_t i = 0; i < seen_.size(); ++i) {
    if (!seen_[i])
      missing += fmt::format("{}'{}'", missing.empty() ? "" : ",", model_.inputs[i].name);
  }
  return InvalidArgument(
      fmt::format("{}expected {} inputs but got {} inputs for model '{}'. Got input(s) [{}], but "
                  "missing required input(s) [{}]. Please "
                  "provide all required input(s).",
                  Prefix(), model_.inputs.size(), given, model_.name, names, missing));
}

Status Decoder::ExactlyOneSource(const dom::element& input) const {
  dom::element ignored, parameters;
  const bool data = Find(input, "data", &ignored);
  const bool has_parameters = Find(input, "parameters", &parameters);
  const bool binary = has_parameters && Find(parameters, "binary_data_size", &ignored);
  const bool shared = has_parameters && Find(parameters, "shared_memory_region", &ignored);
  if (data + binary + shared == 1) return OkStatus();
  std::string text =
      "Input must set only one of the following fields: 'data', 'binary_data_size' in "
      "'parameters', 'shared_memory_region' "
      "in 'parameters'. But";
  if (data + binary + shared == 0) return InvalidArgument(text + " no field is set");
  text += " set";
  if (data) text += " 'data'";
  if (binary) text += " 'binary_data_size'";
  if (shared) text += " 'shared_memory_region'";
  return InvalidArgument(text);
}

Status Decoder::Input(const dom::element& input) {
  FUSEE_TRY(ExactlyOneSource(input));
  FUSEE_TRY(const std::string_view full_name, Member(input, "name", AsString));
  FUSEE_TRY(std::string_view datatype, Member(input, "datatype", AsString));
  const std::string_view name = Shown(full_name);
  FUSEE_TRY(dom::array shape, Member(input, "shape", AsArray));
  std::vector<int64_t> dims;
  for (const dom::element& dim : shape) {
    auto value = AsUint(dim);
    if (!value.ok()) return Unable("shape", value.status());
    dims.push_back(static_cast<int64_t>(*value));  // above 2^63: negative, refused below
  }
  const DType dtype = ParseKserveName(datatype).value_or(DType::kInvalid);
  const auto found = std::find_if(model_.inputs.begin(), model_.inputs.end(),
                                  [&](const auto& i) { return i.name == full_name; });
  if (found == model_.inputs.end()) {
    return InvalidArgument(
        fmt::format("unexpected inference input '{}' for model '{}'", name, model_.name));
  }
  const size_t index = static_cast<size_t>(found - model_.inputs.begin());
  if (seen_[index])
    return InvalidArgument(fmt::format("{}input '{}' already exists in request", Prefix(), name));
  seen_[index] = true;
  // Strings: no plan takes them, so this refuses.
  if (datatype == "BYTES") return CheckAgainstModel(*found, dtype, datatype, dims);

  ConstTensorView view{.dtype = dtype};
  dom::element parameters, value;
  const bool has_parameters = Find(input, "parameters", &parameters);
  if (has_parameters && Find(parameters, "shared_memory_region", &value)) {
    return Unimplemented(fmt::format(
        "input '{}' refers to shared memory, which is not supported; send its bytes", name));
  }
  if (has_parameters && Find(parameters, "binary_data_size", &value)) {
    auto size = AsUint(value);
    if (!size.ok()) return Unable("binary_data_size", size.status());
    if (*size > 0 && !blobs_allowed_) {
      return InvalidArgument(
          "must specify valid 'Infer-Header-Content-Length' in request header and "
          "'binary_data_size' when passing inputs in "
          "binary data format");
    }
    if (*size > blobs_.size()) {
      return InvalidArgument(fmt::format(
          "unexpected size for input '{}', expecting {} additional bytes for model '{}'", name,
          *size - blobs_.size(), model_.name));
    }
    const std::string_view bytes = blobs_.substr(0, *size);
    blobs_.remove_prefix(*size);
    FUSEE_TRY(CheckAgainstModel(*found, dtype, datatype, dims));
    int64_t elements = 0, expected = 0;
    const bool fits =
        CheckedProduct(dims, &elements) && CheckedMul(elements, BytesPerElement(dtype), &expected);
    if (!fits || static_cast<uint64_t>(expected) != *size) {
      return InvalidArgument(fmt::format(
          "{}input byte size mismatch for input '{}' for model '{}'. Expected {}, got {}", Prefix(),
          name, model_.name, fits ? std::to_string(expected) : "more than 2^63", *size));
    }
    view.data = bytes.data();
  } else {
    FUSEE_TRY(FromJson(name, dtype, dims, input, &view));
    FUSEE_TRY(CheckAgainstModel(*found, dtype, datatype, dims));
  }
  view.shape = Shape(dims);
  out_->inputs[index] = view;
  return OkStatus();
}

Status Decoder::FromJson(std::string_view name, DType dtype, const std::vector<int64_t>& dims,
                         const dom::element& input, ConstTensorView* view) {
  const auto invalid = [&](std::string_view why) {
    return InvalidArgument(
        fmt::format("invalid shape for input '{}': shape {} {}", name, Dims(dims), why));
  };
  int64_t elements = 1;
  if (std::ranges::any_of(dims, [](int64_t d) { return d < 0; }))
    return invalid("contains one or more invalid dimensions");
  if (std::ranges::find(dims, 0) != dims.end())
    elements = 0;
  else if (!CheckedProduct(dims, &elements)) {
    return invalid(
        fmt::format("causes total element count to exceed maximum size of {}", INT64_MAX));
  }
  if (elements == 0) return OkStatus();
  dom::element data;
  if (!Find(input, "data", &data)) return Unable("data", Missing("data"));
  if (!data.is_array()) return Unable("data", WrongType("array", "array"));
  const int64_t width = dtype == DType::kInvalid ? 1 : BytesPerElement(dtype);
  if (elements > INT64_MAX / width) {
    return InvalidArgument(
        fmt::format("byte size overflow for input '{}': element count ({}) * data type size ({}) "
                    "exceeds maximum allowed size ({})",
                    name, elements, width, INT64_MAX));
  }
  const uint64_t bytes = static_cast<uint64_t>(elements * width);
  if (bytes > limits_.input_bytes) {
    return InvalidArgument(
        fmt::format("JSON input '{}' has a byte_size ({} bytes) that exceeds the maximum allowed "
                    "value of {} bytes. Use "
                    "--http-max-input-size to increase the limit.",
                    name, bytes, limits_.input_bytes));
  }
  // An element takes at least one byte of text: do not take memory for what cannot be there.
  if (static_cast<uint64_t>(elements) > json_bytes_)
    return Internal("Failed to parse 'data' field: shape does not match true shape");
  ipc::Block buffer = memory_.Take(bytes);
  if (!buffer && bytes > memory_.largest_block()) {
    return InvalidArgument(
        fmt::format("input '{}' takes {} bytes, more than devices can be given at once ({}): send "
                    "fewer rows, or "
                    "start the server with a larger --request-memory",
                    name, bytes, memory_.largest_block()));
  }
  if (!buffer) {
    return Unavailable(
        fmt::format("no room for the {} bytes of input '{}' beside those of the requests being "
                    "answered; try again in a moment",
                    bytes, name));
  }
  FUSEE_TRY(FillTensor(name, dtype, data, elements, limits_.json_depth, buffer.data()));
  view->data = buffer.data();
  out_->converted.push_back(std::move(buffer));
  return OkStatus();
}

Status Decoder::CheckAgainstModel(const ipc::TensorInfo& want, DType dtype,
                                  std::string_view datatype,
                                  const std::vector<int64_t>& dims) const {
  if (dtype != want.dtype) {
    return InvalidArgument(
        fmt::format("{}inference input '{}' data-type is '{}', but model '{}' expects '{}'",
                    Prefix(), want.name, Shown(datatype), model_.name, KserveName(want.dtype)));
  }
  bool match = dims.size() == want.shape.size();
  for (size_t i = 0; match && i < dims.size(); ++i) {
    match = dims[i] >= 0 && (want.shape[i] == ipc::kDynamicDim || want.shape[i] == dims[i]);
  }
  if (!match) {
    return InvalidArgument(
        fmt::format("{}unexpected shape for input '{}' for model '{}'. Expected {}, got {}. ",
                    Prefix(), want.name, model_.name, Dims(want.shape), Dims(dims)));
  }
  if (model_.batch_symbol >= 0) {
    const int64_t batch_max = model_.symbols[static_cast<size_t>(model_.batch_symbol)].max;
    if (dims[0] > batch_max) {
      return InvalidArgument(fmt::format("{}inference request batch-size must be <= {} for '{}'",
                                         Prefix(), batch_max, model_.name));
    }
  }
  return OkStatus();
}

Status Decoder::Parameters(const dom::element& root) {
  dom::element parameters;
  if (!Find(root, "parameters", &parameters)) return OkStatus();
  dom::object object;
  if (parameters.get(object) != simdjson::SUCCESS) {
    return Internal("failed to get request params.: attempt to get members for non-object");
  }
  for (const auto& [key, value] : object) {
    if (key == "timeout") {
      auto timeout = AsUint(value);
      if (!timeout.ok()) return Unable("timeout", timeout.status());
      out_->timeout_us = *timeout;
    } else if (key == "priority") {
      if (auto priority = AsUint(value); !priority.ok())
        return Unable("priority", priority.status());
    } else if (key == "binary_data_output") {
      auto binary = AsBool(value);
      if (!binary.ok()) return Unable("binary_data_output", binary.status());
      binary_by_default_ = *binary;
    } else if (key == "sequence_start" || key == "sequence_end") {
      if (auto flag = AsBool(value); !flag.ok()) return Unable(key, flag.status());
    } else if (key == "sequence_id") {
      if (!AsUint(value).ok() && !value.is_string())
        return Unable(key, WrongType("string", "string"));
    } else if (key.starts_with("triton_")) {
      return InvalidArgument(
          "parameter keys starting with 'triton_' are reserved for Triton usage and should not be "
          "specified.");
    } else if (value.is_null() || value.is_object() || value.is_array()) {
      return InvalidArgument(fmt::format(
          "parameter '{}' has invalid type. It should be either 'int', 'bool', or 'string'.",
          Shown(key)));
    }
  }
  return OkStatus();
}

Status Decoder::Outputs(const dom::element& root) {
  dom::element outputs;
  std::vector<bool> wanted(model_.outputs.size(), false);
  if (Find(root, "outputs", &outputs)) {
    auto array = AsArray(outputs);
    if (!array.ok()) return Unable("outputs", array.status());
    for (const dom::element& output : *array) {
      FUSEE_TRY(const std::string_view full_name, Member(output, "name", AsString));
      const std::string_view name = Shown(full_name);
      const auto found = std::find_if(model_.outputs.begin(), model_.outputs.end(),
                                      [&](const auto& o) { return o.name == full_name; });
      if (found == model_.outputs.end()) {
        return InvalidArgument(
            fmt::format("unexpected inference output '{}' for model '{}'", name, model_.name));
      }
      const auto index = static_cast<uint32_t>(found - model_.outputs.begin());
      const bool repeated = wanted[index];
      wanted[index] = true;
      RequestedOutput requested{.index = index};
      dom::element parameters, value;
      if (Find(output, "parameters", &parameters)) {
        if (Find(parameters, "shared_memory_region", &value)) {
          return Unimplemented(
              fmt::format("output '{}' asks for shared memory, which is not supported", name));
        }
        if (Find(parameters, "classification", &value)) {
          return Unimplemented(
              fmt::format("output '{}' asks for classification, which is not supported", name));
        }
        if (Find(parameters, "binary_data", &value)) {
          auto binary = AsBool(value);
          if (!binary.ok()) return Unable("binary_data", binary.status());
          requested.binary = *binary;
        }
      }
      if (!repeated) out_->outputs.push_back(requested);  // as Triton: the first one counts
    }
  }
  // Whatever the order they were asked for in, outputs come in the model's, as from Triton.
  std::ranges::sort(out_->outputs, {}, &RequestedOutput::index);
  if (out_->outputs.empty()) {
    for (uint32_t i = 0; i < model_.outputs.size(); ++i)
      out_->outputs.push_back({i, binary_by_default_});
  }
  return OkStatus();
}

Status Decoder::CheckOutputEncoding() const {
  for (const RequestedOutput& output : out_->outputs) {
    const DType dtype = model_.outputs[output.index].dtype;
    if (!output.binary && (dtype == DType::kF16 || dtype == DType::kBF16)) {
      return InvalidArgument(fmt::format(
          "sending {} data via JSON is not supported. Please use the binary data format for output",
          KserveName(dtype)));
    }
  }
  return OkStatus();
}

Status Decoder::RunRaw(std::string_view bytes) {
  if (model_.inputs.size() != 1) {
    return InvalidArgument(
        fmt::format("{}Raw request must only have 1 input (found 1) to be deduced but got {} "
                    "inputs in '{}' model configuration",
                    Prefix(), model_.inputs.size(), model_.name));
  }
  const ipc::TensorInfo& input = model_.inputs[0];
  std::vector<int64_t> dims = input.shape;
  if (model_.batch_symbol >= 0) dims[0] = 1;
  size_t variable = dims.size();
  int64_t fixed = BytesPerElement(input.dtype);
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != ipc::kDynamicDim) {
      fixed *= dims[i];  // of a loaded plan: does not overflow
      continue;
    }
    if (variable != dims.size()) {
      return InvalidArgument(
          fmt::format("{}The shape of the raw input '{}' can not be deduced because there are more "
                      "than one variable-sized dimension",
                      Prefix(), input.name));
    }
    variable = i;
  }
  if (variable != dims.size() && fixed > 0) {
    dims[variable] = static_cast<int64_t>(bytes.size()) / fixed;
    fixed *= dims[variable];
  }
  if (static_cast<uint64_t>(fixed) != bytes.size()) {
    return InvalidArgument(
        fmt::format("{}input byte size mismatch for input '{}' for model '{}'. Expected {}, got {}",
                    Prefix(), input.name, model_.name, fixed, bytes.size()));
  }
  out_->inputs[0] = {input.dtype, Shape(dims), bytes.data()};
  for (uint32_t i = 0; i < model_.outputs.size(); ++i) out_->outputs.push_back({i, true});
  return OkStatus();
}

// The length of the JSON part, as Triton reads the header; but digits only, where Triton stops at
// the first letter.
Result<uint64_t> JsonLength(std::string_view text, uint64_t body_bytes) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec == std::errc::invalid_argument || (read.ec == std::errc() && read.ptr != end)) {
    return InvalidArgument(fmt::format("Unable to parse {}, got: {}", kLengthHeader, text));
  }
  if (read.ec != std::errc() || value > INT32_MAX || value < INT32_MIN) {
    return InvalidArgument(
        fmt::format("Unable to parse {}, value is out of range [ {}, {} ], got: {}", kLengthHeader,
                    INT32_MIN, INT32_MAX, text));
  }
  if (value < 0 || static_cast<uint64_t>(value) > body_bytes) {
    return InvalidArgument(
        fmt::format("inference header size should be in range (0, {}), got: {}", body_bytes, text));
  }
  return static_cast<uint64_t>(value);
}

}  // namespace

std::string RequestPrefix(const std::string& id) {
  return fmt::format("[request id: {}] ", id.empty() ? "<id_unknown>" : Shown(id));
}

Status DecodeInferRequest(const ipc::ModelInfo& model, std::string_view body,
                          std::optional<std::string_view> header_length, const DecodeLimits& limits,
                          ipc::BlockSource& memory, InferRequest* out) {
  *out = {};
  if (!header_length && body.empty()) {
    return InvalidArgument(
        "the request has no body; expected JSON with \"inputs\", or one tensor's bytes with "
        "Inference-Header-Content-Length: 0");
  }
  Decoder decoder(model, limits, memory, out);
  if (!header_length) return decoder.Run(body, {}, false);
  FUSEE_TRY(const uint64_t json_bytes, JsonLength(*header_length, body.size()));
  if (json_bytes == 0) return decoder.RunRaw(body);
  return decoder.Run(body.substr(0, json_bytes), body.substr(json_bytes), true);
}

}  // namespace fusee::server
