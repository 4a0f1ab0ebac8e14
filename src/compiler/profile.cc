#include "compiler/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace fusee::compiler {
namespace {

// What an input without a profile gets on its first axis.
constexpr int64_t kDefaultBatchBuckets[] = {1, 2, 4, 8};

Result<std::vector<int64_t>> ParseShape(std::string_view text) {
  if (text == "[]" || text == "scalar") return std::vector<int64_t>();
  std::vector<int64_t> dims;
  size_t start = 0;
  while (true) {
    const size_t end = std::min(text.find('x', start), text.size());
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data() + start, text.data() + end, value);
    if (error != std::errc() || stop != text.data() + end || value < 0 || value > INT32_MAX) {
      return InvalidArgument(fmt::format(
          "'{}' is not a shape; expected numbers of 0 to {} joined by x, as in 1x3x224x224", text,
          INT32_MAX));
    }
    dims.push_back(value);
    if (end == text.size()) break;
    start = end + 1;
  }
  if (dims.size() > kMaxRank)
    return InvalidArgument(fmt::format("shape '{}' has more than {} axes", text, kMaxRank));
  return dims;
}

std::vector<std::string_view> SplitAt(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  while (true) {
    const size_t end = std::min(text.find(separator, start), text.size());
    parts.push_back(text.substr(start, end - start));
    if (end == text.size()) return parts;
    start = end + 1;
  }
}

std::string ShapeText(std::span<const int64_t> dims) {
  return dims.empty() ? "[]" : fmt::format("{}", fmt::join(dims, "x"));
}

// As the model declares it: "Nx1x8x8", with ? for a dimension without a name.
std::string ShapeText(const onnx::ValueDecl& decl) {
  std::vector<std::string> dims;
  for (const onnx::DimDecl& d : decl.shape) {
    dims.push_back(d.value ? std::to_string(*d.value) : d.name.empty() ? "?" : std::string(d.name));
  }
  return dims.empty() ? "[]" : fmt::format("{}", fmt::join(dims, "x"));
}

// "1, 8, 32".
std::string ValuesText(std::span<const int64_t> values) {
  return fmt::format("{}", fmt::join(values, ", "));
}

// Dimension names become identifiers of the IR's text form; ONNX allows any string.
std::string SymbolName(std::string_view declared, std::string_view input, size_t axis) {
  std::string name = declared.empty() ? fmt::format("{}.{}", input, axis) : std::string(declared);
  for (char& c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.';
    if (!ok) c = '_';
  }
  if (name[0] >= '0' && name[0] <= '9') name.insert(0, "d");
  return name;
}

// The values one symbol takes over the tuned points, and who said so.
struct SymbolPoints {
  std::vector<int64_t> values;
  int64_t opt = 0;
  std::string said_by;
  bool defaulted = false;
};

class Resolver {
 public:
  explicit Resolver(const BuildOptions& options) : options_(options) {}

  Result<ResolvedProfile> Resolve(std::span<const onnx::ValueDecl* const> inputs) {
    for (const auto& profile : options_.profiles) {
      const std::string& name = profile.first;
      const bool known =
          std::ranges::any_of(inputs, [&](const onnx::ValueDecl* d) { return d->name == name; });
      if (!known) {
        std::vector<std::string_view> names;
        for (const onnx::ValueDecl* d : inputs) names.push_back(d->name);
        return NotFound(fmt::format(
            "the profile names input '{}', which the model does not have; its inputs are: {}", name,
            fmt::join(names, ", ")));
      }
    }
    // Given profiles first, so that a symbol shared with an input that has none is not defaulted.
    for (const onnx::ValueDecl* decl : inputs) FUSEE_TRY(ReadProfile(*decl));
    FUSEE_TRY(CountPoints());
    for (size_t i = 0; i < inputs.size(); ++i)
      FUSEE_TRY(AddInput(*inputs[i], static_cast<uint32_t>(i)));
    return Finish();
  }

 private:
  const InputProfile* ProfileOf(std::string_view input) const {
    const auto it = options_.profiles.find(std::string(input));
    return it == options_.profiles.end() ? nullptr : &it->second;
  }

  Status ReadProfile(const onnx::ValueDecl& decl) {
    const InputProfile* profile = ProfileOf(decl.name);
    if (profile == nullptr) return OkStatus();
    if (profile->shapes.empty())
      return InvalidArgument(fmt::format("the profile of '{}' lists no shape", decl.name));
    auto shapes = profile->shapes;
    if (profile->opt) shapes.push_back(*profile->opt);
    const size_t rank = decl.has_shape ? decl.shape.size() : shapes[0].size();
    for (const auto& shape : shapes) {
      if (shape.size() != rank) {
        return InvalidArgument(fmt::format(
            "the profile of '{}' has shape {} of rank {}, {}", decl.name, ShapeText(shape),
            shape.size(),
            decl.has_shape ? fmt::format("the model declares {} of rank {}", ShapeText(decl), rank)
                           : fmt::format("its first shape has rank {}", rank)));
      }
    }
    for (size_t axis = 0; axis < rank; ++axis) FUSEE_TRY(ReadAxis(decl, *profile, axis));
    return OkStatus();
  }

