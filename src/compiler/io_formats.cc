#include "compiler/io_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "compiler/import.h"
#include "ops/op_def.h"
#include "passes/permutation.h"

namespace fusee::compiler {
namespace {

using passes::Permutation;

constexpr size_t kFewestAxes = 3, kMostAxes = 5;  // [N, C, L] to [N, C, D, H, W]
constexpr int64_t kPaddedChannels = 8;            // of hwc8

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI8,
                            DType::kI16, DType::kI32, DType::kI64,  DType::kU8,  DType::kU16,
                            DType::kU32, DType::kU64, DType::kBool};

// "fp16", "int64": trtexec's spelling is KServe's in small letters.
std::string TypeText(DType dtype) {
  if (IsNarrow(dtype)) return std::string(DTypeName(dtype));  // which trtexec has no names for
  std::string text(KserveName(dtype));
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Result<IoFormat> ParseOne(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return InvalidArgument(
        fmt::format("'{}' is not TYPE:FORMAT, as in fp16:chw or fp32:hwc", text));
  }
  const std::string_view type = text.substr(0, colon), layout = text.substr(colon + 1);
  IoFormat format;
  for (DType dtype : kTypes) {
    if (TypeText(dtype) == type) format.dtype = dtype;
  }
  if (format.dtype == DType::kInvalid) {
    std::vector<std::string> names;
    for (DType dtype : kTypes) names.push_back(TypeText(dtype));
    return InvalidArgument(fmt::format("'{}': there is no type '{}'; expected one of {}", text,
                                       type, fmt::join(names, ", ")));
  }
  format.channels_last = layout == "hwc" || layout == "hwc8";
  format.asked_padding = layout == "hwc8";
  if (!format.channels_last && layout != "chw") {
    return InvalidArgument(
        fmt::format("'{}': there is no format '{}'; expected chw, hwc or hwc8", text, layout));
  }
  return format;
}

bool MayBecome(DType own, DType asked) {
  return own == asked ||
         (IsFloat(own) && (asked == DType::kF32 || asked == DType::kF16 || asked == DType::kBF16));
}

// One side of the interface: the inputs, or the outputs.
class Side {
 public:
  Side(ImportedModel& model, bool is_input) : model_(model), is_input_(is_input) {}

  // One format for each value, checked. Precondition: given is not empty.
  Result<std::vector<IoFormat>> Resolve(std::span<const IoFormat> given) const {
    const size_t count = Ids().size();
    if (given.size() != 1 && given.size() != count) {
      return InvalidArgument(fmt::format(
          "{} lists {} formats, but the model has {} {}{}; give one for each, in the model's "
          "order, "
          "or one for all: {}",
          Option(), given.size(), count, Noun(), count == 1 ? "" : "s", Example(given)));
    }
    std::vector<IoFormat> formats;
    for (size_t i = 0; i < count; ++i) {
      formats.push_back(given.size() == 1 ? given[0] : given[i]);
      if (const std::string why = WhyNot(i, formats[i]); !why.empty()) {
        return InvalidArgument(fmt::format("{}: {} '{}' {}; say for example {}", Option(), Noun(),
                                           NameOf(i), why, Example(given)));
      }
    }
    return formats;
  }

  Status Apply(const std::vector<IoFormat>& formats) {
    for (size_t i = 0; i < formats.size(); ++i) {
      NotePadding(i, formats[i]);
      FUSEE_TRY(is_input_ ? ApplyToInput(i, formats[i]) : ApplyToOutput(i, formats[i]));
    }
    (is_input_ ? model_.input_formats : model_.output_formats) = formats;
    return OkStatus();
  }

