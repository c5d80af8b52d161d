#!/usr/bin/env python3
"""Both ways between leveld and the two reference libraries.

Each profile of both oracles, filled with several sizes and seeds: leveld
serves the folder as it was left, its NDJSON equals the oracle's dump; then it
is written to over HTTP, stopped, and both oracles check it and hold what was
written. Besides: folders that LevelDB left and goleveldb misreads, and the
locks.

  test_profiles.py [--quick | --full] [--jobs N] [--only TEXT]
"""
import argparse
import concurrent.futures
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (CPP, GO, ORACLES, BIN, PATIENCE, Client, Digest, Failure,
                    Server, Suite, check_with_both, expect, expect_equal,
                    need_oracles, oracle, oracle_content, oracle_digest,
                    oracle_ok)

PROFILES = ['tiny', 'mixed', 'large-values', 'binary-keys', 'deletes',
            'many-small', 'crash', 'multi-journal']
LARGE = ['mixed', 'deletes', 'binary-keys', 'crash']
SIZES_FULL = [0, 1, 300, 20000]
SIZE_LARGE = 200000
SIZES_QUICK = [0, 300, 3000]
# A profile's largest n; its smallest: two journals need something in them.
MOST = {'large-values': 2000, 'many-small': 20000}
LEAST = {'multi-journal': 300}

# Small files and no compression: several levels from a small load.
SHAPES = {
    'small-files': ['--write-buffer', 65536, '--table-size', 65536],
    'plain-no-filter': ['--compression', 'none', '--bloom', 0,
                        '--block-size', 1024],
}


def sizes(profile, is_full):
    wanted = SIZES_FULL if is_full else SIZES_QUICK
    if is_full and profile in LARGE:
        wanted = wanted + [SIZE_LARGE]
    capped = {min(n, MOST.get(profile, n)) for n in wanted}
    if not is_full and profile == 'large-values':
        capped = {min(n, 100) for n in capped}
    return sorted(n for n in capped if n >= LEAST.get(profile, 0))


# ---- one folder ----

def random_value(rng):
    return rng.randbytes(rng.choice([0, 1, 20, 300, 5000]))


