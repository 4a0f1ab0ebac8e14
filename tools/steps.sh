# shellcheck shell=bash
# Sourced by quickstart.sh, test.sh and the scripts in tools/: one way to run a long command and show that it lives.
#
#   step TITLE COMMAND...   runs COMMAND with its output in $FUSEE_LOG_DIR; shows TITLE, the seconds since start and
#                           the last line of output; on failure shows the end of the log and returns COMMAND's status
#   say TEXT                one line with the elapsed time
#   die TEXT                says it on stderr and exits 1

FUSEE_LOG_DIR=${FUSEE_LOG_DIR:-build/logs}
SECONDS=0 # bash counts up from here

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The last line that a log holds, without colours and carriage returns, cut to what fits beside the title.
last_line() { tail -n 3 "$1" 2>/dev/null | tr '\r' '\n' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | awk 'NF { l = $0 } END { print l == "" ? "..." : substr(l, 1, 90) }'; }

# For clean-up traps: ends the running step, if there is one.
STEP_PID=
abandon_step() { [[ -z $STEP_PID ]] || kill -- "-$STEP_PID" 2>/dev/null || true; }

step() {
  local title=$1 log begin=$SECONDS shown=$SECONDS status=0 pause=2 pid
  shift
  mkdir -p "$FUSEE_LOG_DIR"
  log=$FUSEE_LOG_DIR/$(tr -cs 'a-z0-9\n' '_' <<<"${title,,}").log
  say "$title"
  set -m # a process group of its own, so that abandon_step can end the command with all its children
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  STEP_PID=$pid
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - shown >= pause)); then
      shown=$SECONDS
      if [[ -t 1 ]]; then
        printf '\r\033[K[%4ds]   %s' "$SECONDS" "$(last_line "$log")"
      else
        printf '[%4ds]   %s\n' "$SECONDS" "$(last_line "$log")"
        pause=10 # a log file need not hold a line for every two seconds
      fi
    fi
  done
  if [[ -t 1 ]]; then printf '\r\033[K'; fi
  wait "$pid" || status=$?
  STEP_PID=
  if ((status != 0)); then
    printf '\n--- the end of %s\n' "$log" >&2
    tail -n 40 "$log" >&2
    printf -- '---\nerror: %s: exit status %d after %d s; the whole log is %s\n' "$title" "$status" $((SECONDS - begin)) "$log" >&2
  fi
  return "$status"
}