 private:
  ir::Graph& graph() const { return *model_.graph; }
  std::span<const ir::ValueId> Ids() const {
    return is_input_ ? graph().inputs() : graph().outputs();
  }
  const ir::ValueInfo& InfoOf(size_t i) const { return graph().value(Ids()[i]).info; }
  std::string NameOf(size_t i) const {
    return is_input_ ? graph().value(Ids()[i]).name : std::string(graph().output_names()[i]);
  }
  std::string_view Noun() const { return is_input_ ? "input" : "output"; }
  std::string_view Option() const { return is_input_ ? "--inputIOFormats" : "--outputIOFormats"; }
  // What the nodes at the border stand for, in reports.
  std::string Source(size_t i) const { return fmt::format("{} {}", Noun(), NameOf(i)); }

  bool IsPinned(size_t i) const {
    return is_input_ && std::ranges::any_of(graph().pinned_inputs(), [&](const ir::PinnedInput& p) {
             return p.value == Ids()[i];
           });
  }

  // Why this value cannot have the format, or "".
  std::string WhyNot(size_t i, const IoFormat& format) const {
    const ir::ValueInfo& info = InfoOf(i);
    const std::string asked = IoFormatText(format);
    if (IsPinned(i) && (format.dtype != info.dtype || format.channels_last)) {
      return fmt::format("is pinned to a value and stays {}:chw, but {} is asked for",
                         TypeText(info.dtype), asked);
    }
    if (!MayBecome(info.dtype, format.dtype)) {
      return IsFloat(info.dtype)
                 ? fmt::format("is {} and may become fp32, fp16 or bf16, but {} is asked for",
                               TypeText(info.dtype), asked)
                 : fmt::format("is {} and keeps that type, but {} is asked for",
                               TypeText(info.dtype), asked);
    }
    const size_t rank = info.shape.size();
    if (format.channels_last && (rank < kFewestAxes || rank > kMostAxes)) {
      return fmt::format("is {} of rank {}, and hwc is for [N, C, spatial...] of rank {} to {}",
                         ir::ToString(info.shape), rank, kFewestAxes, kMostAxes);
    }
    return "";
  }

  // The whole option, as near to what was given as this model takes.
  std::string Example(std::span<const IoFormat> given) const {
    std::vector<std::string> entries;
    for (size_t i = 0; i < Ids().size(); ++i) {
      IoFormat format = given.size() == 1 ? given[0] : i < given.size() ? given[i] : IoFormat{};
      const size_t rank = InfoOf(i).shape.size();
      if (IsPinned(i) || !MayBecome(InfoOf(i).dtype, format.dtype)) format.dtype = InfoOf(i).dtype;
      if (IsPinned(i) || rank < kFewestAxes || rank > kMostAxes) format.channels_last = false;
      entries.push_back(IoFormatText(format));
    }
    return fmt::format("{}={}", Option(), fmt::join(entries, ","));
  }

  void NotePadding(size_t i, const IoFormat& format) {
    if (!format.asked_padding) return;
    const ir::Dim channels = InfoOf(i).shape[1];
    if (channels.is_constant() && channels.constant() % kPaddedChannels == 0) return;
    model_.notes.push_back(
        fmt::format("{} '{}': hwc8 is hwc here, its {} channels are not padded to a multiple of {}",
                    Noun(), NameOf(i), channels.ToString(), kPaddedChannels));
  }

  // Transpose(value), if there is anything to transpose.
  ir::ValueId Moved(ir::ValueId value, const std::optional<Permutation>& perm,
                    const std::string& name, size_t i, ir::NodeId before) {
    if (!perm) return value;
    return passes::AddTranspose(graph(), value, *perm, name, {Source(i)}, before);
  }

  Result<ir::ValueId> Converted(ir::ValueId value, DType dtype, const std::string& name, size_t i,
                                ir::NodeId before) {
    if (graph().value(value).info.dtype == dtype) return value;
    ir::Node cast;
    cast.op = "Cast";
    cast.inputs = {value};
    cast.attrs.Set("to", static_cast<int64_t>(dtype));
    cast.sources = {Source(i)};
    const std::string names[] = {graph().FreshName(fmt::format("{}/{}", name, DTypeName(dtype)))};
    FUSEE_TRY(const std::vector<ir::ValueId> ids,
              ops::AddInferredNode(graph(), std::move(cast), names, before));
    return ids[0];
  }

