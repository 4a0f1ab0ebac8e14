// Movement kernels against index arithmetic written out here, and by hand where that is clearer.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "ops/kernel_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 20240611;

Tensor Random(DType dtype, const Shape& shape, uint64_t stream = 0) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  // Any bytes will do for movers; every byte differs from its neighbours.
  auto bytes = view.bytes();
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(RandomBits(kSeed, stream, i));
  return tensor;
}

Tensor Iota(const Shape& shape) {
  std::vector<int32_t> values(static_cast<size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0);
  return Tensor::Of<int32_t>(shape, values);
}

template <typename T>
std::vector<T> Values(const Tensor& t) {
  return std::vector<T>(t.as<T>(), t.as<T>() + t.elements());
}

// Runs tasks last to first: a kernel whose tasks depend on each other shows it.
class ReverseParallel final : public Parallel {
 public:
  void For(int64_t count, void (*task)(void*, int64_t), void* context) override {
    for (int64_t i = count; i-- > 0;) task(context, i);
  }
  int width() const override { return 3; }
};

// What the reference makes of a call. Every other tactic that takes it must make the same bytes of
// it, or fail as well.
Result<std::vector<Tensor>> RunAll(const KernelCall& call) {
  const auto want = RunKernel(KernelsFor(call.op).back()->id, call);
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    const auto got = RunKernel(kernel->id, call);
    if (got.status().code() == StatusCode::kUnimplemented) continue;
    EXPECT_EQ(got.ok(), want.ok()) << kernel->id << ": " << got.status().ToString();
    for (size_t i = 0; got.ok() && want.ok() && i < want->size(); ++i) {
      EXPECT_TRUE(std::ranges::equal((*got)[i].bytes(), (*want)[i].bytes()))
          << kernel->id << " differs from the reference in result " << i << ", seed " << kSeed;
    }
  }
  return want;
}

// The result of every tactic, which must equal element by element what source(index) picks from
// operand `from`.
void ExpectPicksOf(std::string_view id, const KernelCall& call, size_t from,
                   const std::function<int64_t(const std::vector<int64_t>&)>& source);
void ExpectPicks(const KernelCall& call, size_t from,
                 const std::function<int64_t(const std::vector<int64_t>&)>& source) {
  for (const KernelDef* kernel : TacticsUnderTest(call.op))
    ExpectPicksOf(kernel->id, call, from, source);
}
void ExpectPicksOf(std::string_view id, const KernelCall& call, size_t from,
                   const std::function<int64_t(const std::vector<int64_t>&)>& source) {
  ReverseParallel parallel;
  const auto got = RunKernel(id, call, &parallel);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const Tensor& in = call.inputs[from];
  const Tensor& out = (*got)[0];
  const auto size = static_cast<size_t>(BytesPerElement(in.dtype()));
  std::vector<int64_t> index(static_cast<size_t>(out.shape().rank()), 0);
  for (int64_t k = 0; k < out.elements(); ++k) {
    const int64_t at = source(index);
    const auto want = in.bytes().subspan(static_cast<size_t>(at) * size, size);
    ASSERT_TRUE(std::ranges::equal(out.bytes().subspan(static_cast<size_t>(k) * size, size), want))
        << id << " of " << in.shape().ToString() << ", element " << k << ", seed " << kSeed;
    for (size_t a = index.size(); a-- > 0;) {
      if (++index[a] < out.shape()[static_cast<int>(a)]) break;
      index[a] = 0;
    }
  }
}

int64_t Flat(const Shape& shape, const std::vector<int64_t>& index) {
  int64_t at = 0;
  for (int i = 0; i < shape.rank(); ++i) at = at * shape[i] + index[static_cast<size_t>(i)];
  return at;
}

