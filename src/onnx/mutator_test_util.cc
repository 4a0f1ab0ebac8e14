#include "onnx/mutator_test_util.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "base/wire.h"

namespace fusee::onnx {
namespace {

constexpr int kMaxDepth = 24;
constexpr size_t kMaxEdits = 4;
constexpr size_t kMaxRawGrowth = 4096;

// SplitMix64: the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // 0 when n is 0.
  size_t Below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(Bits() % n); }
  bool OneIn(size_t n) { return Below(n) == 0; }
  template <typename T>
  T& Of(std::vector<T>& list) {
    return list[Below(list.size())];
  }

 private:
  uint64_t state_;
};

// --- a model as a tree of messages ---

enum class Kind : uint8_t {
  kModel,
  kOpset,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kValue,
  kType,
  kTensorType,
  kShape,
  kDim,
  kFunction
};

// The messages of onnx.proto that the importer reads, by field number.
std::optional<Kind> ChildKind(Kind kind, uint32_t field) {
  struct Row {
    Kind kind;
    uint32_t field;
    Kind child;
  };
  static constexpr Row kRows[] = {
      {Kind::kModel, 7, Kind::kGraph},        {Kind::kModel, 8, Kind::kOpset},
      {Kind::kModel, 25, Kind::kFunction},    {Kind::kGraph, 1, Kind::kNode},
      {Kind::kGraph, 5, Kind::kTensor},       {Kind::kGraph, 11, Kind::kValue},
      {Kind::kGraph, 12, Kind::kValue},       {Kind::kGraph, 13, Kind::kValue},
      {Kind::kNode, 5, Kind::kAttribute},     {Kind::kAttribute, 5, Kind::kTensor},
      {Kind::kAttribute, 6, Kind::kGraph},    {Kind::kAttribute, 10, Kind::kTensor},
      {Kind::kAttribute, 11, Kind::kGraph},   {Kind::kValue, 2, Kind::kType},
      {Kind::kType, 1, Kind::kTensorType},    {Kind::kTensorType, 2, Kind::kShape},
      {Kind::kShape, 1, Kind::kDim},          {Kind::kFunction, 7, Kind::kNode},
      {Kind::kFunction, 11, Kind::kAttribute}};
  for (const Row& row : kRows) {
    if (row.kind == kind && row.field == field) return row.child;
  }
  return std::nullopt;
}

struct Message;

struct Field {
  uint32_t number = 0;
  wire::Type type = wire::Type::kVarint;
  uint64_t value = 0;      // varint, fixed
  std::string_view bytes;  // a leaf; points into the model or into own
  std::shared_ptr<std::string> own;
  std::shared_ptr<Message> child;  // its only owner, but for the moment of copying

  void SetBytes(std::string text) {
    own = std::make_shared<std::string>(std::move(text));
    bytes = *own;
  }
};

struct Message {
  Kind kind = Kind::kModel;
  std::vector<Field> fields;

  Field* Find(uint32_t number) {
    for (Field& f : fields) {
      if (f.number == number) return &f;
    }
    return nullptr;
  }
  Field& Add(uint32_t number, wire::Type type) {
    fields.push_back({number, type, 0, {}, nullptr, nullptr});
    return fields.back();
  }
};

std::shared_ptr<Message> Read(Kind kind, std::span<const std::byte> bytes, int depth) {
  if (depth > kMaxDepth) return nullptr;
  auto message = std::make_shared<Message>();
  message->kind = kind;
  wire::Reader in(bytes);
  while (in.Next()) {
    Field& field = message->Add(in.field(), in.type());
    const auto keep = [&](uint64_t value) { field.value = value; };
    switch (in.type()) {
      case wire::Type::kVarint: (void)in.Varints("", keep); break;
      case wire::Type::kFixed32: (void)in.Fixed<uint32_t>("", keep); break;
      case wire::Type::kFixed64: (void)in.Fixed<uint64_t>("", keep); break;
      case wire::Type::kBytes: {
        std::span<const std::byte> content;
        (void)in.Bytes("", &content);
        field.bytes = {reinterpret_cast<const char*>(content.data()), content.size()};
        if (const auto child = ChildKind(kind, in.field()))
          field.child = Read(*child, content, depth + 1);
        break;
      }
    }
  }
  return in.status().ok() ? message : nullptr;
}

