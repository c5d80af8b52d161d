#!/usr/bin/env python3
"""GET /v1/changes of a real server: a consumer that is cut, comes back and goes
on at random while clients write, over restarts and kill -9, rebuilds exactly
what a scan gives: no gap, no double.

LEVELD_CHANGES_SECONDS=600 is the long form. A consumer that is broken on
purpose must be found out. Besides: the end of a live feed at SIGTERM, tokens
with a prefix, a reader that is too slow.

  test_changes.py [--seconds N] [--seed N]
"""
import argparse
import base64
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (NDJSON, PATIENCE, Client, Failure, Server, Suite, expect,
                    expect_equal, lines_of)

EVENTS = 'text/event-stream'
KEYS = 300
WRITERS = 3
# Small memtables: a journal every few hundred writes.
FLAGS = ('--write-buffer', '64KiB', '--sync-interval', '5ms',
         '--feed-heartbeat', '100ms')
# An epoch begins so much higher at least (operations.md).
EPOCH_SKIP = 1 << 32
CUT = (OSError, http.client.HTTPException)


# ---- reading ----

class Cut(Exception):
    """The connection ended before the stream did."""


def events_of(response):
    """(id, event, data) of a live feed; Cut where it ends without its end."""
    fields = {}
    while True:
        line = response.readline()
        if not line.endswith(b'\n'):
            raise Cut(f'after {fields}')
        if line == b'\n':
            event = fields['event']
            data = json.loads(fields['data'])
            yield int(fields['id']), event, data
            if event in ('end', 'error'):
                return
            fields = {}
            continue
        name, _, value = line.decode('ascii').rstrip('\n').partition(': ')
        expect(name in ('id', 'event', 'data'), f'field {line!r}')
        expect(name not in fields, f'field {name} twice')
        fields[name] = value


def bytes_of(text):
    return base64.b64decode(text, validate=True)


class Consumer:
    """State rebuilt from a scan and the changes after it. Sequences follow on
    each other, but where an epoch began: no more often than servers were
    started."""

    def __init__(self):
        self.state = {}
        self.at = None
        self.starts = 0
        self.jumps = 0
        self.changes = 0
        self.resumed = 0

    def scan(self, server):
        with Client(server) as client:
            client.connection.request(
                'GET', '/v1/range?encoding=base64', headers={'Accept': NDJSON})
            response = client.connection.getresponse()
            expect_equal(response.status, 200, 'scan')
            state, end = {}, None
            for line in lines_of(response):
                item = json.loads(line)
                if 'end' in item:
                    end = item
                    break
                state[bytes_of(item['key'])] = bytes_of(item['value'])
        expect(end is not None, 'a scan that was cut')
        return state, end['sequence']

    def take(self, item):
        sequence = item['sequence']
        if sequence != self.at + 1:
            expect(sequence >= self.at + EPOCH_SKIP // 2,
                   f'sequence {sequence} after {self.at}')
            self.jumps += 1
            expect(self.jumps <= self.starts,
                   f'{self.jumps} jumps in {self.starts} starts')
        if item['op'] == 'put':
            self.state[bytes_of(item['key'])] = bytes_of(item['value'])
        else:
            self.state.pop(bytes_of(item['key']), None)
        self.at = sequence
        self.changes += 1

    def move(self, sequence):
        """A heartbeat, or an end: nothing lies between."""
        expect(sequence >= self.at, f'heartbeat {sequence} at {self.at}')
        if sequence - self.at >= EPOCH_SKIP // 2:
            return  # the base of an epoch: its first write is a jump too
        expect_equal(sequence, self.at, 'a heartbeat beyond the last change')

    def follow(self, server, rng, limit):
        """A live feed until it has given limit changes, or is cut."""
        with Client(server) as client:
            headers = {'Accept': EVENTS}
            target = '/v1/changes?encoding=base64'
            if rng.random() < 0.5:
                headers['Last-Event-ID'] = str(self.at)
            else:
                target += f'&since={self.at}'
            client.connection.request('GET', target, headers=headers)
            response = client.connection.getresponse()
            expect_equal(response.status, 200, 'feed')
            taken = 0
            for number, event, data in events_of(response):
                if event in ('put', 'delete'):
                    expect_equal((number, event), (data['sequence'],
                                                   data['op']), 'event')
                    self.take(data)
                    taken += 1
                elif event == 'error':
                    raise Failure(f'error event {data}')
                else:
                    self.move(number)
                if taken >= limit or (event == 'heartbeat' and
                                      rng.random() < 0.3):
                    return

    def read_lines(self, server, limit=None):
        """True: it went to the end of what is durable."""
        with Client(server) as client:
            query = f'since={self.at}&encoding=base64'
            if limit:
                query += f'&limit={limit}'
            client.connection.request('GET', f'/v1/changes?{query}',
                                      headers={'Accept': NDJSON})
            response = client.connection.getresponse()
            expect_equal(response.status, 200, 'lines')
            count = 0
            while True:
                line = response.readline()
                if not line.endswith(b'\n'):
                    raise Cut('lines')
                item = json.loads(line)
                expect('error' not in item, f'error line {item}')
                if 'end' in item:
                    expect_equal(item['count'], count, 'count')
                    self.move(item['sequence'])
                    return 'next' not in item
                self.take(item)
                count += 1

    def read_page(self, server, limit):
        with Client(server) as client:
            answer = client.get(f'/v1/changes?since={self.at}&limit={limit}'
                                '&encoding=base64')
        expect_equal(answer.status, 200, f'page {answer.body[:300]!r}')
        page = answer.json()
        for item in page['items']:
            self.take(item)
        self.move(page['sequence'])

    def read_some(self, server, rng):
        self.resumed += 1
        choice = rng.random()
        if choice < 0.6:
            self.follow(server, rng, rng.choice((1, 10, 300, 3000)))
        elif choice < 0.8:
            self.read_lines(server, rng.choice((None, 1, 50)))
        else:
            self.read_page(server, rng.choice((1, 7, 100)))


