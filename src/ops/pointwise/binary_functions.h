// The binary operators as plain functions of wide values (double, int64_t, uint64_t, bool), for the
// reference kernels. Integers wrap around; *undefined is set where the result does not exist
// (division by zero).
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "ops/pointwise/type_set.h"
#include "tensor/math.h"

namespace fusee::ops::pointwise {

struct BinaryAttrs {
  bool fmod = false;   // Mod
  bool right = false;  // BitShift
};

// Remainder with the dividend's sign, exact: long division of the mantissas, 11 bits at a time.
double FloatMod(double a, double b);

namespace wrap {  // signed arithmetic modulo 2^64
inline int64_t Signed(uint64_t x) { return static_cast<int64_t>(x); }
inline uint64_t Unsigned(int64_t x) { return static_cast<uint64_t>(x); }
}  // namespace wrap

struct AddFunction {
  static constexpr std::string_view kName = "Add";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double a, double b, const BinaryAttrs&, bool*) { return a + b; }
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs&, bool*) { return a + b; }
  static int64_t Of(int64_t a, int64_t b, const BinaryAttrs&, bool*) {
    return wrap::Signed(wrap::Unsigned(a) + wrap::Unsigned(b));
  }
};
struct SubFunction {
  static constexpr std::string_view kName = "Sub";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double a, double b, const BinaryAttrs&, bool*) { return a - b; }
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs&, bool*) { return a - b; }
  static int64_t Of(int64_t a, int64_t b, const BinaryAttrs&, bool*) {
    return wrap::Signed(wrap::Unsigned(a) - wrap::Unsigned(b));
  }
};
struct MulFunction {
  static constexpr std::string_view kName = "Mul";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double a, double b, const BinaryAttrs&, bool*) { return a * b; }
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs&, bool*) { return a * b; }
  static int64_t Of(int64_t a, int64_t b, const BinaryAttrs&, bool*) {
    return wrap::Signed(wrap::Unsigned(a) * wrap::Unsigned(b));
  }
};
struct DivFunction {
  static constexpr std::string_view kName = "Div";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double a, double b, const BinaryAttrs&, bool*) { return a / b; }
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs&, bool* undefined) {
    if (b == 0) *undefined = true;
    return b == 0 ? 0 : a / b;
  }
  static int64_t Of(int64_t a, int64_t b, const BinaryAttrs&, bool* undefined) {
    if (b == 0) *undefined = true;
    if (b == -1) return wrap::Signed(0 - wrap::Unsigned(a));  // the smallest number would overflow
    return b == 0 ? 0 : a / b;
  }
};
struct ModFunction {
  static constexpr std::string_view kName = "Mod";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double a, double b, const BinaryAttrs&, bool*) { return FloatMod(a, b); }
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs&, bool* undefined) {
    if (b == 0) *undefined = true;
    return b == 0 ? 0 : a % b;
  }
  static int64_t Of(int64_t a, int64_t b, const BinaryAttrs& attrs, bool* undefined) {
    if (b == 0) *undefined = true;
    if (b == 0 || b == -1) return 0;
    const int64_t r = a % b;
    return !attrs.fmod && r != 0 && (r < 0) != (b < 0) ? r + b : r;
  }
};
struct MinFunction {
  static constexpr std::string_view kName = "Min";
  static constexpr TypeSet kTypes = kNumbers;
  template <typename W>
  static W Of(W a, W b, const BinaryAttrs&, bool*) {
    return a < b || a != a ? a : b;  // the second clause is NaN's
  }
};
struct MaxFunction {
  static constexpr std::string_view kName = "Max";
  static constexpr TypeSet kTypes = kNumbers;
  template <typename W>
  static W Of(W a, W b, const BinaryAttrs&, bool*) {
    return a > b || a != a ? a : b;
  }
};
struct PReluFunction {
  static constexpr std::string_view kName = "PRelu";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double x, double slope, const BinaryAttrs&, bool*) {
    return x < 0 ? slope * x : x;
  }
  static uint64_t Of(uint64_t x, uint64_t, const BinaryAttrs&, bool*) { return x; }
  static int64_t Of(int64_t x, int64_t slope, const BinaryAttrs& a, bool* u) {
    return x < 0 ? MulFunction::Of(slope, x, a, u) : x;
  }
};

// Comparisons: C++'s own, in which NaN is unordered.
#define FUSEE_COMPARISON(Name, kSet, op)                  \
  struct Name##Function {                                 \
    static constexpr std::string_view kName = #Name;      \
    static constexpr TypeSet kTypes = kSet;               \
    template <typename W>                                 \
    static bool Of(W a, W b, const BinaryAttrs&, bool*) { \
      return a op b;                                      \
    }                                                     \
  };
FUSEE_COMPARISON(Equal, kAny, ==)
FUSEE_COMPARISON(Less, kNumbers, <)
FUSEE_COMPARISON(LessOrEqual, kNumbers, <=)
FUSEE_COMPARISON(Greater, kNumbers, >)
FUSEE_COMPARISON(GreaterOrEqual, kNumbers, >=)
#undef FUSEE_COMPARISON

#define FUSEE_BITS(Name, kSet, op)                     \
  struct Name##Function {                              \
    static constexpr std::string_view kName = #Name;   \
    static constexpr TypeSet kTypes = kSet;            \
    template <typename W>                              \
    static W Of(W a, W b, const BinaryAttrs&, bool*) { \
      return static_cast<W>(a op b);                   \
    }                                                  \
  };
FUSEE_BITS(And, kBool, &)
FUSEE_BITS(Or, kBool, |)
FUSEE_BITS(Xor, kBool, ^)
FUSEE_BITS(BitwiseAnd, kInts, &)
FUSEE_BITS(BitwiseOr, kInts, |)
FUSEE_BITS(BitwiseXor, kInts, ^)
#undef FUSEE_BITS

// A left shift leaves its type at the top when it is narrowed.
struct BitShiftFunction {
  static constexpr std::string_view kName = "BitShift";
  static constexpr TypeSet kTypes = kUnsignedInts;
  static uint64_t Of(uint64_t a, uint64_t b, const BinaryAttrs& attrs, bool*) {
    if (b >= 64) return 0;
    return attrs.right ? a >> b : a << b;
  }
};

// base^exponent modulo 2^64 by repeated squaring.
inline uint64_t IntegerPow(uint64_t base, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}
// A negative exponent leaves the truncated quotient: 0 except for bases 1 and -1.
inline int64_t SignedPow(int64_t base, int64_t exponent, bool* undefined) {
  if (exponent >= 0)
    return wrap::Signed(IntegerPow(wrap::Unsigned(base), wrap::Unsigned(exponent)));
  if (base == 0) *undefined = true;
  if (base == 1) return 1;
  return base == -1 ? ((exponent & 1) != 0 ? -1 : 1) : 0;
}

}  // namespace fusee::ops::pointwise
