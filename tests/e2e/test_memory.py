#!/usr/bin/env python3
"""What many clients, large values and long streams cost in memory. Short by
default; LEVELD_FULL=1 takes values of 64 MiB and a million keys, LEVELD_KEYS as
many as it says. Figures of sanitizer builds mean nothing: there it only runs."""
import http.client
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (NDJSON, Client, Server, Skip, Suite, expect, expect_equal,
                    is_sanitized, lines_of, wait_until)
from raw_http import Talk, await_connections, figures, head

FULL = bool(os.environ.get('LEVELD_FULL'))
KEYS = int(os.environ.get('LEVELD_KEYS') or (1000000 if FULL else 50000))
VALUE = (64 if FULL else 4) << 20
READERS = 16
IDLE = 2000
SLOW = 500
# None of them is cut before the last one is there.
PATIENT = ('--idle-timeout', '10m', '--header-timeout', '10m')

# Bytes: of a connection, of a stream of any length, of a load of any length
# (memtables and what compaction holds), and what is not in answers of what
# readers take.
CONNECTION = 40 << 10
SCAN = 32 << 20
LOAD = 96 << 20
SLACK = 32 << 20


def judge(grown, limit, what):
    if not is_sanitized():
        expect(grown <= limit, f'{what}: {grown} bytes, more than {limit}')
    return f'{what}: {grown} bytes'


def need_files(count):
    """The server gets the limit of this process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < count:
        raise Skip(f'{count} open files are needed, {most} are allowed')
    soft = count if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def idle_case(folder):
    """Connections that had a request and may have another."""
    need_files(IDLE + 200)
    with Server(os.path.join(folder, 'data'), *PATIENT) as server, \
            Client(server) as client:
        client.put(b'a', b'value')
        before = server.memory('VmRSS')
        talks = [Talk(server) for _ in range(IDLE)]
        for talk in talks:
            talk.send(head('GET', '/v1/kv/a'))
        for talk in talks:
            expect_equal(talk.answer()[2], b'value', 'the value')
        await_connections(server, IDLE + 1)
        each = (server.memory('VmRSS') - before) // IDLE
        for talk in talks:
            talk.close()
        await_connections(server, 1)
    return judge(each, CONNECTION, f'each of {IDLE} idle connections')


def slow_loris_case(folder):
    """Connections whose headers do not end."""
    need_files(SLOW + 200)
    with Server(os.path.join(folder, 'data'), *PATIENT) as server, \
            Client(server) as client:
        client.put(b'a', b'value')
        before = server.memory('VmRSS')
        talks = [Talk(server) for _ in range(SLOW)]
        for talk in talks:
            talk.send(b'GET /v1/kv/a HTTP/1.1\r\n' + b'X-A: b\r\n' * 100)
        await_connections(server, SLOW + 1)
        each = (server.memory('VmRSS') - before) // SLOW
        for talk in talks:
            talk.close()
    return judge(each, CONNECTION, f'each of {SLOW} slow heads')


def read_slowly(server):
    """What the readers cost, all at their beginnings."""
    before = server.memory('VmRSS')
    talks = []
    for _ in range(READERS):
        talk = Talk(server)
        talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        talk.send(head('GET', '/v1/kv/a'))
        talks.append(talk)
    for talk in talks:
        expect(talk.socket.recv(1024) != b'', 'nothing came')
    grown = server.memory('VmRSS') - before
    for talk in talks:
        talk.close()
    return grown


def await_memory(server, limit):
    """Its memory, once it is below the limit, or after ten seconds."""
    for _ in range(1000):
        memory = server.memory('VmRSS')
        if memory <= limit:
            break
        time.sleep(0.01)
    return memory


def readers_case(folder):
    """A value for each reader, when they come again no more than that, and
    when all have gone nothing of it."""
    with Server(os.path.join(folder, 'data')) as server:
        with Client(server) as client:
            expect_equal(client.put(b'a', os.urandom(VALUE)).status, 204,
                         'PUT')
        await_connections(server, 0)
        before = server.memory('VmRSS')
        first = read_slowly(server)
        await_connections(server, 0)
        read_slowly(server)
        await_connections(server, 0)
        twice = server.memory('VmHWM') - before
        kept = await_memory(server, before + SLACK) - before
        expect_equal(figures(server)['process']['answer_bytes'], 0,
                     'answer budget taken')
    limit = READERS * VALUE + SLACK
    return (judge(first, limit, f'{READERS} readers of {VALUE >> 20} MiB') +
            '; ' + judge(twice, limit, 'the most, of twice as many') +
            '; ' + judge(kept, SLACK, 'kept of it'))


def answers_case(folder):
    """Beyond the budget a reader is told to come again."""
    size, budget = 1 << 20, 8 << 20
    with Server(os.path.join(folder, 'data'), '--answer-budget',
                '8MiB') as server, Client(server) as client:
        expect_equal(client.put(b'a', bytes(size)).status, 204, 'PUT')
        talks, refused = [], 0
        for _ in range(2 * budget // size):
            talk = Talk(server)
            # Small enough that no answer fits into the sockets' buffers.
            talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            talk.send(head('GET', '/v1/kv/a') * 4)
            talks.append(talk)
        for talk in talks:
            while b'\r\n\r\n' not in talk.left:
                talk.left += talk.socket.recv(1024)
            refused += talk.left.startswith(b'HTTP/1.1 503 ')
        process = figures(server)['process']
        expect(process['answer_bytes'] <= process['answer_bytes_max'],
               f'{process["answer_bytes"]} bytes')
        expect(refused > 0, 'nobody was refused')
        for talk in talks:
            if talk.left.startswith(b'HTTP/1.1 503 '):
                status, headers, _ = talk.answer()
                expect_equal((status, headers['retry-after']), (503, '1'),
                             'the answer')
            talk.close()
        await_connections(server, 1)
        expect_equal(figures(server)['process']['answer_bytes'], 0,
                     'what is left')
        expect_equal(len(client.get('/v1/kv/a').body), size, 'afterwards')
    return f'{refused} of {len(talks)} refused'


def load(server, keys):
    """A bulk load of so many lines; the peak's growth."""
    value = 'v' * 40

    def pieces():
        for begin in range(0, keys, 1000):
            yield ''.join(
                '{"op":"put","key":"key%010d","value":"%s"}\n' % (n, value)
                for n in range(begin, min(begin + 1000, keys))).encode()

    before = server.memory('VmRSS')
    server.forget_peak()
    connection = http.client.HTTPConnection('127.0.0.1', server.port,
                                            timeout=600)
    connection.request('POST', '/v1/batch', pieces(),
                       {'Content-Type': NDJSON,
                        'Transfer-Encoding': 'chunked'},
                       encode_chunked=True)
    answer = connection.getresponse()
    body = answer.read()
    expect_equal(answer.status, 200, f'the load: {body[:300]!r}')
    expect(f'"count":{keys}'.encode() in body, f'{body[:300]!r}')
    connection.close()
    return server.memory('VmHWM') - before


