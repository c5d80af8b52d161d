#!/usr/bin/env python3
"""Clients that are slow on purpose, or too many: they are cut or told to come
again, and the others do not notice; and writes beyond what the disk takes get
503 with a Retry-After."""
import http.client
import json
import os
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import Client, Server, Suite, expect, expect_equal, is_sanitized
from raw_http import LIMIT, Talk, await_connections, figures, head

# Seconds between two bytes of a client that dribbles.
PAUSE = 0.05

SLOW = 500
# Bytes that a connection may cost: the library's 16 KiB, twice, and ours.
CONNECTION = 40 << 10


def dribble(talk, piece):
    """Sends a piece now and then until the server says something; all that it
    says then."""
    limit = time.monotonic() + LIMIT
    while not select.select([talk.socket], [], [], PAUSE)[0]:
        expect(time.monotonic() < limit, 'it dribbles for ever')
        talk.send(piece)
    while talk.more():
        continue
    return talk.left


def cut_case(folder):
    """A head, a request line and bodies that come a byte at a time."""
    flags = ('--header-timeout', '1s', '--body-timeout', '1s',
             '--idle-timeout', '1s')
    chunk = head('PUT', '/v1/kv/a', 'Transfer-Encoding: chunked')
    rows = [
        ('header', b'GET /healthz HTTP/1.1\r\nX-A: ', b'a'),
        ('header', b'GET /healthz HTTP/1.1\r\n', b'X-A: b\r\n'),
        ('header', b'GET /', b'a'),
        ('header', b'', b'G'),
        ('body', head('PUT', '/v1/kv/a', 'Content-Length: 1000000'), b'a'),
        ('body', chunk, b'1\r\na\r\n'),
        ('body', chunk + b'1;', b'a'),
        ('body', chunk + b'1\r\na\r\n0\r\nX-A: ', b'a'),
    ]
    with Server(os.path.join(folder, 'data'), *flags) as server:
        for part, begin, piece in rows:
            before = figures(server)['process']
            with Talk(server) as talk:
                talk.send(begin)
                said = dribble(talk, piece)
            expect(said.startswith(b'HTTP/1.1 408 '),
                   f'{begin!r} and {piece!r}: {said!r}')
            after = figures(server)['process']
            for name in ('header', 'body'):
                expect_equal(after[f'{name}_timeouts'] -
                             before[f'{name}_timeouts'], int(name == part),
                             f'{name}_timeouts of {begin!r}')
        await_connections(server, 0)
        with Client(server) as client:
            expect_equal(client.get('/v1/kv/a').status, 404, 'the key')
    return f'{len(rows)} clients'