# ---- writing ----

class Writer(threading.Thread):
    """Writes until it is told to stop; a cut request is given up."""

    def __init__(self, server, seed):
        super().__init__()
        self.server = server
        self.rng = random.Random(seed)
        self.stops = threading.Event()
        self.failure = None
        self.count = 0

    def key(self):
        return b'k%04d' % self.rng.randrange(KEYS)

    def value(self):
        size = self.rng.choice((0, 10, 100, 100, 1000, 40000))
        return self.rng.randbytes(size)

    def write_one(self, client):
        query = self.rng.choice(('', '?sync=false', '?sync=false'))
        choice = self.rng.random()
        if choice < 0.5:
            answer = client.put(self.key(), self.value(), query)
        elif choice < 0.7:
            answer = client.delete(self.key(), query)
        else:
            answer = client.batch(
                [(self.key(), self.value() if self.rng.random() < 0.7
                  else None) for _ in range(self.rng.randrange(1, 30))], query)
        expect(answer.status in (200, 204), f'write {answer}')
        self.count += 1

    def run(self):
        try:
            with Client(self.server) as client:
                while not self.stops.is_set():
                    self.write_one(client)
        except CUT:
            pass  # the server went
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error


class Writers:
    def __init__(self, server, seed):
        self.all = [Writer(server, f'{seed}/{i}') for i in range(WRITERS)]
        for writer in self.all:
            writer.start()

    def stop(self):
        for writer in self.all:
            writer.stops.set()
        for writer in self.all:
            writer.join(PATIENCE)
            expect(not writer.is_alive(), 'a writer hangs')
            if writer.failure:
                raise writer.failure
        return sum(writer.count for writer in self.all)


# ---- the consumer ----

def catch_up(consumer, server):
    """To the end of a history that nobody adds to."""
    with Client(server) as client:
        answer = client.put(b'last', b'1')  # synced: all before it is, too
    last = int(answer.headers['etag'].strip('"'))
    while consumer.at < last:
        consumer.read_lines(server)
    state, sequence = consumer.scan(server)
    expect_equal(sequence, last, 'the scan')
    compare(state, consumer.state)


def compare(expected, got):
    if expected == got:
        return
    wrong = [key for key in sorted(expected.keys() | got.keys())
             if expected.get(key) != got.get(key)]
    raise Failure(f'{len(wrong)} keys differ, the first {wrong[0]!r}: scan '
                  f'{digest(expected.get(wrong[0]))}, changes '
                  f'{digest(got.get(wrong[0]))}')


def digest(value):
    return None if value is None else hashlib.sha256(value).hexdigest()[:12]


def one_life(consumer, server, rng, seconds):
    """The server lives that long, then ends one way or the other."""
    writers = Writers(server, rng.random())
    limit = time.monotonic() + seconds
    dies = rng.random() < 0.6
    killer = None
    if dies:
        killer = threading.Timer(seconds * rng.random(), server.kill)
        killer.start()
    try:
        while time.monotonic() < limit:
            try:
                consumer.read_some(server, rng)
            except (Cut,) + CUT:
                expect(dies, 'a stream was cut')
                if server.process.poll() is not None:
                    break
        count = writers.stop()
    finally:
        for writer in writers.all:
            writer.stops.set()
        if killer:
            killer.join()
    if not dies and rng.random() < 0.5:
        catch_up(consumer, server)
    return count


