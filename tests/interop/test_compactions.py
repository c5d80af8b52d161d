#!/usr/bin/env python3
"""Folders of both reference libraries and of ours, after our compaction.

Each profile of both oracles: they fill a folder, `leveld compact` merges its
tables, both check it and hold what the writer held. Then leveld takes the same
entries in batches of puts and deletes, from an empty folder, is compacted
offline, and both hold what was written.

LEVELD_COMPACTION_OPS says how many operations (of those that are 100 KB or a
batch each: fewer); the long form is a million, which takes an hour.

  test_compactions.py [--n N] [--only TEXT]
"""
import argparse
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (BIN, CPP, GO, Client, Digest, Server, Suite,
                    check_with_both, expect, expect_equal, need_oracles,
                    oracle_content, oracle_digest, oracle_ok)

PROFILES = ['tiny', 'mixed', 'large-values', 'binary-keys', 'deletes',
            'many-small', 'crash', 'multi-journal']
N_SHORT = 2000
# One operation of these is 100 KB, or a batch.
DIVIDE = {'large-values': 500, 'many-small': 20}
LEAST = 300  # multi-journal wants something in both
# A small load makes several tables too.
SMALL_FILES = ['--write-buffer', 65536, '--table-size', 65536]
BATCH = 500  # operations


def compact(data):
    done = subprocess.run([BIN, 'compact', data], capture_output=True,
                          timeout=1800, check=False)
    expect_equal(done.returncode, 0, f'exit code of compact: {done.stdout!r} '
                 f'{done.stderr!r}')


def tables_of(data):
    return sum(name.endswith(('.ldb', '.sst')) for name in os.listdir(data))


def theirs_case(folder, writer, profile, n):
    need_oracles()
    data = os.path.join(folder, 'data')
    oracle_ok(writer, 'fill', data, '--profile', profile, '--n', n,
              '--seed', 1, *([] if n > N_SHORT else SMALL_FILES))
    # The writer's word: goleveldb's does not count on LevelDB's folders.
    expected = oracle_digest(writer, data)
    before = tables_of(data)
    compact(data)
    check_with_both(data, expected)
    return (f'n {n}, {expected.entries} entries, {before} tables before, '
            f'{tables_of(data)} after')


def send_all(client, ops):
    """Packs of BATCH, and as many bytes as a body may have."""
    pack, size = [], 0
    for op in ops:
        pack.append(op)
        size += len(op[0]) + len(op[1] or b'')
        if len(pack) == BATCH or size > 2 << 20:
            answer = client.batch(pack)
            expect(answer.status in (200, 204), f'batch: {answer}')
            pack, size = [], 0
    if pack:
        answer = client.batch(pack)
        expect(answer.status in (200, 204), f'batch: {answer}')


def ours_case(folder, profile, n):
    """Every key twice, the second time a third of them deleted."""
    need_oracles()
    theirs = os.path.join(folder, 'theirs')
    data = os.path.join(folder, 'data')
    rng = random.Random(profile)
    oracle_ok(GO, 'fill', theirs, '--profile', profile, '--n', n, '--seed', 2)
    content = oracle_content(GO, theirs)
    keys = list(content)
    rng.shuffle(keys)
    with Server(data) as server, Client(server) as client:
        send_all(client, ((key, content[key][::-1]) for key in keys))
        rng.shuffle(keys)
        gone = set(keys[:len(keys) // 3])
        send_all(client, ((key, None if key in gone else content[key])
                          for key in keys))
    for key in gone:
        del content[key]
    expected = Digest.of_dict(content)
    check_with_both(data, expected)
    compact(data)
    check_with_both(data, expected)
    return (f'n {n}, {expected.entries} entries, {len(gone)} deleted, '
            f'{tables_of(data)} tables')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--n', type=int)
    parser.add_argument('--only', default='')
    options = parser.parse_args()
    most = options.n or int(os.environ.get('LEVELD_COMPACTION_OPS', N_SHORT))
    suite = Suite()
    for profile in PROFILES:
        n = max(LEAST, most // DIVIDE.get(profile, 1))
        if profile == 'large-values' and most <= N_SHORT:
            n = 30
        cases = [(f'{writer} {profile}', theirs_case, writer, profile, n)
                 for writer in (GO, CPP)]
        cases.append((f'leveld {profile}', ours_case, profile, n))
        for name, case, *arguments in cases:
            if options.only in name:
                suite.run(name, case, *arguments)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
