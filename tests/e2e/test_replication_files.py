#!/usr/bin/env python3
"""Whoever downloads the files of a real server has its database: curl follows a
journal while clients write, and has, to the byte, the file as it is afterwards;
a copy made of a checkpoint, by nothing but downloads, opens in leveld and both
other libraries and holds what the server held; what was sent survives kill -9.

Besides: writes that wait for a follower, who may ask, and who leaves without
saying so.
"""
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (ANSWER_LIMIT, BIN, JSON, ROOT, Client, Digest, Failure,
                    Server, Skip, Suite, check_with_both, expect, expect_equal,
                    need_oracles)

FILES = '/v1/replication/files/'
FOLLOWER = '0123456789abcdef' * 2
WRITERS = 3
KEYS = 500
# Small memtables: a journal every few hundred writes.
FLAGS = ('--write-buffer', '64KiB', '--sync-interval', '5ms')
# Of a write that is to be answered, whoever holds it up.
PATIENT = {'Leveld-Timeout': '5m'}


# ---- what the server says ----

def state_of(server):
    with Client(server) as client:
        answer = client.get('/v1/replication/state')
    expect_equal(answer.status, 200, 'GET state')
    return answer.json()


def journal_name(number):
    return f'{number:06d}.log'


def manifest_name(number):
    return f'MANIFEST-{number:06d}'


def wait_until(condition, what):
    limit = time.monotonic() + ANSWER_LIMIT
    while not condition():
        expect(time.monotonic() < limit, f'not within {ANSWER_LIMIT} s: {what}')
        time.sleep(0.01)


def path_in(data, name):
    """Where a file lies; a journal may be in the archive, and move there."""
    for _ in range(100):
        for folder in (data, os.path.join(data, 'leveld/archive')):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    raise Failure(f'{name} is nowhere in {data}')


def bytes_in(data, name):
    """The file, wherever it is by the time it is opened."""
    for _ in range(100):
        try:
            with open(path_in(data, name), 'rb') as file:
                return file.read()
        except FileNotFoundError:
            pass
    raise Failure(f'{name} cannot be opened')


# ---- clients that write ----

class Writers:
    """Threads that put and delete until they are told to end."""

    def __init__(self, server, count=WRITERS):
        self.server = server
        self.is_ending = threading.Event()
        self.written = 0
        self.errors = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(seed,))
                        for seed in range(count)]

    def run(self, seed):
        chance = random.Random(seed)
        try:
            with Client(self.server) as client:
                while not self.is_ending.is_set():
                    self.write(client, chance)
        except Exception as error:  # pylint: disable=broad-except
            if not self.is_ending.is_set():
                self.errors.append(error)

    def write(self, client, chance):
        key = b'key%d' % chance.randrange(KEYS)
        query = '' if chance.random() < 0.3 else '?sync=false'
        if chance.random() < 0.2:
            answer = client.delete(key, query)
        else:
            answer = client.put(key, chance.randbytes(chance.randrange(600)),
                                query)
        expect_equal(answer.status, 204, 'a write')
        with self.lock:
            self.written += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.is_ending.set()
        for thread in self.threads:
            thread.join()
        if kind is None and self.errors:
            raise self.errors[0]


# ---- curl ----

def curl(*arguments):
    if shutil.which('curl') is None:
        raise Skip('curl is not installed')
    return subprocess.Popen(['curl', '-sS', '-N', *arguments],
                            stdin=subprocess.DEVNULL)


def url(server, rest):
    return f'http://127.0.0.1:{server.port}{rest}'


def follow_with_curl_case(folder):
    data = os.path.join(folder, 'data')
    copies = {}
    with Server(data, *FLAGS) as server, Writers(server) as writers:
        for _ in range(4):
            number = state_of(server)['journals'][-1]['number']
            copies[number] = os.path.join(folder, f'{number}.copy')
            child = curl('-o', copies[number],
                         url(server, f'{FILES}{journal_name(number)}'
                             '?from=0&follow=true'))
            expect_equal(child.wait(ANSWER_LIMIT), 0, 'exit code of curl')
        wait_until(lambda: writers.written > 1000, '1,000 writes')
    for number, copy in copies.items():
        done = subprocess.run(
            ['cmp', copy, path_in(data, journal_name(number))], check=False,
            capture_output=True)
        expect_equal((done.returncode, done.stdout), (0, b''),
                     f'cmp of journal {number}')
    return f'{len(copies)} journals beside {writers.written} writes'