def consumer_case(folder, seconds, seed):
    rng = random.Random(seed)
    consumer = Consumer()
    data = os.path.join(folder, 'data')
    limit = time.monotonic() + seconds
    writes = 0
    while time.monotonic() < limit:
        server = Server(data, *FLAGS)
        with server:
            consumer.starts += 1
            if consumer.at is None:
                with Client(server) as client:
                    for i in range(50):
                        client.put(b'k%04d' % i, b'before')
                consumer.state, consumer.at = consumer.scan(server)
            writes += one_life(consumer, server, rng,
                               min(4, seconds / 4) * (0.3 + rng.random()))
            if server.process.poll() is not None:
                server.is_stopped = True
    with Server(data, *FLAGS) as server:
        consumer.starts += 1
        catch_up(consumer, server)
        with Client(server) as client:
            stats = client.get('/stats').json()
    expect(consumer.changes > 100, f'{consumer.changes} changes')
    expect(stats['engine']['archive']['journals'] > 0, 'nothing was archived')
    return (f'seed {seed}: {writes} writes, {consumer.changes} changes, '
            f'{consumer.resumed} streams, {consumer.starts} starts')


# ---- does the consumer find a feed that is broken? ----

class Broken(Consumer):
    """Its feed leaves out, doubles, swaps or alters one change, or has not the
    last one."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.held = None

    def take(self, item):
        if self.fault == 'tail' and bytes_of(item['key']) == b'last':
            return
        if self.changes == 40 and self.fault == 'gap':
            self.fault = None
            return
        if self.changes == 40 and self.fault == 'double':
            self.fault = None
            super().take(item)
        elif self.changes == 40 and self.fault == 'swap':
            if self.held is None:
                self.held = item
                return
            self.fault = None
            super().take(item)
            item = self.held
        elif self.changes == 40 and self.fault == 'value' and \
                item['op'] == 'put':
            self.fault = None
            item = dict(item, key=base64.b64encode(b'other').decode())
        super().take(item)


def broken_case(folder):
    faults = ('gap', 'double', 'swap', 'value', 'tail')
    with Server(os.path.join(folder, 'data'), *FLAGS) as server:
        with Client(server) as client:
            for i in range(100):
                client.put(b'key%d' % i, b'%d' % i)
        for fault in faults + (None,):
            consumer = Broken(fault)
            consumer.starts = 1
            consumer.at = 0
            try:
                catch_up(consumer, server)
            except Failure:
                expect(fault, 'a sound feed was taken for a broken one')
                continue
            expect(not fault, f'{fault}: nobody noticed')
    return f'{len(faults)} faults'


# ---- the rest ----

def open_feed(client, since):
    client.connection.request('GET', f'/v1/changes?since={since}',
                              headers={'Accept': EVENTS})
    return events_of(client.connection.getresponse())


def next_change(stream):
    """The next event that is no heartbeat."""
    return next(event for event in stream if event[1] != 'heartbeat')


def stop_case(folder):
    """SIGTERM ends live feeds with an event, and does not wait for them, which
    it may do for an hour here. A write just before may come before the end, or
    not: then who goes on after the end's id gets it."""
    data = os.path.join(folder, 'data')
    with Server(data, *FLAGS, '--stop-timeout', '1h') as server:
        clients = [Client(server) for _ in range(5)]
        streams = [open_feed(client, 0) for client in clients]
        for stream in streams:
            expect_equal(next(stream)[1], 'heartbeat', 'the first event')
        with Client(server) as client:
            client.put(b'a', b'1')
            for stream in streams:
                expect_equal(next_change(stream)[:2], (1, 'put'), 'event')
            feeds = client.get('/stats').json()['changes']['feeds']
            expect_equal(feeds, 5, 'feeds')
            expect_equal(client.put(b'b', b'2').status, 204, 'the last PUT')
        server.stop()
        ends = []
        for stream in streams:
            events = [e for e in stream if e[1] != 'heartbeat']
            end = events[-1][0]
            expect(end in (1, 2), f'the end is at {end}')
            expect_equal([e[:2] for e in events],
                         [(2, 'put')] * (end - 1) + [(end, 'end')], 'events')
            expect_equal(events[-1][2],
                         {'end': True, 'count': end, 'sequence': end}, 'end')
            ends.append(end)
        for client in clients:
            client.close()
    with Server(data, *FLAGS) as server:
        for end in set(ends):
            with Client(server) as client:
                expect_equal(client.put(b'c', b'3').status, 204, 'PUT')
                expect_equal(next_change(open_feed(client, end))[:2],
                             (end + 1, 'put'), f'what comes after {end}')
    return f'5 feeds, {ends.count(1)} of them ended before the last write'