TEST(Transpose, MatchesIndexArithmeticAroundTileEdges) {
  const std::vector<Shape> shapes = {
      {},        {5},          {0, 3},       {1, 1},        {31, 33},   {32, 32},       {33, 65},
      {7, 9},    {8, 8},       {63, 65},     {64, 64},      {3, 257},   {2, 8, 16, 8},  {2, 31, 33},
      {3, 4, 5}, {1, 7, 1, 9}, {2, 3, 4, 5}, {2, 33, 2, 3}, {130, 140}, {2, 2, 2, 2, 3}};
  for (const Shape& shape : shapes) {
    std::vector<int64_t> perm(static_cast<size_t>(shape.rank()));
    std::iota(perm.begin(), perm.end(), 0);
    do {
      for (DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kF64}) {
        Shape out = shape;
        for (int i = 0; i < shape.rank(); ++i)
          out[i] = shape[static_cast<int>(perm[static_cast<size_t>(i)])];
        const KernelCall call = {.op = "Transpose",
                                 .attrs = {{"perm", perm}},
                                 .inputs = {Random(dtype, shape)},
                                 .outputs = {{dtype, out}}};
        ExpectPicks(call, 0, [&](const std::vector<int64_t>& index) {
          std::vector<int64_t> source(index.size());
          for (size_t i = 0; i < index.size(); ++i) source[static_cast<size_t>(perm[i])] = index[i];
          return Flat(shape, source);
        });
      }
    } while (std::next_permutation(perm.begin(), perm.end()));
  }
}

TEST(Transpose, RefusesBadPermutationsAndShapes) {
  KernelCall call = {.op = "Transpose",
                     .attrs = {{"perm", std::vector<int64_t>{0, 0}}},
                     .inputs = {Iota({2, 3})},
                     .outputs = {{DType::kI32, {3, 2}}}};
  EXPECT_FALSE(RunAll(call).ok());
  call.attrs = {{"perm", std::vector<int64_t>{1, 0}}};
  call.outputs = {{DType::kI32, {2, 3}}};
  EXPECT_FALSE(RunAll(call).ok());
}

// Rows whose lengths and beginnings are multiples of 1, 2, 4, 8 and 16 bytes, and are not.
TEST(Copies, MoveRowsOfEveryWidth) {
  for (DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kF64}) {
    for (int64_t row : {1, 2, 3, 7, 8, 9, 16, 31, 32, 33, 255, 256, 257}) {
      for (int64_t skip : {0, 1, 2, 8, 16}) {
        const Shape in = {5, row + skip};
        const KernelCall slice = {
            .op = "Slice",
            .attrs = {{"axes", std::vector<int64_t>{1}}, {"steps", std::vector<int64_t>{1}}},
            .inputs = {Random(dtype, in)},
            .outputs = {{dtype, {5, row}}},
            .dims = {skip, row + skip}};
        ExpectPicks(slice, 0, [&](const std::vector<int64_t>& i) {
          return i[0] * (row + skip) + skip + i[1];
        });
        const KernelCall concat = {.op = "Concat",
                                   .attrs = {{"axis", int64_t{1}}},
                                   .inputs = {Random(dtype, {5, skip}), Random(dtype, {5, row}, 1)},
                                   .outputs = {{dtype, in}}};
        const auto joined = RunAll(concat);
        ASSERT_TRUE(joined.ok()) << joined.status().ToString();
        const KernelCall split = {.op = "Split",
                                  .attrs = {{"axis", int64_t{1}}},
                                  .inputs = {(*joined)[0]},
                                  .outputs = {{dtype, {5, skip}}, {dtype, {5, row}}},
                                  .dims = {skip, row}};
        const auto parts = RunAll(split);
        ASSERT_TRUE(parts.ok()) << parts.status().ToString();
        EXPECT_TRUE(std::ranges::equal((*parts)[1].bytes(), concat.inputs[1].bytes()));
      }
    }
  }
}

