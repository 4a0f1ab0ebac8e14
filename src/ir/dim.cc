#include "ir/dim.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/checked_math.h"

namespace fusee::ir {

namespace {

constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();
constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
// Symbols nobody gave a range for: dimensions of tensors that fit into memory.
constexpr DimRange kDefaultRange{0, (int64_t{1} << 31) - 1};

// Precondition: b != 0 and not (a == min and b == -1).
int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return (a % b != 0 && ((a % b < 0) != (b < 0))) ? q - 1 : q;
}
int64_t FloorModulo(int64_t a, int64_t b) {
  const int64_t r = a % b;
  return (r != 0 && ((r < 0) != (b < 0))) ? r + b : r;
}

bool Apply(DimOp op, int64_t a, int64_t b, int64_t* out) {
  switch (op) {
    case DimOp::kFloorDiv:
      if (b == -1) return CheckedMul<int64_t>(a, -1, out);
      *out = b == 0 ? 0 : FloorDivide(a, b);
      return true;
    case DimOp::kMod: *out = b == 0 || b == -1 ? 0 : FloorModulo(a, b); return true;
    case DimOp::kMin: *out = std::min(a, b); return true;
    case DimOp::kMax: *out = std::max(a, b); return true;
  }
  return false;
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t out;
  return CheckedAdd(a, b, &out) ? out : (a < 0 ? kInt64Min : kInt64Max);
}
int64_t SaturatingMul(int64_t a, int64_t b) {
  int64_t out;
  return CheckedMul(a, b, &out) ? out : ((a < 0) != (b < 0) ? kInt64Min : kInt64Max);
}

DimRange Hull(std::initializer_list<int64_t> values) {
  return {std::min(values), std::max(values)};
}
DimRange AddRanges(DimRange a, DimRange b) {
  return {SaturatingAdd(a.min, b.min), SaturatingAdd(a.max, b.max)};
}
DimRange MulRanges(DimRange a, DimRange b) {
  return Hull({SaturatingMul(a.min, b.min), SaturatingMul(a.min, b.max),
               SaturatingMul(a.max, b.min), SaturatingMul(a.max, b.max)});
}

int64_t SaturatingFloorDiv(int64_t a, int64_t b) {
  return b == -1 ? SaturatingMul(a, -1) : FloorDivide(a, b);
}

// floor(a / b) is monotonic in a and, on either side of zero, in b, so the corners bound it.
DimRange FloorDivRange(DimRange a, DimRange b) {
  std::vector<int64_t> corners;
  const auto add_side = [&](int64_t low, int64_t high) {
    for (int64_t divisor : {low, high}) {
      corners.push_back(SaturatingFloorDiv(a.min, divisor));
      corners.push_back(SaturatingFloorDiv(a.max, divisor));
    }
  };
  if (b.max >= 1) add_side(std::max<int64_t>(b.min, 1), b.max);
  if (b.min <= -1) add_side(b.min, std::min<int64_t>(b.max, -1));
  if (b.min <= 0 && b.max >= 0) corners.push_back(0);
  return {*std::min_element(corners.begin(), corners.end()),
          *std::max_element(corners.begin(), corners.end())};
}

DimRange ModRange(DimRange a, DimRange b) {
  if (a.min >= 0 && a.max < b.min) return a;
  return {b.min < 0 ? std::min<int64_t>(b.min + 1, 0) : 0,
          b.max > 0 ? std::max<int64_t>(b.max - 1, 0) : 0};
}

bool IsIdentifier(std::string_view name) {
  if (name.empty() || name == "min" || name == "max" || name == "floordiv" || name == "mod")
    return false;
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return letter(name[0]) && std::all_of(name.begin(), name.end(),
                                        [&](char c) { return letter(c) || digit(c) || c == '.'; });
}

std::string SymbolText(std::string_view name) {
  if (IsIdentifier(name)) return std::string(name);
  std::string text = "\"";
  for (char c : name) {
    if (c == '"' || c == '\\') text += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      text += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string_view OpName(DimOp op) {
  switch (op) {
    case DimOp::kFloorDiv: return "floordiv";
    case DimOp::kMod: return "mod";
    case DimOp::kMin: return "min";
    case DimOp::kMax: return "max";
  }
  return "?";
}

// Floor division and modulo print as infix operators.
bool IsInfix(const DimAtom& atom) {
  return atom.symbol.empty() && (atom.op == DimOp::kFloorDiv || atom.op == DimOp::kMod);
}
std::string FactorText(const DimAtom& atom) {
  return IsInfix(atom) ? "(" + atom.key + ")" : atom.key;
}

}  // namespace

// Operations on polynomials: sorted vectors of terms. Everything here is exact or says unknown.
struct DimAlgebra {
  using Term = Dim::Term;
  using Poly = std::vector<Term>;
  using Terms = std::map<std::string, Term>;  // by key, while a polynomial is being built

  // The one polynomial object that stands for unknown; recognised by its address.
  static const std::shared_ptr<const Poly>& UnknownPoly() {
    static const auto poly = std::make_shared<const Poly>();
    return poly;
  }

  static Poly ToPoly(const Dim& d) {
    if (d.poly_ != nullptr) return *d.poly_;
    if (d.constant_ == 0) return {};
    return {Term{d.constant_, {}, ""}};
  }

  // Precondition: sorted by key, no zero coefficients.
  static Dim FromPoly(Poly poly) {
    if (poly.empty()) return Dim(0);
    if (poly.size() == 1 && poly[0].factors.empty()) return Dim(poly[0].coefficient);
    size_t bytes = 0;
    for (const Term& t : poly) bytes += t.key.size();
    if (poly.size() > kMaxDimTerms || bytes > kMaxDimTextBytes) return Dim::Unknown();
    Dim d;
    d.poly_ = std::make_shared<const Poly>(std::move(poly));
    return d;
  }

  static Dim FromAtom(DimAtom atom) {
    Term t{1, {}, FactorText(atom)};
    t.factors.push_back(std::move(atom));
    Poly poly;
    poly.push_back(std::move(t));
    return FromPoly(std::move(poly));
  }

  static Dim FromTerms(Terms terms) {
    Poly poly;
    for (auto& [key, term] : terms) {
      if (term.coefficient != 0) poly.push_back(std::move(term));
    }
    return FromPoly(std::move(poly));
  }

  static Term MakeTerm(int64_t coefficient, std::vector<DimAtom> factors) {
    Term t{coefficient, std::move(factors), ""};
    for (const DimAtom& f : t.factors) {
      if (!t.key.empty()) t.key += '*';
      t.key += FactorText(f);
    }
    return t;
  }

  // False on overflow.
  static bool Accumulate(Terms* terms, const Term& t, int64_t scale) {
    int64_t coefficient;
    if (!CheckedMul(t.coefficient, scale, &coefficient)) return false;
    const auto [it, fresh] = terms->try_emplace(t.key, Term{coefficient, t.factors, t.key});
    return fresh || CheckedAdd(it->second.coefficient, coefficient, &it->second.coefficient);
  }

  static Dim Combine(const Dim& a, const Dim& b, int64_t scale_b) {
    if (a.is_unknown() || b.is_unknown()) return Dim::Unknown();
    if (a.is_constant() && b.is_constant()) {
      int64_t out;
      if (!CheckedMul(b.constant_, scale_b, &out) || !CheckedAdd(a.constant_, out, &out))
        return Dim::Unknown();
      return Dim(out);
    }
    Terms terms;
    for (const Term& t : ToPoly(a)) {
      if (!Accumulate(&terms, t, 1)) return Dim::Unknown();
    }
    for (const Term& t : ToPoly(b)) {
      if (!Accumulate(&terms, t, scale_b)) return Dim::Unknown();
    }
    return FromTerms(std::move(terms));
  }

  static Dim Multiply(const Dim& a, const Dim& b) {
    if (a.is_unknown() || b.is_unknown()) return Dim::Unknown();
    const Poly pa = ToPoly(a);
    const Poly pb = ToPoly(b);
    Terms terms;
    for (const Term& ta : pa) {
      for (const Term& tb : pb) {
        std::vector<DimAtom> factors;
        factors.reserve(ta.factors.size() + tb.factors.size());
        std::merge(ta.factors.begin(), ta.factors.end(), tb.factors.begin(), tb.factors.end(),
                   std::back_inserter(factors),
                   [](const DimAtom& x, const DimAtom& y) { return x.key < y.key; });
        Term product = MakeTerm(ta.coefficient, std::move(factors));
        // Untrusted text could otherwise ask for thousands of terms again and again.
        if (product.key.size() > kMaxDimTextBytes || terms.size() > 4 * kMaxDimTerms ||
            !Accumulate(&terms, product, tb.coefficient)) {
          return Dim::Unknown();
        }
      }
    }
    return FromTerms(std::move(terms));
  }

  static Dim BinaryAtom(DimOp op, const Dim& a, const Dim& b) {
    if (a.is_unknown() || b.is_unknown()) return Dim::Unknown();
    DimAtom atom;
    atom.op = op;
    atom.a = a;
    atom.b = b;
    if (op == DimOp::kMin || op == DimOp::kMax) {
      atom.key = fmt::format("{}({}, {})", OpName(op), a.ToString(), b.ToString());
    } else {
      atom.key = fmt::format("{} {} {}", OperandText(a), OpName(op), OperandText(b));
    }
    if (atom.key.size() > kMaxDimTextBytes) return Dim::Unknown();
    return FromAtom(std::move(atom));
  }

  // An operand of an infix operator, in parentheses unless it is one word.
  static std::string OperandText(const Dim& d) {
    const bool word = d.is_constant() ? d.constant_ >= 0
                                      : d.poly_->size() == 1 && d.poly_->front().coefficient == 1 &&
                                            d.poly_->front().factors.size() == 1 &&
                                            !IsInfix(d.poly_->front().factors[0]);
    return word ? d.ToString() : "(" + d.ToString() + ")";
  }

  // The single atom with coefficient 1 that d is beside a constant term; null when d is anything
  // else.
  static const DimAtom* AtomPlusConstant(const Dim& d, int64_t* constant) {
    *constant = 0;
    const DimAtom* atom = nullptr;
    if (d.is_constant()) return nullptr;
    for (const Term& t : *d.poly_) {
      if (t.factors.empty()) {
        *constant = t.coefficient;
      } else if (atom == nullptr && t.factors.size() == 1 && t.coefficient == 1) {
        atom = &t.factors[0];
      } else {
        return nullptr;
      }
    }
    return atom;
  }

  // a floordiv c, c > 1:  (c*q + r) floordiv c = q + r floordiv c, then r and c lose their common
  // divisor.
  static Dim FloorDivConstant(const Dim& a, int64_t c) {
    Terms quotient;
    Terms rest;
    int64_t constant = 0;
    int64_t common = c;
    for (const Term& t : ToPoly(a)) {
      const bool is_constant = t.factors.empty();
      // Truncation keeps the sign of the rest, and with it the tightness of Range; the constant may
      // be floored.
      const int64_t q = is_constant ? FloorDivide(t.coefficient, c) : t.coefficient / c;
      const int64_t r = is_constant ? FloorModulo(t.coefficient, c) : t.coefficient % c;
      if (q != 0) quotient[t.key] = Term{q, t.factors, t.key};
      if (is_constant) {
        constant = r;
      } else if (r != 0) {
        rest[t.key] = Term{r, t.factors, t.key};
        common = std::gcd(common, r);
      }
    }
    const Dim whole = FromTerms(std::move(quotient));
    if (rest.empty()) return whole;
    for (auto& [key, t] : rest) t.coefficient /= common;
    const Dim numerator = FromTerms(std::move(rest)) + Dim(FloorDivide(constant, common));
    const int64_t divisor = c / common;
    // (x floordiv d + p) floordiv c = (x + p*d) floordiv (c*d), for d > 0 and any p.
    for (const Term& t : ToPoly(numerator)) {
      if (t.coefficient != 1 || t.factors.size() != 1) continue;
      const DimAtom& inner = t.factors[0];
      int64_t product;
      if (!inner.symbol.empty() || inner.op != DimOp::kFloorDiv || !inner.b.is_constant() ||
          inner.b.constant() <= 0 || !CheckedMul(inner.b.constant(), divisor, &product)) {
        continue;
      }
      const Dim p = numerator - FromAtom(inner);
      return whole + FloorDivConstant(inner.a + p * inner.b, product);
    }
    return whole + BinaryAtom(DimOp::kFloorDiv, numerator, Dim(divisor));
  }

  // a mod c, c > 1: coefficients reduce modulo c, and (g*x + r) mod (g*c) = g*(x mod c) + r for 0
  // <= r < g.
  static Dim ModConstant(const Dim& a, int64_t c) {
    Terms rest;
    int64_t constant = 0;
    int64_t common = c;
    for (const Term& t : ToPoly(a)) {
      const int64_t r = FloorModulo(t.coefficient, c);
      if (t.factors.empty()) {
        constant = r;
      } else if (r != 0) {
        rest[t.key] = Term{r, t.factors, t.key};
        common = std::gcd(common, r);
      }
    }
    if (rest.empty()) return Dim(constant);
    for (auto& [key, t] : rest) t.coefficient /= common;
    const Dim numerator = FromTerms(std::move(rest)) + Dim(constant / common);
    return Dim(common) * BinaryAtom(DimOp::kMod, numerator, Dim(c / common)) +
           Dim(constant % common);
  }

  // The greatest monomial (coefficient 1) that divides every term of both.
  static std::vector<DimAtom> CommonFactors(const Dim& a, const Dim& b) {
    std::optional<std::vector<DimAtom>> common;
    for (const Dim* d : {&a, &b}) {
      for (const Term& t : ToPoly(*d)) {
        if (!common) {
          common = t.factors;
          continue;
        }
        std::vector<DimAtom> both;
        std::set_intersection(common->begin(), common->end(), t.factors.begin(), t.factors.end(),
                              std::back_inserter(both),
                              [](const DimAtom& x, const DimAtom& y) { return x.key < y.key; });
        common = std::move(both);
      }
    }
    return common.value_or(std::vector<DimAtom>{});
  }

  // t / divisor when it is a term. Factor lists are sorted, so a repeated factor divides as often
  // as it occurs.
  static std::optional<Term> DivideTerm(const Term& t, const Term& divisor) {
    if (divisor.coefficient == 0 || (divisor.coefficient == -1 && t.coefficient == kInt64Min) ||
        t.coefficient % divisor.coefficient != 0) {
      return std::nullopt;
    }
    const auto less = [](const DimAtom& x, const DimAtom& y) { return x.key < y.key; };
    if (!std::includes(t.factors.begin(), t.factors.end(), divisor.factors.begin(),
                       divisor.factors.end(), less)) {
      return std::nullopt;
    }
    std::vector<DimAtom> factors;
    std::set_difference(t.factors.begin(), t.factors.end(), divisor.factors.begin(),
                        divisor.factors.end(), std::back_inserter(factors), less);
    return MakeTerm(t.coefficient / divisor.coefficient, std::move(factors));
  }

  static Dim DivideByFactors(const Dim& d, const std::vector<DimAtom>& factors) {
    const Term divisor = MakeTerm(1, factors);
    Terms terms;
    for (const Term& t : ToPoly(d)) {
      Term quotient = *DivideTerm(t, divisor);
      terms[quotient.key] = quotient;
    }
    return FromTerms(std::move(terms));
  }

  // Leading in graded lexicographic order: highest degree, then first by factors.
  static const Term& Leading(const Poly& poly) {
    return *std::max_element(poly.begin(), poly.end(), [](const Term& x, const Term& y) {
      if (x.factors.size() != y.factors.size()) return x.factors.size() < y.factors.size();
      return std::lexicographical_compare(
          y.factors.begin(), y.factors.end(), x.factors.begin(), x.factors.end(),
          [](const DimAtom& p, const DimAtom& q) { return p.key < q.key; });
    });
  }

  // q with a == q * b, by polynomial long division; nullopt when the division leaves a rest.
  static std::optional<Dim> ExactQuotient(const Dim& a, const Dim& b) {
    Dim rest = a;
    Dim quotient = 0;
    const Poly divisor = ToPoly(b);
    for (size_t step = 0; step < kMaxDimTerms; ++step) {
      if (rest.is_unknown()) return std::nullopt;
      if (rest.is_constant() && rest.constant_ == 0) return quotient;
      const std::optional<Term> t = DivideTerm(Leading(ToPoly(rest)), Leading(divisor));
      if (!t) return std::nullopt;
      const Dim factor = FromPoly({*t});
      quotient = quotient + factor;
      rest = rest - factor * b;
    }
    return std::nullopt;
  }

  static Dim Divide(DimOp op, const Dim& a, const Dim& b) {
    const bool floor = op == DimOp::kFloorDiv;
    if (a.is_unknown() || b.is_unknown()) return Dim::Unknown();
    if (a.is_constant() && b.is_constant()) {
      int64_t out;
      return Apply(op, a.constant_, b.constant_, &out) ? Dim(out) : Dim::Unknown();
    }
    if (b.is_constant()) {
      const int64_t c = b.constant_;
      if (c == 0 || (!floor && (c == 1 || c == -1))) return 0;
      if (c < 0) return floor ? Divide(op, 0 - a, 0 - b) : 0 - Divide(op, 0 - a, 0 - b);
      if (c == 1) return a;
      return floor ? FloorDivConstant(a, c) : ModConstant(a, c);
    }
    if (a.is_constant() && a.constant_ == 0) return 0;
    const std::vector<DimAtom> common = CommonFactors(a, b);
    if (!common.empty()) {
      const Dim result = Divide(op, DivideByFactors(a, common), DivideByFactors(b, common));
      if (floor) return result;
      Poly monomial;
      monomial.push_back(MakeTerm(1, common));
      return result * FromPoly(std::move(monomial));
    }
    if (const std::optional<Dim> quotient = ExactQuotient(a, b)) return floor ? *quotient : Dim(0);
    return BinaryAtom(op, a, b);
  }

  static void FlattenExtremum(DimOp op, const Dim& d, std::vector<Dim>* operands) {
    int64_t constant;
    const DimAtom* atom = AtomPlusConstant(d, &constant);
    if (atom != nullptr && constant == 0 && atom->symbol.empty() && atom->op == op) {
      FlattenExtremum(op, atom->a, operands);
      FlattenExtremum(op, atom->b, operands);
    } else {
      operands->push_back(d);
    }
  }

  // min and max are associative and commutative: operands are flattened, those that another one
  // always beats (they differ by a constant) dropped, and the rest sorted.
  static Dim Extremum(DimOp op, const Dim& a, const Dim& b) {
    if (a.is_unknown() || b.is_unknown()) return Dim::Unknown();
    std::vector<Dim> operands;
    FlattenExtremum(op, a, &operands);
    FlattenExtremum(op, b, &operands);
    std::vector<Dim> kept;
    for (const Dim& d : operands) {
      bool beaten = false;
      for (Dim& other : kept) {
        const std::optional<int64_t> difference = (d - other).AsConstant();
        if (!difference) continue;
        if ((op == DimOp::kMin) == (*difference < 0)) other = d;
        beaten = true;
      }
      if (!beaten) kept.push_back(d);
    }
    std::vector<std::pair<std::string, Dim>> sorted;
    for (const Dim& d : kept) sorted.emplace_back(d.ToString(), d);
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& x, const auto& y) { return x.first < y.first; });
    Dim result = sorted[0].second;
    for (size_t i = 1; i < sorted.size(); ++i) {
      result = BinaryAtom(op, result, sorted[i].second);
      if (result.is_unknown()) break;
    }
    return result;
  }