  Status ReadAxis(const onnx::ValueDecl& decl, const InputProfile& profile, size_t axis) {
    SymbolPoints points;
    points.said_by = std::string(decl.name);
    for (const auto& shape : profile.shapes) points.values.push_back(shape[axis]);
    if (!std::ranges::is_sorted(points.values)) {
      return InvalidArgument(
          fmt::format("the profile of '{}' lists {} for axis {}, which is not ascending; list its "
                      "shapes from the smallest to the largest",
                      decl.name, ValuesText(points.values), axis));
    }
    points.opt = profile.opt ? (*profile.opt)[axis] : points.values[points.values.size() / 2];
    if (points.opt < points.values.front() || points.opt > points.values.back()) {
      return InvalidArgument(
          fmt::format("the profile of '{}': opt {} of axis {} is outside its minimum and maximum, "
                      "{} to {}",
                      decl.name, points.opt, axis, points.values.front(), points.values.back()));
    }
    const std::optional<int64_t> fixed = decl.has_shape ? decl.shape[axis].value : std::nullopt;
    if (fixed) {
      const auto other =
          std::ranges::find_if(points.values, [&](int64_t v) { return v != *fixed; });
      if (other != points.values.end()) {
        return InvalidArgument(
            fmt::format("the profile of '{}' gives axis {} the size {}, but the model fixes {}: {}",
                        decl.name, axis, *other, *fixed, ShapeText(decl)));
      }
      return OkStatus();
    }
    const std::string symbol =
        SymbolName(decl.has_shape ? decl.shape[axis].name : "", decl.name, axis);
    const auto [it, fresh] = points_.emplace(symbol, points);
    if (!fresh && it->second.values != points.values) {
      return InvalidArgument(
          fmt::format("the profiles of '{}' and '{}' disagree on dimension '{}': {} and {}; both "
                      "must list the same",
                      it->second.said_by, decl.name, symbol, ValuesText(it->second.values),
                      ValuesText(points.values)));
    }
    return OkStatus();
  }

  // Profiles are lists of tuples: entry i of every input belongs together.
  Status CountPoints() {
    point_count_ = 1;
    const SymbolPoints* first = nullptr;
    for (const auto& [symbol, points] : points_) {
      const size_t n = points.values.size();
      if (n == 1) continue;
      if (first != nullptr && n != point_count_) {
        return InvalidArgument(
            fmt::format("profiles must list equally many shapes, or one; '{}' lists {}, '{}' {}",
                        first->said_by, point_count_, points.said_by, n));
      }
      first = &points;
      point_count_ = n;
    }
    return OkStatus();
  }

  Status AddInput(const onnx::ValueDecl& decl, uint32_t index) {
    const std::optional<DType> dtype = DTypeFromOnnx(decl.onnx_type);
    if (decl.kind != onnx::ValueDecl::Kind::kTensor || !dtype) {
      const std::string_view what = decl.kind == onnx::ValueDecl::Kind::kTensor
                                        ? OnnxTypeName(decl.onnx_type)
                                        : std::string_view("not a dense tensor");
      return Unimplemented(
          fmt::format("model input '{}' is {}, which Fusee does not take; cut the model behind it "
                      "with onnx.utils.extract_model",
                      decl.name, what));
    }
    ResolvedInput input{std::string(decl.name), *dtype, {}};
    const InputProfile* profile = ProfileOf(decl.name);
    if (!decl.has_shape && profile == nullptr) {
      return InvalidArgument(fmt::format(
          "model input '{}' declares no shape; say it with --shape-profile {}:1x3x224x224",
          decl.name, decl.name));
    }
    const size_t rank = decl.has_shape ? decl.shape.size() : profile->shapes[0].size();
    if (rank > kMaxRank) {
      return Unimplemented(fmt::format("model input '{}' has rank {}, above the limit of {}",
                                       decl.name, rank, kMaxRank));
    }
    for (size_t axis = 0; axis < rank; ++axis) {
      if (decl.has_shape && decl.shape[axis].value) {
        if (*decl.shape[axis].value < 0) {
          return InvalidArgument(fmt::format("model input '{}' declares a negative dimension {}",
                                             decl.name, *decl.shape[axis].value));
        }
        input.shape.push_back(*decl.shape[axis].value);
        continue;
      }
      FUSEE_TRY(ir::Dim dim, SymbolicAxis(decl, index, axis));
      input.shape.push_back(std::move(dim));
    }
    result_.inputs.push_back(std::move(input));
    return OkStatus();
  }

