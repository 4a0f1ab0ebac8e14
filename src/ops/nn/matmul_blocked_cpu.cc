// Fast f32 MatMul and Gemm: b packed into panels (offline when constant), register tiles, no split
// of k.
//
// Tasks are blocks of the result; every element is one chain of multiply-adds over k ascending,
// whatever the blocking, the number of threads and the row's place in the batch.
#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "ops/nn/gemm_block.h"
#include "ops/nn/matmul.h"

namespace fusee::ops {

namespace {

constexpr int64_t kRowBlock =
    96;  // a multiple of every tile's rows; 96 x 256 floats of a fit in L2
constexpr int64_t kMaxPanelBlock = 8;  // panels of one task
constexpr int64_t kSerialWork =
    64 * 1024;  // multiply-adds below which handing out tasks costs more than it saves

// Panel p of b: columns [p * tile.columns, ...) for all k, short columns padded with zeros.
void PackPanel(const GemmTile& tile, const MatMulShape& s, const float* b, int64_t panel,
               float* out) {
  const int64_t first = panel * tile.columns;
  const int64_t count = std::min<int64_t>(tile.columns, s.n - first);
  const size_t width = static_cast<size_t>(tile.columns);
  for (int64_t k = 0; k < s.k; ++k, out += tile.columns) {
    const float* from = b + k * s.b_row + first * s.b_col;
    if (count < tile.columns) std::memset(out, 0, width * sizeof(float));
    if (s.b_col == 1) {
      std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float));
    } else {
      for (int64_t j = 0; j < count; ++j) std::memcpy(out + j, from + j * s.b_col, sizeof(float));
    }
  }
}

// Where one run finds its operands and how it is cut.
struct Plan {
  MatMulShape shape;
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* panels = nullptr;
  int64_t matrices = 1;       // distinct b matrices that are packed
  int64_t matrix_floats = 0;  // of one packed b
};

class MatMulBlocked final : public BoundKernel {
 public:
  MatMulBlocked(const GemmTile& tile, MatMulParams params, bool packed, int64_t k, int64_t n)
      : tile_(tile), params_(params), packed_(packed), k_(k), n_(n) {}

  size_t workspace_bytes() const override { return workspace_bytes_; }

  // Sizes the workspace for the profile's maximum.
  Status SizeWorkspace(const Shape& a, const Shape& b) {
    MatMulShape s;
    Shape out;
    FUSEE_TRY(MatMulGeometry(params_, a, b, ConstTensorView(), &s, &out));
    int64_t floats = 0;
    if (!WorkspaceFloats(s, b, &floats))
      return ResourceExhausted("the workspace does not fit in memory");
    workspace_bytes_ = static_cast<size_t>(floats) * sizeof(float);
    return OkStatus();
  }

  Status CheckShapes(const RunArgs& args) const override {
    if (!packed_) {
      FUSEE_TRY(CheckMatMul(params_, args));
    } else {
      FUSEE_TRY(CheckPacked(args));
    }
    MatMulShape s;
    Shape want;
    FUSEE_TRY(Geometry(args, &s, &want));
    int64_t floats = 0;
    if (!WorkspaceFloats(s, args.inputs[1].shape, &floats) ||
        static_cast<size_t>(floats) > workspace_bytes_ / sizeof(float)) {
      return OutOfRange("MatMul: shapes above the profile that the workspace was sized for");
    }
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    Plan plan;
    Shape out;
    FUSEE_TRY(Geometry(args, &plan.shape, &out));
    MatMulShape& s = plan.shape;
    if (s.m == 0 || s.n == 0 || s.batches == 0) return OkStatus();
    float* workspace = reinterpret_cast<float*>(args.workspace.data());
    plan.matrix_floats = PanelCount(tile_, s.n) * s.k * tile_.columns;
    PlaceA(args, &workspace, &plan);
    PlaceB(args, workspace, &plan);
    Multiply(args, plan);
    return OkStatus();
  }