def follow_manifest_case(folder):
    data = os.path.join(folder, 'data')
    copy = os.path.join(folder, 'manifest.copy')
    with Server(data, *FLAGS) as server:
        name = manifest_name(state_of(server)['manifest']['number'])
        child = curl('-o', copy, url(server, f'{FILES}{name}?follow=true'))
        with Writers(server):
            wait_until(lambda: state_of(server)['manifest']['bytes'] > 2000,
                       'a few edits')
        end = state_of(server)['manifest']['bytes']
        wait_until(lambda: os.path.getsize(copy) >= end, 'all edits in a copy')
        expect_equal(child.poll(), None, 'exit code of curl')
    expect_equal(child.wait(ANSWER_LIMIT), 0, 'exit code of curl')
    with open(copy, 'rb') as file:
        copied = file.read()
    expect(bytes_in(data, name).startswith(copied), 'another MANIFEST')


def documented_line():
    """By which a person watches what followers get."""
    with open(os.path.join(ROOT, 'docs/operations.md'),
              encoding='utf-8') as page:
        lines = [line.strip() for line in page
                 if line.strip().endswith('| leveld dump -')]
    expect_equal(len(lines), 1, 'lines that end in leveld dump -')
    expect(lines[0].startswith('curl -sSN "$H/') and '000007.log' in lines[0],
           f'another line: {lines[0]}')
    return lines[0]


def watch_case(folder):
    """Each write shows as soon as it is durable, until the journal is full."""
    if shutil.which('curl') is None:
        raise Skip('curl is not installed')
    shown = os.path.join(folder, 'shown')
    path = f'{os.path.dirname(BIN)}:{os.environ["PATH"]}'
    with Server(os.path.join(folder, 'data'), *FLAGS) as server, \
            Client(server) as client, open(shown, 'wb') as out:
        name = journal_name(state_of(server)['journals'][-1]['number'])
        watch = subprocess.Popen(
            ['/bin/sh', '-c', documented_line().replace('000007.log', name)],
            stdin=subprocess.DEVNULL, stdout=out,
            env=dict(os.environ, H=url(server, ''), PATH=path))

        def has_line(text):
            with open(shown, 'rb') as file:
                return text in file.read()

        for i in range(20):
            answer = client.put(b'key%d' % i, b'value%d' % i,
                                '?sync=false' if i % 2 else '')
            wait_until(lambda: has_line(
                b'  "key%d"@%d:put = "value%d" (%d bytes)\n'
                % (i, answer.sequence(), i, len(b'value%d' % i))),
                f'write {i} is shown')
        expect_equal(watch.poll(), None, 'its exit code')
        client.put(b'fills it', bytes(100000))
        client.put(b'begins the next', b'')
        expect_equal(watch.wait(ANSWER_LIMIT), 0, 'its exit code')
        expect(has_line(b'  "fills it"@'), 'the last write is not shown')
        expect(not has_line(b'!'), 'damage is shown')


# ---- a follower of a few lines ----

