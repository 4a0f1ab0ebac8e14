#!/usr/bin/env python3
"""No kernel of libfusee_cuda.so keeps variables in local memory, but for those named here with the reason.

A spill turns registers into traffic through L1 and, for resident kernels, hides until a profile is read; this reads the
resource usage that ptxas left in the module (cuobjdump -res-usage) for every architecture in it.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import skip

COMMAND_LIMIT_S = 600

# (pattern in the demangled kernel, bytes of stack allowed, why)
ALLOWED = [
    (r"UnaryFn<.*::(Sin|Cos|Tan), ", 64, "the argument reduction of sinf, cosf and tanf above 105615 walks a table of 2/pi"),
    (r"BinaryFn<.*::(Div|Mod), (signed char|unsigned char|short|unsigned short|int|unsigned int|long|unsigned long), ", 16,
     "division of integers is a call, around which a pair of registers is saved"),
]


def module():
    path = pathlib.Path(os.environ.get("FUSEE_BIN_DIR", "build/dev/bin"), "libfusee_cuda.so")
    if not path.exists():
        skip(f"{path} is not built (no CUDA toolkit, or FUSEE_CUDA=OFF)")
    return path


def cuobjdump():
    program = os.environ.get("FUSEE_CUOBJDUMP") or shutil.which("cuobjdump") or shutil.which("cuobjdump", path="/usr/local/cuda/bin")
    if not program:
        skip("no cuobjdump on PATH or in /usr/local/cuda/bin; name one in FUSEE_CUOBJDUMP")
    return program


def usage(program, path):
    """(architecture, mangled kernel, registers, bytes of stack, bytes of local memory) of every kernel."""
    done = subprocess.run([program, "-res-usage", path], capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=True)
    arch, kernel, rows = "", "", []
    for line in done.stdout.splitlines():
        if found := re.match(r"\s*arch = (\S+)", line):
            arch = found.group(1)
        elif found := re.match(r"\s*Function (\S+):", line):
            kernel = found.group(1)
        elif found := re.match(r"\s*REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", line):
            rows.append((arch, kernel, *map(int, found.groups())))
    return rows


def demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=True)
    return done.stdout.splitlines()


def allowed(kernel, stack):
    return any(re.search(pattern, kernel) and stack <= most for pattern, most, _ in ALLOWED)


def main():
    path, program = module(), cuobjdump()
    rows = usage(program, path)
    if not rows:
        print(f"{program} lists no kernel of {path}", file=sys.stderr)
        return 1
    spilling = [row for row in rows if row[3] or row[4]]
    names = demangled([row[1] for row in spilling])
    bad = [(row, name) for row, name in zip(spilling, names) if row[4] or not allowed(name, row[3])]
    for (arch, _, registers, stack, local), name in bad:
        print(f"{arch}: {name}\n    {stack} bytes of stack, {local} of local memory, {registers} registers\n"
              "    remedy: fewer live variables (a smaller tile, static indices), or a line in ALLOWED that says why not")
    print(f"{len(rows)} kernels, {len(spilling)} with a stack, {len(bad)} of them not allowed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
