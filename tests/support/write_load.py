"""Clients that write all they can to whichever node leads, several requests at
a time on one connection, and keep what was answered (write_model.py): puts,
deletes, batches in both forms, ranges deleted, values from nothing to 64 KiB,
durable or not, some on a follower too.
"""
import base64
import collections
import json
import random
import re
import socket
import threading
import time

from leveld import (ANSWER_LIMIT, BATCH, JSON, Failure, batch_bytes, expect,
                    path_of)
from write_model import DURABLE, LOOSE, REPLICATED, History, Write

KEYS = 150         # of a client, for single writes
GROUPS = 12        # its groups of keys, which batches write
GROUP_KEYS = 8
DEPTH = 8          # requests under way at once, at most
SIZES = [0, 10, 40, 100, 100, 300, 1000, 3000]
LARGE = 64 << 10   # one value in a hundred

# Seconds. A replica that does not come in time is said so by a 504.
REPLICA_TIMEOUT = 2
REFUSED_PAUSE = 0.02

# Half of it can be compressed, half cannot.
BLOCK = random.Random(7).randbytes(LARGE) + bytes(LARGE)


def value_of(token):
    """Of (client, count, size): no two alike, but for very short ones."""
    client, count, size = token
    head = b'%d/%d/' % (client, count)
    begin = count * 37 % LARGE
    return (head + BLOCK[begin:begin + size])[:size]


class Target:
    """Where the leader is; whether a cut is to be expected."""

    def __init__(self):
        self.changed = threading.Condition()
        self.port = None
        self.turn = 0
        self.is_condemned = True
        self.is_over = False

    def show(self, port):
        with self.changed:
            self.port = port
            self.turn += 1
            self.is_condemned = False
            self.changed.notify_all()

    def condemn(self):
        """From now on a cut connection is no failure."""
        with self.changed:
            self.is_condemned = True

    def finish(self):
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

    def wait(self, turn):
        """(turn, port) of a leader after the turn; None: it is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_over or (
                self.turn > turn and not self.is_condemned))
            return None if self.is_over else (self.turn, self.port)


class Pace:
    """So many operations in so many seconds, by all clients together; when it
    has begun."""

    def __init__(self, operations, seconds, clients):
        self.share = operations / clients
        self.seconds = seconds
        self.begun = time.monotonic()

    def is_ahead(self, operations):
        elapsed = time.monotonic() - self.begun
        return operations >= self.share * min(1, elapsed / self.seconds)


class Pipe:
    """A connection on which requests are sent before the answers to those
    before them are read."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port),
                                               ANSWER_LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile('rb', 1 << 16)

    def send(self, requests):
        self.socket.sendall(b''.join(requests))

    def read(self):
        """(status, headers as bytes, body). OSError: the connection was cut."""
        lines = []
        while True:
            line = self.input.readline()
            if not line.endswith(b'\n'):
                raise ConnectionResetError('cut in the head of an answer')
            if line == b'\r\n':
                break
            lines.append(line)
        head = b''.join(lines)
        found = re.search(rb'(?i)^content-length: *(\d+)', head, re.M)
        size = int(found.group(1)) if found else 0
        body = self.input.read(size)
        if len(body) < size:
            raise ConnectionResetError('cut in the body of an answer')
        return int(lines[0].split()[1]), head, body

    def close(self):
        self.input.close()
        self.socket.close()


def request(method, path, body=b'', kind=None):
    head = [f'{method} {path} HTTP/1.1', 'Host: leveld',
            f'Content-Length: {len(body)}',
            f'Leveld-Timeout: {REPLICA_TIMEOUT}s']
    if kind:
        head.append(f'Content-Type: {kind}')
    return '\r\n'.join(head + ['', '']).encode('ascii') + body


def text(data):
    return base64.b64encode(data).decode('ascii')


