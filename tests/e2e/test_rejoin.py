#!/usr/bin/env python3
"""A leader comes back to a cluster that has gone on without it, with 10,000
writes that no other node has: it becomes a follower, by difference, and all of
them are in leveld/diverged/ of its folder, listed and to be downloaded.

Once with its journals, which are set aside as they are; once without, where an
operator has to say so, and the entries are taken out of the tables.

  LEVELD_REJOIN_WRITES   how many; 10000
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from cluster import (are_twins, digests_of, dump_journal, end_nodes,
                     make_nodes, wait_until)
from leveld import Client, Suite, expect, expect_equal
from write_load import Pipe, request

WRITES = int(os.environ.get('LEVELD_REJOIN_WRITES') or 10000)
COMMON = 3000  # entries that both have; the lost ones overwrite a third
AFTER = 500    # that the new leader writes

FLAGS = ['--write-buffer', '256KiB', '--table-size', '64KiB',
         '--level1-size', '1MiB']
DEPTH = 100    # requests under way at once


def put_all(node, entries):
    """Each a request of its own, the last one durable. {key: sequence}."""
    sequences = {}
    pipe = Pipe(node.port)
    try:
        for begin in range(0, len(entries), DEPTH):
            part = entries[begin:begin + DEPTH]
            is_last = begin + DEPTH >= len(entries)
            pipe.send([
                request('PUT' if value is not None else 'DELETE',
                        f'/v1/kv/{key}?sync='
                        f'{"true" if is_last else "false"}', value or b'')
                for key, value in part])
            for key, _ in part:
                status, head, body = pipe.read()
                expect_equal(status, 204, f'{key}: {body!r}')
                sequences[key] = int(re.search(
                    rb'(?i)^leveld-sequence: *(\d+)', head, re.M).group(1))
    finally:
        pipe.close()
    return sequences


def common():
    return [(f'common-{i:05d}', b'both/%d/' % i + bytes(200))
            for i in range(COMMON)]


def alone(with_deletes):
    """A third overwrites what both have; of those some delete it."""
    entries = []
    for i in range(WRITES):
        value = b'alone/%d/' % i + b'x' * (i % 200)
        if i % 10 == 3 and i // 10 < COMMON:
            entries.append((f'common-{i // 10:05d}',
                            None if with_deletes and i % 20 == 3 else value))
        else:
            entries.append((f'alone-{i:06d}', value))
    return entries


def fill(node, entries):
    with Client(node.server) as client:
        for begin in range(0, len(entries), 500):
            answer = client.batch([(key.encode(), value) for key, value in
                                   entries[begin:begin + 500]])
            expect_equal(answer.status, 200, 'batch')
    return answer.sequence()


# ---- what was set aside ----

def download(node, name, folder):
    """The path of a copy under its name."""
    answer = node.get(f'/v1/replication/diverged/{name}')
    expect_equal(answer.status, 200, f'{name}: {answer}')
    with open(os.path.join(node.data, 'leveld', 'diverged', name),
              'rb') as file:
        expect(answer.body == file.read(), f'{name}: not what is on disk')
    path = os.path.join(folder, name)
    with open(path, 'wb') as file:
        file.write(answer.body)
    return path


def read_diverged(node, folder):
    """(the list, {key: (sequence, value's first bytes or None)} of the newest
    entries): what the node has kept aside, as it tells over HTTP."""
    listed = node.document('/v1/replication/diverged')
    items = listed['items']
    expect_equal(sorted(os.listdir(os.path.join(node.data, 'leveld',
                                                'diverged'))),
                 [item['name'] for item in items], 'files on disk')
    expect_equal(listed['files'], len(items), 'count of files')
    expect_equal(listed['bytes'], sum(item['bytes'] for item in items),
                 'bytes of files')
    expect_equal(node.document('/stats')['replication']['diverged'],
                 {name: listed[name] for name in ('rewinds', 'files', 'bytes')},
                 '/stats')
    entries = {}
    for item in items:
        path = download(node, item['name'], folder)
        expect_equal(os.path.getsize(path), item['bytes'], item['name'])
        for key, *found in dump_journal(path):
            if key not in entries or found[0] > entries[key][0]:
                entries[key] = found
    return listed, entries


def check_set_aside(lost, sequences, found):
    """Every write that is lost, as it was."""
    for key, value in lost:
        expect(key in found, f'{key} at {sequences[key]} was not set aside')
        sequence, begin = found[key]
        expect_equal(sequence, sequences[key], f'sequence of {key}')
        if value is None:
            expect_equal(begin, None, key)
        else:
            expect_equal(begin, shown(value), key)


def shown(value):
    """As `leveld dump` shows it."""
    text = ''.join(chr(c) if 0x20 <= c <= 0x7e and c not in b'"\\'
                   else f'\\x{c:02x}' for c in value[:32])
    return text + ('...' if len(value) > 32 else '')


def rebuilt_line(node):
    """What its log says of the rebuild: {name: number}."""
    lines = [line for line in node.log().splitlines()
             if 'event=rebuilt' in line]
    expect_equal(len(lines), 1, f'rebuilds of {node.name}: {lines}')
    return {name: float(value) for name, value in
            re.findall(r'(\w+)=([\d.]+)', lines[0])}


# ---- the cases ----

def part(nodes, flags, with_deletes):
    """Both have the same; then a writes alone, and b leads without it. The
    writes that are lost, and their sequences."""
    a, b = nodes
    a.start(*FLAGS, *flags)
    b.start(*FLAGS, *flags, follows=a)
    last = fill(a, common())
    wait_until('b has it', lambda: b.has(last))
    b.server.stop()
    b.server = None
    lost = alone(with_deletes)
    sequences = put_all(a, lost)
    a.kill()
    b.start(*FLAGS, *flags, follows=a)
    answer = b.change('promote', {'force': True})
    expect_equal(answer.status, 200, f'promote: {answer}')
    expect_equal(b.content(), {key.encode(): value for key, value in common()},
                 'what b leads with')
    return lost, sequences


def write_after(b):
    """b goes on, over keys of both and of a alone. What it has then."""
    later = [(f'common-{i:05d}' if i % 2 else f'alone-{i:06d}',
              b'later/%d' % i) for i in range(AFTER)]
    return fill(b, later), {key.encode(): value
                            for key, value in common() + later}


def check_level(a, b, content):
    wait_until('the folders are the same', lambda: are_twins([a, b]))
    wait_until('one digest', lambda: digests_of([a, b]))
    for node in (a, b):
        expect(node.content() == content, f'content of {node.name}')


def note(lost, listed, seconds, line):
    return (f'{len(lost)} writes alone; level after {seconds:.2f} s, of it the '
            f'rebuild {line["duration_ms"]:.0f} ms; '
            f'{line["bytes_fetched"]:.0f} bytes of '
            f'{line["tables_fetched"]:.0f} tables fetched, '
            f'{line["tables_kept"]:.0f} kept; {listed["bytes"]} bytes in '
            f'{listed["files"]} files set aside, of them '
            f'{line["entries_set_aside"]:.0f} entries of tables')


def journals_case(folder):
    nodes = a, b = make_nodes(folder, 'ab')
    try:
        lost, sequences = part(nodes, [], True)
        last, content = write_after(b)
        begun = time.monotonic()
        a.start(*FLAGS, follows=b)
        wait_until('a follows', lambda: a.has(last))
        seconds = time.monotonic() - begun
        line = rebuilt_line(a)
        check_level(a, b, content)
        listed, found = read_diverged(a, folder)
        check_set_aside(lost, sequences, found)
        # A restart finds nothing to do, and leaves all of it there.
        a.kill()
        a.start(*FLAGS, follows=b)
        last = fill(b, [('one-more', b'1')])
        wait_until('a follows', lambda: a.has(last))
        rebuilt_line(a)
        expect_equal(read_diverged(a, folder)[0], listed, 'after a restart')
        return note(lost, listed, seconds, line)
    finally:
        end_nodes(nodes)


def tables_case(folder):
    """No journal is kept: a waits until somebody says what that means."""
    flags = ['--archive-bytes', '0']
    nodes = a, b = make_nodes(folder, 'ab')
    try:
        lost, sequences = part(nodes, flags, False)
        last, content = write_after(b)
        begun = time.monotonic()
        a.start(*FLAGS, *flags, follows=b)
        wait_until('a waits for an operator', lambda: 'accept' in a.log())
        expect_equal(a.get('/v1/kv/alone-000001').status, 200,
                     'what it has is served meanwhile')
        answer = a.change('demote', {'leader': b.url, 'force': True})
        expect_equal(answer.status, 200, f'demote: {answer}')
        wait_until('a follows', lambda: a.has(last))
        seconds = time.monotonic() - begun
        line = rebuilt_line(a)
        check_level(a, b, content)
        listed, found = read_diverged(a, folder)
        check_set_aside(lost, sequences, found)
        expect(line['entries_set_aside'] > 0, f'entries of tables: {line}')
        return note(lost, listed, seconds, line)
    finally:
        end_nodes(nodes)


def main():
    suite = Suite()
    suite.run('an old leader rejoins', journals_case)
    suite.run('an old leader without its journals', tables_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
