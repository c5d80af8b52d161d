#!/usr/bin/env python3
"""Leveld-Min-Sequence on a real server: a read waits for the write, for as long
as Leveld-Timeout says; a stop does not wait for it; what a crash lost is 410."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import PATIENCE, Client, Server, Suite, expect, expect_equal


class Reader(threading.Thread):
    """GET of a key once this node has the sequence."""

    def __init__(self, server, sequence, timeout):
        super().__init__()
        self.server = server
        self.headers = {'Leveld-Min-Sequence': str(sequence),
                        'Leveld-Timeout': timeout}
        self.answer = None
        self.start()

    def run(self):
        with Client(self.server) as client:
            self.answer = client.get('/v1/kv/a', self.headers)

    def end(self, status):
        self.join(PATIENCE)
        expect_equal(self.answer and self.answer.status, status, 'status')
        return self.answer


def write_case(folder):
    with Server(os.path.join(folder, 'data')) as server, \
            Client(server) as client:
        readers = [Reader(server, 20, '5m') for _ in range(16)]
        for i in range(20):
            expect_equal(client.put(b'a', b'%d' % i).status, 204, 'PUT')
        for reader in readers:
            expect(reader.end(200).sequence() >= 20, 'an older view')
            expect_equal(reader.answer.body, b'19', 'value')
        reader = Reader(server, 20, '0s')
        expect_equal(reader.end(200).body, b'19', 'value without a wait')


def timeout_case(folder):
    with Server(os.path.join(folder, 'data')) as server:
        begun = time.monotonic()
        answer = Reader(server, 5, '300ms').end(503)
        expect(time.monotonic() - begun >= 0.3, 'answered too early')
        expect_equal(answer.problem(), 'lagging', 'problem')
        expect_equal(answer.headers['retry-after'], '1', 'Retry-After')


def stop_case(folder):
    """A stop answers who waits; those who left do not hold it up."""
    with Server(os.path.join(folder, 'data')) as server:
        gone = [socket.create_connection(('127.0.0.1', server.port), PATIENCE)
                for _ in range(3)]
        for connection in gone:
            connection.sendall(b'GET /v1/kv/a HTTP/1.1\r\nHost: a\r\n'
                               b'Leveld-Min-Sequence: 5\r\n'
                               b'Leveld-Timeout: 1h\r\n\r\n')
        reader = Reader(server, 5, '1h')
        with Client(server) as client:
            while client.get('/stats').json()['admin']['waiting_requests'] < 4:
                pass
        for connection in gone:
            connection.close()
        server.stop()
        expect_equal(reader.end(503).problem(), 'lagging', 'problem')


def lost_case(folder):
    data = os.path.join(folder, 'data')
    with Server(data) as server, Client(server) as client:
        last = client.put(b'a', b'1').sequence()
        server.kill()
        server.is_stopped = True
    with Server(data) as server, Client(server) as client:
        expect_equal(Reader(server, last, '0s').end(200).body, b'1', 'value')
        answer = Reader(server, last + 1, '5m').end(410)
        expect_equal(answer.problem(), 'lost-sequence', 'problem')
        expect_equal(answer.json()['fork'], last, 'fork')
        seen = client.get('/v1/kv/a').sequence()
        expect(seen > last, f'the new epoch is at {seen}')
        expect_equal(Reader(server, seen, '0s').end(200).sequence(), seen,
                     'what a read has seen, asked for')
        new = client.put(b'a', b'2').sequence()
        expect_equal(Reader(server, last + 1, '5m').end(410).json()['fork'],
                     last, 'fork after another write')
        expect_equal(Reader(server, new, '5m').end(200).body, b'2', 'value')


def main():
    suite = Suite()
    suite.run('a read waits for the write', write_case)
    suite.run('and not for longer than it says', timeout_case)
    suite.run('SIGTERM answers who waits', stop_case)
    suite.run('a sequence that a crash lost', lost_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
