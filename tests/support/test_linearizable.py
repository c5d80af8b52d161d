#!/usr/bin/env python3
"""The checker of histories accepts sound ones and finds each kind of planted
fault."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from leveld import Suite, expect, expect_equal
from linearizable import (Condition, NotLinearizable, Page, Read, Refused,
                          Write, check)


def put(call, ret, key, value, last, *conditions):
    return Write(call, ret, [('put', key, value)], list(conditions), last, 1)


def get(call, ret, seen, key, item=None):
    return Read(call, ret, seen, [(key, item)])


AT_1 = Condition('in', b'a', (1,))
A1 = put(0, 10, b'a', b'one', 1)
A2 = put(20, 30, b'a', b'two', 2)
BATCH = Write(20, 30, [('put', b'a', b'x'), ('put', b'b', b'y')], [], 3, 2)

# (name, a sound history)
SOUND = [
    ('nothing', []),
    ('one after the other', [A1, get(11, 12, 1, b'a', (1, b'one')), A2,
                             get(31, 32, 2, b'a', (2, b'two'))]),
    ('a read beside a write sees the old', [
        A1, A2, get(21, 29, 1, b'a', (1, b'one'))]),
    ('a read beside a write sees the new', [
        A1, A2, get(21, 29, 2, b'a', (2, b'two'))]),
    ('writes beside each other in either order', [
        put(0, 10, b'a', b'one', 2), put(1, 9, b'b', b'two', 1)]),
    ('a compare and set', [A1, put(20, 30, b'a', b'two', 2, AT_1)]),
    ('a refused one', [A1, A2, Refused(31, 32, [AT_1], None, 2)]),
    ('a refused one while the key was away', [
        A1, Write(20, 30, [('delete', b'a')], [], 2, 1),
        put(22, 32, b'a', b'two', 3),
        Refused(21, 29, [Condition('present', b'a')], None, None)]),
    ('refused by the second condition', [
        A1, A2, Refused(21, 29, [AT_1, Condition('present', b'b')], 1, None)]),
    ('a refused one with two possible places', [
        A1, Write(20, 30, [('delete', b'a')], [], 2, 1),
        put(20, 30, b'a', b'two', 3),
        Write(20, 30, [('delete', b'a')], [], 4, 1),
        Refused(21, 29, [Condition('present', b'a')], None, None)]),
    ('a batch', [A1, BATCH,
                 Read(31, 32, 3, [(b'a', (2, b'x')), (b'b', (3, b'y'))])]),
    ('a key twice in a batch', [
        Write(0, 1, [('put', b'a', b'x'), ('put', b'a', b'y')], [], 2, 2),
        get(2, 3, 2, b'a', (2, b'y'))]),
    ('a range deleted in a batch, its own put with it', [
        A1, Write(20, 30, [('put', b'b', b'y'),
                           ('delete-range', b'a', b'c'),
                           ('put', b'b', b'z')], [], 5, 4),
        get(31, 32, 5, b'a'), get(31, 32, 5, b'b', (5, b'z'))]),
    ('an empty batch', [A1, Write(20, 30, [], [AT_1], 1, 0)]),
    ('a page', [BATCH._replace(last=2),
                Page(31, 32, 2, b'a', b'c', 1, False, [(b'a', (1, b'x'))],
                     True),
                Page(31, 32, 2, None, None, None, True,
                     [(b'b', (2, None)), (b'a', (1, None))], False)]),
    ('an old view of a snapshot', [
        A1, Read(11, 12, 1, []), A2,
        Read(None, None, 1, [(b'a', (1, b'one'))])]),
]

# (name, a history that no order explains, a text of the complaint)
BROKEN = [
    ('stale read', [A1, A2, get(31, 32, 1, b'a', (1, b'one'))], 'sent'),
    ('a read of the future', [A1, A2, get(11, 12, 2, b'a', (2, b'two'))],
     'sent'),
    ('reads that go back', [A1, A2, get(21, 22, 2, b'a', (2, b'two')),
                            get(23, 24, 1, b'a', (1, b'one'))], 'sent'),
    ('lost update', [A1, A2, get(31, 32, 2, b'a', (1, b'one'))],
     'should be at 2'),
    ('a lost key', [A1, get(11, 12, 1, b'a')], 'is not there'),
    ('a key from nowhere', [A1, get(11, 12, 1, b'b', (1, b'x'))],
     'should be at None'),
    ('another value under the right number', [
        A1, get(11, 12, 1, b'a', (1, b'two'))], 'written was'),
    ('writes against real time', [
        put(0, 10, b'a', b'one', 2), put(20, 30, b'b', b'two', 1)], 'sent'),
    ('a number given out twice', [A1, put(20, 30, b'b', b'two', 1)],
     'twice'),
    ('a write that nobody answers for', [A1, put(20, 30, b'b', b'two', 3)],
     'never answered'),
    ('seen, but nobody wrote it', [A1, get(11, 12, 2, b'a', (1, b'one'))],
     'nobody sent'),
    ('two compare and sets of one state', [
        A1, put(20, 30, b'a', b'two', 2, AT_1),
        put(20, 30, b'a', b'three', 3, AT_1)], 'was false'),
    ('made twice by If-None-Match: *', [
        put(0, 10, b'a', b'one', 1, Condition('absent', b'a')),
        put(0, 10, b'a', b'two', 2, Condition('absent', b'a'))], 'was false'),
    ('refused for a state that had passed', [
        A1, A2, Refused(31, 32, [Condition('absent', b'a')], None, 1)],
     'never justified'),
    ('refused for a state still to come', [
        A1, A2, Refused(11, 12, [AT_1], None, 2)], 'never justified'),
    ('refused though it was true', [
        A1, Refused(11, 12, [AT_1], None, 1)], 'never justified'),
    ('refused by the second, when the first was false too', [
        A1, A2, Refused(31, 32, [AT_1, Condition('present', b'b')], 1, None)],
     'never justified'),
    ('a refusal that a later read contradicts', [
        A1, A2, Refused(21, 22, [AT_1], None, 2),
        get(23, 24, 1, b'a', (1, b'one'))], 'never justified'),
    ('a refusal that a later one contradicts', [
        A1, A2, Refused(21, 22, [AT_1], None, 2),
        Refused(23, 24, [Condition('absent', b'a')], None, 1)], 'sent'),
    ('torn batch: half of it seen', [A1, BATCH, get(31, 32, 2, b'a',
                                                    (2, b'x'))], 'half'),
    ('torn batch: half of it kept', [
        A1, BATCH, Read(31, 32, 3, [(b'a', (2, b'x')), (b'b', None)])],
     'is not there'),
    ('a range whose deletes are too few', [
        A1, Write(20, 30, [('delete-range', None, None),
                           ('put', b'b', b'y')], [], 2, 1)], 'ends at'),
    ('a page that leaves one out', [
        BATCH._replace(last=2), Page(31, 32, 2, None, None, 2, False,
                                     [(b'b', (2, b'y'))], False)], 'page'),
    ('a page that says it is the last', [
        BATCH._replace(last=2), Page(31, 32, 2, None, None, 1, False,
                                     [(b'a', (1, b'x'))], False)], 'follows'),
    ('a snapshot that moves', [
        A1, A2, Read(None, None, 1, [(b'a', (2, b'two'))])], 'should be at 1'),
]


def sound_case(_folder):
    for name, history in SOUND:
        try:
            check(history)
        except NotLinearizable as error:
            raise AssertionError(f'{name}: {error}') from error
    return f'{len(SOUND)} histories'


def broken_case(_folder):
    for name, history, text in BROKEN:
        try:
            check(history)
        except NotLinearizable as error:
            expect(text in str(error), f'{name}: complained of {error}')
            continue
        raise AssertionError(f'{name}: accepted')
    return f'{len(BROKEN)} histories'


# ---- a store that is right, with requests beside each other ----

class Model:
    """Takes requests at one instant each; call and answer lie around it."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.now = 0
        self.last = 0
        self.state = {}
        self.history = []

    def step(self):
        self.now += self.rng.randrange(1, 4)
        call = self.now - self.rng.randrange(8)
        ret = self.now + self.rng.randrange(8)
        key = b'%d' % self.rng.randrange(4)
        if self.rng.random() < 0.4:
            seen = sorted(self.state.items())
            self.history.append(
                Page(call, ret, self.last, None, None, None, False, seen,
                     False) if self.rng.random() < 0.3 else
                Read(call, ret, self.last, [(key, self.state.get(key))]))
            return
        known = self.rng.randrange(self.last + 1)
        current = self.state.get(key, (None, None))[0]
        condition = self.rng.choice([
            None, Condition('absent', key), Condition('present', key),
            Condition('in', key, (current or known, known)),
            Condition('not-in', key, (known,))])
        is_true = condition is None or {
            'absent': current is None, 'present': current is not None,
            'in': current in condition.sequences,
            'not-in': current not in condition.sequences}[condition.kind]
        if not is_true:
            self.history.append(Refused(call, ret, [condition], None, current))
            return
        value = None if self.rng.random() < 0.3 else b'%d' % self.now
        self.last += 1
        self.state.pop(key, None)
        if value is not None:
            self.state[key] = (self.last, value)
        self.history.append(Write(
            call, ret, [('delete', key) if value is None else
                        ('put', key, value)],
            [condition] if condition else [], self.last, 1))


def model_case(_folder, seeds, steps):
    for seed in range(seeds):
        model = Model(seed)
        for _ in range(steps):
            model.step()
        model.rng.shuffle(model.history)
        expect_equal(check(model.history), model.state, f'seed {seed}: state')
    return f'{seeds} histories of {steps} requests'


def main():
    suite = Suite()
    suite.run('sound histories are accepted', sound_case)
    suite.run('each planted fault is found', broken_case)
    suite.run('histories of a right store are accepted', model_case, 100, 200)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
