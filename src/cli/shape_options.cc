#include "cli/shape_options.h"

#include <fmt/format.h>

#include <charconv>

#include "compiler/profile.h"
#include "onnx/model.h"
#include "tensor/tensor_file.h"

namespace fusee::cli {
namespace {

// A tensor file by its suffix: .npy, else a serialised TensorProto.
Result<Tensor> LoadTensor(const std::string& path) {
  if (path.ends_with(".npy")) return ReadNpy(path);
  return onnx::LoadTensorFile(path);
}

}  // namespace

void ShapeOptions::Add(CLI::App& app) {
  app.add_option("--shape-profile", profiles,
                 "NAME:SHAPE[,SHAPE...]: the shapes to build input NAME for, ascending; the first "
                 "is the minimum, the "
                 "last the maximum, each a tuned point. Repeat per input")
      ->allow_extra_args(false);
  app.add_option("--shapes", fixed,
                 "trtexec: NAME:SHAPE[,NAME:SHAPE...], the one shape of each input");
  app.add_option("--minShapes", min, "trtexec: smallest shape of each input");
  app.add_option("--optShapes", opt, "trtexec: shape of each input to favour");
  app.add_option("--maxShapes", max, "trtexec: largest shape of each input");
  app.add_option(
         "--pin", pins,
         "NAME=FILE: fix an input's value at build; FILE is .npy or a serialised TensorProto")
      ->allow_extra_args(false);
  app.add_option(
         "--bound", bounds,
         "NODE/RESULT:AXIS=N: the most that a size may be which depends on the data, such as "
         "how many elements are not zero; memory is set aside for it. `fusee inspect` of a "
         "plan lists these sizes")
      ->allow_extra_args(false);
}

Status ShapeOptions::Apply(compiler::BuildOptions* options) const {
  for (const std::string& text : profiles) {
    auto named = compiler::ParseShapeProfile(text);
    if (!named.ok()) return std::move(named).status().Annotate("--shape-profile");
    if (!options->profiles.emplace(named->name, named->profile).second) {
      return InvalidArgument(fmt::format(
          "--shape-profile names input '{0}' twice; give all its shapes in one: {0}:MIN,OPT,MAX",
          named->name));
    }
  }
  const auto add = [&](const std::string& text, std::string_view option, auto&& place) -> Status {
    if (text.empty()) return OkStatus();
    auto named = compiler::ParseNamedShapes(text);
    if (!named.ok()) return std::move(named).status().Annotate(option);
    for (auto& [name, shape] : *named) place(options->profiles[name], std::move(shape));
    return OkStatus();
  };
  using compiler::InputProfile;
  FUSEE_TRY(add(fixed, "--shapes",
                [](InputProfile& p, std::vector<int64_t> s) { p.shapes = {std::move(s)}; }));
  FUSEE_TRY(add(min, "--minShapes",
                [](InputProfile& p, std::vector<int64_t> s) { p.shapes = {std::move(s)}; }));
  FUSEE_TRY(add(opt, "--optShapes",
                [](InputProfile& p, std::vector<int64_t> s) { p.opt = std::move(s); }));
  FUSEE_TRY(add(max, "--maxShapes", [](InputProfile& p, std::vector<int64_t> s) {
    if (p.opt && (p.shapes.empty() || *p.opt != p.shapes.back()) && *p.opt != s)
      p.shapes.push_back(*p.opt);
    if (p.shapes.empty() || p.shapes.back() != s) p.shapes.push_back(std::move(s));
  }));
  for (auto& [name, profile] : options->profiles) {
    // Only --optShapes given: that is the one shape, as trtexec takes it.
    if (profile.shapes.empty() && profile.opt) profile.shapes = {*profile.opt};
  }
  for (const std::string& pin : pins) {
    const size_t equals = pin.find('=');
    if (equals == std::string::npos || equals == 0)
      return InvalidArgument(fmt::format("--pin '{}' is not NAME=FILE", pin));
    FUSEE_TRY(Tensor tensor, LoadTensor(pin.substr(equals + 1)));
    options->pins[pin.substr(0, equals)] = std::move(tensor);
  }
  for (const std::string& bound : bounds) {
    const size_t equals = bound.rfind('=');
    int64_t most = -1;
    if (equals != std::string::npos) {
      const char* last = bound.data() + bound.size();
      const auto [end, error] = std::from_chars(bound.data() + equals + 1, last, most);
      if (error != std::errc() || end != last) most = -1;
    }
    const std::string name = bound.substr(0, std::min(equals, bound.size()));
    if (most < 0 || most > INT32_MAX || name.find('/') == std::string::npos ||
        name.rfind(':') == std::string::npos) {
      return InvalidArgument(
          fmt::format("--bound '{}' is not NODE/RESULT:AXIS=N with N from 0 to {}, as in "
                      "nonzero_0/i:1=100",
                      bound, INT32_MAX));
    }
    if (!options->bounds.emplace(name, most).second)
      return InvalidArgument(fmt::format("--bound names '{}' twice", name));
  }
  return OkStatus();
}

}  // namespace fusee::cli
