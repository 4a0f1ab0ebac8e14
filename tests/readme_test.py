#!/usr/bin/env python3
"""The README tells the truth: each of its commands runs, each of its links leads somewhere."""
import re
import shlex
import subprocess
import sys

from harness import FUSEE, ROOT, workdir

LINE_LIMIT_S = 300
# Whole programs with a test of their own: here only that they are there and answer --help.
SCRIPTS = {"./quickstart.sh", "./test.sh"}


def commands(text):
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        for line in block.splitlines():
            line = line.split(" #")[0].strip()
            if line:
                yield line


def run(line, where):
    words = shlex.split(line)
    if words[0] in SCRIPTS:
        words, where = words + ["--help"], ROOT
    words = [str(FUSEE) if w.endswith("bin/fusee") else str(ROOT / w) if w.startswith("examples/") else w for w in words]
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, timeout=LINE_LIMIT_S)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {line}")
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def main():
    text = (ROOT / "README.md").read_text()
    missing = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (ROOT / link).exists()]
    for link in missing:
        print(f"FAIL link to {link}")
    with workdir() as where:
        results = [run(line, where) for line in commands(text)]
    return 0 if results and all(results) and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