def scan(server, keys):
    """The whole range as NDJSON; the growth of the memory that is the server's
    own, looked at while lines come. Pages of tables that are mapped are the
    kernel's, and given up when it wants them: they grow with what is read."""
    before = server.memory('RssAnon')
    most = before
    connection = http.client.HTTPConnection('127.0.0.1', server.port,
                                            timeout=600)
    connection.request('GET', '/v1/range', headers={'Accept': NDJSON})
    count = 0
    for _ in lines_of(connection.getresponse()):
        if count % 5000 == 0:
            most = max(most, server.memory('RssAnon'))
        count += 1
    expect_equal(count, keys + 1, 'lines')
    connection.close()
    return most - before


def rests(server):
    """Nothing is compacted or due to be: that takes memory of its own."""
    compaction = figures(server)['engine']['compaction']
    return compaction['running'] == 0 and compaction['pending_bytes'] == 0


def streams_case(folder):
    """Neither a load nor a scan of any length takes more than a bound."""
    with Server(os.path.join(folder, 'data')) as server:
        loaded = load(server, KEYS)
        wait_until('compaction rests', lambda: rests(server))
        scanned = scan(server, KEYS)
    return (judge(loaded, LOAD, f'a load of {KEYS} lines') + '; ' +
            judge(scanned, SCAN, f'a scan of {KEYS} keys'))


def main():
    suite = Suite()
    suite.run('idle connections', idle_case)
    suite.run('slow heads', slow_loris_case)
    suite.run('slow readers of large values', readers_case)
    suite.run('answers beyond the budget', answers_case)
    suite.run('a bulk load and a scan', streams_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
