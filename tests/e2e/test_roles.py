#!/usr/bin/env python3
"""Two processes, a leader and its follower, that change places while clients
write: no acknowledged write is lost, and the folders of both can be read by the
others when all have stopped.
"""
import http.client
import http.server
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (JSON, NDJSON, PATIENCE, Client, Digest, Server, Suite,
                    expect, expect_equal, is_sanitized, wait_until)


def url_of(server):
    return f'http://127.0.0.1:{server.port}'


def has(server, key, value):
    with Client(server) as client:
        answer = client.get(f'/v1/kv/{key}')
        return answer.status == 200 and answer.body == value


def post(server, path, document):
    with Client(server) as client:
        return client.request('POST', path, json.dumps(document),
                              {'Content-Type': JSON, 'Leveld-Timeout': '5m'})


def change(server, what, document):
    """A change that must succeed; the node after it."""
    answer = post(server, f'/v1/admin/{what}', document)
    expect_equal(answer.status, 200, f'{what}: {answer}')
    return answer.json()


def follower(folder, name, leader, *flags):
    return Server(os.path.join(folder, name), '--role', 'follower',
                  '--leader', url_of(leader), *flags)


class Writer(threading.Thread):
    """Puts numbered keys until it is told to stop, at whichever node it is
    given; what was refused is put again, what is in doubt is noted."""

    def __init__(self, number, port, stopping):
        super().__init__(daemon=True)
        self.number = number
        self.port = port
        self.stopping = stopping
        self.done = {}
        self.doubtful = {}
        self.refused = 0
        self.failure = None

    def put(self, key, value):
        connection = http.client.HTTPConnection('127.0.0.1', self.port,
                                                timeout=PATIENCE)
        try:
            connection.request('PUT', f'/v1/kv/{key}', value)
            response = connection.getresponse()
            body = response.read()
            if response.status == 204:
                return 'done'
            if b'outcome-unknown' in body:
                return 'doubt'
            expect_equal(response.status, 503, f'PUT {key}: {body!r}')
            return 'refused'
        except (OSError, http.client.HTTPException):
            return 'doubt'
        finally:
            connection.close()

    def run(self):
        count = 0
        try:
            while not self.stopping.is_set():
                key, value = f'w{self.number}-{count:06d}', f'{count}'
                said = self.put(key, value)
                if said == 'done':
                    self.done[key] = value
                    count += 1
                elif said == 'doubt':
                    self.doubtful[key] = value
                    count += 1
                else:
                    self.refused += 1
                    time.sleep(0.005)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error


def start_writers(ports):
    stopping = threading.Event()
    writers = [Writer(i, port, stopping) for i, port in enumerate(ports)]
    for writer in writers:
        writer.start()
    return stopping, writers


def stop_writers(stopping, writers):
    stopping.set()
    for writer in writers:
        writer.join(PATIENCE)
        expect(not writer.is_alive(), 'a writer hangs')
        if writer.failure is not None:
            raise writer.failure


def check_writes(server, writers):
    """Every write that was acknowledged is there; what was in doubt may be."""
    with Client(server) as client:
        content = {key.decode(): value.decode()
                   for key, value in client.ndjson()}
    count = 0
    for writer in writers:
        for key, value in writer.done.items():
            expect_equal(content.get(key), value, f'acknowledged {key}')
            count += 1
        for key in [k for k in content if k.startswith(f'w{writer.number}-')]:
            expect(key in writer.done or key in writer.doubtful,
                   f'{key} was refused, and is there')
    return count


def is_followed_by(leader, other):
    with Client(leader) as client:
        followers = client.get('/v1/replication/followers').json()
    return url_of(other) in [one['url'] for one in followers['items']]