class Puller:
    """Follows journal after journal, cut and resumed at random."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.journals = {}
        self.sealed = set()
        self.cuts = 0

    def pull(self, server, number, bytes_max):
        """Some bytes of the journal more; True: it is sealed and whole."""
        have = self.journals.setdefault(number, b'')
        with Client(server) as client:
            client.connection.request(
                'GET', f'{FILES}{journal_name(number)}'
                f'?from={len(have)}&follow=true')
            response = client.connection.getresponse()
            expect_equal(response.status, 200, f'journal {number}')
            while bytes_max > 0:
                piece = response.read1(min(bytes_max, 4096))
                if not piece:
                    break
                have += piece
                bytes_max -= len(piece)
            self.journals[number] = have
            if bytes_max == 0:
                self.cuts += 1
                return False
        with Client(server) as client:
            answer = client.request('HEAD', FILES + journal_name(number))
        expect_equal(answer.headers['leveld-sealed'], 'true', 'sealed')
        expect_equal(int(answer.headers['leveld-size']), len(have),
                     f'length of journal {number}')
        expect('repr-digest' in answer.headers, 'no digest')
        self.sealed.add(number)
        return True

    def pull_some(self, server):
        """Of the oldest journal that is not whole here."""
        numbers = [journal['number'] for journal in state_of(server)['journals']
                   if journal['number'] not in self.sealed]
        self.pull(server, numbers[0], self.chance.randrange(1, 40000))


def kill_case(folder):
    """What was sent is there after a kill, as far as it was sent."""
    data = os.path.join(folder, 'data')
    puller = Puller(1)
    for _ in range(3):
        with Server(data, *FLAGS) as server:
            with Writers(server):
                for _ in range(30):
                    puller.pull_some(server)
            server.kill()
            server.is_stopped = True
        for number, have in puller.journals.items():
            expect(bytes_in(data, journal_name(number)).startswith(have),
                   f'journal {number} is another after a kill')
    expect(puller.cuts > 10, f'{puller.cuts} cuts')
    return (f'{len(puller.journals)} journals, {puller.cuts} cuts, '
            f'{sum(map(len, puller.journals.values()))} bytes')


# ---- a copy of a checkpoint ----

def post(client, path, document):
    return client.request('POST', path, json.dumps(document).encode('ascii'),
                          {'Content-Type': JSON})


def download(client, name, length):
    """The first length bytes, in ranges."""
    out = b''
    while len(out) < length:
        last = min(len(out) + 30000, length) - 1
        answer = client.get(FILES + name, {'Range': f'bytes={len(out)}-{last}'})
        expect_equal(answer.status, 206, f'a range of {name}')
        out += answer.body
    return out


def copy_checkpoint(server, folder):
    """A folder that opens, by downloads alone."""
    os.mkdir(folder)
    with Client(server) as client:
        answer = post(client, '/v1/replication/checkpoint',
                      {'node_id': FOLLOWER})
        expect_equal(answer.status, 200, 'POST checkpoint')
        checkpoint = answer.json()
        manifest = manifest_name(checkpoint['manifest']['number'])
        files = [(file['name'], file['bytes']) for file in checkpoint['files']]
        files.append((manifest, checkpoint['manifest']['bytes']))
        files += [(journal_name(journal['number']), journal['bytes'])
                  for journal in checkpoint['journals']]
        for name, length in files:
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(download(client, name, length))
        with open(os.path.join(folder, 'CURRENT'), 'w',
                  encoding='ascii') as file:
            file.write(manifest + '\n')
        answer = post(client, '/v1/replication/checkpoint',
                      {'node_id': FOLLOWER, 'id': checkpoint['id'],
                       'release': True})
        expect_equal(answer.status, 204, 'release')
    return checkpoint


def checkpoint_case(folder):
    data = os.path.join(folder, 'data')
    copy = os.path.join(folder, 'copy')
    with Server(data, *FLAGS) as server:
        with Writers(server) as writers:
            wait_until(lambda: writers.written > 2000, '2,000 writes')
        with Client(server) as client:
            expect_equal(client.put(b'last', b'synced').status, 204, 'PUT')
            digest = Digest.of(client.ndjson())
        checkpoint = copy_checkpoint(server, copy)
    expect(checkpoint['files'], 'no tables')
    shutil.copytree(copy, copy + '2')
    with Server(copy + '2') as server, Client(server) as client:
        expect_equal(Digest.of(client.ndjson()), digest, 'the copy')
    need_oracles()
    check_with_both(copy, digest)
    return f'{len(checkpoint["files"])} tables, {digest.entries} entries'


def live_checkpoint_case(folder):
    """The same while clients write: its tables and journals stay for it."""
    data = os.path.join(folder, 'data')
    with Server(data, *FLAGS) as server, Writers(server) as writers:
        for n in range(3):
            wait_until(lambda n=n: writers.written > 1000 * (n + 1), 'writes')
            copy_checkpoint(server, os.path.join(folder, f'copy{n}'))
    for n in range(3):
        with Server(os.path.join(folder, f'copy{n}')) as server, \
                Client(server) as client:
            expect(sum(1 for _ in client.ndjson()) > 100, 'few entries')


# ---- writes that wait ----

class Acker(threading.Thread):
    """A follower that says it has all that is durable."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.is_ending = threading.Event()

    def ack(self, client):
        state = client.get('/v1/replication/state').json()
        epoch = state['epochs'][-1]
        answer = post(client, '/v1/replication/ack', {
            'protocol': 1, 'node_id': FOLLOWER, 'url': '',
            'epoch': {'number': epoch['number'], 'id': epoch['id']},
            'written': state['durable'], 'synced': state['durable'],
            'applied': state['durable'], 'manifest': state['manifest'],
            'state': 'streaming',
            'tables': {'built': 0, 'fetched': 0, 'mismatched': 0}})
        expect_equal(answer.status, 200, 'POST ack')
        return answer.json()

    def run(self):
        with Client(self.server) as client:
            while not self.is_ending.is_set():
                self.ack(client)

    def __enter__(self):
        with Client(self.server) as client:
            self.ack(client)
        self.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        self.join()