void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void PutFixed(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void Write(const Message& message, std::string* out) {
  for (const Field& f : message.fields) {
    PutVarint(uint64_t{f.number} << 3 | static_cast<uint64_t>(f.type), out);
    switch (f.type) {
      case wire::Type::kVarint: PutVarint(f.value, out); break;
      case wire::Type::kFixed32: PutFixed(f.value, 4, out); break;
      case wire::Type::kFixed64: PutFixed(f.value, 8, out); break;
      case wire::Type::kBytes: {
        std::string nested;
        if (f.child != nullptr) Write(*f.child, &nested);
        const std::string_view content = f.child != nullptr ? std::string_view(nested) : f.bytes;
        PutVarint(content.size(), out);
        out->append(content);
        break;
      }
    }
  }
}

// A copy that shares no message: an attribute may be put into itself.
std::vector<Field> Clone(const std::vector<Field>& fields) {
  std::vector<Field> copies = fields;
  for (Field& f : copies) {
    if (f.child == nullptr) continue;
    auto child = std::make_shared<Message>();
    child->kind = f.child->kind;
    child->fields = Clone(f.child->fields);
    f.child = std::move(child);
  }
  return copies;
}

// --- changes ---

// Everything of one kind in the tree, with its parent's list for adding and removing.
struct Places {
  std::vector<Message*> graphs, nodes, attributes, tensors, types, dims, shapes, opsets;
  std::vector<std::string> names;  // of values
  std::vector<std::string> operators;

  void Collect(Message& m) {
    switch (m.kind) {
      case Kind::kGraph: graphs.push_back(&m); break;
      case Kind::kNode:
        nodes.push_back(&m);
        for (const Field& f : m.fields) {
          if (f.number == 1 || f.number == 2) names.emplace_back(f.bytes);
          if (f.number == 4) operators.emplace_back(f.bytes);
        }
        break;
      case Kind::kAttribute: attributes.push_back(&m); break;
      case Kind::kTensor: tensors.push_back(&m); break;
      case Kind::kTensorType: types.push_back(&m); break;
      case Kind::kShape: shapes.push_back(&m); break;
      case Kind::kDim: dims.push_back(&m); break;
      case Kind::kOpset: opsets.push_back(&m); break;
      case Kind::kModel:
      case Kind::kValue:
      case Kind::kType:
      case Kind::kFunction: break;
    }
    for (Field& f : m.fields) {
      if (f.child != nullptr) Collect(*f.child);
    }
  }
};

// Integers at which sizes, axes and counts break.
uint64_t HostileInt(Random& random, uint64_t now) {
  static constexpr int64_t kValues[] = {0,
                                        1,
                                        -1,
                                        2,
                                        3,
                                        7,
                                        8,
                                        -2,
                                        -3,
                                        16,
                                        255,
                                        256,
                                        4096,
                                        65535,
                                        65536,
                                        1 << 20,
                                        INT32_MAX,
                                        INT32_MIN,
                                        int64_t{1} << 31,
                                        int64_t{1} << 32,
                                        int64_t{1} << 40,
                                        int64_t{1} << 62,
                                        INT64_MAX,
                                        INT64_MIN,
                                        INT64_MAX - 1,
                                        INT64_MIN + 1};
  switch (random.Below(4)) {
    case 0: return now + 1;
    case 1: return now - 1;
    case 2: return random.OneIn(8) ? random.Bits() : now * 2;
    default: return static_cast<uint64_t>(kValues[random.Below(std::size(kValues))]);
  }
}

uint64_t HostileFloat(Random& random) {
  static constexpr uint32_t kBits[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                       0xff800000, 0x7fc00000, 0x7f7fffff, 0x00000001, 0x4f000000,
                                       0x5f000000, 0x3a83126f, 0x42c80000, 0xc2c80000};
  return random.OneIn(4) ? static_cast<uint32_t>(random.Bits())
                         : kBits[random.Below(std::size(kBits))];
}

// A repeated integer field: one number, or a packed list.
void ChangeInts(Random& random, Field& field) {
  if (field.type == wire::Type::kVarint) {
    field.value = HostileInt(random, field.value);
    return;
  }
  if (field.type != wire::Type::kBytes) return;
  std::vector<uint64_t> values;
  const auto* at = reinterpret_cast<const std::byte*>(field.bytes.data());
  const auto* const end = at + field.bytes.size();
  uint64_t value = 0;
  while (at < end && wire::DecodeVarint(&at, end, &value)) values.push_back(value);
  if (values.empty() || random.OneIn(6)) {
    values.insert(values.begin() + static_cast<ptrdiff_t>(random.Below(values.size() + 1)),
                  HostileInt(random, 1));
  } else if (random.OneIn(5)) {
    values.erase(values.begin() + static_cast<ptrdiff_t>(random.Below(values.size())));
  } else {
    uint64_t& one = random.Of(values);
    one = HostileInt(random, one);
  }
  std::string packed;
  for (const uint64_t v : values) PutVarint(v, &packed);
  field.SetBytes(std::move(packed));
}

void ChangeText(Random& random, Field& field, std::vector<std::string>& others) {
  std::string text(field.bytes);
  switch (random.Below(4)) {
    case 0: text.clear(); break;
    case 1: text += "x"; break;
    case 2:
      if (!others.empty()) text = random.Of(others);
      break;
    default:
      if (!text.empty()) text[random.Below(text.size())] = static_cast<char>(random.Bits());
      break;
  }
  field.SetBytes(std::move(text));
}

// Fields of one number in a message, at random; null when there is none.
Field* AnyOf(Random& random, Message& m, std::initializer_list<uint32_t> numbers) {
  std::vector<Field*> found;
  for (Field& f : m.fields) {
    if (std::ranges::find(numbers, f.number) != numbers.end()) found.push_back(&f);
  }
  return found.empty() ? nullptr : random.Of(found);
}

void DropOrRepeat(Random& random, Message& m, std::initializer_list<uint32_t> numbers) {
  Field* field = AnyOf(random, m, numbers);
  if (field == nullptr) return;
  const auto at = m.fields.begin() + (field - m.fields.data());
  if (random.OneIn(2)) {
    m.fields.erase(at);
  } else {
    const Field copy = Clone({*field})[0];
    m.fields.insert(m.fields.begin() + static_cast<ptrdiff_t>(random.Below(m.fields.size() + 1)),
                    copy);
  }
}

void ChangeAttribute(Random& random, Places& places) {
  if (places.attributes.empty()) return;
  Message& a = *random.Of(places.attributes);
  switch (random.Below(8)) {
    case 0:  // another type, or none
      if (Field* type = a.Find(20)) type->value = random.Below(16);
      return;
    case 1:
      if (Field* name = a.Find(1)) ChangeText(random, *name, places.operators);
      return;
    case 2:  // another node's attribute, under this one's place
      a.fields = Clone(random.Of(places.attributes)->fields);
      return;
    default: break;
  }
  Field* value = AnyOf(random, a, {2, 3, 4, 7, 8, 9});
  if (value == nullptr) {  // an empty list gets an element
    Field& fresh = a.Add(8, wire::Type::kVarint);
    fresh.value = HostileInt(random, 1);
    return;
  }
  switch (value->number) {
    case 3:
    case 8: random.OneIn(8) ? DropOrRepeat(random, a, {8}) : ChangeInts(random, *value); break;
    case 4:
    case 9: ChangeText(random, *value, places.operators); break;
    default:
      if (value->type == wire::Type::kFixed32) value->value = HostileFloat(random);
      break;
  }
}

void ChangeDims(Random& random, Places& places) {
  if (random.OneIn(2) && !places.tensors.empty()) {
    Message& tensor = *random.Of(places.tensors);
    Field* dims = AnyOf(random, tensor, {1});
    if (dims == nullptr || random.OneIn(6)) {
      Field& fresh = tensor.Add(1, wire::Type::kVarint);
      fresh.value = HostileInt(random, 1);
    } else if (random.OneIn(6)) {
      DropOrRepeat(random, tensor, {1});
    } else {
      ChangeInts(random, *dims);
    }
    return;
  }
  if (random.OneIn(3) && !places.shapes.empty()) {
    DropOrRepeat(random, *random.Of(places.shapes), {1});
  } else if (!places.dims.empty()) {
    Message& dim = *random.Of(places.dims);
    Field* value = dim.Find(1);
    if (value == nullptr) value = &dim.Add(1, wire::Type::kVarint);
    value->value = HostileInt(random, value->value);
  }
}

void ChangeWire(Random& random, Places& places) {
  if (places.nodes.empty()) return;
  Message& node = *random.Of(places.nodes);
  Field* wire = AnyOf(random, node, {1, 2});
  switch (wire == nullptr ? 0 : random.Below(5)) {
    case 0: {
      Field& fresh = node.Add(random.OneIn(4) ? 2 : 1, wire::Type::kBytes);
      fresh.SetBytes(places.names.empty() ? std::string() : random.Of(places.names));
      break;
    }
    case 1: DropOrRepeat(random, node, {1, 2}); break;
    case 2: wire->SetBytes(""); break;
    default: wire->SetBytes(random.Of(places.names)); break;
  }
}

void ChangeElementType(Random& random, Places& places) {
  static constexpr uint64_t kTypes = 30;
  const bool tensor = random.OneIn(2) && !places.tensors.empty();
  if (!tensor && places.types.empty()) return;
  Message& m = tensor ? *random.Of(places.tensors) : *random.Of(places.types);
  if (Field* type = m.Find(tensor ? 2 : 1)) type->value = random.Below(kTypes);
}

void ChangeRawData(Random& random, Places& places) {
  if (places.tensors.empty()) return;
  Message& tensor = *random.Of(places.tensors);
  Field* data = AnyOf(random, tensor, {4, 5, 7, 9, 10, 11});
  if (data == nullptr || data->type != wire::Type::kBytes) return;
  std::string bytes(data->bytes);
  switch (random.Below(4)) {
    case 0: bytes.resize(random.Below(bytes.size() + 1)); break;
    case 1: bytes.append(1 + random.Below(kMaxRawGrowth), '\x7f'); break;
    case 2: bytes.resize(bytes.empty() ? 1 : bytes.size() - 1); break;
    default:  // values: indices, shapes and scales out of their range
      for (size_t i = 0; i < 8 && !bytes.empty(); ++i)
        bytes[random.Below(bytes.size())] =
            static_cast<char>(random.OneIn(2) ? 0xff : random.Bits());
      break;
  }
  data->SetBytes(std::move(bytes));
}

void ChangeOperator(Random& random, Places& places) {
  if (places.nodes.empty()) return;
  Field* op = random.Of(places.nodes)->Find(4);
  if (op == nullptr) return;
  static constexpr const char* kOthers[] = {
      "Reshape", "Slice",  "Gather",    "Conv",      "MatMul",  "Gemm",      "Pad",   "Resize",
      "Concat",  "Split",  "TopK",      "Transpose", "Squeeze", "Unsqueeze", "Tile",  "Expand",
      "Where",   "OneHot", "ScatterND", "Range",     "Loop",    "If",        "LSTM",  "Einsum",
      "CumSum",  "Cast",   "Softmax",   "ReduceSum", "MaxPool", "Attention", "Shape", "NonZero"};
  op->SetBytes(random.OneIn(2) ? random.Of(places.operators)
                               : std::string(kOthers[random.Below(std::size(kOthers))]));
}

void ChangeOpset(Random& random, Places& places) {
  if (places.opsets.empty()) return;
  Message& opset = *random.Of(places.opsets);
  if (Field* version = opset.Find(2))
    version->value = random.OneIn(4) ? HostileInt(random, version->value) : 1 + random.Below(28);
}

// Nodes, initialisers, inputs and outputs: gone, twice, elsewhere; a graph inside itself.
void ChangeGraph(Random& random, Places& places) {
  if (places.graphs.empty()) return;
  Message& graph = *random.Of(places.graphs);
  if (random.OneIn(3) && graph.fields.size() > 1) {
    std::swap(random.Of(graph.fields), random.Of(graph.fields));
  } else if (random.OneIn(8) && !places.attributes.empty()) {
    Message& a = *random.Of(places.attributes);
    auto copy = std::make_shared<Message>();
    copy->kind = Kind::kGraph;
    copy->fields = Clone(graph.fields);
    a.Add(6, wire::Type::kBytes).child = std::move(copy);
    if (Field* type = a.Find(20)) type->value = 5;
  } else {
    DropOrRepeat(random, graph, {1, 5, 11, 12, 13});
  }
}

void Change(Random& random, Message& model) {
  Places places;
  places.Collect(model);
  switch (random.Below(12)) {
    case 0:
    case 1:
    case 2: return ChangeAttribute(random, places);
    case 3:
    case 4: return ChangeDims(random, places);
    case 5:
    case 6: return ChangeWire(random, places);
    case 7: return ChangeElementType(random, places);
    case 8: return ChangeRawData(random, places);
    case 9: return ChangeOperator(random, places);
    case 10: return ChangeOpset(random, places);
    default: return ChangeGraph(random, places);
  }
}

// y = Relu(x) on f32[2].
std::string SmallModel() {
  wire::Writer dim, shape, tensor, type, x, y, node, graph, opset, model;
  dim.Varint(1, 2);
  shape.Bytes(1, dim.str());
  tensor.Varint(1, 1);
  tensor.Bytes(2, shape.str());
  type.Bytes(1, tensor.str());
  x.Bytes(1, "x");
  x.Bytes(2, type.str());
  y.Bytes(1, "y");
  y.Bytes(2, type.str());
  node.Bytes(1, "x");
  node.Bytes(2, "y");
  node.Bytes(4, "Relu");
  graph.Bytes(1, node.str());
  graph.Bytes(11, x.str());
  graph.Bytes(12, y.str());
  opset.Varint(2, 17);
  model.Varint(1, 8);
  model.Bytes(7, graph.str());
  model.Bytes(8, opset.str());
  return model.str();
}

// One mostly: each further change makes it less likely that the model comes through to the kernels.
size_t Edits(Random& random) { return random.OneIn(3) ? 1 + random.Below(kMaxEdits) : 1; }

}  // namespace