  Result<ir::Dim> SymbolicAxis(const onnx::ValueDecl& decl, uint32_t index, size_t axis) {
    const std::string symbol =
        SymbolName(decl.has_shape ? decl.shape[axis].name : "", decl.name, axis);
    auto it = points_.find(symbol);
    if (it == points_.end()) {
      if (axis != 0) {
        return InvalidArgument(
            fmt::format("input '{}' has the dynamic dimension '{}' (axis {}) and no profile says "
                        "how large it gets; "
                        "say for example --shape-profile {}:MIN,OPT,MAX with shapes such as {}",
                        decl.name, symbol, axis, decl.name, ExampleShape(decl)));
      }
      it = points_.emplace(symbol, DefaultPoints()).first;
      result_.notes.push_back(
          fmt::format("dimension '{}' of input '{}' has no profile: built for {}", symbol,
                      decl.name, fmt::join(it->second.values, ", ")));
    }
    const SymbolPoints& points = it->second;
    if (points.values.front() == points.values.back()) return ir::Dim(points.values.front());
    if (!result_.ranges.contains(symbol)) {
      result_.ranges[symbol] = {points.values.front(), points.values.back()};
      result_.symbols.push_back({symbol, index, static_cast<int>(axis)});
    }
    return ir::Dim::Symbol(symbol);
  }

  SymbolPoints DefaultPoints() {
    SymbolPoints points;
    points.defaulted = true;
    points.values.assign(std::begin(kDefaultBatchBuckets), std::end(kDefaultBatchBuckets));
    if (point_count_ > 1) {  // join the tuples that other inputs list
      points.values.assign(point_count_, kDefaultBatchBuckets[3]);
      for (size_t i = 0; i < std::min<size_t>(point_count_, 4); ++i)
        points.values[i] = kDefaultBatchBuckets[i];
      std::ranges::sort(points.values);
    } else {
      point_count_ = points.values.size();
    }
    points.opt = points.values.back();
    return points;
  }

  static std::string ExampleShape(const onnx::ValueDecl& decl) {
    std::vector<int64_t> dims;
    for (const onnx::DimDecl& d : decl.shape)
      dims.push_back(d.value.value_or(dims.empty() ? 1 : 128));
    return ShapeText(dims);
  }

  Result<ResolvedProfile> Finish() {
    for (size_t i = 0; i < point_count_; ++i) {
      ProfilePoint point;
      for (const SymbolSource& s : result_.symbols) {
        const SymbolPoints& points = points_.at(s.name);
        point.values[s.name] = points.values[std::min(i, points.values.size() - 1)];
      }
      if (result_.buckets.empty() || !(result_.buckets.back() == point))
        result_.buckets.push_back(std::move(point));
    }
    for (const SymbolSource& s : result_.symbols)
      result_.opt.values[s.name] = points_.at(s.name).opt;
    return std::move(result_);
  }

  const BuildOptions& options_;
  std::map<std::string, SymbolPoints> points_;
  size_t point_count_ = 1;
  ResolvedProfile result_;
};

}  // namespace

Result<NamedProfile> ParseShapeProfile(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return InvalidArgument(fmt::format(
        "'{}' is not a profile; expected NAME:SHAPE[,SHAPE...], as in x:1x8,4x8,16x8", text));
  }
  if (colon + 1 == text.size()) {
    return InvalidArgument(
        fmt::format("'{}' names no shape after the colon; expected NAME:SHAPE[,SHAPE...], as in "
                    "x:1x8,4x8,16x8",
                    text));
  }
  NamedProfile named{std::string(text.substr(0, colon)), {}};
  for (std::string_view part : SplitAt(text.substr(colon + 1), ',')) {
    auto shape = ParseShape(part);
    if (!shape.ok()) return std::move(shape).status().Annotate(fmt::format("in '{}'", text));
    named.profile.shapes.push_back(std::move(shape).value());
  }
  return named;
}

Result<std::vector<std::pair<std::string, std::vector<int64_t>>>> ParseNamedShapes(
    std::string_view text) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> named;
  for (std::string_view part : SplitAt(text, ',')) {
    const size_t colon = part.rfind(':');
    if (colon == std::string_view::npos || colon == 0) {
      return InvalidArgument(fmt::format("'{}' is not NAME:SHAPE, as in x:1x3x224x224", part));
    }
    FUSEE_TRY(std::vector<int64_t> shape, ParseShape(part.substr(colon + 1)));
    named.emplace_back(std::string(part.substr(0, colon)), std::move(shape));
  }
  return named;
}

Result<ResolvedProfile> ResolveProfile(std::span<const onnx::ValueDecl* const> inputs,
                                       const BuildOptions& options) {
  return Resolver(options).Resolve(inputs);
}

}  // namespace fusee::compiler
