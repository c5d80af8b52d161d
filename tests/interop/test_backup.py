#!/usr/bin/env python3
"""GET /v1/backup while clients write: the tar holds exactly the writes up to
its sequence, as scans do which are held to the same writes, and what a scan of
a snapshot at that very sequence gives; it opens in both reference libraries and
in leveld. A slow reader holds the tables of its time and no more; one that
leaves holds none. LEVELD_BACKUPS=40 takes more of them."""
import base64
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (NDJSON, PATIENCE, Client, Digest, Failure, Server, Suite,
                    check_with_both, expect, expect_equal, lines_of,
                    need_oracles)

WRITERS = 4
BACKUPS = int(os.environ.get('LEVELD_BACKUPS', 4))
SMALL = ['--write-buffer', '64KiB', '--table-size', '64KiB', '--level1-size',
         '1MiB']


class Writer(threading.Thread):
    """Writes random keys until told to stop, while go is set; writes:
    (sequence, key, value), of a batch with the sequence that each operation
    got."""

    def __init__(self, server, number, stop, go):
        super().__init__()
        self.server, self.number, self.stop = server, number, stop
        self.go = go
        self.rng = random.Random(number)
        self.writes = []
        self.failure = None
        self.start()

    def operation(self):
        key = b'key%03d' % self.rng.randrange(500)
        value = None if self.rng.random() < 0.2 else \
            self.rng.randbytes(self.rng.choice([10, 100, 2000]))
        return key, value

    def run(self):
        try:
            with Client(self.server) as client:
                while not self.stop.is_set():
                    if self.go.wait(0.05):
                        self.write(client)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f'writer {self.number}: {error!r}'

    def write(self, client):
        query = self.rng.choice(['', '?sync=false', '?sync=false'])
        ops = [self.operation() for _ in range(self.rng.choice([1, 1, 5]))]
        answer = client.batch(ops, query)
        expect_equal(answer.status, 200, f'{answer}: status')
        first = answer.sequence() - len(ops) + 1
        self.writes += [(first + i, key, value)
                        for i, (key, value) in enumerate(ops)]


def take_backup(client):
    """(sequence, bytes)"""
    answer = client.get('/v1/backup')
    expect_equal(answer.status, 200, f'{answer}: status')
    expect_equal(answer.headers['content-type'], 'application/x-tar', 'type')
    return answer.sequence(), answer.body


