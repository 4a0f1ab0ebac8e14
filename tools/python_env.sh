#!/usr/bin/env bash
# Makes the virtual environment build/venv and installs the named packages at the versions pinned in requirements.txt:
#   tools/python_env.sh numpy      only numpy (quickstart.sh)
#   tools/python_env.sh            everything in requirements.txt (test.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/venv

# The stamp names what was asked for; an unchanged request costs nothing and no network.
request="$(sha256sum <requirements.txt) ${*:-all}"
stamp=$venv/.installed
if [[ -f $stamp ]] && grep -qxF -e "$request" -e "$(sha256sum <requirements.txt) all" "$stamp"; then
  echo "$venv is up to date"
  exit 0
fi
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"

# pip brings its own list of certificate authorities. A machine behind an inspecting proxy has the right one in the
# system's bundle, so that one is used unless the user configured another.
system_bundle=/etc/ssl/certs/ca-certificates.crt
if [[ -z ${PIP_CERT:-} && -r $system_bundle ]] && ! "$venv/bin/pip" config list 2>/dev/null | grep -q '\.cert='; then
  export PIP_CERT=$system_bundle
fi
what=(-r requirements.txt)
if (($#)); then what=(-c requirements.txt "$@"); fi
if ! "$venv/bin/pip" install --disable-pip-version-check --progress-bar off "${what[@]}"; then
  echo "could not install ${*:-requirements.txt}: is a Python package index reachable? Set PIP_INDEX_URL, PIP_PROXY or PIP_CERT if this network needs them." >&2
  exit 1
fi
echo "$request" >>"$stamp"
