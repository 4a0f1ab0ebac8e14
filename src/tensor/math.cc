#include "tensor/math.h"

#include "tensor/math_internal.h"

namespace fusee::math {

using namespace internal;  // NOLINT: the same room's helpers

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kRoundingMagic = 0x1.8p52;  // adding it rounds to an integer, ties to even

// (exp(r) - 1 - r) / r^2, |r| <= ln(2)/2.
constexpr std::array<double, 12> kExpTail = {0.5,
                                             0.16666666666666666,
                                             0.04166666666666668,
                                             0.008333333333333333,
                                             0.001388888888887906,
                                             0.0001984126984126329,
                                             2.48015873364817e-05,
                                             2.755731924724503e-06,
                                             2.7557263236863376e-07,
                                             2.5052071066149638e-08,
                                             2.0918153355978567e-09,
                                             1.6086638366705033e-10};
// erf(x)/x - 1 in x^2, |x| < 1.
constexpr std::array<double, 13> kErfSmall = {
    0.1283791670955126,      -0.3761263890318375,     0.11283791670954879,
    -0.026866170645076792,   0.0052239776248180145,   -0.000854832698083379,
    0.0001205533111164271,   -1.4925595266831182e-05, 1.6461000484121368e-06,
    -1.6350312701054695e-07, 1.4659775274047436e-08,  -1.1372848856791674e-09,
    5.957176147748911e-11};
// erf(1.25 + i/2 + t), |t| <= 1/4.
constexpr std::array<std::array<double, 14>, 10> kErfPieces = {{
    {{0.9229001282564582, 0.2365211224472908, -0.29565140305911153, 0.16753579506683547,
      -0.006159404230896534, -0.04718103640600039, 0.02130127301145005, 0.0036259827199190244,
      -0.0056976802634647146, 0.0008776311203165393, 0.0007935637760477615, -0.0003238378954372589,
      -5.3358854084741746e-05, 5.444072496071499e-05}},
    {{0.9866716712191824, 0.05277499593015038, -0.09235624287775983, 0.09015728471400461,
      -0.04810220983301914, 0.006624361468900602, 0.008963045180389002, -0.006058751526573601,
      0.0007300475155067315, 0.0008941843166397162, -0.0004426629932340801, -5.505955216685546e-06,
      6.765497805692175e-05, -1.7013932130488557e-05}},
    {{0.9985372834133188, 0.007142319022017982, -0.016070217799542874, 0.02172455369197196,
      -0.01908338363633625, 0.010657679165515582, -0.00290435713041379, -0.000670455955356343,
      0.0009994964272719107, -0.000369381086164474, -1.153034958136253e-05, 6.51506823581935e-05,
      -2.194472164632137e-05, -1.5164999359449104e-06}},
    {{0.9998993780778803, 0.0005862772470937923, -0.0016122624295072932, 0.002760388705066609,
      -0.003258113659793406, 0.0027558084140728244, -0.0016573273880252134, 0.0006460409567512276,
      -8.901228719214331e-05, -7.122311801431493e-05, 5.5013835286284066e-05,
      -1.5843740679499495e-05, -1.2681253092432668e-06, 2.687131468952656e-06}},
    {{0.9999956972205363, 2.9189025383581733e-05, -9.486433249663875e-05, 0.0001958097119481461,
      -0.00028656933775070937, 0.00031379722550312924, -0.0002635285041757942,
      0.0001699914133368133, -8.164763207712718e-05, 2.5913900673472375e-05, -2.328840480316741e-06,
      -2.865557704931699e-06, 1.9043111846332243e-06, -5.336244331841553e-07}},
    {{0.9999998862727434, 8.814321912317976e-07, -3.305370717149894e-06, 7.969616062397557e-06,
      -1.384123987009681e-05, 1.8370974995629414e-05, -1.927272219942407e-05,
      1.6275302987042403e-05, -1.1128193054255004e-05, 6.108869420026458e-06,
      -2.6041152154208356e-06, 7.756125867485207e-07, -8.078525577335848e-08,
      -6.041585276859998e-08}},
    {{0.9999999981494259, 1.6143993719507204e-08, -6.861197330583845e-08, 1.890192597995592e-07,
      -3.7879526983383196e-07, 5.872461797936775e-07, -7.309199654212912e-07, 7.477252231001777e-07,
      -6.37834656523887e-07, 4.5700581729818335e-07, -2.7500786094321867e-07, 1.377741503313587e-07,
      -5.655309447048697e-08, 1.703091943167985e-08}},
    {{0.9999999999815149, 1.7934357034353256e-10, -8.518819585501894e-10, 2.6378450136141567e-09,
      -5.980921403439721e-09, 1.0572396927692433e-08, -1.5144701789651e-08, 1.8036301277976957e-08,
      -1.8173468655661378e-08, 1.5675568258151044e-08, -1.1645597137497432e-08,
      7.500767558845102e-09, -4.35232109852286e-09, 2.049854216764062e-09}},
    {{0.9999999999998869, 1.2084074716093265e-12, -6.3441391965136284e-12, 2.1801684786565257e-11,
      -5.511471704429019e-11, 1.0920038803325359e-10, -1.7640269613546945e-10,
      2.3860470121491385e-10, -2.7540126376724834e-10, 2.748828746176984e-10,
      -2.3888787209141457e-10, 1.834293290048941e-10, -1.33374243044882e-10, 7.87516422700037e-11}},
    {{0.9999999999999996, 4.9384851411824895e-15, -2.8396288954473957e-14, 1.0720628125956702e-13,
      -2.9875278475970634e-13, 6.549692514839024e-13, -1.1756753433806352e-12,
      1.775537607069319e-12, -2.30109051151223e-12, 2.5945550729449734e-12, -2.5585495268186886e-12,
      2.2579165888464656e-12, -1.9637541497887333e-12, 1.3599117789003806e-12}},
}};
// (tanh(x)/x - 1)/x^2 in x^2, |x| < 0.55.
constexpr std::array<double, 12> kTanhSmall = {
    -0.3333333333333333,     0.1333333333333331,    -0.05396825396822027,    0.021869488534068168,
    -0.008863235462984688,   0.0035921267673025663, -0.0014558190700396025,  0.0005899051200674843,
    -0.00023847198564355907, 9.454941758935152e-05, -3.3718010044053525e-05, 7.872519584876026e-06};

// x + extra = k ln 2 + r + low, |r| <= ln(2)/2, |low| <= ulp(r)/2.
struct Reduced {
  int k;
  double r, low;
};
Reduced ReduceByLn2(double x, double extra) {
  const double k = (x * kLog2E + kRoundingMagic) - kRoundingMagic;
  const double high = x - k * kLn2High;  // exact
  const double tail = k * kLn2Low - extra;
  const double r = high - tail;
  return {static_cast<int>(k), r, (high - r) - tail};
}

double ExpMinusOneReduced(double r, double low) { return r + (low + r * r * Horner(kExpTail, r)); }

// log(1 + f) + k ln 2 with 1 + f in [sqrt(1/2), sqrt(2)], low added. Since 2s = f - s f, the error
// of the division counts only by the factor f.
double LogReduced(double f, int k, double low) {
  const double s = f / (2 + f);
  const double z = s * s;
  const double tail = z * Horner(kLogTail, z);
  const double e = k;
  return e * kLn2High + (f - (s * (f - tail) - (e * kLn2Low + low)));
}

}  // namespace

