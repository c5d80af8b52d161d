#!/usr/bin/env python3
"""kill -9 of followers and of the leader while clients write: a leader and two
followers, three real processes.

After each kill both reference programs and we open a copy of the dead folder.
It has to hold exactly the writes up to its last sequence, each of them whole
(tests/support/write_model.py). A killed leader comes back, or a follower is
promoted in its place, the one that has the most, and the old leader comes back
as a follower. No write is lost that was acknowledged: by a restart none at all,
by a promotion none with replicas=1. At the end the three folders are the same,
file by file.

What happens, in which order and when is random, by a seed that is printed.

  LEVELD_SEED=N             the same once more, as far as processes can be
  LEVELD_CLUSTER_SECONDS    how long there are kills; 8
  LEVELD_CLUSTER_WRITES     operations that clients write meanwhile; 12000. They
                            get twice that time again where they are slower

  LEVELD_CLUSTER_SECONDS=900 LEVELD_CLUSTER_WRITES=1000000 is the long form.
"""
import collections
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from cluster import (are_twins, check_prefixes, copy_folder, digests_of,
                     dump_diverged, end_nodes, make_nodes, open_copy,
                     wait_until)
from leveld import (Client, Failure, Suite, expect, expect_equal,
                    need_oracles)
from write_load import Pace, Target, Writer, value_of
from write_model import (DURABLE, LOOSE, REPLICATED, History, Write,
                         check_strays)

SECONDS = float(os.environ.get('LEVELD_CLUSTER_SECONDS') or 8)
WRITES = int(os.environ.get('LEVELD_CLUSTER_WRITES') or 12000)
CLIENTS = 8
JOIN_LIMIT = 300     # seconds, for clients to notice

# How long it is until the next kill, a node stays away, and is given to start
# before it is killed at that: seconds.
LIFE = (0.05, 1.5)
AWAY = (0.0, 1.5)
START = (0.0, 0.3)

# Small: many journals, flushes and compactions.
FLAGS = ['--table-size', '64KiB', '--level1-size', '1MiB',
         '--archive-bytes', '64MiB']
BUFFERS = ['64KiB', '64KiB', '256KiB', '1MiB']


class Marks:
    """A client of the test's own, whose writes are waited for."""

    def __init__(self):
        self.history = History(b'm/', value_of)
        self.count = 0

    def put(self, node):
        """The sequence of a new one."""
        self.count += 1
        token = (0, self.count, 20)
        self.history.send(Write({b'm/mark': token}, DURABLE))
        with Client(node.server) as client:
            answer = client.put(b'm/mark', value_of(token), '?sync=true')
        expect_equal(answer.status, 204, f'PUT of a mark: {answer}')
        self.history.stands(answer.sequence())
        return answer.sequence()


def is_still(node):
    """It does not change its files for another leader's, nor its leader."""
    following = node.document('/stats')['replication'].get('following')
    return following and following['state'] not in ('comparing', 'rebuilding')


