// Plans are untrusted: whatever operands, attributes and dims a step of the movement, reduce or
// quant family names, a kernel either refuses it or stays within its operands. Random steps, mostly
// wrong ones; the test utility's canaries and the sanitizers watch the runs.
#include <gtest/gtest.h>

#include <set>

#include "ops/kernel_test_util.h"
#include "ops/module.h"
#include "ops/number_stream_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 1;
const uint64_t kStepsPerKernel = TestsAreBrief() ? 300 : 3000;

class Draw : public NumberStream {
 public:
  explicit Draw(uint64_t stream) : NumberStream(kSeed, stream) {}
  int64_t Number() { return NumberStream::Number(20); }
  Shape SmallShape() {
    Shape shape;
    for (int64_t i = (*this)(0, 4); i > 0; --i)
      shape.push_back((*this)(0, 3) == 0 ? 0 : (*this)(1, 3));
    return shape;
  }
  std::vector<int64_t> Numbers(int64_t max_count) {
    std::vector<int64_t> values(static_cast<size_t>((*this)(0, max_count)));
    for (int64_t& v : values) v = Number();
    return values;
  }
};

constexpr DType kTypes[] = {DType::kF32, DType::kF32,  DType::kI64,      DType::kU8, DType::kF16,
                            DType::kI32, DType::kBool, DType::kF8E4M3FN, DType::kI4};

Tensor RandomTensor(Draw& draw, DType dtype, const Shape& shape, uint64_t stream) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  FillRandom(view, Fill::kUniform, kSeed, stream,
             dtype == DType::kU8 || dtype == DType::kBool ? 0 : -3, draw(0, 1) == 0 ? 1 : 3);
  return tensor;
}

Attrs RandomAttrs(Draw& draw, int rank) {
  Attrs attrs;
  const auto sometimes = [&](const char* name, AttrValue value) {
    if (draw(0, 3) != 0) attrs.Set(name, std::move(value));
  };
  sometimes("axis", draw(0, 9) == 0 ? draw.Number() : draw(-rank, rank));
  sometimes("batch_dims", draw(0, 2));
  sometimes("keepdims", draw(0, 1));
  sometimes("block_size", draw(0, 9) == 0 ? draw.Number() : draw(0, 3));
  sometimes("k", draw.Number());
  sometimes("start", draw(0, 2));
  sometimes("upper", draw(0, 1));
  std::vector<int64_t> axes;
  for (int i = 0; i < rank; ++i) {
    if (draw(0, 1) == 0) axes.push_back(draw(0, 9) == 0 ? draw.Number() : i);
  }
  sometimes("steps",
            std::vector<int64_t>(axes.size(), draw(0, 4) == 0 ? draw.Number() : draw(-2, 2)));
  attrs.Set("axes", std::move(axes));
  std::vector<int64_t> perm;
  for (int i = rank; i-- > 0;) perm.push_back(i);
  if (draw(0, 9) == 0) perm = draw.Numbers(4);
  attrs.Set("perm", std::move(perm));
  const char* const modes[] = {"constant", "reflect", "edge", "wrap", "nearest", "linear", "cubic"};
  sometimes("mode", std::string(modes[draw(0, 6)]));
  const char* const reductions[] = {"none", "add", "mul", "max", "min"};
  sometimes("reduction", std::string(reductions[draw(0, 4)]));
  sometimes("antialias", draw(0, 1));
  if (draw(0, 3) == 0)
    attrs.Set("scales",
              std::vector<double>(static_cast<size_t>(rank), static_cast<double>(draw(-1, 6)) / 2));
  return attrs;
}