def token_case(folder):
    """A token with a prefix sees its keys alone."""
    tokens = os.path.join(folder, 'tokens')
    with open(tokens, 'w', encoding='ascii') as file:
        for name, rest in (('all', 'read,write'),
                           ('mine', 'read prefix=m%2F'), ('w', 'write')):
            secret = hashlib.sha256(b'secret-' + name.encode()).hexdigest()
            file.write(f'{name} {secret} {rest}\n')

    def get(client, query, name, accept):
        client.connection.request(
            'GET', '/v1/changes?' + query,
            headers={'Accept': accept,
                     'Authorization': f'Bearer secret-{name}'})
        response = client.connection.getresponse()
        return response.status, response.read()

    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server, \
            Client(server) as client:
        for key in (b'a', b'm/a', b'm/b', b'n'):
            client.request('PUT', '/v1/kv/' + key.decode().replace('/', '%2F'),
                           b'v', {'Authorization': 'Bearer secret-all'})
        for accept in ('application/json', NDJSON, EVENTS):
            for query, name, status in (
                    ('since=0&limit=2', 'all', 200),
                    ('since=0&limit=2', 'mine', 403),
                    ('since=0&limit=2&prefix=', 'mine', 403),
                    ('since=0&limit=2&prefix=m', 'mine', 403),
                    ('since=0&limit=2&prefix=n', 'mine', 403),
                    ('since=0&limit=2&prefix=m%2F', 'mine', 200),
                    ('since=0&limit=1&prefix=m%2Fb', 'mine', 200),
                    ('since=0&limit=2', 'w', 403),
                    ('since=0&limit=2', 'other', 401)):
                got, body = get(client, query, name, accept)
                expect_equal(got, status, f'{query} with {name}: {body!r}')
                if name == 'mine' and status == 200:
                    expect(b'"a"' not in body and b'"n"' not in body,
                           f'{query} shows {body!r}')
    return '27 requests'


def bytes_in(folder):
    """Of the files in it, but for those that go meanwhile."""
    used = 0
    for name in os.listdir(folder):
        try:
            used += os.path.getsize(os.path.join(folder, name))
        except FileNotFoundError:
            pass
    return used


def slow_case(folder):
    """A reader that takes nothing: the disk stays within its bounds, and he is
    told."""
    data = os.path.join(folder, 'data')
    cap = 1 << 20
    with Server(data, *FLAGS, '--archive-bytes', str(cap)) as server, \
            Client(server) as slow, Client(server) as client:
        slow.connection.request('GET', '/v1/changes?since=0&encoding=base64',
                                headers={'Accept': EVENTS})
        stream = events_of(slow.connection.getresponse())
        expect_equal(next(stream)[1], 'heartbeat', 'the first event')
        value = os.urandom(20000)
        for _ in range(1500):
            expect_equal(client.put(b'k', value, '?sync=false').status, 204,
                         'put')
        used = bytes_in(os.path.join(data, 'leveld', 'archive'))
        expect(used <= cap, f'the archive has {used} bytes')
        last, at = None, 0
        for number, event, data_of in stream:
            if event in ('put', 'delete'):
                expect_equal(number, at + 1, 'sequence')
                at = number
            last = (event, data_of)
            if event != 'heartbeat' and at == 1500:
                break
        expect_equal(last[0], 'error', f'what ends the feed at {at}')
        problem = last[1]['error']
        expect_equal(problem['type'], '/problems/compacted', 'the error')
        expect(problem['oldest'] > at, f'{problem} at {at}')
        answer = client.get(f'/v1/changes?since={at}')
        expect_equal((answer.status, answer.problem()), (410, 'compacted'),
                     'to come back')
        answer = client.get(f'/v1/changes?since={problem["oldest"]}&limit=1')
        expect(answer.status in (200, 410), f'{answer}')
    return f'{at} of 1500 changes'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=float, default=float(
        os.environ.get('LEVELD_CHANGES_SECONDS', 12)))
    parser.add_argument('--seed', type=int,
                        default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    suite = Suite()
    suite.run('a_consumer_rebuilds_what_a_scan_gives',
               lambda folder: consumer_case(folder, args.seconds, args.seed))
    suite.run('a_broken_feed_is_found_out', broken_case)
    suite.run('sigterm_ends_live_feeds', stop_case)
    suite.run('a_token_with_a_prefix_sees_its_keys', token_case)
    suite.run('a_slow_reader_is_told_and_fills_no_disk', slow_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
