// A symbolic dimension: an integer expression over named symbols ("batch", "seq"), in canonical
// form.
//
// Form: a polynomial with integer coefficients over atoms; an atom is a symbol or one of the
// operations that do not distribute (floor division, modulo, min, max) applied to dimensions in
// canonical form. Canonical means that a + b == b + a, 2*(n+1) == 2*n + 2, (4*n) floordiv 2 == 2*n,
// so equality of expressions is equality of text. It is sound, not complete: unequal forms may
// still be equal as functions. Divisors are taken to be non-zero when an expression is simplified
// ((2*n) floordiv n is 2).
//
// Arithmetic is exact. An expression whose coefficients leave 64 bits, or which outgrows
// kMaxDimTerms or kMaxDimTextBytes (untrusted models can ask for that), becomes *unknown*: it
// equals nothing, not even itself, ranges over everything, stays unknown under every operation, and
// Evaluate refuses it.
//
// A symbol stands for a dimension of a model input (or an element of a small integer input); its
// range is kept by the Graph (ir::SymbolTable). Values; cheap to copy (constants inline,
// expressions shared and immutable).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/shape.h"

namespace fusee::ir {

// Limits of one expression; models in the field need a tenth of it.
inline constexpr size_t kMaxDimTerms = 64;
inline constexpr size_t kMaxDimTextBytes = 4096;

class Dim;
using SymbolValues = std::map<std::string, int64_t, std::less<>>;

// Inclusive range of an expression or a symbol.
struct DimRange {
  int64_t min = 0;
  int64_t max = 0;
  friend bool operator==(const DimRange&, const DimRange&) = default;
};
using SymbolRanges = std::map<std::string, DimRange, std::less<>>;

enum class DimOp : uint8_t { kFloorDiv, kMod, kMin, kMax };

// One factor of a term.
struct DimAtom;

class Dim {
 public:
  Dim(int64_t value = 0) : constant_(value) {}  // NOLINT: a number is a dimension
  // The name may hold any characters; one that is no identifier prints in quotes.
  static Dim Symbol(std::string name);
  static Dim Unknown();

  bool is_unknown() const;
  bool is_constant() const { return poly_ == nullptr; }
  // Precondition: is_constant().
  int64_t constant() const;
  std::optional<int64_t> AsConstant() const {
    return is_constant() ? std::optional(constant_) : std::nullopt;
  }
  // The name when this is exactly one symbol.
  std::optional<std::string> AsSymbol() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  // Rounds towards minus infinity; divisor 0 gives 0 (shape inference refuses it before).
  friend Dim FloorDiv(const Dim& a, const Dim& b);
  friend Dim CeilDiv(const Dim& a, const Dim& b);
  friend Dim Mod(const Dim& a, const Dim& b);  // result has the divisor's sign
  friend Dim Min(const Dim& a, const Dim& b);
  friend Dim Max(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  // Replaces symbols by values; symbols not named stay.
  Dim Substitute(const SymbolValues& values) const;
  // Value under an assignment of every symbol. Errors: kInvalidArgument naming a missing symbol;
  // kOutOfRange when the value leaves 64 bits or the expression is unknown.
  Result<int64_t> Evaluate(const SymbolValues& values) const;
  // A range that contains every value the expression takes while symbols stay within theirs
  // (interval arithmetic; may be wider than the true range). Unknown symbols count as [0, 2^31-1].
  DimRange Range(const SymbolRanges& ranges) const;
  void CollectSymbols(std::set<std::string>* symbols) const;

  // "128", "batch", "2*seq + 1", "(seq - 1) floordiv 2 + 1", "max(seq, 4)". Parse reads it back.
  std::string ToString() const;
  // "?" is unknown. Errors: kInvalidArgument with the column. Depth and length are bounded.
  static Result<Dim> Parse(std::string_view text);

  // Visits the canonical form, for emitting it elsewhere (a plan's expression table). Precondition:
  // neither constant nor unknown. Terms are (coefficient, factors); the empty factor list is the
  // constant term.
  struct Term;
  const std::vector<Term>& terms() const;

 private:
  friend struct DimAlgebra;        // dim.cc: the operations on polynomials
  using Poly = std::vector<Term>;  // sorted by key, no zero coefficients

  int64_t constant_ = 0;
  std::shared_ptr<const Poly> poly_;  // null for a constant; shared by copies, immutable
};

struct DimAtom {
  std::string symbol;  // non-empty: a symbol; else op applied to a and b
  DimOp op = DimOp::kFloorDiv;
  Dim a, b;
  std::string key;  // canonical text; the sort and equality key
};

struct Dim::Term {
  int64_t coefficient = 0;
  std::vector<DimAtom> factors;  // sorted by key; a repeated factor is a power
  std::string key;               // factors' keys joined
};

// A symbolic shape.
using SymShape = std::vector<Dim>;

// "[batch,3,224,224]".
std::string ToString(const SymShape& shape);
// Errors: as Dim::Evaluate, and kOutOfRange for a negative dimension or a rank above kMaxRank.
Result<Shape> Evaluate(const SymShape& shape, const SymbolValues& values);
// Every dimension constant?
bool IsStatic(const SymShape& shape);
// Precondition: IsStatic.
Shape ToShape(const SymShape& shape);
SymShape ToSymShape(const Shape& shape);
// Product of the dimensions.
Dim ElementCount(const SymShape& shape);

}  // namespace fusee::ir
