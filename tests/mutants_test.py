#!/usr/bin/env python3
"""Damaged models of the golden set through import, build and run: nothing dies, hangs or takes too much memory.

    mutants_test.py [BLIND AWARE [FIRST]]

Without numbers a few of each. All that the claim is about: mutants_test.py 6000 12000
"""
import subprocess
import sys

from harness import FUSEE, corpus, skip

BLIND, AWARE = 200, 400


def main(blind=BLIND, aware=AWARE, first=0):
    mutants = FUSEE.parent / "mutants"
    if not mutants.exists():
        skip("the build has no mutants program")
    command = [mutants, corpus("golden"), "--blind", str(blind), "--aware", str(aware), "--first", str(first)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