 private:
  Status Geometry(const RunArgs& args, MatMulShape* s, Shape* want) const {
    const Shape logical = packed_ ? Shape{k_, n_} : args.inputs[1].shape;
    const ConstTensorView c = args.has_input(2) ? args.inputs[2] : ConstTensorView();
    FUSEE_TRY(MatMulGeometry(params_, args.inputs[0].shape, logical, c, s, want));
    // One b for all: the batch is more rows of one product, because a is contiguous.
    if (!params_.gemm && logical.rank() <= 2 && s->batches != 1) {
      s->m *= s->batches;
      s->batches = 1;
      s->batch_rank = 0;
    }
    return OkStatus();
  }

  Status CheckPacked(const RunArgs& args) const {
    const std::string_view op = params_.gemm ? "Gemm" : "MatMul";
    if (args.inputs.size() < 2 || args.outputs.size() != 1 || args.inputs[0].dtype != DType::kF32 ||
        args.outputs[0].dtype != DType::kF32 || args.inputs[1].dtype != DType::kU8 ||
        args.inputs[1].size_bytes() != PanelCount(tile_, n_) * tile_.columns * k_ * 4) {
      return InvalidArgument(std::string(op) + ": operands differ from those bound");
    }
    MatMulShape s;
    Shape want;
    FUSEE_TRY(Geometry(args, &s, &want));
    if (!(args.outputs[0].shape == want))
      return ShapeMismatch(op, "the result", want, args.outputs[0].shape);
    return CheckResidual(params_, args, want);
  }

  // b is packed at run time unless it was a constant; a only where it is transposed.
  bool WorkspaceFloats(const MatMulShape& s, const Shape& b, int64_t* floats) const {
    const int64_t transposed[] = {params_.trans_a ? s.m : 0, s.k};
    int64_t a_floats = 0, b_floats = 0;
    if (!CheckedProduct(transposed, &a_floats)) return false;
    if (!packed_) {
      int64_t matrices = 1;
      for (int i = 0; i < b.rank() - 2; ++i) {
        if (!CheckedMul(matrices, b[i], &matrices)) return false;
      }
      const int64_t dims[] = {matrices, PanelCount(tile_, s.n), tile_.columns, s.k};
      if (!CheckedProduct(dims, &b_floats)) return false;
    }
    // a's part is rounded up to whole cache lines, which keeps panels aligned.
    return CheckedAdd(static_cast<int64_t>(AlignUp(static_cast<uint64_t>(a_floats), 16)), b_floats,
                      floats) &&
           *floats < (int64_t{1} << 40);
  }

  void PlaceA(const RunArgs& args, float** workspace, Plan* plan) const {
    const MatMulShape& s = plan->shape;
    const float* a = args.inputs[0].as<float>();
    plan->a = a;
    plan->a_stride = s.a_row;
    if (!params_.trans_a) return;
    float* copy = *workspace;
    args.parallel->Run(s.m, [&](int64_t i) {
      for (int64_t k = 0; k < s.k; ++k) copy[i * s.k + k] = a[i * s.a_row + k * s.a_col];
    });
    plan->a = copy;
    plan->a_stride = s.k;
    *workspace += AlignUp(static_cast<uint64_t>(s.m * s.k), 16);
  }

  void PlaceB(const RunArgs& args, float* workspace, Plan* plan) const {
    const MatMulShape& s = plan->shape;
    if (packed_) {
      plan->panels = static_cast<const float*>(args.inputs[1].data);
      return;
    }
    const Shape& b = args.inputs[1].shape;
    plan->matrices = b.rank() > 2 ? b.elements(0, b.rank() - 2) : 1;
    plan->panels = workspace;
    const int64_t panels = PanelCount(tile_, s.n);
    const float* data = args.inputs[1].as<float>();
    args.parallel->Run(plan->matrices * panels, [&](int64_t task) {
      PackPanel(tile_, s, data + task / panels * s.k * s.n, task % panels,
                workspace + task * s.k * tile_.columns);
    });
  }

