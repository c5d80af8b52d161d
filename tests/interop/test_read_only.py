#!/usr/bin/env python3
"""leveld serve --read-only changes nothing of a folder that goleveldb or
LevelDB left, crashed ones too: not a byte, not a name, not a time. It serves
what the oracle that wrote it dumps."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (CPP, GO, Client, Digest, Server, Suite, expect_equal,
                    need_oracles, oracle_content, oracle_ok)

PROFILES = ['tiny', 'mixed', 'deletes', 'crash', 'multi-journal']


def fingerprint(folder):
    """{path: (bytes, inode, times in ns, digest)} of everything in it."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in ['.'] + folders + files:
            path = os.path.join(top, name)
            status = os.stat(path)
            digest = ''
            if os.path.isfile(path):
                with open(path, 'rb') as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[path] = (status.st_size, status.st_ino, status.st_mtime_ns,
                           status.st_ctime_ns, digest)
    return found


def read_only_case(folder, writer, profile):
    need_oracles()
    data = os.path.join(folder, 'data')
    oracle_ok(writer, 'fill', data, '--profile', profile, '--n', 2000,
              '--seed', 7)
    # The oracle reads a copy of its own.
    content = oracle_content(writer, data)
    before = fingerprint(data)
    with Server(data, '--read-only') as server, Client(server) as client:
        expect_equal(Digest.of(client.ndjson()), Digest.of_dict(content),
                     'what leveld serves')
        expect_equal(client.put(b'k', b'v').status, 409, 'a put')
    expect_equal(fingerprint(data), before, f'{data} afterwards')


def main():
    suite = Suite()
    for writer in (GO, CPP):
        for profile in PROFILES:
            suite.run(f'{writer} {profile}', read_only_case, writer, profile)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