double internal::ExpOfSum(double x, double extra) {
  if (x > 709.79) return kInfinity;
  if (x < -745.2) return 0;
  const Reduced reduced = ReduceByLn2(x, extra);
  return Scale(1 + ExpMinusOneReduced(reduced.r, reduced.low), reduced.k);
}

double Exp(double x) { return IsNaN(x) ? x : ExpOfSum(x, 0); }

double Expm1(double x) {
  if (IsNaN(x) || Magnitude(x) < 0x1p-54) return x;  // keeps -0
  if (x > 709.79) return kInfinity;
  if (x < -40) return -1;
  const Reduced reduced = ReduceByLn2(x, 0);
  const double e = ExpMinusOneReduced(reduced.r, reduced.low);
  if (reduced.k == 0) return e;
  if (reduced.k > 60) return Scale(1 + e, reduced.k);
  // 2^k (e + 1) - 1, without adding the 1 to a number it would swallow.
  return PowerOfTwo(reduced.k) * (e + (1 - PowerOfTwo(-reduced.k)));
}

double Log(double x) {
  if (IsNaN(x) || x == kInfinity) return x;
  if (x == 0) return -kInfinity;
  if (x < 0) return kNaN;
  const Split split = SplitAroundOne(x);
  return LogReduced(split.mantissa - 1, split.exponent, 0);
}

double Log1p(double x) {
  if (IsNaN(x) || x == kInfinity || Magnitude(x) < 0x1p-54) return x;
  if (x == -1) return -kInfinity;
  if (x < -1) return kNaN;
  if (x > -0.29 && x < 0.41) return LogReduced(x, 0, 0);
  const Double2 sum = TwoSum(1, x);
  const Split split = SplitAroundOne(sum.high);
  return LogReduced(split.mantissa - 1, split.exponent, sum.low / sum.high);
}

double Erf(double x) {
  if (IsNaN(x)) return x;
  const double magnitude = Magnitude(x);
  if (magnitude < 1) return x + x * Horner(kErfSmall, x * x);
  if (magnitude >= 6) return WithSignOf(1, x);
  const auto piece = static_cast<size_t>((magnitude - 1) * 2);
  const double t = magnitude - (1.25 + 0.5 * static_cast<double>(piece));
  return WithSignOf(Horner(kErfPieces[piece], t), x);
}

double Tanh(double x) {
  if (IsNaN(x)) return x;
  const double magnitude = Magnitude(x);
  if (magnitude < 0x1p-27) return x;  // keeps -0
  if (magnitude < 0.55) {
    const double z = x * x;
    return x + x * (z * Horner(kTanhSmall, z));
  }
  if (magnitude > 20) return WithSignOf(1, x);
  return WithSignOf(1 - 2 / (Expm1(2 * magnitude) + 2), x);
}

}  // namespace fusee::math