def steady_case(folder):
    """A long body that comes slowly but steadily is taken whole."""
    size, piece = 4 << 20, 256 << 10
    with Server(os.path.join(folder, 'data'), '--body-timeout',
                '6s') as server, Talk(server) as talk:
        begun = time.monotonic()
        talk.send(head('PUT', '/v1/kv/a', f'Content-Length: {size}'))
        for _ in range(size // piece):
            # Nothing comes: this is the pause.
            expect(not select.select([talk.socket], [], [], 0.5)[0],
                   'an answer before the body is whole')
            talk.send(bytes(piece))
        answer = talk.answer()
        expect(answer is not None and answer[0] == 204, f'{answer}')
        expect(time.monotonic() - begun > 6, 'it was not slow')


def reader_case(folder):
    """Who takes a large value a byte at a time does not keep it in memory; who
    takes it steadily gets it whole."""
    size = 16 << 20
    with Server(os.path.join(folder, 'data'), '--body-timeout',
                '1s') as server, Client(server) as client:
        expect_equal(client.put(b'a', bytes(size)).status, 204, 'PUT')
        with Talk(server) as talk:
            talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            talk.send(head('GET', '/v1/kv/a'))
            limit = time.monotonic() + LIMIT
            while figures(server)['process']['answer_timeouts'] == 0:
                expect(time.monotonic() < limit, 'it is not cut')
                expect(talk.socket.recv(1) != b'', 'it is cut, not counted')
        await_connections(server, 1)
        expect_equal(figures(server)['process']['answer_bytes'], 0,
                     'answer budget taken')
        expect_equal(len(client.get('/v1/kv/a').body), size, 'the value')


def stalled_case(folder):
    """Readers of streams that take nothing any more: they are cut, and what
    they held goes with them; meanwhile others write and read as ever."""
    targets = [('/v1/range', 'application/x-ndjson'),
               ('/v1/changes?since=0', 'application/x-ndjson'),
               ('/v1/changes?since=0', 'text/event-stream'),
               ('/v1/backup', '*/*')]

    def held(server):
        stats = figures(server)
        return (stats['engine']['reads']['live_cursors'],
                stats['changes']['feeds'], stats['admin']['backups_running'])

    with Server(os.path.join(folder, 'data'), '--idle-timeout',
                '10s') as server:
        # More than the buffers of a connection take.
        value = os.urandom(1 << 20)
        for number in range(24):
            with Client(server) as client:
                expect_equal(client.put(b'k%02d' % number, value).status, 204,
                             'PUT')
        talks, begun = [], time.monotonic()
        for target, accept in targets:
            talk = Talk(server)
            talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            talk.send(head('GET', target, f'Accept: {accept}'))
            expect(talk.socket.recv(15) == b'HTTP/1.1 200 OK', target)
            talks.append(talk)
        now = held(server)
        # On a machine that was held up the first may be cut already.
        expect(now == (1, 2, 1) or time.monotonic() - begun > 9,
               f'the streams hold {now}')
        limit = time.monotonic() + LIMIT
        while held(server) != (0, 0, 0):
            expect(time.monotonic() < limit, f'{held(server)} are held still')
            with Client(server) as client:
                expect_equal(client.put(b'a', b'b').status, 204, 'PUT')
                expect_equal(client.get('/v1/kv/a').body, b'b', 'GET')
        await_connections(server, 0)
        for talk in talks:
            talk.close()
    return f'{len(targets)} streams'


def slow_loris_case(folder):
    """500 of them, and every request of another client is answered."""
    with Server(os.path.join(folder, 'data'), '--header-timeout',
                '15s') as server, Client(server) as client:
        expect_equal(client.put(b'a', b'value').status, 204, 'PUT')
        before = server.memory('VmRSS')
        talks = [Talk(server) for _ in range(SLOW)]
        for talk in talks:
            talk.send(b'GET /v1/kv/a HTTP/1.1\r\nHost: a\r\nX-A: ')
        await_connections(server, SLOW + 1)
        cost = (server.memory('VmRSS') - before) // SLOW
        answered = 0
        limit = time.monotonic() + LIMIT
        while figures(server)['process']['header_timeouts'] < SLOW:
            expect(time.monotonic() < limit, 'they are not cut')
            for talk in talks[answered % 50::50]:
                talk.send(b'a')
            expect_equal(client.put(b'a', b'value').status, 204, 'PUT')
            expect_equal(client.get('/v1/kv/a').body, b'value', 'GET')
            answered += 1
        for talk in talks:
            expect(talk.answer()[0] == 408, 'what a slow one is told')
            talk.close()
        await_connections(server, 1)
    expect(answered > 10, f'only {answered} were answered')
    if not is_sanitized():
        expect(cost < CONNECTION, f'{cost} bytes for each connection')
    return f'{cost} bytes each; {answered} PUTs and GETs beside them'


def served(server):
    """A connection that is served, once those that were closed are gone."""
    limit = time.monotonic() + LIMIT
    while True:
        talk = Talk(server)
        if talk.is_open():
            return talk
        talk.close()
        expect(time.monotonic() < limit, 'nobody is let in')


def too_many_case(folder):
    """One more than there may be is told so, and served when one has left."""
    with Server(os.path.join(folder, 'data'), '--connections-max',
                '8') as server:
        talks = [served(server) for _ in range(8)]
        for _ in range(20):
            with Talk(server) as talk:
                talk.send(head('PUT', '/v1/kv/a', 'Content-Length: 5') +
                          b'value')
                status, headers, body = talk.answer()
                expect_equal(status, 503, 'the ninth')
                expect_equal(headers['retry-after'], '1', 'Retry-After')
                expect_equal(json.loads(body)['type'], '/problems/overloaded',
                             'problem')
                expect(talk.ends(), 'it is still open')
        for talk in talks:
            expect(talk.is_open(), 'one of the eight is not served any more')
        for talk in talks:
            talk.close()
        # Over a connection that is let in: another one may not be yet.
        with served(server) as talk:
            talk.send(head('GET', '/stats'))
            process = json.loads(talk.answer()[2])['process']
        expect(process['connections_refused'] >= 20, 'they are not counted')


def overload_case(folder):
    """Compaction that does not come along: writes stop, the queue is full."""
    flags = ('--value-max', '512KiB', '--batch-max', '1MiB',
             '--write-buffer', '64KiB', '--write-queue', '1MiB',
             '--l0-compaction', '1', '--l0-slowdown', '2', '--l0-stop', '2',
             '--compaction-rate', '1', '--immutable-memtables', '1',
             '--stop-timeout', '0s')
    refused, others, done = [], [], threading.Event()
    value = os.urandom(100000)

    def write(server, number):
        with Client(server) as client:
            while not done.is_set():
                try:
                    answer = client.put(b'%d' % number, value, '?sync=false')
                except (OSError, http.client.HTTPException):
                    break  # the server was killed: it is over
                if answer.status == 503:
                    refused.append(answer)
                    done.set()
                elif answer.status != 204:
                    others.append(answer)
                    done.set()

    server = Server(os.path.join(folder, 'data'), *flags)
    server.start()
    try:
        threads = [threading.Thread(target=write, args=(server, n),
                                    daemon=True) for n in range(32)]
        for thread in threads:
            thread.start()
        expect(done.wait(LIMIT), 'nothing was refused')
        expect_equal(others, [], 'other answers')
        answer = refused[0]
        expect_equal(answer.problem(), 'stalled', 'problem')
        expect(1 <= int(answer.headers['retry-after']) <= 60,
               f'Retry-After {answer.headers}')
        with Client(server) as client:
            expect_equal(client.get('/v1/kv/none').status, 404, 'a read')
            stats = client.get('/stats').json()
            expect(stats['engine']['stalls']['queue_bytes'] <= 1 << 20,
                   f'the queue: {stats["engine"]["stalls"]}')
            ready = client.get('/readyz')
            if ready.status == 503:  # unless the writes go on by now
                expect_equal(ready.json()['reason'], 'stalled', '/readyz')
                expect(1 <= int(ready.headers['retry-after']) <= 60,
                       f'Retry-After {ready.headers}')
    finally:
        done.set()
        server.kill()
    return f'Retry-After {answer.headers["retry-after"]}'


def main():
    suite = Suite()
    suite.run('heads and bodies that dribble are cut', cut_case)
    suite.run('a slow and steady body is taken', steady_case)
    suite.run('a large answer is not held for ever', reader_case)
    suite.run('streams that nobody takes are cut', stalled_case)
    suite.run('500 slow heads starve nobody', slow_loris_case)
    suite.run('one connection too many is told so', too_many_case)
    suite.run('writes beyond the queue are told when to come', overload_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
