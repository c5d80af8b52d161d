#!/bin/sh
# Installs the Debian packages that a task needs: packages.sh SET...
#   build   compile leveld         test   compile and run its tests
#   ci      both compilers, sanitizers, fuzzing, format and lint
#   bench   the benchmark clients (no servers)
# Does nothing, quickly, when all are there. As root, or through sudo; without
# either it says what to install. A name may list alternatives: a|b.
set -eu

build="gcc libc6-dev cmake ninja-build
    libmicrohttpd-dev libjansson-dev libsnappy-dev libisal-dev libxxhash-dev
    nettle-dev libgnutls28-dev"
test="g++ libcmocka-dev python3 curl strace gnutls-bin
    libcurl4-gnutls-dev|libcurl4-openssl-dev|libcurl4-nss-dev
    golang-go golang-github-syndtr-goleveldb-dev libleveldb-dev"
ci="clang libclang-rt-dev clang-format clang-tidy llvm shellcheck git
    ca-certificates"
bench="wrk make libleveldb-dev libmicrohttpd-dev libjansson-dev python3"

names=
for set in "$@"; do
    case $set in
    build) names="$names $build" ;;
    test) names="$names $test" ;;
    ci) names="$names $ci" ;;
    bench) names="$names $bench" ;;
    *)
        echo "packages.sh: no set named $set" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: not Debian; needed are, by Debian's names: $names" >&2
    exit 0
fi

# shellcheck disable=SC2046,SC2086 # words are wanted
installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' \
    $(echo $names | tr '|' ' ') 2>/dev/null || true)"

missing=
for name in $names; do
    found=
    for one in $(echo "$name" | tr '|' ' '); do
        case $installed in
        *" installed:$one "*) found=yes ;;
        esac
    done
    [ -n "$found" ] || missing="$missing ${name%%|*}"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null; then
        sudo=sudo
    else
        echo "packages.sh: neither root nor sudo; as root run:" >&2
        echo "  apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi

echo "installing:$missing" >&2
apt_get() {
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@" >&2
}
apt_get update
# shellcheck disable=SC2086 # words are wanted
apt_get install -y --no-install-recommends $missing