TEST(Copies, MoveMoreThanOneBlock) {
  for (DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kF64}) {
    const Shape big = {3, 257, 100};
    const KernelCall reversed = {.op = "Slice",
                                 .attrs = {{"axes", std::vector<int64_t>{0, 1, 2}},
                                           {"steps", std::vector<int64_t>{-1, 2, -1}}},
                                 .inputs = {Random(dtype, big)},
                                 .outputs = {{dtype, {3, 129, 100}}},
                                 .dims = {-1, 0, -1, -100, 257, -101}};
    ExpectPicks(reversed, 0, [](const std::vector<int64_t>& i) {
      return ((2 - i[0]) * 257 + 2 * i[1]) * 100 + 99 - i[2];
    });
    const KernelCall repeated = {.op = "Tile",
                                 .inputs = {Random(dtype, {2, 3, 33})},
                                 .outputs = {{dtype, {4, 9, 66 * 50}}},
                                 .dims = {2, 3, 100}};
    ExpectPicks(repeated, 0, [](const std::vector<int64_t>& i) {
      return (i[0] % 2 * 3 + i[1] % 3) * 33 + i[2] % 33;
    });
  }
  // More operands than one launch of a device takes.
  std::vector<Tensor> inputs;
  for (uint64_t i = 0; i < 70; ++i)
    inputs.push_back(Random(DType::kF16, {3, static_cast<int64_t>(i % 5)}, i));
  const KernelCall many = {.op = "Concat",
                           .attrs = {{"axis", int64_t{1}}},
                           .inputs = inputs,
                           .outputs = {{DType::kF16, {3, 140}}}};
  EXPECT_TRUE(RunAll(many).ok());
}

TEST(Concat, JoinsAlongEveryAxis) {
  for (int axis = 0; axis < 3; ++axis) {
    std::vector<Tensor> inputs;
    Shape out = {3, 4, 5};
    out[axis] = 0;
    for (int64_t size : {2, 0, 1, 40}) {
      Shape shape = {3, 4, 5};
      shape[axis] = size;
      out[axis] += size;
      inputs.push_back(Iota(shape));
    }
    const KernelCall call = {.op = "Concat",
                             .attrs = {{"axis", int64_t{axis}}},
                             .inputs = inputs,
                             .outputs = {{DType::kI32, out}}};
    const auto got = RunAll(call);
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    // Split is the inverse.
    KernelCall split = {.op = "Split",
                        .attrs = {{"axis", int64_t{axis}}},
                        .inputs = {(*got)[0]},
                        .dims = {2, 0, 1, 40}};
    for (const Tensor& t : inputs) split.outputs.emplace_back(DType::kI32, t.shape());
    split.outputs[2] = {DType::kInvalid, {}};
    const auto parts = RunAll(split);
    ASSERT_TRUE(parts.ok()) << parts.status().ToString();
    EXPECT_EQ(Values<int32_t>((*parts)[0]), Values<int32_t>(inputs[0]));
    EXPECT_EQ(Values<int32_t>((*parts)[3]), Values<int32_t>(inputs[3]));
    split.dims = {2, 0, 1, 39};
    EXPECT_FALSE(RunAll(split).ok());
  }
  const KernelCall bad = {.op = "Concat",
                          .attrs = {{"axis", int64_t{0}}},
                          .inputs = {Iota({2, 3}), Iota({2, 4})},
                          .outputs = {{DType::kI32, {4, 3}}}};
  EXPECT_FALSE(RunAll(bad).ok());
}

TEST(Slice, MatchesIndexArithmeticForEveryBound) {
  const Tensor x = Iota({7});
  for (int64_t start : {-100, -8, -7, -1, 0, 3, 6, 7, 100}) {
    for (int64_t end : {-100, -8, -7, -1, 0, 3, 6, 7, 100}) {
      for (int64_t step : {-9, -2, -1, 1, 2, 9}) {
        int64_t s = start < 0 ? start + 7 : start, e = end < 0 ? end + 7 : end;
        s = std::clamp<int64_t>(s, 0, step > 0 ? 7 : 6);
        e = std::clamp<int64_t>(e, step > 0 ? 0 : -1, step > 0 ? 7 : 6);
        std::vector<int32_t> want;
        for (int64_t i = s; step > 0 ? i < e : i > e; i += step)
          want.push_back(static_cast<int32_t>(i));
        const KernelCall call = {
            .op = "Slice",
            .attrs = {{"axes", std::vector<int64_t>{0}}, {"steps", std::vector<int64_t>{step}}},
            .inputs = {x},
            .outputs = {{DType::kI32, {static_cast<int64_t>(want.size())}}},
            .dims = {start, end}};
        const auto got = RunAll(call);
        ASSERT_TRUE(got.ok()) << got.status().ToString();
        EXPECT_EQ(Values<int32_t>((*got)[0]), want) << start << ":" << end << ":" << step;
      }
    }
  }
}

