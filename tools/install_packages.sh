#!/usr/bin/env bash
# Installs the Debian packages of the named lists that are not installed yet: tools/install_packages.sh build test
#   --ask   only let sudo ask for its password, if it will be needed; installs nothing
# Needs root or sudo only if something is missing. Uses whatever package source, proxy and certificates apt has.
set -euo pipefail
cd "$(dirname "$0")/.."

ask_only=
if [[ ${1:-} == --ask ]]; then ask_only=1; shift; fi
wanted=()
for list in "$@"; do
  while read -r name _; do
    [[ -z $name || $name == \#* ]] || wanted+=("$name")
  done <"tools/packages-$list.txt"
done

command -v dpkg-query >/dev/null || {
  echo "this is not Debian; install by hand what these packages are called here: ${wanted[*]}" >&2
  exit 1
}
missing=()
for name in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
done
((${#missing[@]})) || { [[ $ask_only ]] || echo "all ${#wanted[@]} packages are installed"; exit 0; }

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "run as root, or install sudo, to add: ${missing[*]}" >&2; exit 1; }
  if [[ $ask_only ]]; then sudo -v; fi
  as_root=(sudo)
fi
if [[ $ask_only ]]; then exit 0; fi
echo "missing: ${missing[*]}"
# The environment is given after sudo, which drops it. No package may ask a question: nobody would see it.
apt_get() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

apt_get update -q || echo "some package lists could not be read; going on with those that could" >&2
apt_get install -y -q --no-install-recommends "${missing[@]}"
