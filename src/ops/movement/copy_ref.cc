// Copy: the bytes of operand 0, in blocks. The shape may differ as long as the element count does
// not.
#include <cstring>

#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckCopy(args); }

Status Run(const Params&, const RunArgs& args) {
  const auto* src = static_cast<const std::byte*>(args.inputs[0].data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  // 64 KiB a block: large enough that memcpy runs at memory speed, small enough to share.
  ParallelBlocks(args.parallel, args.inputs[0].size_bytes(), 1 << 16,
                 [&](int64_t begin, int64_t end) {
                   std::memcpy(dst + begin, src + begin, static_cast<size_t>(end - begin));
                 });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ReadCopy(spec));
  return MakeKernel(Params{}, Check, Run);
}

// A view whose bytes the compiler could not alias, or folds, is a copy; its dims are the result's
// shape.
Result<std::unique_ptr<BoundKernel>> BindReshape(const StepSpec& spec) { return Bind(spec); }

}  // namespace

extern const KernelDef copy_ref = {
    .id = "copy_ref.1", .op = "Copy", .reference = true, .bind = {Bind, kNarrowToo}};
extern const KernelDef reshape_ref = {
    .id = "reshape_ref.1", .op = "Reshape", .reference = true, .bind = {BindReshape, kNarrowToo}};

}  // namespace fusee::ops