TEST(Slice, TakesAnEmptyDimension) {
  for (int64_t step : {-1, 1}) {
    const KernelCall call = {
        .op = "Slice",
        .attrs = {{"axes", std::vector<int64_t>{0}}, {"steps", std::vector<int64_t>{step}}},
        .inputs = {Iota({0, 2})},
        .outputs = {{DType::kI32, {0, 2}}},
        .dims = {0, 5}};
    EXPECT_TRUE(RunAll(call).ok());
  }
}

TEST(Slice, SlicesTwoAxesOfThree) {
  const KernelCall call = {
      .op = "Slice",
      .attrs = {{"axes", std::vector<int64_t>{2, 0}}, {"steps", std::vector<int64_t>{-2, 1}}},
      .inputs = {Random(DType::kF64, {4, 3, 9})},
      .outputs = {{DType::kF64, {2, 3, 4}}},
      .dims = {7, 1, -100, 3}};
  ExpectPicks(call, 0, [](const std::vector<int64_t>& i) {
    return ((i[0] + 1) * 3 + i[1]) * 9 + 7 - 2 * i[2];
  });
}

TEST(Gather, PicksRowsAndCountsNegativesFromTheEnd) {
  for (int axis = 0; axis < 3; ++axis) {
    const Shape data = {4, 5, 6};
    const std::vector<int64_t> indices = {0, -1, 2, 3, -4, 1};
    Shape out;
    for (int i = 0; i < axis; ++i) out.push_back(data[i]);
    out.push_back(2);
    out.push_back(3);
    for (int i = axis + 1; i < 3; ++i) out.push_back(data[i]);
    const KernelCall call = {
        .op = "Gather",
        .attrs = {{"axis", int64_t{axis}}},
        .inputs = {Random(DType::kI16, data), Tensor::Of<int64_t>({2, 3}, indices)},
        .outputs = {{DType::kI16, out}}};
    const auto a = static_cast<size_t>(axis);
    ExpectPicks(call, 0, [&](const std::vector<int64_t>& index) {
      std::vector<int64_t> source(index.begin(), index.begin() + axis);
      const int64_t pick = indices[static_cast<size_t>(index[a] * 3 + index[a + 1])];
      source.push_back(pick < 0 ? pick + data[axis] : pick);
      source.insert(source.end(), index.begin() + axis + 2, index.end());
      return Flat(data, source);
    });
  }
}

TEST(Gather, RefusesAnIndexOutOfRangeAtRunTime) {
  for (int64_t bad : {4, -5}) {
    const KernelCall call = {.op = "Gather",
                             .attrs = {},
                             .inputs = {Iota({4, 2}), Tensor::Of<int64_t>({1}, {bad})},
                             .outputs = {{DType::kI32, {1, 2}}}};
    EXPECT_EQ(RunAll(call).status().code(), StatusCode::kOutOfRange);
  }
}

TEST(Gather, MovesRowsOfEveryWidth) {
  for (DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kF64}) {
    for (int64_t row : {1, 3, 8, 16, 33, 256}) {
      std::vector<int32_t> indices(300);
      for (size_t i = 0; i < indices.size(); ++i)
        indices[i] = static_cast<int32_t>(RandomBits(kSeed, 5, i) % 14) - 7;
      const KernelCall call = {
          .op = "Gather",
          .inputs = {Random(dtype, {7, row}), Tensor::Of<int32_t>({300}, indices)},
          .outputs = {{dtype, {300, row}}}};
      ExpectPicks(call, 0, [&](const std::vector<int64_t>& i) {
        const int32_t index = indices[static_cast<size_t>(i[0])];
        return (index < 0 ? index + 7 : index) * row + i[1];
      });
    }
  }
}

TEST(Expand, RepeatsBroadcastAxes) {
  const KernelCall call = {.op = "Expand",
                           .inputs = {Random(DType::kF32, {3, 1, 5})},
                           .outputs = {{DType::kF32, {2, 3, 4, 5}}},
                           .dims = {2, 1, 4, 5}};
  ExpectPicks(call, 0, [](const std::vector<int64_t>& i) { return i[1] * 5 + i[3]; });
  KernelCall scalar = {.op = "Expand",
                       .inputs = {Tensor::Of<bool>(Shape{}, {true})},
                       .outputs = {{DType::kBool, {70000}}},
                       .dims = {70000}};
  ExpectPicks(scalar, 0, [](const std::vector<int64_t>&) { return 0; });
  scalar.dims = {-1};
  EXPECT_FALSE(RunAll(scalar).ok());
}

