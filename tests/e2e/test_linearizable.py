#!/usr/bin/env python3
"""Clients of a real server that write and read the same few keys at once see
one order of everything: writes with and without conditions, deletes, batches
with conditions and ranges, reads, multigets, pages, streams and snapshots,
judged by tests/support/linearizable.py. Each round is a new server with other
options and a new history; small memtables make flushes and compactions of it,
and an operator asks for more of them, and for backups. Each history is then
broken in one place, in every way that there is below, and has to be rejected.

  test_linearizable.py [--rounds N] [--requests N] [--seed N]
"""
import argparse
import json
import multiprocessing
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (BATCH, JSON, NDJSON, Client, Failure, Server, Suite,
                    batch_bytes, expect, expect_equal, path_of)
from linearizable import (Condition, NotLinearizable, Page, Read, Refused,
                          Write, check)

CLIENTS = 8
KEYS = [b'k%02d' % i for i in range(10)]
JOIN_LIMIT = 600  # seconds, for a client to come to its end


def text(data):
    return data.decode('ascii')


def header_of(condition):
    """(name, value) of a condition on one key."""
    name = {'in': 'If-Match', 'present': 'If-Match',
            'not-in': 'If-None-Match', 'absent': 'If-None-Match'}
    value = ', '.join(f'"{sequence}"' for sequence in condition.sequences)
    return name[condition.kind], value or '*'


def item_of(found):
    """Of JSON: (key, (sequence, value or None))."""
    value = found.get('value')
    return found['key'].encode(), (found['sequence'],
                                   None if value is None else value.encode())