  static Dim SubstituteAtom(const DimAtom& atom, const SymbolValues& values) {
    if (!atom.symbol.empty()) {
      const auto it = values.find(atom.symbol);
      return it == values.end() ? FromAtom(atom) : Dim(it->second);
    }
    const Dim a = atom.a.Substitute(values);
    const Dim b = atom.b.Substitute(values);
    if (atom.op == DimOp::kMin || atom.op == DimOp::kMax) return Extremum(atom.op, a, b);
    return Divide(atom.op, a, b);
  }

  static Result<int64_t> EvaluateAtom(const DimAtom& atom, const SymbolValues& values) {
    if (!atom.symbol.empty()) {
      const auto it = values.find(atom.symbol);
      if (it == values.end()) {
        return InvalidArgument(
            fmt::format("symbol {} has no value, so its expression cannot be evaluated", atom.key));
      }
      return it->second;
    }
    FUSEE_TRY(const int64_t a, atom.a.Evaluate(values));
    FUSEE_TRY(const int64_t b, atom.b.Evaluate(values));
    int64_t out;
    if (!Apply(atom.op, a, b, &out)) return OutOfRange(fmt::format("{} leaves 64 bits", atom.key));
    return out;
  }

  static DimRange AtomRange(const DimAtom& atom, const SymbolRanges& ranges) {
    if (!atom.symbol.empty()) {
      const auto it = ranges.find(atom.symbol);
      return it == ranges.end() ? kDefaultRange : it->second;
    }
    const DimRange a = atom.a.Range(ranges);
    const DimRange b = atom.b.Range(ranges);
    switch (atom.op) {
      case DimOp::kFloorDiv: return FloorDivRange(a, b);
      case DimOp::kMod: return ModRange(a, b);
      case DimOp::kMin: return {std::min(a.min, b.min), std::min(a.max, b.max)};
      case DimOp::kMax: return {std::max(a.min, b.min), std::max(a.max, b.max)};
    }
    return {kInt64Min, kInt64Max};
  }
};