TEST(Tile, RepeatsEveryAxis) {
  const KernelCall call = {.op = "Tile",
                           .inputs = {Random(DType::kF16, {2, 3, 4})},
                           .outputs = {{DType::kF16, {6, 3, 8}}},
                           .dims = {3, 1, 2}};
  ExpectPicks(call, 0,
              [](const std::vector<int64_t>& i) { return (i[0] % 2 * 3 + i[1]) * 4 + i[2] % 4; });
  const KernelCall none = {
      .op = "Tile", .inputs = {Iota({2})}, .outputs = {{DType::kI32, {0}}}, .dims = {0}};
  EXPECT_TRUE(RunAll(none).ok());
}

std::vector<int32_t> PadLine(const char* mode, int64_t size, int64_t before, int64_t after) {
  KernelCall call = {.op = "Pad",
                     .attrs = {{"mode", std::string(mode)}},
                     .inputs = {Iota({size})},
                     .outputs = {{DType::kI32, {size + before + after}}},
                     .dims = {before, after}};
  if (std::string_view(mode) == "constant")
    call.inputs.push_back(Tensor::Of<int32_t>(Shape{}, {9}));
  const auto got = RunAll(call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  return got.ok() ? Values<int32_t>((*got)[0]) : std::vector<int32_t>();
}

TEST(Pad, FollowsEveryMode) {
  using V = std::vector<int32_t>;
  EXPECT_EQ(PadLine("constant", 3, 2, 1), (V{9, 9, 0, 1, 2, 9}));
  EXPECT_EQ(PadLine("edge", 3, 2, 1), (V{0, 0, 0, 1, 2, 2}));
  EXPECT_EQ(PadLine("reflect", 3, 2, 2), (V{2, 1, 0, 1, 2, 1, 0}));
  EXPECT_EQ(PadLine("reflect", 3, 5, 0), (V{1, 0, 1, 2, 1, 0, 1, 2}));
  EXPECT_EQ(PadLine("reflect", 1, 1, 1), (V{0, 0, 0}));
  EXPECT_EQ(PadLine("wrap", 3, 4, 2), (V{2, 0, 1, 2, 0, 1, 2, 0, 1}));
  EXPECT_EQ(PadLine("constant", 5, -1, -2), (V{1, 2}));
  EXPECT_EQ(PadLine("constant", 5, -2, 3), (V{2, 3, 4, 9, 9, 9}));
  EXPECT_EQ(PadLine("reflect", 5, -2, 2), (V{2, 3, 4, 3, 2}));
  EXPECT_EQ(PadLine("constant", 2, -3, 4), (V{9, 9, 9}));
  EXPECT_EQ(PadLine("constant", 0, 1, 1), (V{9, 9}));
}

TEST(Pad, PadsTwoAxesAndRefusesToRepeatNothing) {
  const KernelCall call = {.op = "Pad",
                           .attrs = {{"mode", std::string("edge")}},
                           .inputs = {Random(DType::kU8, {3, 4})},
                           .outputs = {{DType::kU8, {5, 6}}},
                           .dims = {1, 0, 1, 2}};
  ExpectPicks(call, 0, [](const std::vector<int64_t>& i) {
    return std::clamp<int64_t>(i[0] - 1, 0, 2) * 4 + std::min<int64_t>(i[1], 3);
  });
  const KernelCall nothing = {.op = "Pad",
                              .attrs = {{"mode", std::string("wrap")}},
                              .inputs = {Iota({0})},
                              .outputs = {{DType::kI32, {2}}},
                              .dims = {1, 1}};
  EXPECT_FALSE(RunAll(nothing).ok());
}

TEST(Pad, AgreesOnImagesInEveryMode) {
  for (const char* mode : {"constant", "edge", "reflect", "wrap"}) {
    for (const std::vector<int64_t>& pads : {std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1},
                                             {0, 0, 3, 0, 0, 0, -2, 1},
                                             {1, 0, 0, 2, 0, 1, 0, 2},
                                             {0, 0, 0, 0, 0, 0, 0, -3},
                                             {0, 0, 9, 0, 0, 0, 0, 20}}) {
      for (DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kF64}) {
        const Shape in = {2, 3, 9, 33};
        Shape out = in;
        for (int i = 0; i < 4; ++i)
          out[i] += pads[static_cast<size_t>(i)] + pads[static_cast<size_t>(i) + 4];
        const KernelCall call = {.op = "Pad",
                                 .attrs = {{"mode", std::string(mode)}},
                                 .inputs = {Random(dtype, in), Random(dtype, {}, 1)},
                                 .outputs = {{dtype, out}},
                                 .dims = pads};
        EXPECT_TRUE(RunAll(call).ok()) << mode;
      }
    }
  }
}

