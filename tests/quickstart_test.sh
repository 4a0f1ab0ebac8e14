#!/usr/bin/env bash
# quickstart.sh from its plan build on, with the binaries under test: 1,297 digits over HTTP, every answer judged.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
FUSEE_BIN=${FUSEE_BIN_DIR:-build/dev/bin}/fusee FUSEE_OUT=$out/quickstart FUSEE_LOG_DIR=$out/logs ./quickstart.sh
