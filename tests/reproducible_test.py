#!/usr/bin/env python3
"""Same model, same lockfile, same bytes: the digits plan and, if there are corpora, ResNet-50's."""
import os
import pathlib
import sys

from harness import ROOT, fusee, workdir

DIGITS = (ROOT / "examples/digits/digits.onnx", ("--shape-profile", "image:1x1x8x8,8x1x8x8,32x1x8x8"))


def same_bytes(dir, model, options):
    first, second = dir / f"{model.stem}.1.plan", dir / f"{model.stem}.2.plan"
    fusee("build", model, *options, "--save-plan", first)
    fusee("build", model, *options, "--locked", f"{first}.lock", "--save-plan", second)
    same = first.read_bytes() == second.read_bytes()
    print(f"{model.name}: {first.stat().st_size} bytes, {'identical' if same else f'different from {second.stat().st_size} bytes'}")
    return same


def main():
    cases = [DIGITS]
    resnet = pathlib.Path(os.environ.get("FUSEE_CORPORA", "/nonexistent"), "onnx/light/light_resnet50.onnx")
    if resnet.exists():
        cases.append((resnet, ()))
    with workdir() as dir:
        return 0 if all([same_bytes(dir, *case) for case in cases]) else 1


if __name__ == "__main__":
    sys.exit(main())