TEST(GatherElements, PicksOneElementPerIndex) {
  const KernelCall call = {.op = "GatherElements",
                           .attrs = {{"axis", int64_t{1}}},
                           .inputs = {Iota({2, 3}), Tensor::Of<int32_t>({2, 2}, {0, -1, 1, 1})},
                           .outputs = {{DType::kI32, {2, 2}}}};
  const auto got = RunAll(call);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(Values<int32_t>((*got)[0]), (std::vector<int32_t>{0, 2, 4, 4}));
}

TEST(GatherNd, PicksSlicesPerBatch) {
  const KernelCall call = {.op = "GatherND",
                           .attrs = {{"batch_dims", int64_t{1}}},
                           .inputs = {Iota({2, 3, 2}), Tensor::Of<int64_t>({2, 1}, {1, -1})},
                           .outputs = {{DType::kI32, {2, 2}}}};
  const auto got = RunAll(call);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(Values<int32_t>((*got)[0]), (std::vector<int32_t>{2, 3, 10, 11}));
}

TEST(Scatter, AppliesRepeatedIndicesInOrder) {
  KernelCall call = {.op = "ScatterElements",
                     .attrs = {{"axis", int64_t{0}}},
                     .inputs = {Iota({4}), Tensor::Of<int64_t>({3}, {1, -1, 1}),
                                Tensor::Of<int32_t>({3}, {10, 20, 30})},
                     .outputs = {{DType::kI32, {4}}}};
  const auto result = [&] {
    const auto got = RunAll(call);
    EXPECT_TRUE(got.ok()) << got.status().ToString();
    return Values<int32_t>((*got)[0]);
  };
  EXPECT_EQ(result(), (std::vector<int32_t>{0, 30, 2, 20}));
  call.attrs.Set("reduction", std::string("add"));
  EXPECT_EQ(result(), (std::vector<int32_t>{0, 41, 2, 23}));
  call.attrs.Set("reduction", std::string("max"));
  EXPECT_EQ(result(), (std::vector<int32_t>{0, 30, 2, 20}));
  call.inputs[1] = Tensor::Of<int64_t>({3}, {1, 4, 1});
  EXPECT_EQ(RunAll(call).status().code(), StatusCode::kOutOfRange);
}

// A few destinations and many updates of each, in every type and by every reduction.
TEST(Scatter, AgreesOnManyRepeatedIndices) {
  const auto indices = [](const Shape& shape, const std::vector<int64_t>& limits, uint64_t stream) {
    std::vector<int64_t> values(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      const int64_t limit = limits[i % limits.size()];
      values[i] =
          static_cast<int64_t>(RandomBits(kSeed, stream, i) % static_cast<uint64_t>(2 * limit)) -
          limit;
    }
    return Tensor::Of<int64_t>(shape, values);
  };
  const auto numbers = [](DType dtype, const Shape& shape, uint64_t stream) {
    TensorView view;
    Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
    FillRandom(view, Fill::kUniform, kSeed, stream, 0, 3);
    return tensor;
  };
  for (const char* reduction : {"none", "add", "mul", "max", "min"}) {
    for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8,
                        DType::kI64, DType::kU8, DType::kU32}) {
      const Attrs attrs = {{"axis", int64_t{1}}, {"reduction", std::string(reduction)}};
      EXPECT_TRUE(RunAll({.op = "ScatterElements",
                          .attrs = attrs,
                          .inputs = {numbers(dtype, {4, 5, 70}, 1), indices({3, 9, 70}, {5}, 2),
                                     numbers(dtype, {3, 9, 70}, 3)},
                          .outputs = {{dtype, {4, 5, 70}}}})
                      .ok());
      for (int64_t row : {1, 3, 16, 300}) {
        EXPECT_TRUE(RunAll({.op = "ScatterND",
                            .attrs = attrs,
                            .inputs = {numbers(dtype, {4, 5, row}, 4), indices({40, 2}, {4, 5}, 5),
                                       numbers(dtype, {40, row}, 6)},
                            .outputs = {{dtype, {4, 5, row}}}})
                        .ok());
      }
    }
  }
}

