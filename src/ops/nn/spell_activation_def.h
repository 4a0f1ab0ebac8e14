// The activation that FusedConv and FusedGemm of com.microsoft name by a string, as a node of its
// own: fuse_bias_activation puts it back where a kernel can take it.
#pragma once

#include <optional>
#include <string>

#include "ops/nn/speller_def.h"

namespace fusee::ops {

// Parameters in the order of the activation's own attributes; a missing one has that operator's
// default. An empty name gives x itself. Errors: kUnimplemented for a name that is not known;
// kInvalidArgument when Clip lacks its bounds.
Result<ir::ValueId> SpellActivation(ImportContext& context, ir::ValueId x, const std::string& name,
                                    std::optional<double> alpha, std::optional<double> beta);

}  // namespace fusee::ops