def write_over_http(client, content, rng):
    """Puts, deletes and batches of both forms over keys that exist and new
    ones; content follows."""
    known = sorted(content)
    old = rng.sample(known, min(len(known), 30))
    new = [b'new/%d\x00\xff' % i for i in range(30)]

    def write(answer, ops):
        expect(answer.status in (200, 204), f'write of {len(ops)}: {answer}')
        for key, value in ops:
            content.pop(key, None)
            if value is not None:
                content[key] = value

    for key in rng.sample(old + new, (len(old) + len(new)) // 2):
        query = rng.choice(['', '?sync=false', '?sync=true'])
        if rng.random() < 0.3:
            write(client.delete(key, query), [(key, None)])
        else:
            value = random_value(rng)
            write(client.put(key, value, query), [(key, value)])
    for send in (client.batch, client.json_batch, client.batch):
        ops = [(key, None if rng.random() < 0.3 else random_value(rng))
               for key in rng.choices(old + new, k=20)]
        write(send(ops), ops)


def one_folder(folder, writer, profile, n, seed, options):
    """Fill, serve, compare, write, stop, check. The entries at the end."""
    what = f'{writer} fill {profile} --n {n} --seed {seed} {options}'
    data = os.path.join(folder, 'data')
    try:
        oracle_ok(writer, 'fill', data, '--profile', profile, '--n', n,
                  '--seed', seed, *options)
        # The writer's word: goleveldb's does not count on LevelDB's folders.
        content = oracle_content(writer, data)
        expected = oracle_digest(writer, data)
        expect_equal(Digest.of_dict(content), expected, 'digest of the dump')
        with Server(data) as server, Client(server) as client:
            expect_equal(Digest.of(client.ndjson()), expected,
                         'NDJSON of the folder as it was left')
            write_over_http(client, content, random.Random(what))
            expected = Digest.of_dict(content)
            expect_equal(Digest.of(client.ndjson()), expected,
                         'NDJSON after the writes')
        check_with_both(data, expected)
        with Server(data) as server, Client(server) as client:
            expect_equal(Digest.of(client.ndjson()), expected,
                         'NDJSON after a restart')
        check_with_both(data, expected)
    except Failure as failure:
        raise Failure(f'{what}: {failure}') from None
    finally:
        if not os.environ.get('LEVELD_KEEP'):
            subprocess.run(['rm', '-rf', folder], check=False)
    return expected.entries


def many_folders(folder, jobs, tasks):
    """tasks: arguments of one_folder after the folder."""
    failures, entries = [], 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = []
        for i, task in enumerate(tasks):
            place = os.path.join(folder, str(i))
            os.mkdir(place)
            futures.append(pool.submit(one_folder, place, *task))
        for future in futures:
            try:
                entries += future.result()
            except (Failure, OSError, ValueError,
                    subprocess.SubprocessError) as error:
                failures.append(str(error))
    if failures:
        raise Failure(f'{len(failures)} of {len(tasks)} folders:\n' +
                      '\n'.join(failures[:10]))
    return f'{len(tasks)} folders, {entries} entries'


def profile_case(folder, writer, profile, is_full, jobs):
    need_oracles()
    seeds = (1, 2, 3) if is_full else (1,)
    # goleveldb and LevelDB alike: the larger sizes first, to end together.
    tasks = [(writer, profile, n, seed, [])
             for n in reversed(sizes(profile, is_full)) for seed in seeds]
    return many_folders(folder, jobs, tasks)


def shape_case(folder, writer, options, is_full, jobs):
    need_oracles()
    tasks = [(writer, profile, 20000 if is_full else 3000, seed, options)
             for profile in ('mixed', 'deletes')
             for seed in ((1, 2, 3) if is_full else (1,))]
    return many_folders(folder, jobs, tasks)


# ---- what only both together show ----

def misread_case(folder, seeds):
    """goleveldb drops writes of these folders; after an open and a close by
    leveld, without a write, it reads them whole."""
    need_oracles()
    misread = 0
    for seed in seeds:
        data = os.path.join(folder, str(seed))
        oracle_ok(CPP, 'fill', data, '--profile', 'mixed', '--n', 30000,
                  '--seed', seed, '--write-buffer', 1 << 20)
        expected = oracle_digest(CPP, data)
        code, text = oracle(GO, 'dump', data, '--digest')
        before = text.splitlines()[-1]
        if code == 0 and Digest.parse(before) == expected:
            continue
        misread += 1
        with Server(data):
            pass
        check_with_both(data, expected)
    expect(misread > 0, 'goleveldb read every folder whole: nothing shown')
    return f'{misread} of {len(seeds)} folders were misread before, 0 after'


def files_of(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def held_by_oracle_case(folder, name):
    """leveld refuses a folder in use, names the holder, and changes nothing."""
    need_oracles()
    data = os.path.join(folder, 'data')
    oracle_ok(name, 'fill', data, '--n', 100)
    with subprocess.Popen([os.path.join(ORACLES, name), 'hold', data,
                           str(2 * PATIENCE)],
                          stdout=subprocess.PIPE) as holder:
        try:
            expect_equal(holder.stdout.readline(), b'# held\n', 'hold says')
            before = files_of(data)
            done = subprocess.run(
                [BIN, 'serve', '--data', data, '--listen', '127.0.0.1:0'],
                capture_output=True, timeout=PATIENCE, check=False)
            said = (done.stdout + done.stderr).decode('utf-8', 'replace')
            expect(done.returncode > 0, f'exit code {done.returncode} while '
                   f'{name} holds the folder: {said}')
            expect(str(holder.pid) in said,
                   f'expected the holder {holder.pid} to be named: {said}')
            after = files_of(data)
            changed = [path for path in before.keys() | after.keys()
                       if before.get(path) != after.get(path)]
            expect_equal(changed, [], 'files changed by a refused start')
        finally:
            holder.kill()
    with Server(data) as server, Client(server) as client:
        expect_equal(client.get('/healthz').status, 200,
                     '/healthz once the holder is gone')


def held_by_leveld_case(folder, name):
    """The library refuses a folder that leveld serves."""
    need_oracles()
    data = os.path.join(folder, 'data')
    with Server(data) as server, Client(server) as client:
        expect_equal(client.put(b'a', b'1').status, 204, 'PUT')
        code, text = oracle(name, 'open', data)
        expect(code == 1 and text.startswith('# error locked'),
               f'{name} open: exit code {code}, {text!r}')
        second = subprocess.run(
            [BIN, 'serve', '--data', data, '--listen', '127.0.0.1:0'],
            capture_output=True, timeout=PATIENCE, check=False)
        expect(second.returncode > 0 and str(server.pid()).encode() in
               second.stdout + second.stderr,
               f'a second leveld: {second.returncode} {second.stderr!r}')
        expect_equal(client.get('/v1/kv/a').body, b'1', 'GET afterwards')
    oracle_ok(name, 'open', data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--full', action='store_true')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--only', default='')
    options = parser.parse_args()
    is_full = not options.quick and (options.full or
                                     os.environ.get('LEVELD_FULL') == '1')
    suite = Suite()
    cases = [(f'{writer} {profile}', profile_case, writer, profile, is_full,
              options.jobs) for profile in PROFILES for writer in (GO, CPP)]
    cases += [(f'{writer} {name}', shape_case, writer, flags, is_full,
               options.jobs)
              for name, flags in SHAPES.items() for writer in (GO, CPP)]
    cases += [('goleveldb reads whole what LevelDB left', misread_case,
               range(1, 9) if is_full else range(1, 3))]
    for name in (GO, CPP):
        cases += [(f'a folder held by {name}', held_by_oracle_case, name),
                  (f'a folder held by leveld, and {name}',
                   held_by_leveld_case, name)]
    for name, case, *arguments in cases:
        if options.only in name:
            suite.run(name, case, *arguments)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
