#!/usr/bin/env python3
"""Importing a large model is fast and leaves its weights where they are: in the file.

BERT-base (438 MB) imports and verifies within 3 seconds and 1.2 times the file plus 64 MiB. The folder with the models is
named by FUSEE_MODELS; without it the test is skipped.
"""
import os
import pathlib
import sys
import time

from harness import FUSEE, skip

SECONDS_MAX = 3
SLACK_BYTES = 64 << 20
MODEL = "bert-base.onnx"
PROFILE = ("--shape-profile", "input_ids:1x1,8x128,16x512")


def measure(command):
    """(exit status, seconds, bytes at peak) of a command."""
    begin = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - begin, usage.ru_maxrss * 1024


def main():
    folder = os.environ.get("FUSEE_MODELS")
    if not folder:
        skip("FUSEE_MODELS is not set")
    model = pathlib.Path(folder, MODEL)
    if not model.exists():
        skip(f"$FUSEE_MODELS has no {MODEL}")
    limit = model.stat().st_size * 6 // 5 + SLACK_BYTES
    model.read_bytes()  # measures the importer, not the disk
    code, seconds, peak = measure([str(FUSEE), "inspect", "capability", str(model), *PROFILE])
    print(f"{MODEL}, {model.stat().st_size >> 20} MiB: exit status {code}, {seconds:.2f} s, {peak >> 20} MiB at peak; the limits are {SECONDS_MAX} s and {limit >> 20} MiB")
    return code == 0 and seconds < SECONDS_MAX and peak < limit


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