Dim Dim::Symbol(std::string name) {
  DimAtom atom;
  atom.key = SymbolText(name);
  // The empty name would look like an operation; ONNX treats an empty dim_param as absent, so it
  // never gets here.
  FUSEE_CHECK(!name.empty(), "a symbol needs a name");
  atom.symbol = std::move(name);
  return DimAlgebra::FromAtom(std::move(atom));
}

Dim Dim::Unknown() {
  Dim d;
  d.poly_ = DimAlgebra::UnknownPoly();
  return d;
}

bool Dim::is_unknown() const { return poly_ == DimAlgebra::UnknownPoly(); }

int64_t Dim::constant() const {
  FUSEE_CHECK(is_constant(), "Dim::constant of an expression");
  return constant_;
}

std::optional<std::string> Dim::AsSymbol() const {
  if (is_constant() || poly_->size() != 1) return std::nullopt;
  const Term& t = poly_->front();
  if (t.coefficient != 1 || t.factors.size() != 1 || t.factors[0].symbol.empty())
    return std::nullopt;
  return t.factors[0].symbol;
}

Dim operator+(const Dim& a, const Dim& b) { return DimAlgebra::Combine(a, b, 1); }
Dim operator-(const Dim& a, const Dim& b) { return DimAlgebra::Combine(a, b, -1); }
Dim operator*(const Dim& a, const Dim& b) { return DimAlgebra::Multiply(a, b); }
Dim FloorDiv(const Dim& a, const Dim& b) { return DimAlgebra::Divide(DimOp::kFloorDiv, a, b); }
Dim Mod(const Dim& a, const Dim& b) { return DimAlgebra::Divide(DimOp::kMod, a, b); }
Dim Min(const Dim& a, const Dim& b) { return DimAlgebra::Extremum(DimOp::kMin, a, b); }
Dim Max(const Dim& a, const Dim& b) { return DimAlgebra::Extremum(DimOp::kMax, a, b); }