KernelCall RandomCall(Draw& draw, std::string_view op, uint64_t stream) {
  KernelCall call;
  call.op = op;
  const Shape shape = draw.SmallShape();
  const DType dtype = kTypes[draw(0, std::ssize(kTypes) - 1)];
  for (int64_t i = 0, n = draw(1, 3); i < n; ++i) {
    // Operands often share a shape; second ones are often indices.
    const DType own = i == 1 && draw(0, 1) == 0 ? DType::kI64 : dtype;
    call.inputs.push_back(
        RandomTensor(draw, own, draw(0, 2) == 0 ? draw.SmallShape() : shape, stream));
  }
  call.attrs = RandomAttrs(draw, shape.rank());
  const auto rank = static_cast<size_t>(shape.rank());
  const size_t counts[] = {0, 1, rank, 2 * rank, rank + 1};
  call.dims.resize(counts[draw(0, 4)]);
  for (int64_t& d : call.dims) d = draw(0, 5) == 0 ? draw.Number() : draw(0, 3);
  for (int64_t i = 0, n = draw(0, 9) == 0 ? draw(1, 3) : 1; i < n; ++i) {
    Shape out = draw(0, 1) == 0 ? shape : draw.SmallShape();
    if (call.dims.size() == rank && draw(0, 1) == 0) {
      out = Shape();
      for (int64_t d : call.dims) out.push_back(d >= 0 && d < 9 ? d : 1);
    }
    call.outputs.emplace_back(draw(0, 3) == 0 ? kTypes[draw(0, std::ssize(kTypes) - 1)] : dtype,
                              out);
  }
  return call;
}

// Brings operators whose signature chance does not find half way to a right step.
void Nudge(Draw& draw, uint64_t stream, KernelCall& call) {
  const Shape shape = call.inputs[0].shape();
  const auto second = [&](DType dtype, const Shape& second_shape) {
    call.inputs.resize(2);
    call.inputs[1] = RandomTensor(draw, dtype, second_shape, stream);
  };
  if (call.op == "OneHot") {
    call.inputs[0] = RandomTensor(draw, DType::kI64, shape, stream);
    second(DType::kF32, {2});
    const int64_t depth = draw(0, 3);
    call.dims = {depth};
    Shape out;
    for (int i = 0; i < shape.rank(); ++i) out.push_back(shape[i]);
    out.push_back(depth);
    call.attrs = {{"axis", draw(-1, shape.rank())}};
    call.outputs = {{DType::kF32, out}};
  } else if (call.op == "ReverseSequence") {
    const int64_t time = draw(0, 1);
    second(DType::kI64, {shape.rank() < 2 ? 1 : shape[static_cast<int>(1 - time)]});
    call.attrs = {{"time_axis", time}};
    call.dims.clear();
    call.outputs = {{call.inputs[0].dtype(), shape}};
  } else if (call.op == "Shape") {
    call.inputs.resize(1);
    call.dims.clear();
    const int64_t start = draw(0, 2);
    call.attrs = {{"start", start}};
    call.outputs = {{DType::kI64, {std::max<int64_t>(shape.rank() - start, 0)}}};
  } else if (call.op == "ScatterND") {
    const int64_t depth = draw(0, shape.rank());
    second(DType::kI64, {draw(0, 3), depth});
    Shape updates = {call.inputs[1].shape()[0]};
    for (int i = static_cast<int>(depth); i < shape.rank(); ++i) updates.push_back(shape[i]);
    call.inputs.push_back(RandomTensor(draw, call.inputs[0].dtype(), updates, stream));
    call.dims.clear();
    call.outputs = {{call.inputs[0].dtype(), shape}};
  } else if (call.op == "BitCast") {
    call.inputs.resize(1);
    call.dims.clear();
    call.outputs = {{kTypes[draw(0, std::ssize(kTypes) - 1)], shape}};
  } else if (call.op == "Det") {
    call.inputs.resize(1);
    call.dims.clear();
    Shape out = shape;
    out.set_rank(std::max(shape.rank() - 2, 0));
    call.outputs = {{call.inputs[0].dtype(), out}};
  } else if (call.op == "TopK") {
    call.inputs.resize(1);
    call.dims = {draw(-1, 3)};
    Shape out = shape;
    if (out.rank() > 0) out[out.rank() - 1] = std::max<int64_t>(call.dims[0], 0);
    call.attrs = {{"axis", draw(-2, 2)}};
    call.outputs = {{call.inputs[0].dtype(), out}, {DType::kI64, out}};
  } else if (call.op == "QuantizeLinear" || call.op == "DequantizeLinear") {
    const bool to_codes = call.op == "QuantizeLinear";
    call.inputs[0] = RandomTensor(draw, to_codes ? DType::kF32 : DType::kU8, shape, stream);
    second(DType::kF32, draw(0, 1) == 0 ? Shape{} : draw.SmallShape());
    call.dims.clear();
    call.outputs = {{to_codes ? DType::kU8 : DType::kF32, shape}};
  } else if (call.op == "DynamicQuantizeLinear") {
    call.inputs = {RandomTensor(draw, DType::kF32, shape, stream)};
    call.dims.clear();
    call.outputs = {
        {DType::kU8, shape}, {DType::kF32, draw(0, 1) == 0 ? Shape{} : shape}, {DType::kU8, {}}};
  }
}

