#include "ops/movement/tracked.h"

#include <fmt/format.h>

#include <algorithm>

namespace fusee::ops {

std::optional<DimVector> KnownElements(const InferContext& context, size_t i) {
  const ir::ValueInfo& info = context.input(i);
  if (info.elements) return info.elements;
  const Tensor& constant = context.constant(i);
  if (!constant.present() || !IsTrackable(info.dtype, info.shape)) return std::nullopt;
  DimVector elements;
  for (int64_t k = 0; k < constant.elements(); ++k) {
    const int64_t value = IntAt(constant.view(), k);
    if (value < 0 && IsUnsignedInt(info.dtype)) return std::nullopt;  // u64 beyond what a Dim holds
    elements.emplace_back(value);
  }
  return elements;
}

bool IsTrackable(DType dtype, const ir::SymShape& shape) {
  if (!IsInt(dtype) && dtype != DType::kBool) return false;
  int64_t count = 1;
  for (const ir::Dim& d : shape) {
    if (!d.is_constant() || d.constant() < 0 || d.constant() > ir::kMaxTrackedElements)
      return false;
    count *= d.constant();
    if (count > ir::kMaxTrackedElements) return false;
  }
  return true;
}

std::optional<DimVector> MapElements(
    const ir::SymShape& shape,
    const std::function<std::optional<ir::Dim>(std::span<const int64_t>)>& source) {
  int64_t count = 1;
  for (const ir::Dim& d : shape) count *= d.constant();
  DimVector elements;
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t k = 0; k < count; ++k) {
    std::optional<ir::Dim> element = source(index);
    if (!element) return std::nullopt;
    elements.push_back(std::move(*element));
    for (size_t a = shape.size(); a-- > 0;) {
      if (++index[a] < shape[a].constant()) break;
      index[a] = 0;
    }
  }
  return elements;
}

size_t FlatIndex(const ir::SymShape& shape, std::span<const int64_t> index) {
  int64_t flat = 0;
  for (size_t a = 0; a < shape.size(); ++a) flat = flat * shape[a].constant() + index[a];
  return static_cast<size_t>(flat);
}

Result<std::vector<int64_t>> NormaliseAxes(const ImportContext& context, std::vector<int64_t> axes,
                                           int rank) {
  for (int64_t& axis : axes) {
    FUSEE_TRY(const int normal, context.Axis(axis, rank));
    axis = normal;
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
    return context.Error("an axis is named twice");
  }
  return axes;
}

}  // namespace fusee::ops
