#!/bin/sh
# Installs the Debian packages that a task needs: packages.sh SET...
#   build   compile leveld         test   compile and run its tests
#   ci      both compilers, sanitizers, fuzzing, format and lint, and the
#           servers that tests are made with
#   bench   the benchmark clients, and the servers that they are held against
#   image   what docker/Dockerfile needs beside build
#   docker  an engine of our own for scripts/docker-test
# Programs whose package would start a service (and start it again at each
# boot) are unpacked into build/tools instead, unless they are there already.
# Does nothing, quickly, when all are there. As root, or through sudo; without
# either it says what to install. A name may list alternatives: a|b; one that is
# unpacked the program that it is there for, package:program.
set -eu

build="gcc libc6-dev cmake ninja-build
    libmicrohttpd-dev libjansson-dev libsnappy-dev libisal-dev libxxhash-dev
    nettle-dev libgnutls28-dev
    libcurl4-gnutls-dev|libcurl4-openssl-dev|libcurl4-nss-dev"
test="g++ libcmocka-dev python3 python3-jsonschema curl strace gnutls-bin
    iproute2 nftables rsync
    golang-go golang-github-syndtr-goleveldb-dev libleveldb-dev"
ci="clang libclang-rt-dev clang-format clang-tidy lld llvm shellcheck git
    ca-certificates"
ci_tools="prometheus nginx"
bench="wrk make curl libleveldb-dev libmicrohttpd-dev libjansson-dev python3
    libatomic1 libb64-0d libevent-2.1-7 libhiredis0.14 libjemalloc2 liblzf1
    libsasl2-2"
bench_tools="nginx memcached redis-server redis-tools:redis-cli webdis
    etcd-server:etcd"
image="ca-certificates binutils"
docker="docker-compose mmdebstrap iptables iproute2 procps util-linux bash
    curl git python3 libdevmapper1.02.1 libseccomp2 libsystemd0"
docker_tools="docker.io:dockerd containerd runc"

names=
tools=
for set in "$@"; do
    case $set in
    build) names="$names $build" ;;
    test) names="$names $test" ;;
    ci)
        names="$names $ci"
        tools="$tools $ci_tools"
        ;;
    bench)
        names="$names $bench"
        tools="$tools $bench_tools"
        ;;
    image) names="$names $image" ;;
    docker)
        names="$names $docker"
        tools="$tools $docker_tools"
        ;;
    *)
        echo "packages.sh: no set named $set" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: not Debian; needed are, by Debian's names:" \
        "$names $tools" >&2
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
unpacked=$(dirname "$0")/../build/tools
missing_tools=
for name in $tools; do
    program=${name##*:}
    command -v "$program" >/dev/null || [ -x "$unpacked/usr/bin/$program" ] ||
        [ -x "$unpacked/usr/sbin/$program" ] ||
        missing_tools="$missing_tools ${name%%:*}"
done
[ -n "$missing$missing_tools" ] || exit 0

sudo=
if [ -n "$missing" ] && [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null; then
        sudo=sudo
    else
        echo "packages.sh: neither root nor sudo; as root run:" >&2
        echo "  apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi

apt_get() {
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@" >&2
}
if [ -n "$missing" ]; then
    echo "installing:$missing" >&2
    apt_get update
    # shellcheck disable=SC2086 # words are wanted
    apt_get install -y --no-install-recommends $missing
fi

# Needs no root, but the list of packages.
if [ -n "$missing_tools" ]; then
    echo "unpacking into build/tools:$missing_tools" >&2
    [ -n "$missing" ] || [ "$(id -u)" -ne 0 ] || apt_get update
    mkdir -p "$unpacked/deb"
    # shellcheck disable=SC2086 # words are wanted
    (cd "$unpacked/deb" && apt-get -qq download $missing_tools >&2)
    for file in "$unpacked"/deb/*.deb; do
        dpkg-deb -x "$file" "$unpacked"
        rm "$file"
    done
fi