Dim CeilDiv(const Dim& a, const Dim& b) {
  // The usual spelling reads better; the other one also holds for divisors of unknown sign.
  if (b.is_constant() && b.constant() > 0) return FloorDiv(a + b - 1, b);
  return 0 - FloorDiv(0 - a, b);
}

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_constant() || b.is_constant()) {
    return a.is_constant() && b.is_constant() && a.constant_ == b.constant_;
  }
  if (a.is_unknown() || b.is_unknown()) return false;
  return a.poly_ == b.poly_ ||
         std::ranges::equal(*a.poly_, *b.poly_, [](const Dim::Term& x, const Dim::Term& y) {
           return x.coefficient == y.coefficient && x.key == y.key;
         });
}

Dim Dim::Substitute(const SymbolValues& values) const {
  if (is_constant() || is_unknown()) return *this;
  Dim sum = 0;
  for (const Term& t : *poly_) {
    Dim product = t.coefficient;
    for (const DimAtom& f : t.factors) product = product * DimAlgebra::SubstituteAtom(f, values);
    sum = sum + product;
  }
  return sum;
}

Result<int64_t> Dim::Evaluate(const SymbolValues& values) const {
  if (is_constant()) return constant_;
  if (is_unknown()) {
    return OutOfRange(
        "a dimension expression outgrew the limits of 64-bit values, 64 terms and 4096 "
        "characters");
  }
  int64_t sum = 0;
  for (const Term& t : *poly_) {
    int64_t product = t.coefficient;
    for (const DimAtom& f : t.factors) {
      FUSEE_TRY(const int64_t value, DimAlgebra::EvaluateAtom(f, values));
      if (!CheckedMul(product, value, &product))
        return OutOfRange(fmt::format("{} leaves 64 bits", ToString()));
    }
    if (!CheckedAdd(sum, product, &sum))
      return OutOfRange(fmt::format("{} leaves 64 bits", ToString()));
  }
  return sum;
}