class Caller:
    """One client: sends random requests and keeps what came of them."""

    def __init__(self, server, number, seed):
        self.rng = random.Random(f'{seed}/{number}')
        self.number = number
        self.client = Client(server)
        self.known = {}    # key: the sequence last heard of, None: absent
        self.highest = 0   # of the sequences heard of
        self.history = []
        self.refused = 0   # stalled: nothing was written
        self.snapshot = None
        self.writes = 0

    def run(self, requests):
        kinds = [(self.single_write, 45), (self.batch, 15), (self.get, 18),
                 (self.multiget, 8), (self.page, 9), (self.stream, 3),
                 (self.use_snapshot, 2)]
        steps = [step for step, weight in kinds for _ in range(weight)]
        for _ in range(requests):
            self.rng.choice(steps)()
        self.client.close()

    def send(self, method, path, body=None, headers=None):
        """(call, ret, answer)."""
        call = time.monotonic_ns()
        answer = self.client.request(method, path, body, headers)
        ret = time.monotonic_ns()
        expect(answer.status < 500 or
               answer.problem() in ('stalled', 'overloaded', 'lagging'),
               f'client {self.number}: {method} {path}: {answer}')
        self.refused += answer.status == 503 and answer.problem() != 'lagging'
        if 'leveld-sequence' in answer.headers:
            self.highest = max(self.highest, answer.sequence())
        return call, ret, answer

    # ---- writes ----

    def key(self):
        return self.rng.choice(KEYS)

    def value(self):
        self.writes += 1
        size = self.rng.choice([0, 0, 0, 0, 100, 2000])
        return b'%d.%d.' % (self.number, self.writes) + b'x' * size

    def condition(self, key, kinds):
        kind = self.rng.choice(kinds)
        if kind not in ('in', 'not-in'):
            return Condition(kind, key)
        known = self.known.get(key)
        if known is None:
            return Condition('absent', key)
        return Condition(kind, key, (known,))

    def keep_write(self, sent, ops, conditions, count=1):
        """count None: the answer says it, and of a 412 the index."""
        call, ret, answer = sent
        if answer.status == 503:
            return
        if answer.status == 412:
            problem = answer.json()
            index = problem['index'] if count is None else None
            key = conditions[index or 0].key
            if count is None:
                expect_equal(problem['key'], text(key), 'key of the 412')
            self.known[key] = problem['current']
            self.history.append(Refused(call, ret, conditions, index,
                                        problem['current']))
            return
        expect(answer.status in (200, 204), f'{ops} {conditions}: {answer}')
        last = answer.sequence()
        if count is None:
            expect_equal(answer.json()['sequence'], last, 'sequence')
            count = answer.json()['count']
        self.history.append(Write(call, ret, ops, conditions, last, count))
        if len(ops) == 1 and ops[0][0] != 'delete-range':
            self.known[ops[0][1]] = last if ops[0][0] == 'put' else None

    def single_write(self):
        key = self.key()
        conditions = []
        if self.rng.random() < 0.6:
            conditions.append(self.condition(
                key, ['in', 'in', 'in', 'absent', 'present', 'not-in']))
        headers = dict(map(header_of, conditions))
        path = path_of(key) + self.rng.choice(['', '?sync=true',
                                               '?sync=false', '?sync=false'])
        if self.rng.random() < 0.2:
            sent = self.send('DELETE', path, None, headers)
            self.keep_write(sent, [('delete', key)], conditions)
            return
        value = self.value()
        sent = self.send('PUT', path, value, headers)
        if sent[2].status == 204:
            expect_equal(sent[2].headers['etag'], f'"{sent[2].sequence()}"',
                         'ETag of a PUT')
        self.keep_write(sent, [('put', key, value)], conditions)

    def operations(self):
        """At most one range, first or after puts of other keys each: what is
        deleted in the batch before a range may count twice."""
        ops = [('delete', self.key()) if self.rng.random() < 0.2 else
               ('put', self.key(), self.value())
               for _ in range(self.rng.randrange(5))]
        if self.rng.random() < 0.2:
            start, end = sorted(self.rng.sample(KEYS, 2))
            before = [('put', key, self.value()) for key in
                      self.rng.sample(KEYS, self.rng.randrange(3))]
            ops = before + [('delete-range', start, end)] + ops
        return ops

    def batch(self):
        ops = self.operations()
        query = self.rng.choice(['', '?sync=false'])
        if self.rng.random() < 0.3:
            ops = [op for op in ops if op[0] != 'delete-range']
            body = batch_bytes([(op[1], op[2] if op[0] == 'put' else None)
                                for op in ops])
            sent = self.send('POST', '/v1/batch' + query, body,
                             {'Content-Type': BATCH})
            self.keep_write(sent, ops, [], None)
            return
        conditions = [self.condition(key, ['in', 'in', 'absent', 'present'])
                      for key in self.rng.sample(KEYS, self.rng.randrange(4))]
        body = json.dumps({'ops': list(map(op_json, ops)),
                           'if': list(map(condition_json, conditions))})
        sent = self.send('POST', '/v1/batch' + query, body,
                         {'Content-Type': JSON})
        self.keep_write(sent, ops, conditions, None)

    # ---- reads ----

    def keep_read(self, sent, items, view=None):
        """items: of Read, or all of Page from start on. view: the sequence of
        the snapshot that it was read from."""
        call, ret, answer = sent
        expect_equal(answer.status, 200, f'{answer}: status')
        seen = answer.sequence()
        if view is not None:
            expect_equal(seen, view, 'sequence of a snapshot')
            call = ret = None
        self.history.append(Read(call, ret, seen, items)
                            if isinstance(items, list)
                            else Page(call, ret, seen, *items))
        for key, item in items if isinstance(items, list) else items[4]:
            if view is None:
                self.known[key] = item and item[0]

    def get(self, snapshot='', view=None):
        key = self.key()
        path = path_of(key) + snapshot
        headers = {}
        condition = None
        if self.rng.random() < 0.3 and view is None:
            condition = self.condition(key, ['in', 'not-in', 'present'])
            headers = dict([header_of(condition)])
        as_json = self.rng.random() < 0.3
        if as_json:
            headers['Accept'] = JSON
        least = 0
        if self.rng.random() < 0.2 and view is None:
            least = self.highest + self.rng.randrange(4)
            headers.update({'Leveld-Min-Sequence': str(least),
                            'Leveld-Timeout': '50ms'})
        call, ret, answer = self.send('GET', path, None, headers)
        if answer.status == 503:
            return
        seen = answer.sequence()
        expect(view is not None or seen >= least,
               f'{least} was asked for, {seen} seen')
        if answer.status == 412:
            current = answer.json()['current']
            self.history.append(Refused(call, ret, [condition], None, current))
            found = None if current is None else (current, None)
        elif answer.status == 404:
            found = None
        else:
            expect(answer.status in (200, 304), f'{path}: {answer}')
            value = None if answer.status == 304 else \
                item_of(answer.json())[1][1] if as_json else answer.body
            found = (int(answer.headers['etag'].strip('"')), value)
        if view is not None:
            expect_equal(seen, view, 'sequence of a snapshot')
            call = ret = None
        else:
            self.known[key] = found and found[0]
        self.history.append(Read(call, ret, seen, [(key, found)]))

    def multiget(self, members=None, view=None):
        keys = self.rng.sample(KEYS, self.rng.randrange(1, len(KEYS) + 1))
        body = dict(members or {}, keys=list(map(text, keys)))
        if self.rng.random() < 0.3:
            body['values'] = False
        sent = self.send('POST', '/v1/multiget', json.dumps(body),
                         {'Content-Type': JSON})
        found = [item and item_of(item)[1] for item in sent[2].json()['items']]
        expect_equal(len(found), len(keys), 'items of a multiget')
        self.keep_read(sent, list(zip(keys, found)), view)

    def bounds(self):
        start, end = sorted(self.rng.choices(KEYS, k=2))
        return self.rng.choice([None, start]), self.rng.choice([None, end])

    def query(self, start, end, limit, reverse):
        query = [f'limit={limit}', f'reverse={str(reverse).lower()}']
        query += [f'start={text(start)}'] if start else []
        query += [f'end={text(end)}'] if end else []
        return '/v1/range?' + '&'.join(query)

    def page(self, snapshot='', view=None):
        start, end = self.bounds()
        limit, reverse = self.rng.choice([1, 2, 5, 100]), \
            self.rng.random() < 0.5
        sent = self.send('GET', self.query(start, end, limit, reverse) +
                         snapshot)
        body = sent[2].json()
        self.keep_read(sent, (start, end, limit, reverse,
                              list(map(item_of, body['items'])),
                              'next' in body), view)

    def stream(self):
        start, end = self.bounds()
        limit = self.rng.choice([3, 1000])
        sent = self.send('GET', self.query(start, end, limit, False), None,
                         {'Accept': NDJSON})
        lines = [json.loads(line) for line in sent[2].body.splitlines()]
        end_line = lines.pop()
        expect(end_line.get('end') is True, f'the stream ends with {end_line}')
        expect_equal(end_line['sequence'], sent[2].sequence(), 'end line')
        self.keep_read(sent, (start, end, limit, False,
                              list(map(item_of, lines)), 'next' in end_line))

    def use_snapshot(self):
        """Takes one, or reads from the one taken before and drops it."""
        if self.snapshot is None:
            call, ret, answer = self.send('POST', '/v1/snapshots')
            expect_equal(answer.status, 201, 'POST /v1/snapshots')
            self.snapshot = answer.json()
            self.history.append(Read(call, ret, self.snapshot['sequence'],
                                     []))
            return
        name, view = self.snapshot['id'], self.snapshot['sequence']
        self.get('?snapshot=' + name, view)
        self.page('&snapshot=' + name, view)
        self.multiget({'snapshot': name}, view)
        _, _, answer = self.send('DELETE', '/v1/snapshots/' + name)
        expect_equal(answer.status, 204, 'DELETE /v1/snapshots/{id}')
        self.snapshot = None


