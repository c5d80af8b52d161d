#!/usr/bin/env python3
"""A leader and its follower as processes, and bytes of their tables that the
disk changes: reads give the right bytes or an error, never others, and after a
moment the right ones again, without a restart. Damage is met by reads, by the
scrub and by a compaction; where both have it nothing is replaced.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (JSON, Client, Server, Suite, expect, expect_equal,
                    wait_until)

KEYS = 600
# Some dozen tables, of which no block stays in memory.
FLAGS = ('--write-buffer', '64KiB', '--table-size', '64KiB',
         '--level1-size', '1MiB', '--block-cache', '1KiB')
NO_SCRUB = ('--scrub-rate', '0')
SCRUB = ('--scrub-rate', '1GiB', '--scrub-interval', '1s')


def url_of(server):
    return f'http://127.0.0.1:{server.port}'


# ---- what is written ----

def key_of(n):
    return f'key{n:06d}'.encode()


def value_of(n):
    """Some that does not compress to nothing."""
    return b''.join(f'{(n * 7919 + i * 104729) % 65536:04x}'.encode()
                    for i in range(200))


def load(server):
    with Client(server) as client:
        for begin in range(0, KEYS, 100):
            answer = client.json_batch(
                [(key_of(n), value_of(n)) for n in range(begin, begin + 100)])
            expect_equal(answer.status, 200, f'batch: {answer}')
        answer = client.request('POST', '/v1/admin/flush', '{}',
                                {'Content-Type': JSON})
        expect(answer.status in (200, 202), f'flush: {answer}')


def stats(server):
    with Client(server) as client:
        return client.get('/stats').json()


def heal_of(server):
    return stats(server)['heal']


def is_at_rest(server):
    engine = stats(server)['engine']
    return engine['compaction']['running'] == 0 and \
        engine['compaction']['pending_bytes'] == 0 and \
        engine['memtable']['immutable_count'] == 0


def wait_for_twin(a, b):
    """Nothing moves, and b has what a has."""
    wait_until('the leader rests', lambda: is_at_rest(a))

    def is_level():
        ours, theirs = stats(a), stats(b)
        return ours['engine']['manifest'] == theirs['engine']['manifest'] and \
            ours['sequence'] == theirs['sequence'] and \
            theirs['engine']['memtable']['immutable_count'] == 0
    wait_until('the follower is level', is_level)


def digests_equal(a, b):
    found = []
    for server in (a, b):
        with Client(server) as client:
            found.append(client.get('/v1/digest').json()['digest'])
    expect_equal(found[0], found[1], 'digests')


# ---- what the disk does ----

def tables_of(folder):
    return sorted(n for n in os.listdir(folder) if n.endswith('.ldb'))


def change(folder, name, offset=60):
    """A bit of the byte there; it is in the first block."""
    with open(os.path.join(folder, name), 'r+b') as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x20]))


def bytes_of(folder, name):
    with open(os.path.join(folder, name), 'rb') as file:
        return file.read()


def check_same(a, b):
    """Of two stopped nodes that have one version: what only one of them has
    waits for its deletion."""
    names = sorted(set(tables_of(a)) & set(tables_of(b)))
    current = bytes_of(a, 'CURRENT')
    expect_equal(bytes_of(b, 'CURRENT'), current, 'CURRENT')
    for name in names + [current.decode().strip()]:
        expect(bytes_of(a, name) == bytes_of(b, name), f'{name} differs')
    return len(names)


# ---- what is read ----

def read_all(server):
    """How many keys could not be read; any other byte is a failure."""
    errors = 0
    with Client(server) as client:
        for n in range(KEYS):
            answer = client.get('/v1/kv/' + key_of(n).decode())
            if answer.status == 200:
                expect_equal(answer.body, value_of(n), f'value {n}')
                continue
            expect_equal(answer.problem(), 'corruption', f'GET {n}: {answer}')
            expect(answer.json()['file'].endswith('.ldb'), f'{answer}')
            errors += 1
    return errors


def read_until_whole(server):
    errors = read_all(server)
    total = errors

    def is_whole():
        nonlocal total
        found = read_all(server)
        total += found
        return found == 0
    wait_until('all can be read again', is_whole)
    return total


def follower(folder, leader, *flags):
    return Server(os.path.join(folder, 'b'), '--role', 'follower',
                  '--leader', url_of(leader), *FLAGS, *flags)


# ---- cases ----

def read_case(folder):
    """First at the follower, then at the leader."""
    with Server(os.path.join(folder, 'a'), *FLAGS, *NO_SCRUB) as a:
        load(a)
        with follower(folder, a, *NO_SCRUB) as b:
            wait_for_twin(a, b)
            digests_equal(a, b)
            errors = []
            for server in (b, a):
                names = tables_of(server.data)
                damaged = [names[0], names[len(names) // 2], names[-1]]
                for name in damaged:
                    change(server.data, name)
                errors.append(read_until_whole(server))
                expect(errors[-1] > 0, 'no read met the damage')
                heal = heal_of(server)
                expect_equal(heal['found'], len(damaged), f'found: {heal}')
                expect_equal(heal['healed'], len(damaged), f'healed: {heal}')
                expect_equal(heal['damaged'], 0, f'damaged: {heal}')
                expect_equal(sorted(os.listdir(
                    os.path.join(server.data, 'lost'))), damaged, 'lost/')
                expect('event=table-healed' in server.log(),
                       'no line in the log')
            digests_equal(a, b)
    count = check_same(a.data, b.data)
    return (f'{count} tables, {errors[0]} reads at the follower and '
            f'{errors[1]} at the leader failed until they were healed')


def scrub_case(folder):
    """Nobody reads, and no digest was asked for."""
    with Server(os.path.join(folder, 'a'), *FLAGS, *SCRUB) as a:
        load(a)
        with follower(folder, a, *SCRUB) as b:
            wait_for_twin(a, b)
            for server in (b, a):
                name = tables_of(server.data)[0]
                sound = bytes_of(server.data, name)
                change(server.data, name, len(sound) // 2)
                wait_until('the scrub finds it',
                           lambda s=server: heal_of(s)['healed'] == 1)
                expect(bytes_of(server.data, name) == sound, f'{name} differs')
                scrub = stats(server)['scrub']
                expect(scrub['mismatches'] >= 1, f'{scrub}')
                log = server.log()
                expect('scrub-mismatch' in log and f'file="{name}"' in log,
                       'no line in the log')
                before = scrub['passes']
                wait_until('the scrub goes on', lambda s=server, p=before:
                           stats(s)['scrub']['passes'] > p)
            digests_equal(a, b)
    count = check_same(a.data, b.data)
    return f'{count} tables'


def both_case(folder):
    """The same table on both sides: nothing is replaced; once one of them has
    it from a backup the other one is healed."""
    with Server(os.path.join(folder, 'a'), *FLAGS, *NO_SCRUB) as a:
        load(a)
        with follower(folder, a, *NO_SCRUB) as b:
            wait_for_twin(a, b)
            name = tables_of(a.data)[0]
            backup = bytes_of(a.data, name)
            for server, offset in ((a, 60), (b, len(backup) // 2)):
                change(server.data, name, offset)
            damaged = [bytes_of(s.data, name) for s in (a, b)]
            for server in (a, b):
                expect(read_all(server) > 0, 'no read met the damage')
                wait_until('it is tried', lambda s=server:
                           heal_of(s)['failures'] >= 1)
            for server, is_there in zip((a, b), damaged):
                heal = heal_of(server)
                expect_equal(heal['damaged'], 1, f'{heal}')
                expect_equal(heal['healed'], 0, f'{heal}')
                expect(heal['discarded'] >= 1, f'{heal}')
                expect(bytes_of(server.data, name) == is_there,
                       'it was replaced')
                expect('table-not-healed' in server.log(), 'no line in the log')
                expect(read_all(server) > 0, 'it reads')
            with open(os.path.join(a.data, name), 'r+b') as file:
                file.write(backup)
            read_until_whole(a)
            read_until_whole(b)
            wait_until('both are well', lambda: heal_of(a)['damaged'] == 0 and
                       heal_of(b)['damaged'] == 0)
            expect_equal(heal_of(b)['healed'], 1, 'healed at the follower')
            digests_equal(a, b)
    check_same(a.data, b.data)


def compaction_case(folder):
    """A compaction stops at the damage, and goes on once it is healed."""
    with Server(os.path.join(folder, 'a'), *FLAGS, *NO_SCRUB) as a:
        load(a)
        with follower(folder, a, *NO_SCRUB) as b:
            wait_for_twin(a, b)
            change(a.data, tables_of(a.data)[0])

            def compact():
                with Client(a) as client:
                    return client.request('POST', '/v1/admin/compact', '{}',
                                          {'Content-Type': JSON})
            with Client(a) as client:
                for n in range(0, KEYS, 10):
                    client.put(key_of(n), value_of(n), '?sync=false')
            compact()
            wait_until('it is healed', lambda: heal_of(a)['healed'] == 1)

            def is_ready():
                with Client(a) as client:
                    return client.get('/readyz').status == 200
            wait_until('compactions go on', is_ready)
            wait_until('all is compacted', lambda: compact().status in
                       (200, 202) and is_at_rest(a))
            expect_equal(read_all(a), 0, 'keys that cannot be read')
            with Client(a) as client:
                expect_equal(client.put(b'last', b'1').status, 204, 'PUT')
            wait_for_twin(a, b)
            expect_equal(read_all(b), 0, 'keys that cannot be read')
            digests_equal(a, b)
    check_same(a.data, b.data)


def main():
    suite = Suite()
    suite.run('damage that reads meet', read_case)
    suite.run('damage that the scrub finds', scrub_case)
    suite.run('damage on both sides', both_case)
    suite.run('damage that a compaction meets', compaction_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