def handover_case(folder):
    """Back and forth, with writers at both nodes."""
    with Server(os.path.join(folder, 'a')) as a:
        with Client(a) as client:
            expect_equal(client.put(b'first', b'1').status, 204, 'first PUT')
        with follower(folder, 'b', a) as b:
            wait_until('b has it', lambda: has(b, 'first', b'1'))
            stopping, writers = start_writers([a.port, b.port, a.port, b.port])
            leader, other = a, b
            epochs = []
            for _ in range(4):
                before = sum(len(w.done) for w in writers)
                wait_until('writes go on', lambda: sum(
                    len(w.done) for w in writers) > before + 50)
                wait_until('the other follows', lambda: is_followed_by(
                    leader, other))
                node = change(leader, 'handover', {'to': url_of(other),
                                                   'timeout': '5m'})
                expect_equal(node['role'], 'follower', 'role after it')
                leader, other = other, leader
                epochs.append(node['epoch'])
            stop_writers(stopping, writers)
            expect_equal(sorted(set(epochs)), epochs, 'epochs')
            count = check_writes(leader, writers)
            # Not by their sequences: an epoch without a write shows its base.
            with Client(leader) as client:
                expect_equal(client.put(b'last', b'1').status, 204, 'last PUT')
            wait_until('the other one is level',
                       lambda: has(other, 'last', b'1'))
            check_writes(other, writers)
    refused = sum(writer.refused for writer in writers)
    doubtful = sum(len(writer.doubtful) for writer in writers)
    return (f'{count} writes acknowledged over {len(epochs)} handovers, '
            f'{refused} refused, {doubtful} in doubt')


def ack_of(state):
    """Of a follower that has, synced, what the leader had then."""
    return {
        'protocol': 1, 'node_id': '0123456789abcdef' * 2,
        'url': 'http://127.0.0.1:1',
        'epoch': {key: state['epochs'][-1][key] for key in ('number', 'id')},
        'written': state['durable'], 'synced': state['durable'],
        'applied': state['durable'], 'manifest': state['manifest'],
        'state': 'streaming',
        'tables': {'built': 0, 'fetched': 0, 'mismatched': 0},
    }


def heir_behind_case(folder):
    """Who lacks a write does not get to lead, and writes go on."""
    with Server(os.path.join(folder, 'a')) as a, Client(a) as client:
        expect_equal(client.put(b'first', b'1', '?sync=true').status, 204,
                     'first PUT')
        ack = ack_of(client.get('/v1/replication/state').json())
        expect_equal(client.put(b'second', b'2').status, 204, 'second PUT')
        answer = post(a, '/v1/replication/ack', ack)
        expect_equal(answer.status, 200, f'ack: {answer}')
        answer = post(a, '/v1/admin/handover',
                      {'to': ack['node_id'], 'timeout': '300ms'})
        expect_equal(answer.status, 503, f'{answer}')
        expect('in time: nothing has changed' in answer.json()['detail'],
               f'{answer}')
        expect_equal(client.put(b'third', b'3').status, 204, 'third PUT')
        expect_equal(client.get('/readyz').json()['role'], 'leader', 'role')


def lost_leader_case(folder):
    """The leader is killed; its follower is promoted by force, and survives a
    kill itself; the old leader comes back as a follower."""
    a = Server(os.path.join(folder, 'a')).start()
    try:
        with Client(a) as client:
            for i in range(100):
                client.put(f'k{i}'.encode(), b'1')
        b = follower(folder, 'b', a).start()
        old = url_of(a)
        try:
            wait_until('b has all', lambda: has(b, 'k99', b'1'))
            refused = post(b, '/v1/admin/promote', {'force': True})
            expect_equal(refused.problem(), 'conflict', 'while it leads')
            a.kill()
            refused = post(b, '/v1/admin/promote', {})
            expect_equal(refused.problem(), 'conflict', 'without force')
            node = change(b, 'promote', {'force': True})
            expect_equal(node['role'], 'leader', 'role')
            with Client(b) as client:
                expect_equal(client.put(b'new', b'2').status, 204, 'PUT at b')
            b.kill()
            # The same flags as before: what was decided is kept.
            b = Server(os.path.join(folder, 'b'), '--role', 'follower',
                       '--leader', old).start()
            with Client(b) as client:
                answer = client.get('/v1/kv/new')
                expect_equal(answer.headers['leveld-role'], 'leader', 'role')
                expect_equal(answer.body, b'2', 'value')
            with follower(folder, 'a', b) as again:
                wait_until('a follows', lambda: has(again, 'new', b'2'))
                with Client(again) as client:
                    mine = Digest.of(client.ndjson())
                with Client(b) as client:
                    expect_equal(mine, Digest.of(client.ndjson()), 'content')
        finally:
            b.kill()
    finally:
        a.kill()