def op_json(op):
    if op[0] == 'delete-range':
        return {'op': op[0], 'start': text(op[1]), 'end': text(op[2])}
    if op[0] == 'delete':
        return {'op': op[0], 'key': text(op[1])}
    return {'op': op[0], 'key': text(op[1]), 'value': text(op[2])}


def condition_json(condition):
    key = text(condition.key)
    if condition.kind == 'in':
        return {'key': key, 'sequence': condition.sequences[0]}
    return {'key': key, 'exists': condition.kind == 'present'}


# ---- histories that are broken on purpose ----

def pick(rng, history, kind, test):
    """The index of one of that kind, or None."""
    found = [index for index, operation in enumerate(history)
             if isinstance(operation, kind) and test(operation)]
    return rng.choice(found) if found else None


def replaced(history, index, **members):
    changed = list(history)
    changed[index] = history[index]._replace(**members)
    return changed


def without_a_write(rng, history):
    index = pick(rng, history, Write, lambda write: write.count > 0)
    return history[:index] + history[index + 1:]


def with_two_writes_in_each_others_place(rng, history):
    """Of which one was answered before the other was sent."""
    first = pick(rng, history, Write, lambda write: write.count == 1)
    ret = history[first].ret
    second = pick(rng, history, Write,
                  lambda write: write.count == 1 and write.call > ret)
    if second is None:
        return None
    return replaced(replaced(history, first, last=history[second].last),
                    second, last=history[first].last)


