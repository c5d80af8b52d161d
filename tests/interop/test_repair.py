#!/usr/bin/env python3
"""Folders of both reference libraries, damaged, repaired with `leveld repair`,
and then read by both libraries and by leveld: all three say the same, strict
checks pass, and what was not damaged is there.

  test_repair.py [--only TEXT]
"""
import argparse
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))

from leveld import (BIN, CPP, GO, PATIENCE, Digest, Failure, Suite,  # noqa: E402
                    expect, expect_equal, need_oracles, oracle_content,
                    oracle_digest, oracle_ok)


def leveld(*arguments):
    done = subprocess.run([BIN, *arguments], capture_output=True,
                          timeout=PATIENCE, check=False)
    return done.returncode, done.stdout.decode('utf-8', 'replace') + \
        done.stderr.decode('utf-8', 'replace')


def names(folder, end='', start=''):
    return sorted(name for name in os.listdir(folder)
                  if name.endswith(end) and name.startswith(start))


def files_of(folder):
    found = {}
    for place, _, entries in os.walk(folder):
        for name in entries:
            path = os.path.join(place, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def flip(path, at):
    with open(path, 'r+b') as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


# ---- what is done to a folder; each returns whether entries may be lost ----

def lose_current(folder, rng):
    os.remove(os.path.join(folder, 'CURRENT'))
    for name in names(folder, start='CURRENT.'):
        os.remove(os.path.join(folder, name))
    return False


def spoil_current(folder, rng):
    with open(os.path.join(folder, 'CURRENT'), 'wb') as file:
        file.write(bytes(16))
    for name in names(folder, start='CURRENT.'):
        os.remove(os.path.join(folder, name))
    return False


def lose_manifest(folder, rng):
    for name in names(folder, start='MANIFEST-'):
        os.remove(os.path.join(folder, name))
    return False


def spoil_manifest(folder, rng):
    path = os.path.join(folder, names(folder, start='MANIFEST-')[-1])
    flip(path, rng.randrange(os.path.getsize(path)))
    return False


def spoil_table(folder, rng):
    tables = names(folder, '.ldb')
    if tables:
        path = os.path.join(folder, rng.choice(tables))
        flip(path, rng.randrange(os.path.getsize(path)))
    return True


def lose_table(folder, rng):
    tables = names(folder, '.ldb')
    if tables:
        os.remove(os.path.join(folder, rng.choice(tables)))
    return True


def spoil_journal(folder, rng):
    for name in names(folder, '.log'):
        path = os.path.join(folder, name)
        if os.path.getsize(path) > 0:
            flip(path, rng.randrange(os.path.getsize(path)))
    return True


def spoil_all(folder, rng):
    spoil_table(folder, rng)
    spoil_journal(folder, rng)
    lose_manifest(folder, rng)
    return True


DAMAGES = [lose_current, spoil_current, lose_manifest, spoil_manifest,
           spoil_table, lose_table, spoil_journal, spoil_all]


def same_for_all(folder):
    """Both libraries' strict checks pass and leveld reads the same."""
    dumps = []
    for name in (GO, CPP):
        oracle_ok(name, 'check', folder)
        dumps.append(oracle_digest(name, folder))
    expect_equal(dumps[0], dumps[1], 'digests of both libraries')
    code, text = leveld('dump', '--digest', folder)
    expect_equal(code, 0, f'leveld dump: {text}')
    expect_equal(Digest.parse(text.splitlines()[-1]), dumps[0],
                 'digest of leveld')


def cure_untouched(data, before):
    """The damage hit what nothing names, so the folder is as its library left
    it, and goleveldb may refuse one of LevelDB's (docs/formats.md, row 40):
    opening and closing it with leveld is the cure."""
    now = files_of(data)
    for name in ('LOCK', 'LOG', 'LOG.old'):
        now.pop(name, None)
        before.pop(name, None)
    expect_equal(now == before, True, 'a needless repair changes nothing')
    code, text = leveld('compact', data)
    expect_equal(code, 0, f'compact: {text}')


def repair_case(folder, writer, damage):
    """Damages a folder, looks at the dry run, repairs, compares."""
    need_oracles()
    data = os.path.join(folder, 'data')
    rounds = 3 if os.environ.get('LEVELD_FULL') == '1' else 1
    for seed in range(1, rounds + 1):
        shutil.rmtree(data, ignore_errors=True)
        oracle_ok(writer, 'fill', data, '--profile', 'mixed', '--n', 6000,
                  '--seed', seed, '--write-buffer', 1 << 16,
                  '--table-size', 1 << 15)
        content = oracle_content(writer, data)
        has_dead = 'that the MANIFEST does not name' in leveld('check', data)[1]
        may_lose = damage(data, random.Random(seed))
        before = files_of(data)
        code, text = leveld('repair', '--dry-run', data)
        expect(code in (0, 1), f'dry run: {code} {text}')
        expect_equal(files_of(data) == before, True, 'a dry run changes nothing')
        code, text = leveld('repair', data)
        expect_equal(code, 0, f'repair: {text}')
        code, said = leveld('check', data)
        expect_equal(code, 0, f'check after repair: {said}\n{text}')
        if 'nothing to repair' in text:
            cure_untouched(data, before)
        else:
            kept = set(files_of(data).values())
            for name, bytes_of in before.items():
                if name.endswith(('.log', '.ldb')) and bytes_of not in kept:
                    raise Failure(f'{name} is nowhere any more')
        same_for_all(data)
        after = oracle_content(GO, data)
        same = sum(after.get(k) == v for k, v in content.items())
        if not may_lose:
            expect_equal(same, len(content), 'entries as before')
            # Without a MANIFEST nothing tells that a table is dead
            # (goleveldb leaves some behind): deleted keys may be back.
            expect(len(after) == same or has_dead, 'entries of nowhere')
        else:
            expect(same > 0, 'nothing of the content is left')
        code, text = leveld('repair', data)
        expect(code == 0 and 'nothing to repair' in text,
               f'a second repair: {code} {text}')
    return f'{rounds} folders'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--only', default='')
    options = parser.parse_args()
    suite = Suite()
    for writer in (GO, CPP):
        for damage in DAMAGES:
            name = f'{writer} {damage.__name__}'
            if options.only in name:
                suite.run(name, repair_case, writer, damage)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
