// If, written out: both courses of every run-time condition stand in the graph, their nodes guarded
// by it (ir::Node::guards), and a Where chooses each result.
//
//   %y = If(%c, %x) regions {          %a = Exp(%x) when(%c)
//     graph "then" { %a = Exp(%x) }    %b = Neg(%x) when(!%c)
//     graph "else" { %b = Neg(%x) }    %y = Where(%c, %a, %b)
//   }
//
// What stands in a region of a region has the guards of both. The value that a Where does not
// choose was never computed; no other node reads such a value.
#pragma once

#include "base/status.h"
#include "ir/graph.h"

namespace fusee::compiler {

// After this no pass runs: passes know no guards. Results keep their names; a node whose condition
// is a constant by now leaves the nodes of one course. Errors: kUnimplemented where Where takes no
// such type. Cost: O(nodes).
Status LowerIf(ir::Graph& graph);

}  // namespace fusee::compiler
