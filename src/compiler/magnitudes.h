// The largest magnitudes that a graph's values take on a few runs: what the precision pass decides
// overflow by. The graph is run as it is, in float32, by the CPU's fast kernels.
#pragma once

#include "base/status.h"
#include "compiler/import.h"
#include "device/parallel.h"
#include "ir/graph.h"
#include "quant/convert_precision.h"

namespace fusee::compiler {

// Runs the graph at its profile's smallest point on seeded inputs (uniform ones, and ones)
// and keeps each float value's maximum by name. Values that no step writes (constants,
// inputs, views) are missing or as their step wrote them. Errors: of selection, emission and the
// runtime; a run that refuses made-up inputs is skipped.
Result<quant::Magnitudes> MeasureMagnitudes(const ImportedModel& model, const ir::Graph& graph,
                                            Parallel* parallel);

}  // namespace fusee::compiler
