// Elementary functions of our own, so that results do not depend on a C library's version: the same
// bits on every machine (no FMA contraction, no table look-ups from libm). Square root and rounding
// are IEEE-exact in hardware and stay std::.
//
// Double versions serve the reference kernels: error below 2 units in the last place over the whole
// range, exact at the usual special points (exp(0)=1, log(1)=0, tanh(0)=0, infinities, NaN in NaN
// out). Float versions (suffix F) serve the fast kernels: error below 2 ulp of float, written
// without branches or calls so that a loop over them vectorises; they are inline for that reason.
#pragma once

#include "tensor/math_inline.h"

namespace fusee::math {

double Exp(double x);
double Expm1(double x);
double Log(double x);  // -inf at 0, NaN below
double Log1p(double x);
double Pow(double x, double y);  // IEEE 754 pow, special cases included
double Erf(double x);
double Tanh(double x);
double Sin(double x);
double Cos(double x);
double Atan(double x);

}  // namespace fusee::math
