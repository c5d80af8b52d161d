#!/usr/bin/env python3
"""kill -9 while clients write: nothing that was answered is lost.

Each cycle starts leveld, lets clients write over HTTP (PUT, DELETE, batches
as JSON and in LevelDB's form, durable and not), kills it at a random moment,
has both oracles check the folder, and compares what they hold with what was
answered. The next cycle starts from that folder, and its NDJSON must hold the
same. The page cache outlives the process, so writes answered with sync=false
count as well.

Each client has keys of its own and one request at a time: after the kill its
keys hold what was answered last, and those of the one request without an
answer hold it wholly or not at all.

  test_kill.py [--cycles N] [--seed N] [--clients N]
"""
import argparse
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (CPP, GO, PATIENCE, Client, Digest, Failure, Server, Suite,
                    expect, expect_equal, need_oracles, oracle_content,
                    oracle_digest, oracle_ok, short)

KEYS = 40        # a client's keys for single writes
GROUPS = 5       # its groups of keys for batches
GROUP_KEYS = 8   # keys a batch writes, all with one token
LIFE = (0.05, 1.0)  # seconds until the kill


class Writer(threading.Thread):
    """Writes until the connection ends. acked: what its keys must hold;
    pending: the writes of the request without an answer, or None."""

    def __init__(self, number):
        super().__init__()
        self.number = number
        self.acked = {}
        self.pending = None
        self.sequence = 0  # the largest answered
        self.answers = 0
        self.refused = 0
        self.failure = None
        self.rng = None
        self.server = None
        self.killed = None

    def begin(self, server, killed, rng):
        """The same writer for the next cycle, as a thread of its own."""
        threading.Thread.__init__(self)
        self.server, self.killed, self.rng = server, killed, rng
        self.pending = None
        self.start()

    def value(self):
        head = b'%d/%d/' % (self.number, self.rng.getrandbits(48))
        return head + bytes(self.rng.choice([0, 10, 100, 1000, 3000]))

    def next_write(self):
        """(how to send it, its operations)."""
        query = self.rng.choice(['?sync=true', '?sync=false', ''])
        what = self.rng.random()
        if what < 0.45:
            key = b'c%02d/k%02d' % (self.number, self.rng.randrange(KEYS))
            value = self.value()
            return (lambda c: c.put(key, value, query)), [(key, value)]
        if what < 0.6:
            key = b'c%02d/k%02d' % (self.number, self.rng.randrange(KEYS))
            return (lambda c: c.delete(key, query)), [(key, None)]
        group = self.rng.randrange(GROUPS)
        value = None if what < 0.7 else self.value()
        ops = [(b'c%02d/g%d/%d' % (self.number, group, i), value)
               for i in range(GROUP_KEYS)]
        if self.rng.random() < 0.5:
            return (lambda c: c.batch(ops, query)), ops
        return (lambda c: c.json_batch(ops, query)), ops

    def run(self):
        client = None
        try:
            client = Client(self.server)
            while not self.killed.is_set():
                send, ops = self.next_write()
                self.pending = dict(ops)
                answer = send(client)
                if answer.status in (200, 204):
                    self.acked.update(self.pending)
                    self.sequence = max(self.sequence, answer.sequence())
                    self.answers += 1
                elif answer.status == 503 and \
                        answer.problem() != 'outcome-unknown':
                    self.refused += 1
                else:
                    raise Failure(f'writer {self.number}: {answer}')
                self.pending = None
        except (OSError, http.client.HTTPException) as error:
            if not self.killed.is_set():
                self.failure = f'writer {self.number}: cut while leveld ' \
                               f'lives: {error!r}'
        except Failure as error:
            self.failure = str(error)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f'writer {self.number}: {error!r}'
        finally:
            if client is not None:
                client.close()

    def settle(self, content):
        """Holds content to what was answered, and goes on from it."""
        open_keys = self.pending or {}
        for key, value in self.acked.items():
            if key not in open_keys and content.get(key) != value:
                raise Failure(f'{key!r}: answered was {short(value)}, there '
                              f'is {short(content.get(key))}')
        if self.pending is None:
            return
        found = {key: content.get(key) for key in open_keys}
        before = {key: self.acked.get(key) for key in open_keys}
        if found not in (before, open_keys):
            raise Failure(f'a request without an answer stands by half: '
                          f'before {short(before)}, asked {short(open_keys)}, '
                          f'there is {short(found)}')
        self.acked.update(found)


def settle_all(writers, content):
    for writer in writers:
        if writer.failure:
            raise Failure(writer.failure)
        writer.settle(content)
    known = set()
    for writer in writers:
        known |= {k for k, v in writer.acked.items() if v is not None}
    # Keys of requests that were never answered were settled into acked.
    stray = sorted(content.keys() - known)
    expect_equal(stray[:3], [], 'keys that nobody wrote')


def flags_of(rng):
    """Small and large buffers: kills before, in and after flushes and
    compactions."""
    buffer = rng.choice(['64KiB', '64KiB', '256KiB', '4MiB'])
    return ['--write-buffer', buffer, '--table-size', '64KiB',
            '--level1-size', '1MiB']