  void Multiply(const RunArgs& args, const Plan& plan) const {
    const MatMulShape& s = plan.shape;
    const int64_t panels = PanelCount(tile_, s.n);
    const int64_t row_blocks = (s.m + kRowBlock - 1) / kRowBlock;
    const int64_t share = s.batches * row_blocks * panels / (4 * args.parallel->width());
    const int64_t panel_block = std::clamp<int64_t>(share, 1, kMaxPanelBlock);
    const int64_t panel_blocks = (panels + panel_block - 1) / panel_block;
    const int64_t units = s.batches * row_blocks * panel_blocks;
    const bool serial = static_cast<double>(s.m) * static_cast<double>(s.n) *
                            static_cast<double>(s.k) * static_cast<double>(s.batches) <
                        kSerialWork;
    const int64_t tasks = serial ? 1 : units;
    args.parallel->Run(tasks, [&](int64_t task) {
      for (int64_t unit = task; unit < units; unit += tasks) {
        const int64_t first = unit % panel_blocks * panel_block;
        Block(args, plan, unit / panel_blocks / row_blocks,
              unit / panel_blocks % row_blocks * kRowBlock, first,
              std::min(panels, first + panel_block));
      }
    });
  }

  // Rows [row, row + kRowBlock) by panels [first, last) of one batch.
  void Block(const RunArgs& args, const Plan& plan, int64_t batch, int64_t row, int64_t first,
             int64_t last) const {
    const MatMulShape& s = plan.shape;
    Epilogue epilogue{static_cast<float>(params_.alpha),
                      static_cast<float>(params_.beta),
                      nullptr,
                      s.c_row,
                      s.c_col,
                      params_.activation};
    if (args.has_input(2)) epilogue.c = args.inputs[2].as<float>();
    if (args.has_input(3)) {
      epilogue.residual = args.inputs[3].as<float>() + batch * s.m * s.n;
      epilogue.residual_row = s.n;
    }
    const int64_t rows = std::min(kRowBlock, s.m - row);
    const float* a = plan.a + s.AOffset(batch) + row * plan.a_stride;
    const int64_t matrix =
        plan.matrices == 1 ? 0 : s.BOffset(batch) / std::max<int64_t>(s.k * s.n, 1);
    const float* panels = plan.panels + matrix * plan.matrix_floats;
    float* y = args.outputs[0].as<float>() + (batch * s.m + row) * s.n;
    // A single tile of rows uses each panel once: no reason to cut k.
    const int64_t chunk = rows <= tile_.rows ? std::max<int64_t>(s.k, 1) : kDepthBlock;
    for (int64_t k = 0; k == 0 || k < s.k; k += chunk) {
      const int64_t depth = std::min(chunk, s.k - k);
      for (int64_t p = first; p < last; ++p) {
        const int64_t column = p * tile_.columns;
        MultiplyPanel(tile_, rows, std::min<int64_t>(tile_.columns, s.n - column), depth, a + k,
                      plan.a_stride, panels + (p * s.k + k) * tile_.columns, y + column, s.n, k > 0,
                      k + depth >= s.k ? &epilogue : nullptr, row, column);
      }
    }
  }

  const GemmTile& tile_;
  MatMulParams params_;
  bool packed_;
  int64_t k_, n_;  // of a packed b
  size_t workspace_bytes_ = 0;
};

