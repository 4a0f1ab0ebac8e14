// How a model's output shapes follow from its input shapes, as plain data: what a process that
// holds no plan needs to answer ipc::Model::OutputShapes.
//
// dims[i] is a constant, a symbol of ModelInfo::symbols, or an operation on two earlier entries; a
// tensor's shape is a list of indices into dims.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "ipc/executor.h"
#include "tensor/dim_program.h"
#include "tensor/shape.h"

namespace fusee::ipc {

// Bounds on what one model may hold, so that one message describes it and one message names the
// tensors of a full batch.
inline constexpr size_t kModelTensorsMax = 240;  // inputs and outputs together
inline constexpr size_t kModelSymbolsMax = 64;
inline constexpr size_t kModelBucketsMax = 1024;
inline constexpr size_t kModelDimsMax = 8192;
inline constexpr size_t kModelTextMax = 4096;

struct ShapeProgram {
  using Op = DimOp;
  using Expr = DimExpr;
  // Two dimensions that must be equal, and the words for a request in which they are not.
  struct Equal {
    uint32_t a = 0, b = 0;
    std::string reason;
  };
  std::vector<Expr> dims;
  std::vector<std::vector<uint32_t>> inputs, outputs;
  std::vector<Equal> equal;
};

// Whether everything in a description that came from another process may be used: counts within the
// limits above, indices in range, ranks that agree, finite times. After this neither OutputShapes
// nor anybody who reads the ModelInfo can be led astray. Errors: kInvalidArgument naming the part.
Status CheckModel(const ModelInfo& info, const ShapeProgram& program);

// ipc::Model::OutputShapes. Precondition: CheckModel said yes (a verified plan's always passes but
// for the limits), and there is one shape for each input and output. Thread-safe; allocates a
// little.
Status OutputShapes(const ModelInfo& info, const ShapeProgram& program,
                    std::span<const Shape> inputs, std::span<Shape> outputs);

}  // namespace fusee::ipc
