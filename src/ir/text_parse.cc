// Reads a graph's text. A character-level recursive descent parser; the grammar stands in text.h.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <set>

#include "base/checked_math.h"
#include "ir/text.h"

namespace fusee::ir {
namespace {

constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr int kMaxNesting = 16;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '_' || c == '.';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::unique_ptr<Graph>> ParseFile() {
    FUSEE_TRY(std::unique_ptr<Graph> graph, ParseGraph(1));
    SkipSpace();
    if (at_ != text_.size()) return Expected("the end of the text after the graph");
    return graph;
  }

 private:
  // --- characters ---

  Status ErrorAt(size_t at, std::string_view message) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return InvalidArgument(
        fmt::format("graph text, line {} column {}: {}", line, at - start + 1, message));
  }
  Status Expected(std::string_view what) {
    SkipSpace();
    std::string got = "the end";
    if (at_ < text_.size()) {
      size_t end = at_;
      while (end < text_.size() && end - at_ < 16 && text_[end] != '\n') ++end;
      got = fmt::format("'{}'", text_.substr(at_, end - at_));
    }
    return ErrorAt(at_, fmt::format("expected {}, got {}", what, got));
  }

  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void SkipSpace() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        ++at_;
      } else if (c == '/' && Peek(1) == '/') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }
  bool Accept(char c) {
    SkipSpace();
    if (Peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  Status Expect(char c) { return Accept(c) ? OkStatus() : Expected(fmt::format("'{}'", c)); }
  std::string_view PeekWord() {
    SkipSpace();
    size_t end = at_;
    while (end < text_.size() && IsWordChar(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }
  bool AcceptWord(std::string_view word) {
    if (PeekWord() != word) return false;
    at_ += word.size();
    return true;
  }
  Status ExpectWord(std::string_view word) {
    return AcceptWord(word) ? OkStatus() : Expected(fmt::format("'{}'", word));
  }
  Result<std::string> Word(std::string_view what) {
    SkipSpace();
    if (Peek() == '"') return String();
    const std::string_view word = PeekWord();
    if (word.empty()) return Expected(what);
    at_ += word.size();
    return std::string(word);
  }

  Result<std::string> String() {
    FUSEE_TRY(Expect('"'));
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] != '\\') {
        out += text_[at_++];
        continue;
      }
      const char escaped = Peek(1);
      if (escaped == '"' || escaped == '\\') {
        out += escaped;
        at_ += 2;
      } else if (escaped == 'x' && at_ + 4 <= text_.size()) {
        unsigned value = 0;
        const char* first = text_.data() + at_ + 2;
        if (std::from_chars(first, first + 2, value, 16).ptr != first + 2)
          return Expected("two hex digits");
        out += static_cast<char>(value);
        at_ += 4;
      } else {
        return Expected("an escape \\\", \\\\ or \\xHH");
      }
    }
    if (at_ >= text_.size()) return Expected("'\"'");
    ++at_;
    return out;
  }

  // After '%'. Bare names may hold '/', '-' and '::' beside word characters.
  Result<std::string> ValueName() {
    FUSEE_TRY(Expect('%'));
    if (Peek() == '"') {
      FUSEE_TRY(std::string name, String());
      if (name.empty()) return Expected("a name that is not empty");
      return name;
    }
    const size_t first = at_;
    while (true) {
      const char c = Peek();
      if (c == ':' && Peek(1) == ':') {
        at_ += 2;
      } else if (IsWordChar(c) || c == '/' || c == '-') {
        ++at_;
      } else {
        break;
      }
    }
    if (at_ == first) return Expected("a value's name");
    return std::string(text_.substr(first, at_ - first));
  }

  Result<int64_t> Integer() {
    SkipSpace();
    int64_t value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) return Expected("an integer of 64 bits");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  // The extent of a number-like token.
  std::string_view PeekNumber() {
    SkipSpace();
    size_t end = at_;
    while (end < text_.size() && (IsWordChar(text_[end]) || text_[end] == '-' || text_[end] == '+'))
      ++end;
    return text_.substr(at_, end - at_);
  }

  // --- dimensions and types ---

  // A dimension ends at a comma or closing bracket outside its own parentheses and quotes.
  Result<Dim> Dimension() {
    SkipSpace();
    const size_t first = at_;
    int depth = 0;
    bool quoted = false;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (quoted) {
        if (c == '\\') ++at_;
        if (c == '"') quoted = false;
      } else if (c == '"') {
        quoted = true;
      } else if (c == '(') {
        ++depth;
      } else if (depth > 0 && c == ')') {
        --depth;
      } else if (c == ']' || c == '}' || c == '\n' || (depth == 0 && (c == ',' || c == ')'))) {
        break;
      }
    }
    at_ = std::min(at_, text_.size());
    Result<Dim> dim = Dim::Parse(text_.substr(first, at_ - first));
    if (!dim.ok()) return ErrorAt(first, dim.status().message());
    return dim;
  }

  Result<std::vector<Dim>> DimList(char open, char close) {
    FUSEE_TRY(Expect(open));
    std::vector<Dim> dims;
    if (Accept(close)) return dims;
    do {
      FUSEE_TRY(dims.emplace_back(), Dimension());
    } while (Accept(','));
    FUSEE_TRY(Expect(close));
    return dims;
  }

  Result<ValueInfo> Type() {
    const std::string_view word = PeekWord();
    const std::optional<DType> dtype = ParseDType(word);
    if (!dtype || *dtype == DType::kInvalid) return Expected("an element type such as f32");
    at_ += word.size();
    ValueInfo info;
    info.dtype = *dtype;
    const size_t at = at_;
    FUSEE_TRY(info.shape, DimList('[', ']'));
    if (info.shape.size() > static_cast<size_t>(kMaxRank))
      return ErrorAt(at, "expected a rank of at most 8");
    if (Peek() == '{') {
      FUSEE_TRY(info.elements, DimList('{', '}'));
    }
    return info;
  }

  // --- constants ---

  // One element into *bytes; floats also as raw bits.
  Status Element(DType dtype, std::string* bytes) {
    const std::string_view token = PeekNumber();
    const char* first = token.data();
    const char* last = first + token.size();
    alignas(8) char buffer[8] = {};
    const TensorView one{dtype, Shape{}, buffer};
    const size_t size = static_cast<size_t>(BytesPerElement(dtype));
    const bool floating = IsFloat(dtype) || IsNarrowFloat(dtype);
    if (floating && token.starts_with("0x")) {
      uint64_t bits = 0;
      if (token.size() != 2 + 2 * size || std::from_chars(first + 2, last, bits, 16).ptr != last) {
        return Expected(fmt::format("{} hex digits", 2 * size));
      }
      std::memcpy(buffer, &bits, size);
    } else if (floating) {
      double value = 0;
      const auto [end, error] = std::from_chars(first, last, value);
      if (token.empty() || error != std::errc() || end != last) return Expected("a number");
      StoreDouble(one, 0, value);
    } else if (dtype == DType::kU64) {
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(first, last, value);
      if (token.empty() || error != std::errc() || end != last)
        return Expected("an integer of type u64");
      std::memcpy(buffer, &value, size);
    } else {
      int64_t value = 0;
      const auto [end, error] = std::from_chars(first, last, value);
      if (!token.empty() && error == std::errc() && end == last) StoreInt(one, 0, value);
      if (token.empty() || error != std::errc() || end != last || IntAt(one, 0) != value) {
        return Expected(fmt::format("an integer of type {}", DTypeName(dtype)));
      }
    }
    at_ += token.size();
    bytes->append(buffer, size);
    return OkStatus();
  }

  // "dtype[shape] = {elements}". Elements are collected before anything is allocated for the shape,
  // so that a large shape with few elements costs nothing.
  Result<Tensor> ConstantTensor() {
    SkipSpace();
    const size_t at = at_;
    FUSEE_TRY(const ValueInfo info, Type());
    int64_t elements = 0;
    if (!IsStatic(info.shape) || !CheckedProduct(ToShape(info.shape).dims(), &elements)) {
      return ErrorAt(
          at, "expected a constant's shape to be numbers, 0 or more, whose product fits 63 bits");
    }
    FUSEE_TRY(Expect('='));
    if (PeekWord() == "digest") {
      return Expected(
          "the elements in braces (a printed digest cannot be read back; print with a higher "
          "limit)");
    }
    FUSEE_TRY(Expect('{'));
    std::string bytes;
    if (!Accept('}')) {
      do {
        FUSEE_TRY(Element(info.dtype, &bytes));
      } while (Accept(','));
      FUSEE_TRY(Expect('}'));
    }
    const int64_t got = static_cast<int64_t>(bytes.size()) / BytesPerElement(info.dtype);
    if (got != elements) {
      return ErrorAt(at, fmt::format("expected {} elements for shape {}, got {}", elements,
                                     ToString(info.shape), got));
    }
    TensorView out;
    FUSEE_TRY(Tensor tensor, Tensor::Allocate(info.dtype, ToShape(info.shape), &out));
    if (!bytes.empty()) std::memcpy(out.data, bytes.data(), bytes.size());
    return tensor;
  }

  // --- attributes ---

  Result<AttrValue> AttributeValue() {
    SkipSpace();
    if (Peek() == '"') {
      FUSEE_TRY(std::string text, String());
      return AttrValue(std::move(text));
    }
    if (AcceptWord("floats")) {
      FUSEE_TRY(Expect('['));
      FUSEE_TRY(Expect(']'));
      return AttrValue(std::vector<double>{});
    }
    if (!Accept('[')) return Number();
    if (Accept(']')) return AttrValue(std::vector<int64_t>{});
    std::vector<int64_t> ints;
    std::vector<double> floats;
    do {
      FUSEE_TRY(const AttrValue value, Number());
      if (const auto* i = std::get_if<int64_t>(&value)) {
        ints.push_back(*i);
      } else {
        floats.push_back(std::get<double>(value));
      }
      if (!ints.empty() && !floats.empty())
        return Expected("a list of only integers or only floats");
    } while (Accept(','));
    FUSEE_TRY(Expect(']'));
    return ints.empty() ? AttrValue(std::move(floats)) : AttrValue(std::move(ints));
  }

  // An integer without a point or exponent, else a float.
  Result<AttrValue> Number() {
    const std::string_view token = PeekNumber();
    const char* last = token.data() + token.size();
    int64_t i = 0;
    if (const auto [end, error] = std::from_chars(token.data(), last, i);
        !token.empty() && error == std::errc() && end == last) {
      at_ += token.size();
      return AttrValue(i);
    }
    double f = 0;
    const auto [end, error] = std::from_chars(token.data(), last, f);
    const bool integer = token.find_first_not_of("-0123456789") == std::string_view::npos;
    if (token.empty() || integer || error != std::errc() || end != last) {
      return Expected("an integer, a float, a string or a list");
    }
    at_ += token.size();
    return AttrValue(f);
  }

  // --- graph ---

  Result<std::unique_ptr<Graph>> ParseGraph(int depth) {
    FUSEE_TRY(ExpectWord("graph"));
    if (depth > kMaxNesting) return Expected("at most 16 nested graphs");
    auto graph = std::make_unique<Graph>();
    SkipSpace();
    if (Peek() == '"') {
      FUSEE_TRY(graph->name, String());
    }
    FUSEE_TRY(Expect('{'));
    const size_t start = at_;
    while (!Accept('}')) FUSEE_TRY(Item(*graph, depth));
    if (Status status = Verify(*graph); !status.ok()) return ErrorAt(start, status.message());
    return graph;
  }

  Status Item(Graph& graph, int depth) {
    if (AcceptWord("symbol")) return Symbol(graph);
    if (AcceptWord("input")) return Input(graph);
    if (AcceptWord("const")) return Constant(graph);
    if (AcceptWord("output")) return Output(graph);
    if (AcceptWord("constraint")) return ParseConstraint(graph);
    if (AcceptWord("pin")) return Pin(graph);
    return ParseNode(graph, depth);
  }

  Status Symbol(Graph& graph) {
    FUSEE_TRY(const std::string name, Word("a symbol's name"));
    FUSEE_TRY(ExpectWord("in"));
    FUSEE_TRY(Expect('['));
    DimRange range;
    FUSEE_TRY(range.min, Integer());
    FUSEE_TRY(Expect(','));
    FUSEE_TRY(range.max, Integer());
    FUSEE_TRY(Expect(']'));
    if (name.empty() || range.min > range.max || !graph.symbols().emplace(name, range).second) {
      return Expected(fmt::format("one range with min <= max for symbol '{}' before this", name));
    }
    return OkStatus();
  }

  Result<std::string> NewName(const Graph& graph) {
    SkipSpace();
    const size_t at = at_;
    FUSEE_TRY(std::string name, ValueName());
    if (graph.FindValue(name))
      return ErrorAt(at, fmt::format("expected a new name, got '{}' a second time", name));
    return name;
  }
  Result<ValueId> ExistingValue(const Graph& graph) {
    SkipSpace();
    const size_t at = at_;
    FUSEE_TRY(const std::string name, ValueName());
    const std::optional<ValueId> id = graph.FindValue(name);
    if (!id) return ErrorAt(at, fmt::format("expected a value defined above, got '{}'", name));
    return *id;
  }

  Status Input(Graph& graph) {
    FUSEE_TRY(std::string name, NewName(graph));
    FUSEE_TRY(Expect(':'));
    FUSEE_TRY(ValueInfo info, Type());
    graph.AddInput(std::move(name), std::move(info));
    return OkStatus();
  }

  Status Constant(Graph& graph) {
    FUSEE_TRY(std::string name, NewName(graph));
    FUSEE_TRY(Expect(':'));
    FUSEE_TRY(Tensor tensor, ConstantTensor());
    graph.AddConstant(std::move(name), std::move(tensor));
    return OkStatus();
  }

  Status Output(Graph& graph) {
    FUSEE_TRY(const ValueId id, ExistingValue(graph));
    FUSEE_TRY(ExpectWord("as"));
    FUSEE_TRY(std::string name, String());
    graph.MarkOutput(id, std::move(name));
    return OkStatus();
  }

  Status ParseConstraint(Graph& graph) {
    FUSEE_TRY(std::vector<Dim> dims, DimList('(', ')'));
    if (dims.size() != 2) return Expected("two dimensions before this");
    FUSEE_TRY(ExpectWord("because"));
    FUSEE_TRY(std::string reason, String());
    graph.constraints().push_back({dims[0], dims[1], std::move(reason)});
    return OkStatus();
  }

  Status Pin(Graph& graph) {
    FUSEE_TRY(const ValueId id, ExistingValue(graph));
    FUSEE_TRY(Expect(':'));
    FUSEE_TRY(Tensor tensor, ConstantTensor());
    graph.pinned_inputs().push_back({id, std::move(tensor)});
    return OkStatus();
  }

  Status ParseNode(Graph& graph, int depth) {
    Node node;
    std::vector<std::string> names;
    std::vector<ValueInfo> infos;
    std::set<std::string> seen;
    do {
      if (AcceptWord("_")) {
        names.emplace_back();
        infos.emplace_back();
        continue;
      }
      SkipSpace();
      if (Peek() != '%' && names.empty()) {
        return Expected(
            "'}', symbol, input, const, output, constraint, pin or a node's result %name or _");
      }
      FUSEE_TRY(names.emplace_back(), NewName(graph));
      if (!seen.insert(names.back()).second)
        return Expected("another name for this result before this");
      FUSEE_TRY(Expect(':'));
      FUSEE_TRY(infos.emplace_back(), Type());
    } while (Accept(','));
    FUSEE_TRY(Expect('='));
    const std::string_view op = PeekWord();
    if (op.empty()) return Expected("an operator");
    at_ += op.size();
    node.op = std::string(op);
    FUSEE_TRY(Operands(graph, &node));
    FUSEE_TRY(NodeParts(graph, &node, depth));
    graph.AddNode(std::move(node), names, infos);
    return OkStatus();
  }

  Status Operands(const Graph& graph, Node* node) {
    FUSEE_TRY(Expect('('));
    if (Accept(')')) return OkStatus();
    do {
      if (AcceptWord("_")) {
        node->inputs.emplace_back();
      } else {
        FUSEE_TRY(node->inputs.emplace_back(), ExistingValue(graph));
      }
    } while (Accept(','));
    return Expect(')');
  }

  // {attributes} dims(...) counts(...) when(...) from(...) regions {...}, each optional, in this
  // order.
  Status NodeParts(const Graph& graph, Node* node, int depth) {
    if (Accept('{') && !Accept('}')) {
      do {
        FUSEE_TRY(std::string name, Word("an attribute's name"));
        FUSEE_TRY(Expect('='));
        if (node->attrs.Has(name)) return Expected(fmt::format("attribute '{}' once", name));
        FUSEE_TRY(AttrValue value, AttributeValue());
        node->attrs.Set(std::move(name), std::move(value));
      } while (Accept(','));
      FUSEE_TRY(Expect('}'));
    }
    if (AcceptWord("dims")) {
      FUSEE_TRY(node->dims, DimList('(', ')'));
    }
    if (AcceptWord("counts")) {
      FUSEE_TRY(const std::vector<Dim> counts, DimList('(', ')'));
      for (const Dim& d : counts) {
        const std::optional<std::string> symbol = d.AsSymbol();
        if (!symbol) return Expected("symbols alone in counts(...) before this");
        node->counts.push_back(*symbol);
      }
    }
    if (AcceptWord("when")) {
      FUSEE_TRY(Expect('('));
      do {
        Guard& guard = node->guards.emplace_back();
        guard.holds = !Accept('!');
        FUSEE_TRY(guard.condition, ExistingValue(graph));
      } while (Accept(','));
      FUSEE_TRY(Expect(')'));
    }
    if (AcceptWord("from")) {
      FUSEE_TRY(Expect('('));
      do {
        FUSEE_TRY(node->sources.emplace_back(), String());
      } while (Accept(','));
      FUSEE_TRY(Expect(')'));
    }
    if (AcceptWord("regions")) {
      FUSEE_TRY(Expect('{'));
      while (!Accept('}')) {
        FUSEE_TRY(node->regions.emplace_back(), ParseGraph(depth + 1));
      }
    }
    return OkStatus();
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<std::unique_ptr<Graph>> Parse(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return InvalidArgument(
        fmt::format("graph text: expected at most 16 MiB, got {} bytes", text.size()));
  }
  return Parser(text).ParseFile();
}

}  // namespace fusee::ir