class Run:
    """The cluster, its clients, and what may happen to them."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.rng = random.Random(seed)
        self.nodes = make_nodes(folder, 'abc')
        self.leader = self.nodes[0]
        self.target = Target()
        self.marks = Marks()
        self.writers = [Writer(i, self.target,
                               Pace(WRITES, SECONDS, CLIENTS), seed)
                        for i in range(CLIENTS)]
        self.histories = [self.marks.history,
                          *(writer.history for writer in self.writers)]
        self.counts = collections.Counter()
        self.lost = collections.Counter()
        self.owed = {}  # node: [(key, sequence)] that it has to keep aside
        self.catch_ups = []
        self.epoch = 0
        self.seconds = 0  # how long there were kills at random

    # ---- nodes ----

    def flags(self):
        return [*FLAGS, '--write-buffer', self.rng.choice(BUFFERS),
                '--journal',
                self.rng.choice(['appended', 'appended', 'mapped'])]

    def start(self, node, follows=None):
        node.start(*self.flags(), follows=follows)
        if follows is None:
            self.check_epoch(node)

    def check_epoch(self, node):
        epoch = int(node.get('/healthz').headers['leveld-epoch'])
        expect(epoch > self.epoch, f'{node.name} leads in epoch {epoch}, '
                                   f'after {self.epoch}')
        self.epoch = epoch

    def followers(self, is_running=True):
        return [node for node in self.nodes if node is not self.leader
                and node.is_running() == is_running]

    def begin(self):
        self.start(self.leader)
        for node in self.followers(False):
            self.start(node, self.leader)
        self.wait_level()
        for writer in self.writers:
            writer.pace.begun = time.monotonic()
            writer.start()
        self.target.show(self.leader.port)

    def wait_level(self):
        """All followers run, and have what was written before."""
        for node in self.followers(False):
            self.start(node, self.leader)
        mark = self.marks.put(self.leader)
        for node in self.followers():
            begun = time.monotonic()
            wait_until(f'{node.name} catches up', lambda n=node: n.has(mark))
            self.catch_ups.append(time.monotonic() - begun)
        for history in self.histories:
            history.forget(mark)
        for node, entries in self.owed.items():
            self.check_kept(node, entries)
        self.owed = {}

    def check_kept(self, node, entries):
        """What the node had written and was lost is kept there."""
        found = {(key, sequence)
                 for key, sequence, _ in dump_diverged(node)}
        missing = [entry for entry in entries if entry not in found]
        expect(not missing, f'{node.name} has lost {missing[:3]}, and has not '
                            f'kept them aside')
        self.counts['lost writes kept aside'] += len(entries)

    # ---- what a dead node holds ----

    def check_writers(self):
        for writer in self.writers:
            if writer.failure:
                raise Failure(writer.failure)

    def look(self, node):
        opened = open_copy(copy_folder(node, self.folder))
        self.counts['folders opened'] += 1
        check_strays(self.histories, opened.content)
        return opened

    def wait_answered(self, sent):
        """What had been sent is under way no more."""
        def is_answered():
            self.check_writers()
            return all(history.settled >= count
                       for history, count in zip(self.histories, sent))
        wait_until('answers to what was sent before a kill', is_answered)

    # ---- a follower ----

    def kill_follower(self, node):
        node.kill()
        self.counts['followers killed'] += 1
        self.look_at_follower(node)

    def kill_starting(self, node, follows=None):
        """While it recovers, compares, begins an epoch or is made anew."""
        node.launch(*self.flags(), follows=follows)
        self.pause(START)
        node.kill()
        self.counts['killed at their start'] += 1
        if follows is None:
            self.look_at_leader()
            return
        self.look_at_follower(node)

    def look_at_follower(self, node):
        """What is in its folder had been sent before it was killed, and so be
        answered when it is looked at."""
        if self.leader.is_running():
            self.wait_answered([history.sent for history in self.histories])
        opened = self.look(node)
        for history in self.histories:
            history.check(history.mine(opened.content), opened.last)
        if self.leader.is_running() and self.is_of_leader(opened.last):
            self.counts['files compared'] += check_prefixes(
                os.path.join(self.folder, 'copy'), self.leader.data)

    def is_of_leader(self, last):
        """Not of a history that a promotion has ended."""
        history = self.marks.history
        return history.line(last) is history.writes

    # ---- the leader ----

    def look_at_leader(self):
        opened = self.look(self.leader)
        for history in self.histories:
            history.settle(history.mine(opened.content))

    def kill_leader(self):
        self.target.condemn()
        self.leader.kill()
        self.counts['leaders killed'] += 1
        wait_until('clients notice', lambda: all(
            writer.parked.is_set() for writer in self.writers), JOIN_LIMIT)
        self.check_writers()
        self.look_at_leader()

    def restart_leader(self):
        self.start(self.leader)
        found = self.leader.content()
        check_strays(self.histories, found)
        for history in self.histories:
            history.raise_difference(history.now, history.mine(found),
                                     'after a restart of the leader')
        self.counts['leaders restarted'] += 1
        self.target.show(self.leader.port)

    def choose(self):
        """The follower that has the most, as an operator would."""
        for node in self.followers(False):
            self.start(node, self.leader)
        for node in self.followers():
            wait_until(f'{node.name} keeps its files', lambda n=node:
                       is_still(n))
        return max(self.followers(),
                   key=lambda node: node.document('/stats')['sequence'])

    def promote(self):
        """False: nobody can lead now but the one that was killed."""
        heir, old = self.choose(), self.leader
        answer = heir.change('promote', {'force': True})
        if answer.status != 200:
            expect_equal(answer.problem(), 'conflict', f'promote: {answer}')
            self.counts['promotions refused'] += 1
            return False
        self.leader = heir
        heir.follows = None
        self.check_epoch(heir)
        self.take_over(heir, old)
        self.counts['promotions'] += 1
        for node in self.followers():
            node.follows = heir
            if self.rng.random() < 0.5:  # else it finds out by itself
                answer = node.change('demote', {'leader': heir.url})
                expect_equal(answer.status, 200, f'demote: {answer}')
        self.target.show(heir.port)
        self.pause(AWAY)
        if self.rng.random() < 0.3:
            self.kill_starting(old, heir)
        self.start(old, heir)
        return True

    def take_over(self, heir, old):
        """heir leads in place of old."""
        epoch = heir.document('/v1/replication/state')['epochs'][-1]
        found = heir.content()
        check_strays(self.histories, found)
        for history in self.histories:
            for write in history.fork_off(history.mine(found),
                                          epoch['previous_last'],
                                          epoch['base']):
                self.lost[write.kind if write.sequence else 'unanswered'] += 1
                if write.sequence and len(write.ops) == 1:
                    self.owed.setdefault(old, []).append(
                        (next(iter(write.ops)).decode(), write.sequence))
        self.owed.pop(heir, None)  # what it had alone is the history now

    # ---- at random ----

    def pause(self, between):
        """Is no wait for anything: clients write meanwhile."""
        time.sleep(self.rng.uniform(*between))

    def follower_dies(self):
        running = self.followers()
        if not running:
            return
        self.kill_follower(self.rng.choice(running))
        self.pause(AWAY)
        if self.rng.random() < 0.2:
            return  # until something else is done
        for node in self.followers(False):
            if self.rng.random() < 0.3:
                self.kill_starting(node, self.leader)
            self.start(node, self.leader)
        if self.rng.random() < 0.5:
            self.wait_level()

    def leader_dies(self, is_promotion=None):
        if is_promotion is None:
            is_promotion = self.rng.random() < 0.35
        self.kill_leader()
        if self.rng.random() < 0.3 and self.followers():
            self.kill_follower(self.rng.choice(self.followers()))
        if self.rng.random() < 0.2:
            self.kill_starting(self.leader)
        if not (is_promotion and self.promote()):
            self.restart_leader()

    def leader_dies_alone(self):
        """After writes that no one else has."""
        for node in self.followers():
            self.kill_follower(node)
        before = self.operations()
        wait_until('clients write on', lambda: self.operations() > before + 50
                   or all(w.is_done() for w in self.writers))
        self.leader_dies(True)
        self.wait_level()

    def kills(self):
        return sum(self.counts[what] for what in (
            'followers killed', 'leaders killed', 'killed at their start'))

    def operations(self):
        return sum(writer.operations for writer in self.writers)

    def happen(self):
        """Each kind once, then at random, for as long as was asked."""
        begun = told = time.monotonic()
        for event in (self.follower_dies, lambda: self.leader_dies(False),
                      self.follower_dies, lambda: self.leader_dies(True),
                      self.leader_dies_alone):
            self.pause(LIFE)
            event()
        while (passed := time.monotonic() - begun) < SECONDS or (
                self.operations() < WRITES and passed < 3 * SECONDS):
            self.pause(LIFE)
            self.rng.choices([self.follower_dies, self.leader_dies,
                              self.leader_dies_alone], (55, 40, 5))[0]()
            self.check_writers()
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f'# {told - begun:.0f} s: {self.operations()} '
                      f'operations, {dict(self.counts)}', flush=True)
        self.seconds = time.monotonic() - begun
        self.wait_level()

    # ---- the end ----

    def finish(self):
        self.target.finish()
        for writer in self.writers:
            writer.join(JOIN_LIMIT)
            expect(not writer.is_alive(), 'a client hangs')
        self.check_writers()

    def compare(self):
        """All is written: three folders that are one."""
        self.wait_level()
        wait_until('the folders are the same', lambda: are_twins(self.nodes))
        wait_until('one digest', lambda: digests_of(self.nodes))
        content = {}
        for history in self.histories:
            content.update(history.content())
        for node in self.nodes:
            expect(node.content() == content,
                   f'{node.name} does not serve what was written')
        return content


def kill_case(folder, seed):
    need_oracles()
    run = Run(folder, seed)
    try:
        run.begin()
        run.happen()
        # Under load, then in silence.
        run.leader_dies(False)
        run.leader_dies(True)
        run.finish()
        run.compare()
        run.kill_leader()
        run.restart_leader()
        content = run.compare()
        for node in run.followers():
            run.kill_follower(node)
        run.kill_leader()
    except Exception as error:
        raise Failure(f'seed {seed}: {error}\n' + '\n'.join(
            f'--- {node.name}\n{node.log()[-3000:]}' for node in run.nodes)
        ) from error
    finally:
        run.target.finish()
        end_nodes(run.nodes)
    expect_equal(run.counts['folders opened'], run.kills(),
                 'a dead folder for each kill')
    # Each is tried twice at least; a promotion may be refused, not always.
    for what in ('followers killed', 'leaders restarted', 'promotions'):
        expect(run.counts[what] > 0, f'no {what}: {dict(run.counts)}')
    return describe(run, seed, content)


def describe(run, seed, content):
    answers = collections.Counter()
    for writer in run.writers:
        answers.update(writer.answers)
    times = sorted(run.catch_ups)
    return (f'seed {seed}: {run.operations()} operations of {WRITES} in '
            f'{run.seconds:.0f} s, '
            f'{answers[LOOSE] + answers[DURABLE] + answers[REPLICATED]} '
            f'writes acknowledged ({answers[REPLICATED]} with a replica, '
            f'{answers[DURABLE]} durable, {answers["timed out"]} of them with '
            f'no replica in time; {answers["refused"]} refused), '
            f'{len(content)} entries; {dict(run.counts)}; lost by promotions '
            f'{dict(run.lost)}; caught up in '
            f'{times[len(times) // 2]:.2f} s (median), {times[-1]:.2f} s (max) '
            f'of {len(times)}')


def main():
    seed = int(os.environ.get('LEVELD_SEED') or time.time_ns() % 1000000)
    print(f'# seed {seed}: LEVELD_SEED={seed} repeats it', flush=True)
    suite = Suite()
    suite.run('kill -9 of a leader and its followers', kill_case, seed)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
