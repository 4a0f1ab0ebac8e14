#!/usr/bin/env bash
# Every fuzz target for a few seconds from a fixed seed, without libFuzzer, in the build under test. `tools/fuzz` runs
# them guided by coverage and under sanitizers.
#
#   fuzz_test.sh [SECONDS [SEED]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3} seed=${2:-1}
bin=$(realpath "${FUSEE_BIN_DIR:-build/dev/bin}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for source in src/*/*_fuzz.cc; do
  target=$(basename "$source" .cc)
  tools/fuzz_seeds "$target" "$work/$target"
  if ! (cd "$work" && "$bin/${target}_smoke" --seconds "$seconds" --seed "$seed" "$target"); then
    mkdir -p build/logs
    cp "$work/crash-${target}_smoke" build/logs/ 2>/dev/null || true
    echo "$target failed with seed $seed; again: ${target}_smoke --seconds 0 build/logs/crash-${target}_smoke"
    failed=1
  fi
done
exit "$failed"
