#!/usr/bin/env python3
"""`fusee conform` on ONNX's own tests: nothing wrong, nothing crashed, and no fewer passed than before.

    conform_test.py NAME      NAME is a line of EXPECTED, or table: docs/conformance.md is what the node tests give today
"""
import difflib
import re
import sys

from harness import ROOT, corpus, fusee, workdir

# Folder in the corpora, options, cases passed at least. Raise a number when more pass; never lower it.
EXPECTED = {
    "node": ("onnx/node", (), 1643),
    "S1": ("onnx/node", ("--subset", "S1"), 1019),
    "S2": ("onnx/node", ("--subset", "S2"), 1315),
    "light": ("onnx/light", (), 9),
    "golden": ("golden", (), 10),
    "exporter-zoo": ("exporter-zoo", (), 34),
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


def check_table():
    written = ROOT / "docs/conformance.md"
    with workdir() as work:
        fusee("conform", corpus("onnx", "node"), "--table", work / "table.md")
        was, now = (path.read_text().splitlines() for path in (written, work / "table.md"))
    for line in list(difflib.unified_diff(was, now, str(written), "today", lineterm="", n=0))[:40]:
        print(line)
    if was != now:
        print("docs/conformance.md is stale; `fusee conform CORPORA/onnx/node --table docs/conformance.md` writes it")
    return was == now


if __name__ == "__main__":
    names = sys.argv[1:] or [*EXPECTED, "table"]
    sys.exit(0 if all([check_table() if name == "table" else check(name) for name in names]) else 1)
