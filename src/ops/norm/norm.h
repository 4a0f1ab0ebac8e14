// The normalisations as their kernels see them: decoded parameters, and the geometry of one set of
// run-time shapes.
//
// All but batch norm and LRN work on independent groups of `count` elements. A group's elements lie
// `inner` apart (1: a contiguous row), groups are numbered (outer, inner).
#pragma once

#include <array>

#include "ops/kernel.h"

namespace fusee::ops {

// --- Softmax, LogSoftmax, LpNormalization: over axes [axis, axis + axes) together ---

struct AxisParams {
  std::string_view op;
  int axis = 0;
  int axes = 1;
  int64_t p = 2;  // LpNormalization
  DType dtype = DType::kInvalid;
};

struct AxisShape {
  int64_t outer = 1, count = 1, inner = 1;
};

Result<AxisParams> ParseAxisNorm(const StepSpec& spec);
AxisShape AxisGeometry(const AxisParams& params, const Shape& x);
Status CheckAxisNorm(const AxisParams& params, const RunArgs& args);

// --- LayerNormalization, RMSNormalization: over axes [axis, rank) ---

struct RowNormParams {
  std::string_view op;
  bool rms = false;  // no mean, no bias
  int axis = 0;
  int rank = 0;
  double epsilon = 1e-5;
  DType dtype = DType::kInvalid;
};

// Where scale or bias has the element for position j of a row.
struct RowOperand {
  bool contiguous = true;  // element j; else by strides
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{}, strides{};

  // constexpr: code of every device may call it.
  constexpr int64_t Index(int64_t j) const {
    if (contiguous) return j;
    int64_t index = 0;
    for (int i = rank - 1; i >= 0; --i) {
      const size_t d = static_cast<size_t>(i);
      index += j % dims[d] * strides[d];
      j /= dims[d];
    }
    return index;
  }
};

Result<RowNormParams> ParseRowNorm(const StepSpec& spec);
// Precondition: CheckRowNorm accepted the shapes.
RowOperand RowOperandOf(const RowNormParams& params, const Shape& x, const Shape& operand);
Status CheckRowNorm(const RowNormParams& params, const RunArgs& args);

// --- GroupNormalization, BatchNormalization, LRN: over channels, axis 1; of BatchNormalization
// with layout "NHWC" (ops/nn/window.h) the last axis ---

struct ChannelParams {
  std::string_view op;
  int64_t groups = 1;  // GroupNormalization
  double epsilon = 1e-5;
  bool channels_last = false;  // BatchNormalization only
  int64_t size = 1;            // LRN
  double alpha = 1e-4, beta = 0.75, bias = 1;
  DType dtype = DType::kInvalid;
};

struct ChannelShape {
  int64_t batch = 0, channels = 0, plane = 0;
};

Result<ChannelParams> ParseChannelNorm(const StepSpec& spec);
// channels_last: [batch, ..., channels] instead of [batch, channels, ...].
ChannelShape ChannelGeometry(const Shape& x, bool channels_last = false);
Status CheckChannelNorm(const ChannelParams& params, const RunArgs& args);

}  // namespace fusee::ops
