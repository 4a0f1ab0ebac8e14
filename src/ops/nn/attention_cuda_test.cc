// FusedAttention of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference: f16 and
// bf16, sizes around the edges of every tile.
#include <algorithm>
#include <cmath>

#include "ops/device_test_util.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

struct Sizes {
  int64_t batch = 1, heads = 1, seq_q = 1, seq_k = 1, dim = 1, dim_v = 1;
};

KernelCall HalfAttention(const Sizes& s, DType dtype) {
  return {"FusedAttention",
          {{"num_heads", s.heads}, {"scale", 1 / std::sqrt(static_cast<double>(s.dim))}},
          {RandomTensor(dtype, Shape{s.batch, s.seq_q, s.heads * s.dim}, 1),
           RandomTensor(dtype, Shape{s.batch, s.seq_k, s.heads * s.dim}, 2),
           RandomTensor(dtype, Shape{s.batch, s.seq_k, s.heads * s.dim_v}, 3)},
          {{dtype, Shape{s.batch, s.seq_q, s.heads * s.dim_v}}}};
}

// The result rounds once to its type; each of the weights, whose sum is 1, was rounded to a half
// before it met a value below 1.
void ExpectHalfAgrees(const KernelCall& call) {
  const double ulp = call.outputs[0].first == DType::kF16 ? 0x1p-10 : 0x1p-7;
  constexpr size_t kTactics = 2;  // the reference and at least one more
  ExpectTacticsAgree(call, kTactics, ulp, ulp / 2);
}

// Tiles are 64 queries and 64 keys on tensor cores, 32 and 32 without.
TEST(AttentionOnDevice, HalvesAgreeAroundTileEdges) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t seq_q : {1, 15, 16, 17, 63, 64, 65, 130}) {
    for (int64_t seq_k : {0, 1, 16, 31, 32, 33, 63, 64, 65, 128, 200}) {
      const DType dtype = (seq_q + seq_k) % 2 == 0 ? DType::kF16 : DType::kBF16;
      SCOPED_TRACE(::testing::Message() << seq_q << " queries, " << seq_k << " keys");
      ExpectHalfAgrees(HalfAttention({2, 3, seq_q, seq_k, 64, 64}, dtype));
    }
  }
}

TEST(AttentionOnDevice, HalvesAgreeOnHeadWidths) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t dim : {1, 8, 15, 32, 33, 40, 64, 80, 96, 128, 136}) {
    for (int64_t dim_v : {dim, int64_t{24}, int64_t{65}}) {
      for (DType dtype : {DType::kF16, DType::kBF16}) {
        SCOPED_TRACE(::testing::Message() << dim << " and " << dim_v << " columns");
        ExpectHalfAgrees(HalfAttention({2, 2, 37, 70, dim, dim_v}, dtype));
      }
    }
  }
}

TEST(AttentionOnDevice, PackedHalvesAgree) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t dim : {20, 32, 64, 80, 128}) {
    for (int64_t seq : {1, 64, 77, 197}) {
      for (DType dtype : {DType::kF16, DType::kBF16}) {
        ExpectHalfAgrees({"FusedAttention",
                          {{"num_heads", int64_t{3}}, {"packed_qkv", int64_t{1}}, {"scale", 0.125}},
                          {RandomTensor(dtype, Shape{2, seq, 9 * dim}, 1)},
                          {{dtype, Shape{2, seq, 3 * dim}}}});
      }
    }
  }
}

TEST(AttentionOnDevice, BiasBroadcastsFromEveryRankAndType) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    KernelCall call = HalfAttention({2, 3, 67, 130, 64, 64}, dtype);
    call.inputs.emplace_back();
    for (const Shape& bias :
         {Shape{}, Shape{130}, Shape{1}, Shape{67, 130}, Shape{67, 1}, Shape{3, 67, 130},
          Shape{3, 1, 1}, Shape{2, 3, 67, 130}, Shape{2, 1, 1, 130}, Shape{1, 3, 67, 1}}) {
      SCOPED_TRACE(bias.ToString());
      for (DType d : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
        call.inputs[3] = RandomTensor(d, bias, 4);
        ExpectHalfAgrees(call);
      }
    }
  }
}

// Keys of the first whole tile are masked, so that the running maximum starts at -infinity.
TEST(AttentionOnDevice, MaskedTilesDoNotCount) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t masked : {1, 63, 64, 65, 128, 129}) {
    KernelCall call = HalfAttention({1, 2, 5, 130, 64, 64}, DType::kF16);
    std::vector<float> mask(130, 0);
    for (size_t j = 0; j < static_cast<size_t>(masked); ++j) mask[j] = -INFINITY;
    call.inputs.push_back(Tensor::Of<float>(Shape{130}, mask));
    SCOPED_TRACE(masked);
    ExpectHalfAgrees(call);
  }
}

// The first query has no key left, the others all of them.
TEST(AttentionOnDevice, ZeroNanRowsZeroesThoseRowsOnly) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    KernelCall call = HalfAttention({1, 2, 3, 70, 64, 64}, dtype);
    call.attrs.Set("zero_nan_rows", int64_t{1});
    std::vector<float> mask(3 * 70, 0);
    std::fill(mask.begin(), mask.begin() + 70, -INFINITY);
    call.inputs.push_back(Tensor::Of<float>(Shape{3, 70}, mask));
    SCOPED_TRACE(DTypeName(dtype));
    if (dtype == DType::kF32) {
      ExpectTacticsAgree(call, 2);
    } else {
      ExpectHalfAgrees(call);
    }
  }
}

TEST(AttentionOnDevice, BatchDoesNotMatter) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const KernelCall call{"FusedAttention",
                          {{"num_heads", int64_t{2}}, {"packed_qkv", int64_t{1}}, {"scale", 0.125}},
                          {RandomTensor(dtype, Shape{9, 77, 6 * 64}, 1)},
                          {{dtype, Shape{9, 77, 2 * 64}}}};
    for (int64_t item : {0, 4, 8}) ExpectBatchInvariant(call, item);
    ExpectThreadInvariant(call);
  }
}

}  // namespace
}  // namespace fusee::ops
