#!/usr/bin/env bash
# Installs what the tests need, builds the preset dev and runs every test.
#
#   ./test.sh                     all tests
#   ./test.sh -R REGEX            only those whose name matches (any further ctest options work too)
#
# Environment: FUSEE_JOBS      compiler processes (default: one per core)
#              FUSEE_TEST_JOBS tests at a time (default 2: some measure time)
#              FUSEE_CORPORA   unpacked test corpora; tests that need them are skipped, with the reason, when there are none
# The last line is `N passed, N failed, N skipped`. Exit code 0 only if nothing failed.
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-} in
  -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
. tools/steps.sh

# The last line is a promise, also when there was nothing to sum because something broke before the tests.
summed=
finish() {
  abandon_step
  [[ $summed ]] || echo "0 passed, 1 failed, 0 skipped"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools/install_packages.sh --ask build test
step "Installing Debian packages" tools/install_packages.sh build test
step "Installing Python packages" tools/python_env.sh

# Models and data that others made are not part of this repository; where they lie beside it, they are used.
if [[ -z ${FUSEE_CORPORA:-} && -x ../shared/corpora/unpack ]]; then
  step "Unpacking test corpora" ../shared/corpora/unpack build/corpora
  export FUSEE_CORPORA=$PWD/build/corpora
fi

step "Configuring the preset dev" cmake --preset dev -DFUSEE_PYTHON="$PWD/build/venv/bin/python"
export NINJA_STATUS='[%f/%t] '
step "Building" cmake --build --preset dev --parallel "${FUSEE_JOBS:-$(nproc)}"

results=$PWD/build/logs/ctest.xml
rm -f "$results"
failed=0
step "Running the tests" ctest --test-dir build/dev --parallel "${FUSEE_TEST_JOBS:-2}" --output-on-failure \
  --timeout 900 --no-tests=error --test-output-size-passed 8192 --output-junit "$results" "$@" || failed=1
summed=yes
python3 tools/test_summary "$results" || failed=1
exit "$failed"