// A packed b is bytes; its logical sizes follow from a and the result.
Status PackedSizes(const GemmTile& tile, const StepSpec& spec, const MatMulParams& p, int64_t* k,
                   int64_t* n) {
  const Shape& a = spec.inputs[0].max_shape;
  const Shape& y = spec.outputs[0].max_shape;
  if (a.rank() < 1 || y.rank() < 1 || (p.gemm && a.rank() != 2))
    return BadStep(spec, "a or the result has a wrong rank");
  *k = p.gemm && p.trans_a ? a[0] : a[a.rank() - 1];
  *n = y[y.rank() - 1];
  const int64_t dims[] = {PanelCount(tile, *n), tile.columns, *k, 4};
  int64_t bytes = 0;
  if (!CheckedProduct(dims, &bytes) || spec.inputs[1].max_shape.rank() != 1 ||
      spec.inputs[1].max_shape[0] != bytes) {
    return BadStep(spec, "the packed b has a wrong size");
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const GemmTile& tile, const StepSpec& spec) {
  FUSEE_TRY(MatMulParams params, ParseMatMul(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  const bool packed = spec.inputs[1].dtype == DType::kU8;
  int64_t k = 0, n = 0;
  if (packed) {
    FUSEE_TRY(PackedSizes(tile, spec, params, &k, &n));
    params.trans_b = false;
  } else if (spec.inputs[1].dtype != DType::kF32) {
    return BadStep(spec, "b should be f32 like a");
  }
  auto kernel = std::make_unique<MatMulBlocked>(tile, params, packed, k, n);
  const Status sized = kernel->SizeWorkspace(spec.inputs[0].max_shape,
                                             packed ? Shape{k, n} : spec.inputs[1].max_shape);
  if (!sized.ok()) return RefuseTactic(spec, sized.message());
  return std::unique_ptr<BoundKernel>(std::move(kernel));
}

Result<std::vector<PackedConstant>> Pack(const GemmTile& tile, const StepSpec& spec) {
  std::vector<PackedConstant> packed;
  FUSEE_TRY(MatMulParams params, ParseMatMul(spec));
  const TensorSpec& b = spec.inputs[1];
  if (params.dtype != DType::kF32 || b.dtype != DType::kF32 || b.data == nullptr ||
      b.max_shape.rank() != 2) {
    return packed;
  }
  MatMulShape s;
  s.k = params.trans_b ? b.max_shape[1] : b.max_shape[0];
  s.n = params.trans_b ? b.max_shape[0] : b.max_shape[1];
  s.b_row = params.trans_b ? 1 : s.n;
  s.b_col = params.trans_b ? s.k : 1;
  const int64_t panels = PanelCount(tile, s.n);
  const int64_t panel_floats = s.k * tile.columns;
  if (panels * panel_floats == 0) return packed;  // nothing to rewrite
  PackedConstant p;
  p.input = 1;
  p.bytes.resize(static_cast<size_t>(panels * panel_floats) * sizeof(float));
  for (int64_t i = 0; i < panels; ++i) {
    PackPanel(tile, s, static_cast<const float*>(b.data), i,
              reinterpret_cast<float*>(p.bytes.data()) + i * panel_floats);
  }
  packed.push_back(std::move(p));
  return packed;
}

Result<std::unique_ptr<BoundKernel>> BindAvx2(const StepSpec& spec) {
  return Bind(kGemmTileAvx2, spec);
}
Result<std::unique_ptr<BoundKernel>> BindAvx512(const StepSpec& spec) {
  return Bind(kGemmTileAvx512, spec);
}
Result<std::vector<PackedConstant>> PackAvx2(const StepSpec& spec) {
  return Pack(kGemmTileAvx2, spec);
}
Result<std::vector<PackedConstant>> PackAvx512(const StepSpec& spec) {
  return Pack(kGemmTileAvx512, spec);
}

}  // namespace

extern const KernelDef matmul_f32_avx2 = {.id = "matmul_f32_avx2.1",
                                          .op = "MatMul",
                                          .isa = Isa::kAvx2,
                                          .bind = BindAvx2,
                                          .pack = PackAvx2};
extern const KernelDef matmul_f32_avx512 = {.id = "matmul_f32_avx512.1",
                                            .op = "MatMul",
                                            .isa = Isa::kAvx512,
                                            .bind = BindAvx512,
                                            .pack = PackAvx512};
extern const KernelDef gemm_f32_avx2 = {
    .id = "gemm_f32_avx2.1", .op = "Gemm", .isa = Isa::kAvx2, .bind = BindAvx2, .pack = PackAvx2};
extern const KernelDef gemm_f32_avx512 = {.id = "gemm_f32_avx512.1",
                                          .op = "Gemm",
                                          .isa = Isa::kAvx512,
                                          .bind = BindAvx512,
                                          .pack = PackAvx512};

}  // namespace fusee::ops
