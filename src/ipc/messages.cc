#include "ipc/messages.h"

#include <fmt/format.h>

#include "ipc/bytes.h"

namespace fusee::ipc {
namespace {

constexpr size_t kPathMax = 4096;
constexpr size_t kItemsMax = 256;
constexpr uint8_t kStatusCodeMax = 15;
constexpr int64_t kNanosecondsMax = int64_t{86'400} * 1'000'000'000;

Status Malformed(const char* what) { return DataLoss(fmt::format("malformed {} message", what)); }
Status TooLong(const char* what, size_t bytes) {
  return ResourceExhausted(fmt::format("{} takes {} bytes in a message, the limit is {}", what,
                                       bytes, kMessageBytesMax));
}

// ---- parts ----

void Put(ByteWriter& out, const Status& status) {
  out.Put(static_cast<uint8_t>(status.code()));
  if (!status.ok()) out.Text(std::string_view(status.message()).substr(0, kModelTextMax));
}
bool Get(ByteReader& in, Status* out) {
  uint8_t code = 0;
  if (!in.Get(&code) || code > kStatusCodeMax) return false;
  *out = OkStatus();
  if (code == 0) return true;
  std::string text;
  if (!in.Text(&text, kModelTextMax)) return false;
  *out = Status(static_cast<StatusCode>(code), std::move(text));
  return true;
}

void Put(ByteWriter& out, const Shape& shape) { out.Dims(shape.dims()); }
bool Get(ByteReader& in, Shape* out) {
  uint32_t rank = 0;
  if (!in.Count(&rank, kMaxRank, sizeof(int64_t))) return false;
  *out = Shape();
  for (uint32_t i = 0; i < rank; ++i) {
    int64_t dim = 0;
    if (!in.Get(&dim) || dim < 0) return false;
    out->push_back(dim);
  }
  return true;
}

void Put(ByteWriter& out, const TensorInfo& t) {
  out.Text(t.name);
  out.Put(static_cast<uint8_t>(t.dtype));
  out.Dims(t.shape);
}
bool Get(ByteReader& in, TensorInfo* t) {
  uint8_t dtype = 0;
  if (!in.Text(&t->name, kModelTextMax) || !in.Get(&dtype) || !in.Dims(&t->shape, kMaxRank))
    return false;
  t->dtype = static_cast<DType>(dtype);  // judged by CheckModel
  return true;
}

void Put(ByteWriter& out, const SymbolInfo& s) {
  out.Text(s.name);
  out.Put(s.min);
  out.Put(s.max);
  out.Put(s.input);
  out.Put(s.axis);
}
bool Get(ByteReader& in, SymbolInfo* s) {
  return in.Text(&s->name, kModelTextMax) && in.Get(&s->min) && in.Get(&s->max) &&
         in.Get(&s->input) && in.Get(&s->axis);
}

void Put(ByteWriter& out, const BucketInfo& b) {
  out.Dims(b.symbol_values);
  out.Put(b.count);
  for (double us : {b.p50_us, b.p99_us, b.p999_us, b.max_us}) out.Put(us);
}
bool Get(ByteReader& in, BucketInfo* b) {
  return in.Dims(&b->symbol_values, kModelSymbolsMax) && in.Get(&b->count) && in.Get(&b->p50_us) &&
         in.Get(&b->p99_us) && in.Get(&b->p999_us) && in.Get(&b->max_us);
}

void Put(ByteWriter& out, const ShapeProgram::Expr& e) {
  out.Put(static_cast<uint8_t>(e.op));
  out.Put(e.a);
  out.Put(e.b);
}
bool Get(ByteReader& in, ShapeProgram::Expr* e) {
  uint8_t op = 0;
  if (!in.Get(&op) || !in.Get(&e->a) || !in.Get(&e->b)) return false;
  e->op = static_cast<ShapeProgram::Op>(op);  // judged by CheckModel
  return true;
}

void Put(ByteWriter& out, const std::vector<uint32_t>& indices) {
  out.Put(static_cast<uint32_t>(indices.size()));
  for (uint32_t i : indices) out.Put(i);
}
bool Get(ByteReader& in, std::vector<uint32_t>* indices) {
  uint32_t count = 0;
  if (!in.Count(&count, kMaxRank, sizeof(uint32_t))) return false;
  indices->resize(count);
  for (uint32_t& i : *indices) {
    if (!in.Get(&i)) return false;
  }
  return true;
}

void Put(ByteWriter& out, const ShapeProgram::Equal& e) {
  out.Put(e.a);
  out.Put(e.b);
  out.Text(e.reason);
}
bool Get(ByteReader& in, ShapeProgram::Equal* e) {
  return in.Get(&e->a) && in.Get(&e->b) && in.Text(&e->reason, kModelTextMax);
}

template <typename T>
void PutList(ByteWriter& out, const std::vector<T>& list) {
  out.Put(static_cast<uint32_t>(list.size()));
  for (const T& one : list) Put(out, one);
}
// each_bytes: what one takes at least, so that a count alone cannot make this allocate.
template <typename T>
bool GetList(ByteReader& in, std::vector<T>* list, size_t max, size_t each_bytes) {
  uint32_t count = 0;
  if (!in.Count(&count, max, each_bytes)) return false;
  list->clear();
  for (uint32_t i = 0; i < count; ++i) {
    if (!Get(in, &list->emplace_back())) return false;
  }
  return true;
}

void Put(ByteWriter& out, const ModelInfo& info) {
  out.Text(info.name);
  out.Put(info.version);
  PutList(out, info.inputs);
  PutList(out, info.outputs);
  PutList(out, info.symbols);
  PutList(out, info.buckets);
  out.Put(info.batch_symbol);
  out.Text(std::string_view(info.not_batched_because).substr(0, kModelTextMax));
  out.Put(static_cast<uint8_t>(info.verified));
  out.Text(std::string_view(info.verification).substr(0, kModelTextMax));
  out.Put(info.memory_bytes);
  out.Text(info.plan_digest);
}
bool Get(ByteReader& in, ModelInfo* info) {
  return in.Text(&info->name, kModelTextMax) && in.Get(&info->version) &&
         GetList(in, &info->inputs, kModelTensorsMax, 9) &&
         GetList(in, &info->outputs, kModelTensorsMax, 9) &&
         GetList(in, &info->symbols, kModelSymbolsMax, 28) &&
         GetList(in, &info->buckets, kModelBucketsMax, 44) && in.Get(&info->batch_symbol) &&
         in.Text(&info->not_batched_because, kModelTextMax) && in.Flag(&info->verified) &&
         in.Text(&info->verification, kModelTextMax) && in.Get(&info->memory_bytes) &&
         in.Text(&info->plan_digest, kModelTextMax);
}

void Put(ByteWriter& out, const ShapeProgram& p) {
  PutList(out, p.dims);
  PutList(out, p.inputs);
  PutList(out, p.outputs);
  PutList(out, p.equal);
}
bool Get(ByteReader& in, ShapeProgram* p) {
  return GetList(in, &p->dims, kModelDimsMax, 17) && GetList(in, &p->inputs, kModelTensorsMax, 4) &&
         GetList(in, &p->outputs, kModelTensorsMax, 4) && GetList(in, &p->equal, kModelDimsMax, 12);
}

bool Get(ByteReader& in, Duration* out) {
  int64_t ns = 0;
  if (!in.Get(&ns) || ns < 0 || ns > kNanosecondsMax) return false;
  *out = Duration(ns);
  return true;
}

}  // namespace

// ---- messages ----

void Encode(const LoadMessage& m, std::vector<std::byte>* out) {
  ByteWriter w(out);
  w.Put(m.model);
  w.Text(m.path);
  w.Text(m.name);
  w.Put(m.version);
}
Status Decode(std::span<const std::byte> bytes, LoadMessage* m) {
  ByteReader r(bytes);
  const bool good = r.Get(&m->model) && r.Text(&m->path, kPathMax) &&
                    r.Text(&m->name, kModelTextMax) && r.Get(&m->version) && r.AtEnd();
  return good ? OkStatus() : Malformed("load");
}

void Encode(const HelloMessage& m, std::vector<std::byte>* out) {
  ByteWriter w(out);
  w.Put(m.protocol);
  w.Text(m.device);
  w.Text(std::string_view(m.description).substr(0, kModelTextMax));
}
Status Decode(std::span<const std::byte> bytes, HelloMessage* m) {
  ByteReader r(bytes);
  const bool good = r.Get(&m->protocol) && r.Text(&m->device, kModelTextMax) &&
                    r.Text(&m->description, kModelTextMax) && r.AtEnd();
  return good ? OkStatus() : Malformed("hello");
}

Status Encode(const LoadedMessage& m, std::vector<std::byte>* out) {
  ByteWriter w(out);
  w.Put(m.model);
  Put(w, m.status);
  if (m.status.ok()) {
    Put(w, m.info);
    Put(w, m.shapes);
  }
  if (out->size() > kMessageBytesMax) return TooLong("the model's description", out->size());
  return OkStatus();
}
Status Decode(std::span<const std::byte> bytes, LoadedMessage* m) {
  ByteReader r(bytes);
  bool good = r.Get(&m->model) && Get(r, &m->status);
  if (good && m->status.ok()) good = Get(r, &m->info) && Get(r, &m->shapes);
  if (!good || !r.AtEnd()) return Malformed("loaded");
  if (!m->status.ok()) return OkStatus();
  const Status checked = CheckModel(m->info, m->shapes);
  return checked.ok() ? OkStatus() : DataLoss(checked.message());
}

Status Encode(const BatchMessage& m, std::vector<std::byte>* out) {
  ByteWriter w(out);
  w.Put(m.id);
  w.Put(m.model);
  PutList(w, m.shapes);
  w.Put(static_cast<uint32_t>(m.places.size()));
  for (const TensorPlace& place : m.places) {
    w.Put(place.offset);
    w.Put(place.rows);
  }
  if (out->size() > kMessageBytesMax) return TooLong("the batch", out->size());
  return OkStatus();
}
Status Decode(std::span<const std::byte> bytes, BatchMessage* m) {
  ByteReader r(bytes);
  uint32_t count = 0;
  bool good = r.Get(&m->id) && r.Get(&m->model) &&
              GetList(r, &m->shapes, kModelTensorsMax, sizeof(uint32_t)) &&
              r.Count(&count, kModelTensorsMax * kItemsMax, 16);
  m->places.resize(good ? count : 0);
  for (TensorPlace& place : m->places) {
    good = good && r.Get(&place.offset) && r.Get(&place.rows) && place.rows >= 0;
  }
  const bool whole = !m->shapes.empty() && !m->places.empty() && count % m->shapes.size() == 0;
  return good && whole && r.AtEnd() ? OkStatus() : Malformed("batch");
}

void Encode(const DoneMessage& m, std::vector<std::byte>* out) {
  ByteWriter w(out);
  w.Put(m.id);
  Put(w, m.status);
  for (Duration d : {m.gather, m.compute, m.scatter}) w.Put(int64_t{d.count()});
  PutList(w, m.outputs);
}
Status Decode(std::span<const std::byte> bytes, DoneMessage* m) {
  ByteReader r(bytes);
  const bool good = r.Get(&m->id) && Get(r, &m->status) && Get(r, &m->gather) &&
                    Get(r, &m->compute) && Get(r, &m->scatter) &&
                    GetList(r, &m->outputs, kModelTensorsMax, sizeof(uint32_t)) && r.AtEnd();
  return good ? OkStatus() : Malformed("done");
}

void Encode(const ProbedMessage& m, std::vector<std::byte>* out) {
  ByteWriter(out).Put(static_cast<uint8_t>(m.probed));
}
Status Decode(std::span<const std::byte> bytes, ProbedMessage* m) {
  ByteReader r(bytes);
  return r.Flag(&m->probed) && r.AtEnd() ? OkStatus() : Malformed("probed");
}

void Encode(const LastWordsMessage& m, std::vector<std::byte>* out) {
  ByteWriter(out).Text(std::string_view(m.text).substr(0, kModelTextMax));
}
Status Decode(std::span<const std::byte> bytes, LastWordsMessage* m) {
  ByteReader r(bytes);
  return r.Text(&m->text, kModelTextMax) && r.AtEnd() ? OkStatus() : Malformed("last words");
}

}  // namespace fusee::ipc
