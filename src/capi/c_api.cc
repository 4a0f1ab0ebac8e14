// The C ABI over the runtime: translation only. Nothing here decides.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/clock.h"
#include "base/file.h"
#include "capi/give.h"
#include "capi/handles.h"
#include "device/arena.h"
#include "device/cpu_features.h"
#include "device/memory_limits.h"
#include "plan/check.h"
#include "plan/decode.h"
#include "plan/dims.h"
#include "plan/print.h"
#include "runtime/golden.h"
#include "runtime/gpu_facts.h"

using fusee::InvalidArgument;
using fusee::OkStatus;
using fusee::Result;
using fusee::Shape;
using fusee::Status;
using fusee::capi::Give;
using fusee::capi::GiveInfo;
using fusee::capi::NullArgument;
namespace plan = fusee::plan;
namespace runtime = fusee::runtime;

namespace {

static_assert(FUSEE_MAX_RANK == fusee::kMaxRank);

// Reads the caller's options struct: what the caller's version lacks stays at its default. A
// struct_size that was not set is refused: taken as it is, every option would be ignored unsaid.
template <typename Options>
Result<Options> ReadOptions(const Options* given) {
  Options options{};
  if (given == nullptr) return options;
  if (given->struct_size < sizeof(size_t)) {
    return InvalidArgument(fmt::format(
        "the options' struct_size is {}; set it to sizeof the struct first", given->struct_size));
  }
  std::memcpy(&options, given, std::min(given->struct_size, sizeof(Options)));
  return options;
}

fusee_status* NoSuch(const char* what, size_t index, size_t count) {
  return Give(InvalidArgument(fmt::format("no {} {}: the plan has {}", what, index, count)));
}

fusee_tensor ToC(const fusee::ConstTensorView& view) {
  fusee_tensor tensor{};
  tensor.struct_size = sizeof(tensor);
  tensor.dtype = static_cast<fusee_dtype>(view.dtype);
  tensor.rank = view.shape.rank();
  for (int i = 0; i < view.shape.rank(); ++i) tensor.shape[i] = view.shape[i];
  tensor.data = const_cast<void*>(view.data);
  tensor.bytes = view.present() ? static_cast<size_t>(view.size_bytes()) : 0;
  return tensor;
}

char* CopyText(const std::string& text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& t : texts) joined += (joined.empty() ? "" : " + ") + t;
  return joined;
}

runtime::LoadOptions ToLoadOptions(const fusee_load_options& o) {
  runtime::LoadOptions options;
  options.replay_golden = o.skip_golden == 0;
  options.allow_unverified = o.refuse_unverified == 0;
  options.weights =
      o.map_weights != 0 ? runtime::WeightsMemory::kMapped : runtime::WeightsMemory::kPrivate;
  options.parallel = o.threads != nullptr ? &o.threads->pool : nullptr;
  if (o.device != nullptr) {
    options.device = o.device->device.get();
    options.kernels = o.device->kernels;
  }
  return options;
}

// Everything a plan handle answers from, made once so that its texts can be lent out.
fusee_status* GivePlan(Result<std::shared_ptr<const runtime::LoadedPlan>> loaded,
                       fusee::TimePoint begin, fusee_plan** out) {
  if (!loaded.ok()) return Give(std::move(loaded).status());
  auto handle = std::make_unique<fusee_plan>();
  handle->loaded = std::move(loaded).value();
  const plan::Plan& p = handle->loaded->plan();
  handle->isa = plan::IsaText(p.target.isa);
  for (const auto& io : p.inputs)
    handle->input_shapes.push_back(plan::ShapeText(p, p.tensors[io.tensor]));
  for (const auto& io : p.outputs)
    handle->output_shapes.push_back(plan::ShapeText(p, p.tensors[io.tensor]));
  for (const auto& step : p.steps) handle->step_sources.push_back(Joined(step.sources));
  handle->load_ns = (fusee::SteadyClock().Now() - begin).count();
  *out = handle.release();
  return nullptr;
}