DimRange Dim::Range(const SymbolRanges& ranges) const {
  if (is_constant()) return {constant_, constant_};
  if (is_unknown()) return {kInt64Min, kInt64Max};
  DimRange sum{0, 0};
  for (const Term& t : *poly_) {
    DimRange product{t.coefficient, t.coefficient};
    for (const DimAtom& f : t.factors)
      product = MulRanges(product, DimAlgebra::AtomRange(f, ranges));
    sum = AddRanges(sum, product);
  }
  return sum;
}

void Dim::CollectSymbols(std::set<std::string>* symbols) const {
  if (is_constant()) return;
  for (const Term& t : *poly_) {
    for (const DimAtom& f : t.factors) {
      if (!f.symbol.empty()) {
        symbols->insert(f.symbol);
      } else {
        f.a.CollectSymbols(symbols);
        f.b.CollectSymbols(symbols);
      }
    }
  }
}

const std::vector<Dim::Term>& Dim::terms() const {
  FUSEE_CHECK(!is_constant() && !is_unknown(), "Dim::terms of a constant");
  return *poly_;
}

std::string Dim::ToString() const {
  if (is_constant()) return std::to_string(constant_);
  if (is_unknown()) return "?";
  std::string text;
  const auto append = [&text](const Term& t) {
    const bool negative = t.coefficient < 0;
    if (!text.empty()) {
      text += negative ? " - " : " + ";
    } else if (negative) {
      text += '-';
    }
    const uint64_t magnitude =
        negative ? 0 - static_cast<uint64_t>(t.coefficient) : static_cast<uint64_t>(t.coefficient);
    if (t.factors.empty()) {
      text += std::to_string(magnitude);
    } else if (t.coefficient == 1 && t.factors.size() == 1) {
      text += t.factors[0].key;
    } else {
      if (magnitude != 1) text += std::to_string(magnitude) + "*";
      text += t.key;
    }
  };
  // Read better: what is added before what is taken away, the constant last.
  for (const Term& t : *poly_) {
    if (!t.factors.empty() && t.coefficient > 0) append(t);
  }
  for (const Term& t : *poly_) {
    if (!t.factors.empty() && t.coefficient < 0) append(t);
  }
  for (const Term& t : *poly_) {
    if (t.factors.empty()) append(t);
  }
  return text;
}

std::string ToString(const SymShape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += shape[i].ToString();
  }
  return text + "]";
}

Result<Shape> Evaluate(const SymShape& shape, const SymbolValues& values) {
  if (shape.size() > static_cast<size_t>(kMaxRank)) {
    return OutOfRange(fmt::format("shape {} has rank {}, above the limit of {}", ToString(shape),
                                  shape.size(), kMaxRank));
  }
  Shape out;
  for (const Dim& d : shape) {
    FUSEE_TRY(const int64_t value, d.Evaluate(values));
    if (value < 0) {
      return OutOfRange(fmt::format("dimension {} of shape {} is {}, expected 0 or more",
                                    out.rank(), ToString(shape), value));
    }
    out.push_back(value);
  }
  return out;
}

bool IsStatic(const SymShape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
}

Shape ToShape(const SymShape& shape) {
  Shape out;
  for (const Dim& d : shape) out.push_back(d.constant());
  return out;
}

SymShape ToSymShape(const Shape& shape) {
  return SymShape(shape.dims().begin(), shape.dims().end());
}

Dim ElementCount(const SymShape& shape) {
  Dim count = 1;
  for (const Dim& d : shape) count = count * d;
  return count;
}

}  // namespace fusee::ir