TEST(ScatterNd, WritesSlices) {
  const KernelCall call = {.op = "ScatterND",
                           .inputs = {Iota({3, 2}), Tensor::Of<int64_t>({2, 1}, {2, 0}),
                                      Tensor::Of<int32_t>({2, 2}, {7, 8, 9, 10})},
                           .outputs = {{DType::kI32, {3, 2}}}};
  const auto got = RunAll(call);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(Values<int32_t>((*got)[0]), (std::vector<int32_t>{9, 10, 2, 3, 7, 8}));
}

TEST(Trilu, KeepsTheTriangle) {
  KernelCall call = {.op = "Trilu",
                     .attrs = {{"upper", int64_t{1}}},
                     .inputs = {Tensor::Of<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6})},
                     .outputs = {{DType::kI32, {2, 3}}},
                     .dims = {0}};
  const auto result = [&] { return Values<int32_t>((*RunAll(call))[0]); };
  EXPECT_EQ(result(), (std::vector<int32_t>{1, 2, 3, 0, 5, 6}));
  call.dims = {INT64_MAX};
  EXPECT_EQ(result(), (std::vector<int32_t>{0, 0, 0, 0, 0, 0}));
  call.attrs = {{"upper", int64_t{0}}};
  EXPECT_EQ(result(), (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  call.dims = {-1};
  EXPECT_EQ(result(), (std::vector<int32_t>{0, 0, 0, 4, 0, 0}));
}

TEST(CumSum, RunsExclusiveAndReverse) {
  KernelCall call = {.op = "CumSum",
                     .attrs = {{"axis", int64_t{0}}},
                     .inputs = {Tensor::Of<float>({3}, {1, 2, 4})},
                     .outputs = {{DType::kF32, {3}}}};
  const auto result = [&] { return Values<float>((*RunAll(call))[0]); };
  EXPECT_EQ(result(), (std::vector<float>{1, 3, 7}));
  call.attrs.Set("exclusive", int64_t{1});
  EXPECT_EQ(result(), (std::vector<float>{0, 1, 3}));
  call.attrs.Set("reverse", int64_t{1});
  EXPECT_EQ(result(), (std::vector<float>{6, 4, 0}));
}

TEST(CumSum, AgreesOnLongLines) {
  for (const char* op : {"CumSum", "CumProd"}) {
    for (DType dtype : {DType::kI32, DType::kI64, DType::kU8, DType::kF32, DType::kF64}) {
      for (const Shape& shape : {Shape{1}, Shape{31}, Shape{32}, Shape{33}, Shape{2, 1000},
                                 Shape{300, 3}, Shape{2, 40, 33}, Shape{3, 0}}) {
        TensorView view;
        Tensor x = Tensor::Allocate(dtype, shape, &view).value();
        FillRandom(view, Fill::kUniform, kSeed, 7, 0, 3);
        for (int64_t axis = 0; axis < shape.rank(); ++axis) {
          for (int64_t flags = 0; flags < 4; ++flags) {
            const KernelCall call = {
                .op = op,
                .attrs = {{"axis", axis}, {"exclusive", flags & 1}, {"reverse", flags / 2}},
                .inputs = {x},
                .outputs = {{dtype, shape}}};
            // A device may add in another order, in double.
            const auto ran = CompareTactics(call, 0, 0, Tolerance{3e-7, 1e-30});
            EXPECT_TRUE(ran.ok()) << shape.ToString() << ": " << ran.status().ToString();
          }
        }
      }
    }
  }
}

TEST(OneHot, AgreesOnEveryAxis) {
  std::vector<int64_t> values(33 * 10);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<int64_t>(RandomBits(kSeed, 8, i) % 40) - 20;
  for (int64_t axis : {0, 1, 2}) {
    Shape out = {33, 10};
    out.push_back(0);
    for (int i = 2; i > axis; --i) out[i] = out[i - 1];
    out[static_cast<int>(axis)] = 17;
    const KernelCall call = {
        .op = "OneHot",
        .attrs = {{"axis", axis}},
        .inputs = {Tensor::Of<int64_t>({33, 10}, values), Tensor::Of<float>({2}, {-1, 2})},
        .outputs = {{DType::kF32, out}},
        .dims = {17}};
    EXPECT_TRUE(RunAll(call).ok());
  }
}

TEST(EyeLike, WritesTheDiagonalInEveryType) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI64,
                      DType::kBool}) {
    for (int64_t k : {-300, -2, 0, 3, 300}) {
      const KernelCall call = {.op = "EyeLike",
                               .attrs = {{"k", k}},
                               .inputs = {Iota({20, 30})},
                               .outputs = {{dtype, {20, 30}}}};
      EXPECT_TRUE(RunAll(call).ok());
    }
  }
}