fusee_status* GetIo(const fusee_plan* handle, const std::vector<plan::IoDef>& list,
                    const std::vector<std::string>& shapes, const char* what, size_t index,
                    fusee_io_info* info) {
  if (index >= list.size()) return NoSuch(what, index, list.size());
  const plan::Plan& p = handle->loaded->plan();
  const plan::IoDef& io = list[index];
  const plan::TensorDef& t = p.tensors[io.tensor];
  fusee_io_info value{};
  value.name = io.name.c_str();
  value.shape_text = shapes[index].c_str();
  value.dtype = static_cast<fusee_dtype>(t.dtype);
  value.rank = static_cast<int32_t>(t.shape.size());
  value.pinned = io.is_pinned ? 1 : 0;
  value.channels_last = io.channels_last ? 1 : 0;
  const std::pair<plan::ProfilePoint, int64_t*> points[] = {
      {plan::ProfilePoint::kMin, value.min_shape},
      {plan::ProfilePoint::kOpt, value.opt_shape},
      {plan::ProfilePoint::kMax, value.max_shape}};
  std::vector<int64_t> dims(p.dims.size());
  for (const auto& [point, shape] : points) {
    if (Status s = plan::EvaluateDims(p.dims, plan::SymbolValues(p, point), dims); !s.ok())
      return Give(std::move(s));
    for (size_t axis = 0; axis < t.shape.size(); ++axis) shape[axis] = dims[t.shape[axis]];
  }
  if (!p.counts.empty()) {  // what a run finds lies between these
    const std::vector<int64_t> known = plan::KnownAfter(p);
    const std::vector<plan::DimBounds> bounds = plan::BoundDims(p.dims, p.symbols);
    for (size_t axis = 0; axis < t.shape.size(); ++axis) {
      if (known[t.shape[axis]] == plan::kKnownAtStart) continue;
      value.min_shape[axis] = std::max<int64_t>(bounds[t.shape[axis]].min, 0);
      value.max_shape[axis] = bounds[t.shape[axis]].max;
    }
  }
  return GiveInfo(value, info);
}

fusee_status* FindIo(std::optional<size_t> found, const char* what, const char* name,
                     size_t* index) {
  if (!found.has_value())
    return Give(fusee::NotFound(fmt::format("the plan has no {} '{}'", what, name)));
  *index = *found;
  return nullptr;
}

}  // namespace

void fusee_context::OnStep(const runtime::StepEvent& event) {
  for (size_t i = 0; i < event.outputs.size(); ++i) event_outputs[i] = ToC(event.outputs[i]);
  const fusee_step_event c_event{sizeof(fusee_step_event), event.step, event.nanoseconds,
                                 event.outputs.size(), event_outputs.data()};
  callback(user, &c_event);
}