class Exchanging(http.server.BaseHTTPRequestHandler):
    """A node that has no database for a moment when it is asked for its state.
    """

    def do_GET(self):
        self.server.asked += 1
        is_away = self.server.asked <= 3
        body = b'{}' if is_away else json.dumps(self.server.state).encode()
        self.send_response(503 if is_away else 200)
        self.send_header('Content-Type', JSON)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def exchanging_peer_case(folder):
    """A promotion by force waits for a node that exchanges its files: the only
    one that knows of the last leader's epoch."""
    peer = http.server.HTTPServer(('127.0.0.1', 0), Exchanging)
    thread = threading.Thread(target=peer.serve_forever, daemon=True)
    a = Server(os.path.join(folder, 'a')).start()
    try:
        with Client(a) as client:
            client.put(b'first', b'1')
        with follower(folder, 'b', a, '--peers',
                      f'http://127.0.0.1:{peer.server_port}') as b:
            wait_until('b has all', lambda: has(b, 'first', b'1'))
            with Client(b) as other:
                state = other.get('/v1/replication/state').json()
            last = state['epochs'][-1]
            epoch = 1 << 40
            state['epochs'].append(dict(last, number=epoch, id='0' * 15 + '1',
                                        previous_last=1, base=1 << 32,
                                        first_journal=1 << 20))
            peer.state = dict(state, node_id='0' * 31 + '1')
            peer.asked = 0
            a.kill()
            thread.start()
            try:
                node = change(b, 'promote', {'force': True})
            finally:
                peer.shutdown()
                thread.join()
                peer.server_close()
            expect(peer.asked > 3, f'the peer was asked {peer.asked} times')
            expect(node['epoch'] > epoch,
                   f'epoch {node["epoch"]}, and the peer knows {epoch}')
    finally:
        a.kill()


def forward_case(folder):
    """A long load through a follower takes constant memory there."""
    lines = 50000
    with Server(os.path.join(folder, 'a')) as a, \
            follower(folder, 'b', a) as b, Client(b) as client:
        def body():
            for i in range(lines):
                yield (b'{"op":"put","key":"k%07d","value":"%s"}\n'
                       % (i, b'v' * 200))

        wait_until('b is ready',
                   lambda: client.get('/readyz').status == 200)
        b.forget_peak()
        before = b.memory('VmRSS')
        client.connection.request(
            'POST', '/v1/batch?sync=false', body(),
            {'Content-Type': NDJSON, 'Transfer-Encoding': 'chunked'},
            encode_chunked=True)
        answer = json.loads(client.connection.getresponse().read())
        expect_equal(answer.get('count'), lines, f'count of {answer}')
        grown = b.memory('VmHWM') - before
        wait_until('b has all', lambda: has(b, f'k{lines - 1:07d}', b'v' * 200))
        # Its memtables and caches grow too, as it applies what comes.
        expect(is_sanitized() or grown < 96 << 20, f'{grown} bytes more')
        return f'{lines} lines forwarded, {grown >> 20} MiB more at the follower'


def main():
    suite = Suite()
    suite.run('handing over while clients write', handover_case)
    suite.run('an heir that is behind', heir_behind_case)
    suite.run('a leader that is lost', lost_leader_case)
    suite.run('a peer that exchanges its files', exchanging_peer_case)
    suite.run('a load through a follower', forward_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