def oracles_agree(folder, journal='appended'):
    """The entries, after both have checked and dumped the folder. A record
    that the kill tore stands at the end of an appended journal; in a mapped
    one zeros follow, which LevelDB's paranoid checks take for damage."""
    strict = ['--strict', 'default'] if journal == 'mapped' else []
    oracle_ok(GO, 'check', folder, '--strict', 'default')
    oracle_ok(CPP, 'check', folder, *strict)
    content = oracle_content(CPP, folder)
    digest = Digest.of_dict(content)
    expect_equal(oracle_digest(GO, folder), digest, 'ldbgo against ldbcpp')
    return content, digest


def begin_cycle(server, client, digest, epoch, sequence):
    """What was there at the kill is served, under a new epoch, and no number
    is given out twice. The epoch."""
    answer = client.get('/healthz')
    new_epoch = int(answer.headers['leveld-epoch'])
    expect(new_epoch > epoch, f'epoch {epoch}, then {new_epoch} after kill -9')
    expect_equal(Digest.of(client.ndjson()), digest, 'NDJSON after a restart')
    answer = client.delete(b'marker')
    expect(answer.status == 204 and answer.sequence() > sequence,
           f'sequence {answer.headers} after {sequence} had been answered')
    return new_epoch


def kill_case(folder, cycles, seed, clients):
    need_oracles()
    data = os.path.join(folder, 'data')
    writers = [Writer(i) for i in range(clients)]
    digest, epoch, sequence = Digest.of([]), 0, 0
    for cycle in range(cycles):
        rng = random.Random(f'{seed}/{cycle}')
        killed = threading.Event()
        flags = flags_of(rng)
        journal = rng.choice(['appended', 'mapped'])
        server = Server(data, *flags, '--journal', journal,
                        log=os.path.join(folder, 'log'))
        server.start()
        try:
            with Client(server) as client:
                epoch = begin_cycle(server, client, digest, epoch, sequence)
            for writer in writers:
                writer.begin(server, killed,
                             random.Random(f'{seed}/{cycle}/{writer.number}'))
            time.sleep(rng.uniform(*LIFE))
            ended = server.process.poll()
            killed.set()
        finally:
            server.kill()
        for writer in writers:
            writer.join(PATIENCE)
            expect(not writer.is_alive(), 'a writer hangs after the kill')
        try:
            expect(ended is None, f'leveld ended by itself: {ended}')
            content, digest = oracles_agree(data, journal)
            settle_all(writers, content)
        except Failure as failure:
            raise Failure(f'seed {seed} cycle {cycle}: {failure}\nlog:\n'
                          f'{server.log()[-3000:]}') from None
        sequence = max(writer.sequence for writer in writers)
    with Server(data, log=os.path.join(folder, 'log')) as server, \
            Client(server) as client:
        begin_cycle(server, client, digest, epoch, sequence)
    answers = sum(writer.answers for writer in writers)
    expect(answers > cycles, f'only {answers} writes were answered')
    return (f'{cycles} cycles, {clients} clients, seed {seed}: {answers} '
            f'writes answered, {digest.entries} entries, none lost')


def clean_stop_case(folder, seed, clients):
    """SIGTERM while clients write: exit 0, what was answered is there, and
    the epoch stays."""
    need_oracles()
    data = os.path.join(folder, 'data')
    writers = [Writer(i) for i in range(clients)]
    stopping = threading.Event()
    with Server(data, '--write-buffer', '64KiB',
                '--journal', 'mapped') as server:
        with Client(server) as client:
            epoch = client.get('/healthz').headers['leveld-epoch']
        for writer in writers:
            writer.begin(server, stopping,
                         random.Random(f'{seed}/stop/{writer.number}'))
        time.sleep(0.3)
        stopping.set()
        server.stop()
    for writer in writers:
        writer.join(PATIENCE)
    content, digest = oracles_agree(data)
    oracle_ok(GO, 'check', data)
    settle_all(writers, content)
    with Server(data) as server, Client(server) as client:
        expect_equal(client.get('/healthz').headers['leveld-epoch'], epoch,
                     'epoch after a clean stop')
        expect_equal(Digest.of(client.ndjson()), digest, 'NDJSON')
    return f'{sum(writer.answers for writer in writers)} writes answered'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cycles', type=int, default=int(
        os.environ.get('LEVELD_KILL_CYCLES') or 10))
    parser.add_argument('--seed', type=int,
                        default=int(os.environ.get('LEVELD_SEED') or
                                    time.time_ns() % 1000000))
    parser.add_argument('--clients', type=int, default=32)
    options = parser.parse_args()
    print(f'# seed {options.seed}: --seed {options.seed} repeats it',
          flush=True)
    suite = Suite()
    suite.run('kill -9 while clients write', kill_case, options.cycles,
              options.seed, options.clients)
    suite.run('SIGTERM while clients write', clean_stop_case, options.seed,
              options.clients)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
