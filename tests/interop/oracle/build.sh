#!/bin/sh
# Builds the two oracles into bin/, after installing what they need. Does
# nothing when bin/ is newer than the sources.
set -eu
cd "$(dirname "$0")"

if [ -x bin/ldbgo ] && [ -x bin/ldbcpp ] &&
    [ -z "$(find build.sh goleveldb leveldb -type f -newer bin/ldbgo)" ] &&
    [ -z "$(find build.sh goleveldb leveldb -type f -newer bin/ldbcpp)" ]; then
    exit 0
fi

../../../scripts/packages.sh test
gopath=$(dpkg -L golang-github-syndtr-goleveldb-dev |
    sed -n 's,/src/github.com/syndtr/goleveldb$,,p')
mkdir -p bin
GOCACHE="$PWD/bin/.gocache" GO111MODULE=off GOPATH="$gopath" GOFLAGS='' \
    go build -o bin/ldbgo ./goleveldb
"${CXX:-g++}" -std=c++17 -O2 -Wall -o bin/ldbcpp leveldb/ldbcpp.cc \
    -lleveldb -lpthread
# go leaves a program that needs no new link as it was.
touch bin/ldbgo bin/ldbcpp
echo "built bin/ldbgo ($(dpkg-query -W -f '${Version}' \
    golang-github-syndtr-goleveldb-dev)) and bin/ldbcpp ($(dpkg-query -W \
    -f '${Version}' libleveldb-dev))"