extern "C" {

uint32_t fusee_abi_version(void) noexcept { return FUSEE_ABI_VERSION; }
const char* fusee_version(void) noexcept { return FUSEE_VERSION_TEXT; }

fusee_code fusee_status_code(const fusee_status* status) noexcept {
  return status == nullptr ? FUSEE_OK : static_cast<fusee_code>(status->status.code());
}
const char* fusee_status_message(const fusee_status* status) noexcept {
  return status == nullptr ? "" : status->status.message().c_str();
}
void fusee_status_free(fusee_status* status) noexcept { delete status; }
void fusee_text_free(char* text) noexcept { std::free(text); }

const char* fusee_dtype_name(fusee_dtype dtype) noexcept {
  const auto d = static_cast<fusee::DType>(dtype);
  return fusee::BitsPerElement(d) == 0 ? "invalid" : fusee::DTypeName(d).data();
}
size_t fusee_dtype_bytes(fusee_dtype dtype) noexcept {
  return static_cast<size_t>(fusee::BytesPerElement(static_cast<fusee::DType>(dtype)));
}

fusee_status* fusee_threads_create(int width, fusee_threads** out) noexcept {
  if (out == nullptr) return NullArgument("out");
  if (width < 0 || width > fusee::ThreadPool::kMaxWidth) {
    return Give(InvalidArgument(fmt::format("{} threads, expected 0 (all usable CPUs) to {}", width,
                                            fusee::ThreadPool::kMaxWidth)));
  }
  *out = new fusee_threads{fusee::ThreadPool({.width = width})};
  return nullptr;
}
int fusee_threads_width(const fusee_threads* threads) noexcept {
  return threads == nullptr ? 1 : threads->pool.width();
}
void fusee_threads_free(fusee_threads* threads) noexcept { delete threads; }

// --- plans ---

fusee_status* fusee_plan_load(const char* path, const fusee_load_options* options,
                              fusee_plan** out) noexcept {
  if (path == nullptr || out == nullptr) return NullArgument(path == nullptr ? "path" : "out");
  const fusee::TimePoint begin = fusee::SteadyClock().Now();
  auto given = ReadOptions(options);
  if (!given.ok()) return Give(std::move(given).status());
  return GivePlan(runtime::LoadedPlan::Load(path, ToLoadOptions(*given)), begin, out);
}

fusee_status* fusee_plan_load_bytes(const void* bytes, size_t size,
                                    const fusee_load_options* options, fusee_plan** out) noexcept {
  if (bytes == nullptr || out == nullptr) return NullArgument(bytes == nullptr ? "bytes" : "out");
  const fusee::TimePoint begin = fusee::SteadyClock().Now();
  auto given = ReadOptions(options);
  if (!given.ok()) return Give(std::move(given).status());
  auto arena = fusee::Arena::Allocate(size);
  if (!arena.ok()) return Give(std::move(arena).status());
  auto owner = std::make_shared<fusee::Arena>(std::move(arena).value());
  if (size > 0) std::memcpy(owner->data(), bytes, size);
  return GivePlan(runtime::LoadedPlan::FromBytes(owner->bytes(), owner, ToLoadOptions(*given)),
                  begin, out);
}

void fusee_plan_free(fusee_plan* handle) noexcept { delete handle; }

fusee_status* fusee_plan_get_info(const fusee_plan* handle, fusee_plan_info* info) noexcept {
  const plan::Plan& p = handle->loaded->plan();
  fusee_plan_info value{};
  value.input_count = p.inputs.size();
  value.output_count = p.outputs.size();
  value.symbol_count = p.symbols.size();
  value.bucket_count = p.buckets.size();
  value.step_count = p.steps.size();
  value.model_name = p.provenance.model_name.c_str();
  value.builder_version = p.provenance.builder_version.c_str();
  value.isa = handle->isa.c_str();
  value.verified = p.certificate.verified ? 1 : 0;
  value.unverified_reason = p.certificate.reason.c_str();
  value.load_ns = handle->load_ns;
  value.file_bytes = handle->loaded->header().file_bytes;
  value.weights_bytes = p.weights.size();
  value.activation_bytes = p.activation_bytes;
  value.io_bytes = p.io_bytes;
  value.state_bytes = p.state_bytes;
  value.workspace_bytes = p.workspace_bytes;
  value.context_bytes = handle->loaded->context_bytes();
  value.device = p.target.device.c_str();
  value.host_step_count = plan::HostStepCount(p);
  const std::optional<size_t> batch = handle->loaded->batch_symbol();
  value.batch_symbol = batch.has_value() ? static_cast<int64_t>(*batch) : -1;
  value.batch_checked = p.certificate.batch_checked ? 1 : 0;
  return GiveInfo(value, info);
}

fusee_status* fusee_plan_get_input(const fusee_plan* handle, size_t index,
                                   fusee_io_info* info) noexcept {
  return GetIo(handle, handle->loaded->plan().inputs, handle->input_shapes, "input", index, info);
}
fusee_status* fusee_plan_get_output(const fusee_plan* handle, size_t index,
                                    fusee_io_info* info) noexcept {
  return GetIo(handle, handle->loaded->plan().outputs, handle->output_shapes, "output", index,
               info);
}
fusee_status* fusee_plan_find_input(const fusee_plan* handle, const char* name,
                                    size_t* index) noexcept {
  return FindIo(handle->loaded->FindInput(name), "input", name, index);
}
fusee_status* fusee_plan_find_output(const fusee_plan* handle, const char* name,
                                     size_t* index) noexcept {
  return FindIo(handle->loaded->FindOutput(name), "output", name, index);
}

fusee_status* fusee_plan_get_symbol(const fusee_plan* handle, size_t index,
                                    fusee_symbol_info* info) noexcept {
  const auto& symbols = handle->loaded->plan().symbols;
  if (index >= symbols.size()) return NoSuch("symbol", index, symbols.size());
  const plan::Symbol& s = symbols[index];
  return GiveInfo(fusee_symbol_info{0, s.name.c_str(), s.min, s.opt, s.max}, info);
}

fusee_status* fusee_plan_get_bucket(const fusee_plan* handle, size_t index,
                                    fusee_bucket_info* info) noexcept {
  const auto& buckets = handle->loaded->plan().buckets;
  if (index >= buckets.size()) return NoSuch("bucket", index, buckets.size());
  const plan::Bucket& b = buckets[index];
  const plan::Latency& l = b.latency;
  return GiveInfo(fusee_bucket_info{0, b.symbol_values.data(), b.arena_bytes, l.count, l.min_us,
                                    l.p50_us, l.p99_us, l.p999_us, l.max_us},
                  info);
}

fusee_status* fusee_plan_get_step(const fusee_plan* handle, size_t index,
                                  fusee_step_info* info) noexcept {
  const auto& steps = handle->loaded->plan().steps;
  if (index >= steps.size()) return NoSuch("step", index, steps.size());
  return GiveInfo(fusee_step_info{0, steps[index].op.c_str(), steps[index].kernel.c_str(),
                                  handle->step_sources[index].c_str()},
                  info);
}

fusee_status* fusee_plan_describe(const fusee_plan* handle, fusee_text_kind kind,
                                  char** out) noexcept {
  if (out == nullptr) return NullArgument("out");
  std::string text;
  switch (kind) {
    case FUSEE_HEADER_TEXT: text = plan::HeaderText(handle->loaded->header()); break;
    case FUSEE_HEADER_JSON: text = plan::HeaderJson(handle->loaded->header()); break;
    case FUSEE_PLAN_TEXT: text = plan::PlanText(handle->loaded->plan()); break;
    case FUSEE_PLAN_JSON: text = plan::PlanJson(handle->loaded->plan()); break;
  }
  if (text.empty())
    return Give(InvalidArgument(fmt::format("no text kind {}", static_cast<int>(kind))));
  *out = CopyText(text);
  return nullptr;
}

fusee_status* fusee_plan_check(const char* path, fusee_verdict* verdict, char** report) noexcept {
  return fusee_plan_check_on(path, nullptr, verdict, report);
}

fusee_status* fusee_plan_check_on(const char* path, const fusee_device* device,
                                  fusee_verdict* verdict, char** report) noexcept {
  if (path == nullptr || verdict == nullptr)
    return NullArgument(path == nullptr ? "path" : "verdict");
  auto file = fusee::MappedFile::Open(path);
  if (!file.ok()) return Give(std::move(file).status());
  const auto bytes = (*file)->bytes();
  auto header =
      plan::ReadHeader(bytes.first(std::min(bytes.size(), plan::kHeaderBytes)), bytes.size());
  if (!header.ok()) return Give(std::move(header).status());
  plan::HostFacts host;
  host.cpu_supported = fusee::HostCpu().supported;
  host.isa = static_cast<uint8_t>(fusee::HostCpu().isa);
  host.memory_bytes = fusee::UsableMemoryBytes();
  host.format_version = plan::kFormatVersion;
  if (device != nullptr) host.gpu = fusee::runtime::FactsOf(device->device->info());
  const plan::CheckReport result = plan::Check(*header, host);
  *verdict = static_cast<fusee_verdict>(result.verdict);
  if (report != nullptr) *report = CopyText(plan::CheckJson(result));
  return nullptr;
}

// --- contexts ---

fusee_status* fusee_context_create(const fusee_plan* handle, const fusee_context_options* options,
                                   fusee_context** out) noexcept {
  if (handle == nullptr || out == nullptr) return NullArgument(handle == nullptr ? "plan" : "out");
  auto given = ReadOptions(options);
  if (!given.ok()) return Give(std::move(given).status());
  auto context = runtime::Context::Create(
      handle->loaded, {.parallel = given->threads != nullptr ? &given->threads->pool : nullptr,
                       .huge_pages = given->small_pages == 0,
                       .graphs = given->no_graphs == 0,
                       .transfers = given->no_transfers == 0,
                       .marks = given->marks != 0});
  if (!context.ok()) return Give(std::move(context).status());
  auto result = std::make_unique<fusee_context>();
  result->context = std::move(context).value();
  size_t widest = 0;
  for (const plan::Step& s : handle->loaded->plan().steps)
    widest = std::max(widest, s.outputs.size());
  result->event_outputs.resize(widest);
  *out = result.release();
  return nullptr;
}

void fusee_context_free(fusee_context* handle) noexcept { delete handle; }

fusee_status* fusee_context_set_input_shape(fusee_context* handle, size_t input,
                                            const int64_t* shape, int rank) noexcept {
  if (rank < 0 || rank > FUSEE_MAX_RANK || (shape == nullptr && rank > 0)) {
    return Give(InvalidArgument(
        fmt::format("rank {}, expected 0 to {} and a shape", rank, FUSEE_MAX_RANK)));
  }
  return Give(
      handle->context->SetInputShape(input, Shape(std::span(shape, static_cast<size_t>(rank)))));
}
fusee_status* fusee_context_bind_input(fusee_context* handle, size_t input, const void* data,
                                       size_t bytes) noexcept {
  return Give(handle->context->BindInput(input, data, bytes));
}
fusee_status* fusee_context_bind_output(fusee_context* handle, size_t output, void* data,
                                        size_t capacity) noexcept {
  return Give(handle->context->BindOutput(output, data, capacity));
}

fusee_status* fusee_context_input(fusee_context* handle, size_t input,
                                  fusee_tensor* tensor) noexcept {
  if (input >= handle->context->input_count())
    return NoSuch("input", input, handle->context->input_count());
  return GiveInfo(ToC(handle->context->input(input)), tensor);
}
fusee_status* fusee_context_output(const fusee_context* handle, size_t output,
                                   fusee_tensor* tensor) noexcept {
  if (output >= handle->context->output_count())
    return NoSuch("output", output, handle->context->output_count());
  return GiveInfo(ToC(handle->context->output(output)), tensor);
}

fusee_status* fusee_context_fill_inputs(fusee_context* handle, const int64_t* symbol_values,
                                        size_t symbol_count, fusee_fill fill, uint64_t seed,
                                        int64_t int_max) noexcept {
  if (fill < FUSEE_FILL_UNIFORM || fill > FUSEE_FILL_CONSTANT || int_max < 0 ||
      int_max > INT32_MAX) {
    return Give(InvalidArgument(
        fmt::format("fill {} or int_max {} is out of range", static_cast<int>(fill), int_max)));
  }
  return Give(runtime::FillInputs(*handle->context, std::span(symbol_values, symbol_count),
                                  static_cast<fusee::Fill>(fill), seed, int_max));
}

fusee_status* fusee_context_prepare(fusee_context* handle) noexcept {
  return Give(handle->context->Prepare());
}
fusee_status* fusee_context_run(fusee_context* handle) noexcept {
  return Give(handle->context->Run());
}

fusee_status* fusee_context_run_device_timed(fusee_context* handle, double* us) noexcept {
  if (us == nullptr) return NullArgument("us");
  auto timed = handle->context->RunDeviceTimed();
  if (!timed.ok()) return Give(std::move(timed).status());
  *us = *timed;
  return nullptr;
}

fusee_status* fusee_context_move_inputs(fusee_context* handle) noexcept {
  return Give(handle->context->MoveInputs());
}
fusee_status* fusee_context_move_outputs(fusee_context* handle) noexcept {
  return Give(handle->context->MoveOutputs());
}

int64_t fusee_context_bucket(const fusee_context* handle) noexcept {
  const std::optional<size_t> bucket = handle->context->bucket();
  return bucket.has_value() ? static_cast<int64_t>(*bucket) : -1;
}

void fusee_context_set_step_callback(fusee_context* handle, fusee_step_callback callback,
                                     void* user) noexcept {
  handle->callback = callback;
  handle->user = user;
  handle->context->SetStepHook(callback != nullptr ? handle : nullptr, &fusee::SteadyClock());
}

}  // extern "C"