class Composer:
    """Makes a client's requests, at random; those of one burst have no key in
    common."""

    def __init__(self, client, rng):
        self.client = client
        self.prefix = b'w%02d/' % client
        self.rng = rng
        self.count = 0

    def token(self, sizes):
        self.count += 1
        return self.client, self.count, self.rng.choice(sizes)

    def promise(self):
        """(query, kind)."""
        return self.rng.choices(
            [('sync=true', DURABLE), ('sync=false', LOOSE),
             ('replicas=1', REPLICATED)], (40, 45, 15))[0]

    def single(self, index):
        query, kind = self.promise()
        key = self.prefix + b'k%03d' % index
        if self.rng.random() < 0.2:
            return (request('DELETE', f'{path_of(key)}?{query}'),
                    Write({key: None}, kind))
        token = self.token([LARGE] if self.rng.random() < 0.01 else SIZES)
        return (request('PUT', f'{path_of(key)}?{query}', value_of(token)),
                Write({key: token}, kind))

    def group(self, index):
        query, kind = self.promise()
        name = self.prefix + b'g%02d/' % index
        keys = [name + b'%d' % i for i in range(GROUP_KEYS)]
        what = self.rng.random()
        if what < 0.15:
            return (request('DELETE', f'/v1/range?prefix={name.decode()}'
                                      f'&{query}'),
                    Write(dict.fromkeys(keys), kind))
        token = self.token(SIZES[:-1])
        value = value_of(token)
        if what < 0.3:
            return self.replace(name, keys, token, query, kind)
        ops = [(key, None if self.rng.random() < 0.1 else value)
               for key in keys]
        write = Write({key: None if value is None else token
                       for key, value in ops}, kind)
        if what < 0.5:
            body = json.dumps({'encoding': 'base64', 'ops': [
                json_op(key, value) for key, value in ops]})
            return request('POST', f'/v1/batch?{query}', body.encode(),
                           JSON), write
        return request('POST', f'/v1/batch?{query}', batch_bytes(ops),
                       BATCH), write

    def replace(self, name, keys, token, query, kind):
        """The whole group by a part of it, in one batch."""
        kept = keys[:self.rng.randrange(1, len(keys))]
        body = json.dumps({'encoding': 'base64', 'ops': [
            {'op': 'delete-range', 'start': text(name),
             'end': text(name + b'\xff')},
            *(json_op(key, value_of(token)) for key in kept)]})
        return (request('POST', f'/v1/batch?{query}', body.encode(), JSON),
                Write({key: token if key in kept else None for key in keys},
                      kind))

    def burst(self):
        """[(request, its write)]."""
        depth = self.rng.randrange(1, DEPTH + 1)
        groups = sum(self.rng.random() < 0.45 for _ in range(depth))
        out = [self.group(i)
               for i in self.rng.sample(range(GROUPS), groups)]
        out += [self.single(i)
                for i in self.rng.sample(range(KEYS), depth - groups)]
        self.rng.shuffle(out)
        return out


def json_op(key, value):
    if value is None:
        return {'op': 'delete', 'key': text(key)}
    return {'op': 'put', 'key': text(key), 'value': text(value)}


class Writer(threading.Thread):
    """A client: writes until the target is over. parked: it waits for one."""

    def __init__(self, client, target, pace, seed):
        super().__init__(daemon=True)
        self.composer = Composer(client, random.Random(f'{seed}/{client}'))
        self.history = History(self.composer.prefix, value_of)
        self.target = target
        self.pace = pace
        self.operations = 0
        self.answers = collections.Counter()
        self.parked = threading.Event()
        self.failure = None

    def run(self):
        turn = 0
        try:
            while True:
                self.parked.set()
                found = self.target.wait(turn)
                if found is None:
                    return
                self.parked.clear()
                turn, port = found
                self.serve(port)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f'client {self.composer.client}: {error!r}'
        finally:
            self.parked.set()

    def is_done(self):
        """It has written its share."""
        return self.operations >= self.pace.share

    def serve(self, port):
        """Writes until the connection is cut, or the target is over."""
        pipe = None
        try:
            pipe = Pipe(port)
            while not self.target.is_over:
                if self.pace.is_ahead(self.operations):
                    if self.target.is_condemned:
                        return
                    time.sleep(0.01)
                    continue
                self.send_burst(pipe)
        except OSError as error:
            expect(self.target.is_condemned,
                   f'cut while the leader lives: {error!r}')
        finally:
            if pipe is not None:
                pipe.close()

    def send_burst(self, pipe):
        burst = self.composer.burst()
        for _, write in burst:
            self.history.send(write)
        pipe.send([bytes_of for bytes_of, _ in burst])
        was_refused = False
        for _, write in burst:
            was_refused |= self.take(write, *pipe.read())
        if was_refused:
            time.sleep(REFUSED_PAUSE)

    def take(self, write, status, head, body):
        """One answer. True: nothing was written, as things are now."""
        if status in (200, 204):
            sequence = re.search(rb'(?i)^leveld-sequence: *(\d+)', head, re.M)
            is_nothing = (status == 200 and b'"deleted"' in body and
                          json.loads(body)['deleted'] == 0)
            self.note(write, int(sequence.group(1)), write.kind, is_nothing)
            return False
        problem = json.loads(body) if body else {}
        kind = problem.get('type', '')
        if status == 504 and kind == '/problems/replicas-timeout':
            is_nothing = problem['count'] == 0
            self.note(write, problem['sequence'], DURABLE, is_nothing)
            self.answers['timed out'] += 1
            return False
        if status == 409 and kind == '/problems/conflict' or \
                status == 503 and kind != '/problems/outcome-unknown':
            self.history.is_nothing()
            self.answers['refused'] += 1
            return True
        raise Failure(f'{status} {body[:300]!r}')

    def note(self, write, sequence, kind, is_nothing):
        if is_nothing:
            self.history.is_nothing()
            return
        self.history.stands(sequence, kind)
        self.answers[kind] += 1
        self.operations += len(write.ops)
