// Gelu and Swish from the arithmetic that exporters spell them with:
//
//   x (1 + Erf(x / sqrt 2)) / 2                              ->  Gelu(x)
//   x (1 + Tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2          ->  Gelu(x) {approximate = "tanh"}
//   x Sigmoid(alpha x)                                       ->  Swish(x) {alpha}
//
// Every order and association of operands, divisions for products, powers for products of equals:
// both the operand of Erf, Tanh or Sigmoid (u) and what becomes of its result (t) are expanded into
// polynomials, which are compared. Casts between floating-point types may lie anywhere.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "passes/match.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Coefficients by the powers of x and t.
using Polynomial = std::map<std::pair<int, int>, double>;

constexpr int kMaxDegree = 4;
constexpr int kMaxEvaluations = 256;  // nodes looked at for one polynomial
constexpr size_t kMaxCandidates = 32;

Polynomial Plus(Polynomial a, const Polynomial& b, double sign) {
  for (const auto& [power, coefficient] : b) a[power] += sign * coefficient;
  return a;
}

std::optional<Polynomial> Times(const Polynomial& a, const Polynomial& b) {
  Polynomial product;
  for (const auto& [p, c] : a) {
    for (const auto& [q, d] : b) {
      if (p.first + q.first > kMaxDegree || p.second + q.second > kMaxDegree) return std::nullopt;
      product[{p.first + q.first, p.second + q.second}] += c * d;
    }
  }
  return product;
}

// The same terms with the same coefficients, up to how finely the type can write constants.
bool Close(const Polynomial& a, const Polynomial& b, DType dtype) {
  const double rtol = BitsPerElement(dtype) >= 32 ? 2e-5 : 6e-3;
  for (const auto* side : {&a, &b}) {
    for (const auto& [power, coefficient] : *side) {
      const auto in_a = a.find(power), in_b = b.find(power);
      const double ca = in_a == a.end() ? 0 : in_a->second;
      const double cb = in_b == b.end() ? 0 : in_b->second;
      if (!(std::fabs(ca - cb) <= rtol * std::fabs(cb))) return false;
    }
  }
  return true;
}

// Expands values over x and t.
class Expander {
 public:
  Expander(const ir::Graph& graph, ir::ValueId x, ir::ValueId t) : graph_(graph), x_(x), t_(t) {}

  std::optional<Polynomial> Expand(ir::ValueId value) {
    budget_ = kMaxEvaluations;
    return At(value, 0);
  }

 private:
  std::optional<Polynomial> At(ir::ValueId value, int depth) {
    if (--budget_ < 0 || depth > kMaxPatternDepth || !value.valid()) return std::nullopt;
    if (value == x_) return Polynomial{{{1, 0}, 1}};
    if (value == t_) return Polynomial{{{0, 1}, 1}};
    if (const auto number = ScalarOf(graph_, value)) return Polynomial{{{0, 0}, *number}};
    if (!graph_.value(value).producer.valid()) return std::nullopt;
    const ir::Node& node = graph_.node(graph_.value(value).producer);
    if (node.inputs.empty() || node.outputs.size() != 1) return std::nullopt;
    if (node.op == "Cast") {
      const bool floats = IsFloat(graph_.value(node.inputs[0]).info.dtype) &&
                          IsFloat(graph_.value(value).info.dtype);
      return floats ? At(node.inputs[0], depth + 1) : std::nullopt;
    }
    if (node.op == "Pow") return Power(node, depth);
    if (node.op != "Add" && node.op != "Sub" && node.op != "Mul" && node.op != "Div")
      return std::nullopt;
    const auto a = At(node.inputs[0], depth + 1);
    const auto b = a ? At(node.inputs[1], depth + 1) : std::nullopt;
    if (!b) return std::nullopt;
    if (node.op == "Mul") return Times(*a, *b);
    if (node.op != "Div") return Plus(*a, *b, node.op == "Add" ? 1 : -1);
    const auto divisor = b->find({0, 0});
    if (b->size() != 1 || divisor == b->end() || divisor->second == 0) return std::nullopt;
    return Times(*a, {{{0, 0}, 1 / divisor->second}});
  }

  std::optional<Polynomial> Power(const ir::Node& node, int depth) {
    const auto exponent = ScalarOf(graph_, node.inputs[1]);
    if (!exponent || (*exponent != 2 && *exponent != 3)) return std::nullopt;
    const auto base = At(node.inputs[0], depth + 1);
    if (!base) return std::nullopt;
    auto power = Times(*base, *base);
    if (power && *exponent == 3) power = Times(*power, *base);
    return power;
  }

  const ir::Graph& graph_;
  ir::ValueId x_, t_;
  int budget_ = 0;
};