const std::set<std::string_view>& Operators() {
  static const std::set<std::string_view> ops = {"Transpose",
                                                 "Concat",
                                                 "Split",
                                                 "Slice",
                                                 "Gather",
                                                 "Expand",
                                                 "Tile",
                                                 "Shape",
                                                 "Size",
                                                 "Copy",
                                                 "Reshape",
                                                 "Pad",
                                                 "Range",
                                                 "Trilu",
                                                 "GatherElements",
                                                 "GatherND",
                                                 "ScatterElements",
                                                 "ScatterND",
                                                 "OneHot",
                                                 "EyeLike",
                                                 "CumSum",
                                                 "ReverseSequence",
                                                 "BitCast",
                                                 "Det",
                                                 "Resize",
                                                 "ReduceSum",
                                                 "ReduceMax",
                                                 "ReduceLogSumExp",
                                                 "ArgMax",
                                                 "TopK",
                                                 "QuantizeLinear",
                                                 "DequantizeLinear",
                                                 "DynamicQuantizeLinear"};
  return ops;
}

TEST(HostileStep, IsRefusedOrStaysWithinItsOperands) {
  uint64_t stream = 0;
  std::vector<const KernelDef*> kernels(AllKernels().begin(), AllKernels().end());
  if (const DeviceUnderTest* under = TestDevice(); under != nullptr) {
    const auto more = under->kernels->all();
    kernels.insert(kernels.end(), more.begin(), more.end());
  }
  for (const KernelDef* kernel : kernels) {
    if (!Operators().contains(kernel->op)) continue;
    int ran = 0;
    for (uint64_t i = 0; i < kStepsPerKernel; ++i) {
      Draw draw(++stream);
      KernelCall call = RandomCall(draw, kernel->op, stream);
      if (i % 2 == 0) Nudge(draw, stream, call);
      const auto got = RunKernel(kernel->id, call);
      ran += got.ok() ? 1 : 0;
      // Canaries report as kInternal; so would a bug of ours.
      ASSERT_NE(got.status().code(), StatusCode::kInternal)
          << kernel->id << ", stream " << stream << ": " << got.status().ToString();
    }
    if (TestsAreBrief()) continue;
    EXPECT_GT(ran, 0) << kernel->id << " never ran: the generator does not reach it";
  }
}

// Without a device: what a device's kernel takes, the reference takes as well.
TEST(HostileStep, IsRefusedByADevicesKernelsWhereTheReferenceRefusesIt) {
  const Result<const DeviceModule*> module = LoadDeviceModule(DeviceKind::kCuda);
  if (!module.ok()) GTEST_SKIP() << module.status().ToString();
  uint64_t stream = 0;
  for (const KernelDef* kernel : (*module)->kernels->all()) {
    if (!Operators().contains(kernel->op)) continue;
    const KernelDef& reference = *KernelsFor(kernel->op).back();
    int taken = 0;
    for (uint64_t i = 0; i < kStepsPerKernel; ++i) {
      Draw draw(++stream);
      KernelCall call = RandomCall(draw, kernel->op, stream);
      if (i % 2 == 0) Nudge(draw, stream, call);
      if (!TakesStep(*kernel, call).ok()) continue;
      ++taken;
      const Status want = TakesStep(reference, call);
      ASSERT_TRUE(want.ok()) << kernel->id << " takes stream " << stream << ", which "
                             << reference.id << " refuses: " << want.ToString();
    }
    EXPECT_GT(taken, 0) << kernel->id << " takes nothing: the generator does not reach it";
  }
}

}  // namespace
}  // namespace fusee::ops