def unpack(tar, folder):
    """With the module and with the program; both find the same files."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        names = archive.getnames()
        expect(all('/' not in name for name in names), f'files {names}')
        archive.extractall(folder)
    expect_equal(names[-1], 'CURRENT', 'last file')
    done = subprocess.run(['tar', '-t'], input=tar, capture_output=True,
                          timeout=PATIENCE, check=True)
    expect_equal(done.stdout.decode().split(), names, 'files by tar -t')


def state_at(writes, sequence):
    content = {}
    for number, key, value in writes:
        if number > sequence:
            break
        content[key] = value
    return {key: value for key, value in content.items() if value is not None}


def scan(client, query=''):
    """(sequence, digest) of a whole scan."""
    client.connection.request('GET', '/v1/range?encoding=base64' + query,
                              headers={'Accept': NDJSON})
    response = client.connection.getresponse()
    expect_equal(response.status, 200, 'scan')
    lines = [json.loads(line) for line in lines_of(response)]
    end = lines.pop()
    expect_equal((end.get('end'), end['count']), (True, len(lines)), 'its end')
    expect_equal(end['sequence'], int(response.headers['leveld-sequence']),
                 'sequence of a scan')
    return end['sequence'], Digest.of(
        (base64.b64decode(line['key']), base64.b64decode(line['value']))
        for line in lines)


def take_with_snapshot(server, go):
    """(sequence, bytes, digest): a backup and what a scan of a snapshot at its
    sequence gives, while clients write. For both to begin at one sequence the
    writers wait for a moment, until the head of the backup is there."""
    with Client(server) as client, Client(server) as other:
        for _ in range(1000):
            go.clear()
            snapshot = other.request('POST', '/v1/snapshots').json()
            client.connection.request('GET', '/v1/backup')
            response = client.connection.getresponse()
            go.set()
            expect_equal(response.status, 200, 'status')
            sequence = int(response.headers['leveld-sequence'])
            if sequence == snapshot['sequence']:
                seen, digest = scan(other, f'&snapshot={snapshot["id"]}')
                expect_equal(seen, sequence, 'sequence of the snapshot')
                return sequence, response.read(), digest
            response.read()
    raise Failure('no backup began at the sequence of its snapshot')


def load_case(folder):
    need_oracles()
    stop, go = threading.Event(), threading.Event()
    go.set()
    taken, scanned = [], []
    with Server(os.path.join(folder, 'data'), *SMALL) as server, \
            Client(server) as client:
        writers = [Writer(server, i, stop, go) for i in range(WRITERS)]
        while len(taken) < BACKUPS:
            before = client.get('/stats').json()['sequence']
            sequence, tar = take_backup(client)
            after = client.get('/stats').json()['sequence']
            expect(before <= sequence <= after, f'sequence {sequence} '
                   f'between {before} and {after}')
            if not taken or sequence > taken[-1][0] + 500:
                taken.append((sequence, tar))
                scanned.append(scan(client))
        sequence, tar, digest = take_with_snapshot(server, go)
        taken.append((sequence, tar))
        scanned.append((sequence, digest))
        stop.set()
        for writer in writers:
            writer.join(PATIENCE)
            if writer.failure:
                raise Failure(writer.failure)
    writes = sorted(write for writer in writers for write in writer.writes)
    expect_equal([write[0] for write in writes],
                 list(range(1, len(writes) + 1)), 'sequences')
    for sequence, digest in scanned:
        expect_equal(digest, Digest.of_dict(state_at(writes, sequence)),
                     f'a scan at {sequence}')
    for number, (sequence, tar) in enumerate(taken):
        copy = os.path.join(folder, f'copy{number}')
        unpack(tar, copy)
        digest = Digest.of_dict(state_at(writes, sequence))
        check_with_both(copy, digest)
        with Server(copy) as server, Client(server) as client:
            expect_equal(Digest.of(client.ndjson()), digest, 'served')
    return (f'{len(taken)} backups and {len(scanned)} scans among '
            f'{len(writes)} writes')


def begin_backup(server):
    """A reader that takes the head of the answer and then nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(('127.0.0.1', server.port))
    connection.sendall(b'GET /v1/backup HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(connection.recv(15) == b'HTTP/1.1 200 OK', 'status')
    return connection


def tables_of(folder):
    return {name for name in os.listdir(folder) if name.endswith('.ldb')}


def tables_in_use(client):
    """Those of the version, not those that are about to be removed."""
    with tarfile.open(fileobj=io.BytesIO(take_backup(client)[1])) as archive:
        return {name for name in archive.getnames() if name.endswith('.ldb')}


def rewrite(client, count):
    """All keys anew, and merged, so that no table of before is needed."""
    for i in range(count):
        expect_equal(client.put(b'key%05d' % i, os.urandom(4000),
                                '?sync=false').status, 204, 'PUT')
    answer = client.request('POST', '/v1/admin/compact', None,
                            {'Leveld-Timeout': '120s'})
    expect_equal(answer.status, 200, f'compact: {answer}')


def wait_until(test, what):
    limit = time.monotonic() + PATIENCE
    while not test():
        expect(time.monotonic() < limit, what)
        time.sleep(0.01)


def slow_case(folder):
    data = os.path.join(folder, 'data')
    with Server(data, *SMALL) as server, Client(server) as client:
        def running():
            return client.get('/stats').json()['admin']['backups_running']

        rewrite(client, 2000)
        first = tables_in_use(client)
        slow = [begin_backup(server) for _ in range(2)]
        expect_equal(running(), 2, 'backups of /stats')
        expect_equal(client.get('/v1/backup').status, 429, 'a third')
        rewrite(client, 2000)
        expect(first <= tables_of(data), 'tables that a reader holds')
        memory = server.memory('VmRSS')
        for connection in slow:
            connection.close()
        # The next bytes that are sent tell that nobody is there.
        wait_until(lambda: running() == 0, 'a cut backup still runs')
        rewrite(client, 10)
        wait_until(lambda: not first & tables_of(data),
                   f'{len(first & tables_of(data))} tables of before are left')
        expect_equal(take_backup(client)[1][-1024:], bytes(1024), 'the end')
    return f'{memory >> 20} MiB resident'


def restart_case(folder):
    """A stop cuts a backup under way, and is a clean stop."""
    with Server(os.path.join(folder, 'data'), *SMALL, '--stop-timeout',
                '1s') as server, Client(server) as client:
        rewrite(client, 2000)
        connection = begin_backup(server)
        server.stop()
        connection.close()


def main():
    suite = Suite()
    suite.run('backups while clients write', load_case)
    suite.run('slow readers', slow_case)
    suite.run('a stop during a backup', restart_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