// Values that u may be a polynomial of, from u downwards, breadth first.
std::vector<ir::ValueId> Candidates(const ir::Graph& graph, ir::ValueId u) {
  std::vector<ir::ValueId> found = {u};
  for (size_t i = 0; i < found.size() && found.size() < kMaxCandidates; ++i) {
    const ir::NodeId producer = graph.value(found[i]).producer;
    if (!producer.valid()) continue;
    const ir::Node& node = graph.node(producer);
    if (node.op != "Add" && node.op != "Sub" && node.op != "Mul" && node.op != "Div" &&
        node.op != "Pow" && node.op != "Cast")
      continue;
    for (ir::ValueId operand : node.inputs) {
      if (operand.valid() && !graph.value(operand).constant.present() &&
          std::find(found.begin(), found.end(), operand) == found.end())
        found.push_back(operand);
    }
  }
  return found;
}

struct Match {
  bool operand_fits = false;  // u is what the activation has
  ir::ValueId x;
  double alpha = 1;
  ir::NodeId last;  // the node whose result is the activation's
};

// What u has to be, and what has to become of t.
bool OperandFits(const std::string& op, const Polynomial& u, DType dtype, double* alpha) {
  if (op == "Erf") return Close(u, {{{1, 0}, std::sqrt(0.5)}}, dtype);
  if (op == "Tanh") {
    const double c = std::sqrt(2 / std::acos(-1.0));
    return Close(u, {{{1, 0}, c}, {{3, 0}, 0.044715 * c}}, dtype);
  }
  if (u.size() != 1 || !u.contains({1, 0})) return false;
  *alpha = u.at({1, 0});
  return true;
}

// Follows t upwards through nodes that read nothing else, until it has become the activation.
bool ResultFits(const ir::Graph& graph, ir::NodeId anchor, ir::ValueId x, Match* match) {
  const ir::ValueId t = graph.node(anchor).outputs[0];
  const Polynomial want = graph.node(anchor).op == "Sigmoid"
                              ? Polynomial{{{1, 1}, 1}}
                              : Polynomial{{{1, 0}, 0.5}, {{1, 1}, 0.5}};
  Expander expander(graph, x, t);
  ir::NodeId at = anchor;
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    at = OnlyReader(graph, graph.node(at).outputs[0]);
    if (!at.valid() || graph.node(at).outputs.size() != 1) return false;
    const auto value = expander.Expand(graph.node(at).outputs[0]);
    if (!value) return false;
    const ir::ValueInfo& info = graph.value(graph.node(at).outputs[0]).info;
    if (Close(*value, want, info.dtype) && SameType(info, graph.value(x).info)) {
      match->x = x;
      match->last = at;
      return true;
    }
  }
  return false;
}

Match FindMatch(const ir::Graph& graph, ir::NodeId anchor) {
  const ir::Node& node = graph.node(anchor);
  Match match;
  for (ir::ValueId x : Candidates(graph, node.inputs[0])) {
    const auto u = Expander(graph, x, ir::ValueId()).Expand(node.inputs[0]);
    if (!u || !OperandFits(node.op, *u, graph.value(node.inputs[0]).info.dtype, &match.alpha))
      continue;
    match.operand_fits = true;
    if (ResultFits(graph, anchor, x, &match)) return match;
  }
  return match;
}

}  // namespace

Result<PassOutcome> recognise_activation(ir::Graph& graph, PassContext& context) {
  PassOutcome outcome;
  for (ir::NodeId id : graph.order()) {
    const std::string op = graph.node(id).op;
    if (op != "Erf" && op != "Tanh" && op != "Sigmoid") continue;
    const Match match = FindMatch(graph, id);
    if (!match.x.valid()) {
      // Sigmoid, and Tanh of anything else, are activations themselves: nothing to say about them.
      if (op == "Erf" || (op == "Tanh" && match.operand_fits)) {
        context.Declined(
            fmt::format("Gelu not recognised: {}",
                        match.operand_fits
                            ? fmt::format("what follows {0} is not x (1 + {0}) / 2, or has other "
                                          "readers",
                                          op)
                            : "the operand of Erf is not x / sqrt 2"),
            graph.node(id).sources);
      }
      continue;
    }
    ir::Node& last = graph.node(match.last);
    const ir::ValueId leaves[] = {match.x};
    std::vector<std::string> sources = SourcesBetween(graph, match.last, leaves);
    last.op = op == "Sigmoid" ? "Swish" : "Gelu";
    last.inputs = {match.x};
    if (op == "Sigmoid") {
      last.attrs = {{"alpha", match.alpha}};
    } else {
      last.attrs = {{"approximate", std::string(op == "Tanh" ? "tanh" : "none")}};
    }
    last.dims.clear();
    last.sources = std::move(sources);
    context.Made(fmt::format("recognised {} around {}", last.op, op), last.sources);
    outcome.changed = true;
  }
  return outcome;
}

}  // namespace fusee::passes::pass
