#!/usr/bin/env python3
"""The README tells the truth: each of its command blocks runs as a script, each of its links leads somewhere."""
import re
import socket
import subprocess
import sys

from harness import FUSEE, ROOT, workdir

BLOCK_LIMIT_S = 600


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def script(block):
    """The block with this build's binaries, this test's Python and a free port. The two scripts are whole programs with
    tests of their own: here they only answer --help."""
    for name in ("./quickstart.sh", "./test.sh"):
        block = block.replace(name, f"{ROOT}/{name[2:]} --help")
    block = block.replace("build/release/bin/fusee serve", f"{FUSEE} serve --metrics-port 0")
    block = block.replace("build/release/bin/fusee", str(FUSEE)).replace("build/venv/bin/python", sys.executable)
    block = block.replace("examples/", f"{ROOT}/examples/").replace("8000", str(free_port()))
    return "set -euxo pipefail\nset -m\n" + block


def run(block):
    with workdir() as where:
        done = subprocess.run(["bash", "-c", script(block)], cwd=where, capture_output=True, text=True, timeout=BLOCK_LIMIT_S)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {block.splitlines()[0]} ...")
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def main():
    text = (ROOT / "README.md").read_text()
    missing = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (ROOT / link).exists()]
    for link in missing:
        print(f"FAIL link to {link}")
    results = [run(block) for block in re.findall(r"```sh\n(.*?)```", text, re.S)]
    return 0 if results and all(results) and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