std::string MutateBytes(std::string_view model, uint64_t seed) {
  Random random(seed);
  std::string bytes(model);
  for (size_t edits = Edits(random); edits > 0; --edits) {
    if (bytes.empty()) bytes = SmallModel();
    const size_t at = random.Below(bytes.size());
    switch (random.Below(6)) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8))); break;
      case 1: bytes[at] = static_cast<char>(random.Bits()); break;
      case 2: bytes[at] = random.OneIn(2) ? '\xff' : '\0'; break;
      case 3: bytes.resize(at); break;
      case 4: bytes.erase(at, 1 + random.Below(16)); break;
      default: bytes.insert(at, bytes.substr(random.Below(bytes.size()), random.Below(64))); break;
    }
  }
  return bytes;
}

std::string MutateModel(std::string_view model, uint64_t seed) {
  const auto bytes = std::as_bytes(std::span(model.data(), model.size()));
  const auto tree = Read(Kind::kModel, bytes, 0);
  if (tree == nullptr) return MutateBytes(model, seed);
  Random random(seed);
  for (size_t edits = Edits(random); edits > 0; --edits) Change(random, *tree);
  std::string out;
  out.reserve(model.size() + kMaxRawGrowth);
  Write(*tree, &out);
  return out;
}

size_t MutateForFuzzer(uint8_t* data, size_t size, size_t max_size, uint32_t seed) {
  const std::string_view before(reinterpret_cast<const char*>(data), size);
  std::string after = size == 0       ? SmallModel()
                      : seed % 8 == 0 ? MutateBytes(before, seed)
                                      : MutateModel(before, seed);
  if (after.size() > max_size) after = MutateBytes(before.substr(0, max_size), seed);
  after.resize(std::min(after.size(), max_size));
  std::memcpy(data, after.data(), after.size());
  return after.size();
}

}  // namespace fusee::onnx
