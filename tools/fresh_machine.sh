#!/usr/bin/env bash
# Proves quickstart.sh and test.sh on a machine that has nothing: a clean Debian 12 made with debootstrap, git and the
# certificate bundle in it, and a clone of what is committed here (never the work tree).
#
#   tools/fresh_machine.sh [--only quickstart|test] [--keep] [--dir DIR]
#     --only     runs only one of the two (default: both, in one machine)
#     --keep     leaves the machine behind and says where
#     --dir DIR  makes it in DIR, which must not exist (default: a new folder in /var/tmp; about 4 GB)
#
# Needs root. Takes over from this host what a network may need: the Debian package source and apt's settings for
# reaching it, every certificate authority the host trusts, proxies and pip's settings. Exit code 0: both ended with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/steps.sh

only='' keep='' machine=''
while (($#)); do
  case $1 in
    --only) only=${2:-}; shift ;;
    --keep) keep=yes ;;
    --dir) machine=${2:-}; shift ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "fresh_machine.sh: unknown argument '$1'; try --help" >&2; exit 2 ;;
  esac
  shift
done
case $only in "" | quickstart | test) ;; *) echo "--only: expected quickstart or test, got '$only'" >&2; exit 2 ;; esac
((EUID == 0)) || die "debootstrap and chroot need root; run: sudo $0"

tools/install_packages.sh fresh
if [[ $machine ]]; then
  [[ ! -e $machine ]] || die "--dir: $machine exists already"
  mkdir -p "$machine"
else
  machine=$(mktemp -d /var/tmp/fusee-fresh.XXXXXX)
fi
machine=$(realpath "$machine")

# Everything mounted is mounted in a namespace of its own (see inside), so nothing of the host can be below $machine
# when this runs; --one-file-system and the look into the mount table hold even if that should ever be wrong.
clean_up() {
  abandon_step
  if [[ $keep ]]; then
    echo "the machine is kept: chroot $machine"
  elif grep -qF " $machine/" /proc/self/mounts; then
    echo "left alone, because something is mounted below it: $machine" >&2
  else
    rm -rf --one-file-system -- "$machine"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The host's source for Debian itself; other archives the host may use are none of a newcomer's business.
debian_sources=/etc/apt/sources.list.d/debian.sources
[[ -r $debian_sources ]] || debian_sources=/etc/apt/sources.list
mirror=$(awk '$1 == "URIs:" { print $2; exit } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' "$debian_sources" 2>/dev/null || true)
mirror=${mirror:-http://deb.debian.org/debian}
apt_proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
[[ -z $apt_proxy ]] || export http_proxy=${http_proxy:-$apt_proxy}

step "Making a clean Debian 12 from $mirror" debootstrap --variant=minbase --include=ca-certificates,git bookworm "$machine" "$mirror"

take_over_network() {
  local bundle
  cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
  rm -f "$machine/etc/apt/sources.list"
  case $debian_sources in
    *.sources) cp "$debian_sources" "$machine/etc/apt/sources.list.d/" ;;
    *) if [[ -r $debian_sources ]]; then cp "$debian_sources" "$machine/etc/apt/"; else echo "deb $mirror bookworm main" >"$machine/etc/apt/sources.list"; fi ;;
  esac
  # Proxies, time-outs and date checks are how this network is reached; the rest of apt's settings are the host's own.
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-|Retries)' | grep -v '""' >"$machine/etc/apt/apt.conf.d/90host" || true
  [[ ! -r /etc/pip.conf ]] || cp /etc/pip.conf "$machine/etc/"
  # One file for each authority, so that update-ca-certificates keeps them whenever a package runs it again.
  for bundle in /etc/ssl/certs/ca-certificates.crt ${PIP_CERT:+"$PIP_CERT"} ${SSL_CERT_FILE:+"$SSL_CERT_FILE"}; do
    [[ -r $bundle ]] || continue
    awk -v to="$machine/usr/local/share/ca-certificates/host-$(basename "$bundle" | tr -c 'A-Za-z0-9\n' _)" \
      '/-----BEGIN CERTIFICATE-----/ { n++; keep = 1 } keep { print > (to "-" n ".crt") } /-----END CERTIFICATE-----/ { close(to "-" n ".crt"); keep = 0 }' "$bundle"
  done
  chroot "$machine" update-ca-certificates
}
step "Taking over package source and certificates" take_over_network

commit=$(git rev-parse --short HEAD)
[[ -z $(git status --porcelain) ]] || say "the work tree has changes that are not committed; they are not part of this"
step "Cloning commit $commit" git clone --no-hardlinks --quiet . "$machine/root/fusee"

passed_on=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST \
  PIP_PROXY PIP_DEFAULT_TIMEOUT FUSEE_JOBS FUSEE_TEST_JOBS TERM; do
  [[ -z ${!name:-} ]] || passed_on+=("$name=${!name}")
done
# Own mount and process namespaces: /proc and /dev/shm of the machine vanish, and whatever still runs in it ends,
# when the command does, however this script ends.
inside() {
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc="$machine/proc" \
    sh -c 'mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm" && exec chroot "$@"' "$machine" "$machine" \
    env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${passed_on[@]}" \
    sh -c 'cd /root/fusee && exec "$@"' sh "$@"
}

failed=0
for script in quickstart test; do
  [[ -z $only || $only == "$script" ]] || continue
  begin=$SECONDS
  say "./$script.sh on the fresh machine"
  status=0
  inside "./$script.sh" || status=$?
  say "./$script.sh: exit status $status after $((SECONDS - begin)) s"
  ((status == 0)) || failed=1
done
exit "$failed"
