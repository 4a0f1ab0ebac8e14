#!/usr/bin/env python3
"""`fusee conform` on ONNX's own tests: nothing wrong, nothing crashed, and no fewer passed than before.

    conform_test.py NAME      NAME is a line of EXPECTED
"""
import re
import sys

from harness import corpus, fusee

# Folder in the corpora, options, cases passed at least. Raise a number when more pass; never lower it.
EXPECTED = {
    "node": ("onnx/node", (), 620),
    "light": ("onnx/light", (), 9),
    "mnist": ("golden", ("--filter", "mnist_cntk*"), 1),
}


def check(name):
    folder, options, passed_min = EXPECTED[name]
    output = fusee("conform", corpus(*folder.split("/")), *options)
    found = re.fullmatch(r"(\d+) passed, (\d+) refused, (\d+) wrong, (\d+) crashed", output.strip().splitlines()[-1])
    if not found:
        print(f"{output}\nthe last line is not the summary that was promised")
        return False
    passed, _, wrong, crashed = map(int, found.groups())
    print(f"{folder}: {found.group(0)}; expected at least {passed_min} passed, 0 wrong, 0 crashed")
    return passed >= passed_min and wrong == 0 and crashed == 0


if __name__ == "__main__":
    sys.exit(0 if all([check(name) for name in sys.argv[1:] or EXPECTED]) else 1)