TEST(Range, AgreesInEveryType) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI16,
                      DType::kI32, DType::kI64, DType::kU8, DType::kU64}) {
    const auto scalar = [&](double value) {
      TensorView view;
      Tensor tensor = Tensor::Allocate(dtype, {}, &view).value();
      StoreDouble(view, 0, value);
      return tensor;
    };
    for (int64_t count : {0, 1, 255, 256, 257, 1000}) {
      const KernelCall call = {.op = "Range",
                               .inputs = {scalar(3.1), scalar(-1.7)},
                               .outputs = {{dtype, {count}}},
                               .dims = {count}};
      EXPECT_TRUE(RunAll(call).ok());
    }
  }
}

TEST(OneHot, TurnsOffWhatIsOutOfRange) {
  const KernelCall call = {
      .op = "OneHot",
      .attrs = {{"axis", int64_t{1}}},
      .inputs = {Tensor::Of<float>({3}, {1, -1, 5}), Tensor::Of<int8_t>({2}, {2, 5})},
      .outputs = {{DType::kI8, {3, 3}}},
      .dims = {3}};
  const auto got = RunAll(call);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(Values<int8_t>((*got)[0]), (std::vector<int8_t>{2, 5, 2, 2, 2, 5, 2, 2, 2}));
}

TEST(Range, CountsInEveryDirection) {
  const KernelCall call = {
      .op = "Range",
      .inputs = {Tensor::Of<float>(Shape{}, {1}), Tensor::Of<float>(Shape{}, {-0.5F})},
      .outputs = {{DType::kF32, {4}}},
      .dims = {4}};
  EXPECT_EQ(Values<float>((*RunAll(call))[0]), (std::vector<float>{1, 0.5F, 0, -0.5F}));
}

TEST(CopyAndShape, WriteWhatTheyShould) {
  const KernelCall copy = {.op = "Copy",
                           .inputs = {Random(DType::kI8, {300, 301})},
                           .outputs = {{DType::kI8, {300, 301}}}};
  ExpectPicks(copy, 0, [](const std::vector<int64_t>& i) { return i[0] * 301 + i[1]; });
  const KernelCall shape = {.op = "Shape",
                            .attrs = {{"start", int64_t{1}}},
                            .inputs = {Iota({4, 5, 6})},
                            .outputs = {{DType::kI64, {2}}}};
  EXPECT_EQ(Values<int64_t>((*RunAll(shape))[0]), (std::vector<int64_t>{5, 6}));
  const KernelCall size = {.op = "Size", .inputs = {Iota({4, 5})}, .outputs = {{DType::kI64, {}}}};
  EXPECT_EQ(Values<int64_t>((*RunAll(size))[0]), (std::vector<int64_t>{20}));
}

}  // namespace
}  // namespace fusee::ops