def write_concern_case(folder):
    data = os.path.join(folder, 'data')
    with Server(data) as server, Client(server) as client:
        expect_equal(client.put(b'a', b'1', '?replicas=1').problem(),
                     'conflict', 'without a follower')
        with Acker(server):
            for n in range(50):
                answer = client.request('PUT', '/v1/kv/a?replicas=1',
                                        b'%d' % n, PATIENT)
                expect_equal(answer.status, 204, 'with a follower')
        answer = client.request('PUT', '/v1/kv/a?replicas=1', b'late',
                                {'Leveld-Timeout': '10ms'})
        expect_equal((answer.status, answer.problem()),
                     (504, 'replicas-timeout'), 'a follower that is silent')
        expect_equal(client.get('/v1/kv/a').body, b'late', 'what stands')
        answer = client.get('/v1/replication/followers')
        expect_equal([item['node_id'] for item in answer.json()['items']],
                     [FOLLOWER], 'followers')
    # The slot outlives a restart; the follower's word on what it has does not.
    with Server(data, '--min-replicas', '1') as server, \
            Client(server) as client:
        answer = client.request('PUT', '/v1/kv/b', b'1',
                                {'Leveld-Timeout': '10ms'})
        expect_equal(answer.status, 504, 'after a restart')
        with Acker(server):
            answer = client.request('PUT', '/v1/kv/b', b'2', PATIENT)
            expect_equal(answer.status, 204, 'with its word')
        expect_equal(client.request(
            'DELETE', f'/v1/replication/followers/{FOLLOWER}').status, 204,
            'DELETE follower')
        expect_equal(client.put(b'b', b'3').problem(), 'stalled',
                     'without followers')


def stop_case(folder):
    """A stop ends what waits for ever."""
    data = os.path.join(folder, 'data')
    copy = os.path.join(folder, 'copy')
    with Server(data) as server:
        with Client(server) as client, Acker(server):
            expect_equal(client.put(b'a', b'1').status, 204, 'PUT')
        number = state_of(server)['journals'][-1]['number']
        child = curl('-o', copy, url(server, f'{FILES}{journal_name(number)}'
                                     '?follow=true'))
        wait_until(lambda: os.path.exists(copy) and os.path.getsize(copy) > 0,
                   'some bytes')
        answers = []

        def write():
            with Client(server) as client:
                answers.append(client.request(
                    'PUT', '/v1/kv/b?replicas=1', b'1',
                    {'Leveld-Timeout': '1h'}))

        writer = threading.Thread(target=write)
        writer.start()
        with Client(server) as client:
            wait_until(lambda: client.get('/stats').json()['replication']
                       ['writes']['waiting'] == 1, 'a write that waits')
        server.stop()
        writer.join()
    expect_equal(child.wait(ANSWER_LIMIT), 0, 'exit code of curl')
    expect_equal((answers[0].status, answers[0].problem()),
                 (503, 'outcome-unknown'), 'the write that waited')


# ---- who asks ----

def scope_case(folder):
    tokens = os.path.join(folder, 'tokens')
    with open(tokens, 'w', encoding='ascii') as file:
        for name, scopes in (('follower', 'replicate'),
                             ('other', 'read,write,admin')):
            digest = hashlib.sha256(f'secret-{name}'.encode()).hexdigest()
            file.write(f'{name} {digest} {scopes}\n')
    paths = ('/v1/replication/state', '/v1/replication/followers', '/v1/digest')
    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server, \
            Client(server) as client:
        for path in paths:
            for name, status in (('follower', 200), ('other', 403)):
                answer = client.get(
                    path, {'Authorization': f'Bearer secret-{name}'})
                expect_equal(answer.status, status, f'{path} of {name}')
            expect_equal(client.get(path).status, 401, path)
        answer = client.get('/v1/kv/a',
                            {'Authorization': 'Bearer secret-follower'})
        expect_equal(answer.status, 403, 'a key')


def left_case(folder):
    """A reader that is gone is missed, though there is nothing to send."""
    with Server(os.path.join(folder, 'data')) as server, \
            Client(server) as client:
        number = state_of(server)['journals'][-1]['number']

        def figure(name):
            return client.get('/stats').json()['replication']['files'][name]

        for _ in range(10):
            connection = socket.create_connection(
                ('127.0.0.1', server.port), ANSWER_LIMIT)
            connection.sendall(
                f'GET {FILES}{journal_name(number)}?follow=true HTTP/1.1\r\n'
                'Host: a\r\n\r\n'.encode())
            expect(connection.recv(12) == b'HTTP/1.1 200', 'no answer')
            connection.close()
        wait_until(lambda: figure('opened') >= 10, 'ten readers')
        wait_until(lambda: figure('open') == 0, 'none of them')


def main():
    suite = Suite()
    suite.run('curl follows a journal to its end', follow_with_curl_case)
    suite.run('curl follows the MANIFEST', follow_manifest_case)
    suite.run('the documented line shows each write', watch_case)
    suite.run('what was sent survives kill -9', kill_case)
    suite.run('a copy of a checkpoint is the database', checkpoint_case)
    suite.run('copies while clients write', live_checkpoint_case)
    suite.run('writes wait for followers', write_concern_case)
    suite.run('a stop ends what waits', stop_case)
    suite.run('a scope of its own', scope_case)
    suite.run('a reader that has left', left_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