def with_a_read_of_long_ago(rng, history):
    last = max(write.last for write in history if isinstance(write, Write))
    now = max(operation.ret or 0 for operation in history)
    index = pick(rng, history, Read,
                 lambda read: read.call is not None and read.seen < last)
    return replaced(history, index, call=now + 1, ret=now + 2)


def with_a_changed_item(rng, history, item_of_it):
    index = pick(rng, history, Read, lambda read: any(
        item is not None and item[1] is not None for _, item in read.items))
    items = [(key, item_of_it(item) if item and item[1] is not None else item)
             for key, item in history[index].items]
    return replaced(history, index, items=items)


def with_another_value(rng, history):
    return with_a_changed_item(rng, history, lambda item: (item[0],
                                                           item[1] + b'!'))


def with_a_lost_key(rng, history):
    return with_a_changed_item(rng, history, lambda item: None)


def with_half_a_batch_seen(rng, history):
    batch = pick(rng, history, Write, lambda write: write.count > 1)
    index = pick(rng, history, Read, lambda read: True)
    return replaced(history, index, seen=history[batch].last - 1)


def with_a_refusal_of_a_state_that_never_was(rng, history):
    last = max(write.last for write in history if isinstance(write, Write))
    index = pick(rng, history, Refused, lambda refused: True)
    return replaced(history, index, current=last + 1)


def with_a_hole_in_a_page(rng, history):
    index = pick(rng, history, Page, lambda page: len(page.items) > 1)
    return replaced(history, index, items=history[index].items[1:])


BREAKERS = (without_a_write, with_two_writes_in_each_others_place,
            with_a_read_of_long_ago, with_another_value, with_a_lost_key,
            with_half_a_batch_seen, with_a_refusal_of_a_state_that_never_was,
            with_a_hole_in_a_page)


def check_broken(history, rng):
    """How many histories were made of a sound one, and rejected."""
    count = 0
    for breaker in BREAKERS:
        broken = breaker(rng, history)
        if broken is None:
            continue
        try:
            check(broken)
        except NotLinearizable:
            count += 1
            continue
        raise Failure(f'{breaker.__name__}: a broken history was accepted')
    return count


# ---- a round ----

def call_in_process(connection, server, number, seed, requests):
    """What a client's process does: its history goes back, or why not."""
    try:
        caller = Caller(server, number, seed)
        caller.run(requests)
        connection.send((caller.history, caller.refused, None))
    except Exception as error:  # pylint: disable=broad-except
        connection.send(([], 0, f'client {number}: {error!r}'))


