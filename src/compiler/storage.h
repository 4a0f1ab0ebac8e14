// Storage assignment: which values share bytes, and when each piece of storage is alive. The input
// of the memory planner. Views join their operand's storage; a result may take over the storage of
// an operand that dies.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/memory.h"
#include "compiler/select.h"
#include "ir/graph.h"

namespace fusee::compiler {

enum class StorageKind : uint8_t { kNone, kConstant, kInput, kOutput, kActivation };

struct Storage {
  StorageKind kind = StorageKind::kNone;
  ir::ValueId root;  // the value that owns the bytes: the constant, the input, or the first written
  uint32_t io_index = 0;  // kInput, kOutput: which
  Lifetime
      lifetime;  // kActivation; steps count kernels, views excluded; size at the profile's maximum
};

// Index: ValueId::index(). Every live value has a storage index; values that share bytes share it.
struct StorageAssignment {
  std::vector<uint32_t> of_value;  // index into storages; kNoStorage for dead values
  std::vector<Storage> storages;
  static constexpr uint32_t kNoStorage = 0xffffffffu;

  const Storage& storage(ir::ValueId id) const { return storages[of_value[id.index()]]; }
};

// Precondition: SeparateOutputs ran. Errors: kResourceExhausted from SpecOf.
Result<StorageAssignment> AssignStorage(const ir::Graph& graph,
                                        const std::vector<SelectedNode>& selection, bool in_place);

}  // namespace fusee::compiler
