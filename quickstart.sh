#!/usr/bin/env bash
# From a bare Debian 12 with git and root (or sudo) to a served model, in one command:
# installs what is missing, builds Fusee, turns examples/digits/digits.onnx into a verified plan, serves it,
# sends it 1,297 handwritten digits, prints what came back, and stops the server.
#
#   ./quickstart.sh            FUSEE_JOBS=N limits the compiler processes (default: one per core)
#
# Everything it makes lies in build/. Exit code 0: every promise printed was kept.
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-} in
  "") ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart.sh takes no arguments, got '$1'; try --help" >&2; exit 2 ;;
esac
. tools/steps.sh

readonly fusee=${FUSEE_BIN:-build/release/bin/fusee} # FUSEE_BIN: use this binary and build nothing
readonly out=${FUSEE_OUT:-build/quickstart}
readonly plan=$out/models/digits/1/model.plan report=$out/digits.report.txt
readonly ready_limit_s=60 stop_limit_s=30
server_pid=

clean_up() {
  abandon_step
  [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The status code that 127.0.0.1:PORT answers for PATH, or nothing. Plain bash: no curl to install, no proxy in between.
http_status() {
  local port=$1 path=$2 line
  {
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$path" >&3
    read -r -t 2 line <&3
  } 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$port" && cut -d' ' -f2 <<<"$line"
}

wait_until_ready() {
  local deadline=$((SECONDS + ready_limit_s)) shown=$SECONDS
  until [[ -s $out/port && $(http_status "$(<"$out/port")" /v2/health/ready 2>/dev/null) == 200 ]]; do
    kill -0 "$server_pid" 2>/dev/null || { tail -n 40 "$out/server.log" >&2; die "the server ended before it was ready; its log is $out/server.log"; }
    ((SECONDS < deadline)) || { tail -n 40 "$out/server.log" >&2; die "the server was not ready after $ready_limit_s s; its log is $out/server.log"; }
    if ((SECONDS - shown >= 2)); then shown=$SECONDS; say "  waiting for /v2/health/ready"; fi
    sleep 0.1
  done
}

stop_server() {
  local deadline=$((SECONDS + stop_limit_s)) status=0
  kill -TERM "$server_pid"
  while kill -0 "$server_pid" 2>/dev/null; do
    ((SECONDS < deadline)) || die "the server did not stop within $stop_limit_s s of SIGTERM; its log is $out/server.log"
    sleep 0.1
  done
  wait "$server_pid" || status=$?
  server_pid=
  ((status == 0)) || die "the server ended with status $status, expected 0; its log is $out/server.log"
}

if [[ -z ${FUSEE_BIN:-} ]]; then
  tools/install_packages.sh --ask build # a password, if sudo wants one, before anything hides the terminal
  step "Installing Debian packages" tools/install_packages.sh build
  step "Configuring the release build" cmake --preset release
  export NINJA_STATUS='[%f/%t] '
  step "Building $fusee" cmake --build --preset release --parallel "${FUSEE_JOBS:-$(nproc)}"
fi
step "Preparing the Python client" tools/python_env.sh numpy

say "Building and verifying the plan of examples/digits/digits.onnx"
rm -rf "$out"
mkdir -p "$(dirname "$plan")"
"$fusee" build examples/digits/digits.onnx --shape-profile image:1x1x8x8,8x1x8x8,32x1x8x8 --save-plan "$plan" | tee "$report"

say "Starting the server on a free port"
"$fusee" serve --model-repository "$out/models" --http-port 0 --metrics-port 0 --port-file "$out/port" >"$out/server.log" 2>&1 &
server_pid=$!
wait_until_ready
port=$(<"$out/port")

say "Sending every held-out digit to http://127.0.0.1:$port"
served=0
build/venv/bin/python examples/digits/client.py --url "http://127.0.0.1:$port" || served=$?
say "Stopping the server"
stop_server
((served == 0)) || die "the answers are not what was promised (see above); the server's log is $out/server.log"

cat <<END

Done in $SECONDS s.
  plan            $plan
  its lockfile    $plan.lock
  build report    $report
  server log      $out/server.log

What to type next:
  $fusee inspect $plan
  $fusee bench --plan $plan
  $fusee serve --model-repository $out/models --http-port 8000
  build/venv/bin/python examples/digits/client.py --url http://127.0.0.1:8000 --batch 8
  ./test.sh
END