def operate(server, stop, failures):
    """Flushes, compactions and backups beside the clients."""
    # One at a time: those that are left behind would fill the queue of tasks.
    patience = {'Leveld-Timeout': '60s'}
    work = [('POST', '/v1/admin/flush', patience),
            ('POST', '/v1/admin/compact', patience), ('GET', '/v1/backup', {})]
    try:
        with Client(server) as client:
            while not stop.is_set():
                for method, path, headers in work:
                    answer = client.request(method, path, None, headers)
                    expect(answer.status in (200, 202), f'{path}: {answer}')
    except Exception as error:  # pylint: disable=broad-except
        failures.append(repr(error))


def run_clients(server, seed, requests, then):
    """All their histories in one, and how many writes were refused. then() is
    called when they have started."""
    forked = multiprocessing.get_context('fork')
    processes, history, refused = [], [], 0
    for number in range(CLIENTS):
        ours, theirs = forked.Pipe(duplex=False)
        process = forked.Process(target=call_in_process, daemon=True, args=(
            theirs, server, number, seed, requests))
        process.start()
        theirs.close()
        processes.append((process, ours))
    then()
    try:
        for process, connection in processes:
            expect(connection.poll(JOIN_LIMIT), 'a client does not come back')
            own, stalled, failure = connection.recv()
            expect(failure is None, failure)
            history += own
            refused += stalled
            process.join(JOIN_LIMIT)
    finally:
        for process, _ in processes:
            process.kill()
    return history, refused


def flags_of(rng):
    return ['--write-buffer', rng.choice(['64KiB', '256KiB']),
            '--table-size', '64KiB', '--level1-size', '1MiB',
            '--journal', rng.choice(['appended', 'mapped']),
            '--loops', rng.choice(['1', '2', '4'])]


def run_round(folder, seed, requests):
    stop, failures = threading.Event(), []
    with Server(folder, *flags_of(random.Random(seed))) as server:
        operator = threading.Thread(target=operate,
                                    args=(server, stop, failures))
        # Clients are forked: no other thread may be there then.
        history, refused = run_clients(server, seed, requests, operator.start)
        stop.set()
        operator.join(JOIN_LIMIT)
        expect(not failures, f'the operator: {failures}')
        with Client(server) as client:
            answer = client.get('/v1/range?limit=1000')
    expect(refused < len(history) // 10, f'{refused} writes were refused')
    state = check(history)
    expect_equal(dict(map(item_of, answer.json()['items'])), state,
                 'what is there at the end')
    return history, check_broken(history, random.Random(seed))


def rounds_case(folder, rounds, requests, seed):
    counts = {Write: 0, Refused: 0, Read: 0, Page: 0}
    rejected = 0
    for number in range(rounds):
        try:
            history, broken = run_round(os.path.join(folder, f'{number}'),
                                        f'{seed}/{number}', requests)
        except (NotLinearizable, Failure) as failure:
            raise Failure(f'seed {seed}, round {number}: {failure}') from None
        rejected += broken
        for operation in history:
            counts[type(operation)] += 1
    expect(min(counts.values()) > rounds, f'too few of a kind: {counts}')
    expect(rejected >= (len(BREAKERS) - 1) * rounds, f'{rejected} rejected')
    return (f'{rounds} rounds, {CLIENTS} clients, seed {seed}: '
            f'{counts[Write]} writes, {counts[Refused]} refused by a '
            f'condition, {counts[Read] + counts[Page]} reads; {rejected} '
            'histories broken on purpose, and rejected')


def main():
    is_full = bool(os.environ.get('LEVELD_FULL'))
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=int(
        os.environ.get('LEVELD_HISTORIES') or (30 if is_full else 3)))
    parser.add_argument('--requests', type=int, default=400)
    parser.add_argument('--seed', type=int,
                        default=int(os.environ.get('LEVELD_SEED') or
                                    time.time_ns() % 1000000))
    options = parser.parse_args()
    print(f'# seed {options.seed}: --seed {options.seed} repeats it',
          flush=True)
    suite = Suite()
    suite.run('clients on the same keys see one order', rounds_case,
              options.rounds, options.requests, options.seed)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