  // The value in type `to` and transposed, transposing in the narrower type.
  Result<ir::ValueId> Bordered(ir::ValueId value, DType to, const std::optional<Permutation>& perm,
                               std::string_view layout, size_t i, ir::NodeId before) {
    const std::string name = NameOf(i);
    const std::string moved = fmt::format("{}/{}", name, layout);
    if (BitsPerElement(to) < BitsPerElement(graph().value(value).info.dtype)) {
      FUSEE_TRY(const ir::ValueId converted, Converted(value, to, name, i, before));
      return Moved(converted, perm, moved, i, before);
    }
    return Converted(Moved(value, perm, moved, i, before), to, name, i, before);
  }

  Status ApplyToInput(size_t i, const IoFormat& format) {
    const ir::ValueId input = Ids()[i];
    ir::ValueInfo& info = graph().value(input).info;
    const DType own = info.dtype;
    if (format.dtype == own && !format.channels_last) return OkStatus();
    const size_t rank = info.shape.size();
    info.dtype = format.dtype;
    std::optional<Permutation> perm;
    if (format.channels_last) {
      const Permutation to_last = passes::ToChannelsLast(rank);
      info.shape = passes::Permuted(info.shape, to_last);
      for (SymbolSource& symbol : model_.symbols) {
        if (symbol.input == i && symbol.axis >= 0)
          symbol.axis = static_cast<int>(std::ranges::find(to_last, symbol.axis) - to_last.begin());
      }
      perm = passes::ToChannelsFirst(rank);
    }
    const ir::NodeId first = graph().order().empty() ? ir::NodeId() : graph().order().front();
    FUSEE_TRY(const ir::ValueId inner, Bordered(input, own, perm, "chw", i, first));
    // All that read the input read what was made of it, but for the first of the new nodes.
    ir::NodeId border = graph().value(inner).producer;
    while (graph().node(border).inputs[0] != input)
      border = graph().value(graph().node(border).inputs[0]).producer;
    graph().ReplaceAllUses(input, inner);
    graph().node(border).inputs[0] = input;
    return OkStatus();
  }

  Status ApplyToOutput(size_t i, const IoFormat& format) {
    std::optional<Permutation> perm;
    if (format.channels_last) perm = passes::ToChannelsLast(InfoOf(i).shape.size());
    FUSEE_TRY(const ir::ValueId outer,
              Bordered(Ids()[i], format.dtype, perm, "hwc", i, ir::NodeId()));
    graph().SetOutput(i, outer);
    return OkStatus();
  }

  ImportedModel& model_;
  const bool is_input_;
};

}  // namespace

Result<std::vector<IoFormat>> ParseIoFormats(std::string_view text) {
  std::vector<IoFormat> formats;
  size_t start = 0;
  while (true) {
    const size_t end = std::min(text.find(',', start), text.size());
    FUSEE_TRY(const IoFormat format, ParseOne(text.substr(start, end - start)));
    formats.push_back(format);
    if (end == text.size()) return formats;
    start = end + 1;
  }
}

std::string IoFormatText(const IoFormat& format) {
  return fmt::format("{}:{}", TypeText(format.dtype), format.channels_last ? "hwc" : "chw");
}

Status ApplyIoFormats(std::span<const IoFormat> inputs, std::span<const IoFormat> outputs,
                      ImportedModel* model) {
  // Both are resolved first: an output may be an input, and is judged as the model has it.
  Side in(*model, true), out(*model, false);
  std::vector<IoFormat> input_formats, output_formats;
  if (!inputs.empty()) {
    FUSEE_TRY(input_formats, in.Resolve(inputs));
  }
  if (!outputs.empty()) {
    FUSEE_TRY(output_formats, out.Resolve(outputs));
  }
  FUSEE_TRY(in.Apply(input_formats));
  return out.Apply(output_formats);
}

}  // namespace fusee::compiler
