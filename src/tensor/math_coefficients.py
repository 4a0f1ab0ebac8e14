#!/usr/bin/env python3
"""Prints the coefficients of math.cc and math_inline.h, and each polynomial's own error.

Every polynomial interpolates its function at Chebyshev nodes, in 80 digits, which is within a small factor of the
best one of its degree; the printed error is in units of 2^-53 (double) or 2^-24 (float). Needs mpmath and numpy.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 80


def interpolate(f, a, b, n):
    nodes = [(a + b) / 2 + (b - a) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    matrix = mp.matrix(n, n)
    rhs = mp.matrix(n, 1)
    for i, x in enumerate(nodes):
        for j in range(n):
            matrix[i, j] = x**j
        rhs[i] = f(x)
    return list(mp.lu_solve(matrix, rhs))


def error(f, coefficients, a, b):
    worst = mp.mpf(0)
    for i in range(301):
        x = a + (b - a) * mp.mpf(i) / 300
        worst = max(worst, abs(mp.polyval(coefficients[::-1], x) - f(x)))
    return worst


def show(name, f, a, b, n, single=False):
    a, b = mp.mpf(a), mp.mpf(b)
    c = interpolate(f, a, b, n)
    scale = 2**24 if single else 2**53
    text = [f"{float(np.float32(float(x))):.9g}f" if single else repr(float(x)) for x in c]
    print(f"// {name}: {n} terms, absolute error {mp.nstr(error(f, c, a, b) * scale, 3)}\n{', '.join(text)}")


def removable(f, limit):
    return lambda z: f(z) if abs(z) > mp.mpf(10) ** -20 else limit


root = mp.sqrt
erf_small = removable(lambda z: mp.erf(root(z)) / root(z) - 1, 2 / root(mp.pi) - 1)
tanh_tail = removable(lambda z: (mp.tanh(root(z)) / root(z) - 1) / z, -mp.mpf(1) / 3)
log_tail = removable(lambda z: 2 * (mp.atanh(root(z)) / root(z) - 1) / z, mp.mpf(2) / 3)
exp_tail = removable(lambda r: (mp.exp(r) - 1 - r) / r**2, mp.mpf(1) / 2)
sin_tail = removable(lambda z: (mp.sin(root(z)) / root(z) - 1) / z, -mp.mpf(1) / 6)
cos_tail = removable(lambda z: (mp.cos(root(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24)


def main():
    half_ln2 = mp.log(2) / 2 + mp.mpf("0.0001")
    quarter_pi2 = (mp.pi / 4) ** 2
    print("== double")
    show("erf(x)/x - 1 in x^2, |x| < 1", erf_small, 0, 1, 13)
    for i in range(10):
        c = mp.mpf(5) / 4 + mp.mpf(i) / 2
        show(f"erf(t + {c})", lambda t: mp.erf(c + t), -0.25, 0.25, 14)
    show("(tanh(x)/x - 1)/x^2 in x^2, |x| < 0.55", tanh_tail, 0, "0.3026", 12)
    show("2 (atanh(s)/s - 1)/s^2 in s^2", log_tail, 0, "0.0296", 9)
    c = interpolate(log_tail, mp.mpf(0), mp.mpf("0.0296"), 9)
    print(f"// low part of its first coefficient {float(c[0] - mp.mpf(float(c[0])))!r}")
    show("(exp(r) - 1 - r)/r^2", exp_tail, -half_ln2, half_ln2, 12)
    show("(sin(r)/r - 1)/r^2 in r^2", sin_tail, 0, quarter_pi2, 8)
    show("(cos(r) - 1 + r^2/2)/r^4 in r^2", cos_tail, 0, quarter_pi2, 7)
    mp.mp.prec = 1500
    bits = int(mp.floor(2 / mp.pi * mp.mpf(2) ** 1280))
    words = [(bits >> (1280 - 64 * (i + 1))) & (2**64 - 1) for i in range(20)]
    print("// 2/pi, 64 bits a word:\n" + ", ".join(f"0x{w:016x}" for w in words))
    mp.mp.dps = 80
    for name, v in (("pi/2", mp.pi / 2),):
        hi = float(v)
        lo = float(v - mp.mpf(hi))
        print(f"// {name} = {hi!r} + {lo!r}")
    ln2_high = mp.mpf(int(mp.log(2) * 2**40)) / 2**40
    print(f"// ln2 with 13 spare bits {float(ln2_high)!r} + {float(mp.log(2) - ln2_high)!r}")

    for c in (0.25, 0.5, 0.75, 1.0):
        v = mp.atan(c)
        print(f"// atan({c}) = {float(v)!r} + {float(v - mp.mpf(float(v)))!r}")

    print("== float")
    show("erf(x)/x - 1 in x^2, |x| < 1", erf_small, 0, 1, 7, True)
    show("-log(erfc(x)), 1 <= x <= 4", lambda x: -mp.log(mp.erfc(x)), 1, 4, 9, True)
    show("(tanh(x)/x - 1)/x^2 in x^2, |x| < 0.625", tanh_tail, 0, "0.3907", 6, True)
    show("2 (atanh(s)/s - 1)/s^2 in s^2", log_tail, 0, "0.0296", 4, True)
    show("(exp(r) - 1 - r)/r^2", exp_tail, -half_ln2, half_ln2, 6, True)
    ln2_high = mp.mpf(int(mp.log(2) * 2**14)) / 2**14
    print(f"// ln2 with 10 spare bits {float(ln2_high):.9g}f + {float(np.float32(float(mp.log(2) - ln2_high))):.9g}f")


if __name__ == "__main__":
    main()
