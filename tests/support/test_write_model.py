#!/usr/bin/env python3
"""The model of a client's writes accepts what folders may hold, and finds each
kind of planted fault."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from leveld import Failure, Suite, expect_equal
from write_model import DURABLE, LOOSE, REPLICATED, History, Write, check_strays


def value_of(token):
    return b'v%d' % token


def written(*writes):
    """A history of (sequence, kind, ops); sequence None: it was cut off."""
    history = History(b'w/', value_of)
    for sequence, kind, ops in writes:
        history.send(Write({b'w/' + key.encode(): token
                            for key, token in ops.items()}, kind))
        if sequence is not None:
            history.stands(sequence)
    return history


def held(**entries):
    return {b'w/' + key.encode(): value_of(token)
            for key, token in entries.items()}


def three():
    """a, then a batch over a and b, then b away."""
    return written((10, DURABLE, {'a': 1}), (22, REPLICATED, {'a': 2, 'b': 2}),
                   (30, LOOSE, {'b': None}))


# (name, last sequence, what a folder holds)
SOUND = [
    ('nothing yet', 9, {}),
    ('at the first', 10, held(a=1)),
    ('before the batch is whole', 21, held(a=1)),
    ('at the batch', 22, held(a=2, b=2)),
    ('between', 29, held(a=2, b=2)),
    ('at the end', 30, held(a=2)),
    ('others write on', 99, held(a=2)),
]

UNSOUND = [
    ('a write is missing', 10, {}),
    ('a write before its time', 9, held(a=1)),
    ('half a batch', 22, held(a=2)),
    ('the other half', 22, held(a=1, b=2)),
    ('an old value', 30, held(a=1)),
    ('a delete is missing', 30, held(a=2, b=2)),
    ('a value that nobody wrote', 30, held(a=7)),
    ('a key that nobody wrote', 30, held(a=2, z=1)),
]


def fails(what, call, *args):
    try:
        call(*args)
    except Failure:
        return
    raise AssertionError(f'{what} was accepted')


def folders_case(_):
    for name, last, found in SOUND:
        try:
            three().check(found, last)
        except Failure as failure:
            raise AssertionError(f'{name}: {failure}') from failure
    for name, last, found in UNSOUND:
        fails(name, three().check, found, last)


def killed_case(_):
    """What was under way stands wholly or not at all; what was answered
    stands."""
    for found, stands in ((held(a=2), 0), (held(a=2, c=4), 1),
                          (held(a=2, d=5, e=5), 1),
                          (held(a=2, c=4, d=5, e=5), 2)):
        history = three()
        history.send(Write({b'w/c': 4}, DURABLE))
        history.send(Write({b'w/d': 5, b'w/e': 5}, DURABLE))
        history.settle(found)
        expect_equal(len(history.writes), 3 + stands, f'writes of {found}')
        expect_equal(history.settled, history.sent, 'settled')
    for what, found in (('half a batch', held(a=2, d=5)),
                        ('an answered write is lost', held(b=2, c=4)),
                        ('a value of neither', held(a=2, c=5))):
        history = three()
        history.send(Write({b'w/c': 4}, DURABLE))
        history.send(Write({b'w/d': 5, b'w/e': 5}, DURABLE))
        fails(what, history.settle, found)


def unknown_case(_):
    """A follower behind a write whose sequence nobody knows has it or not."""
    history = three()
    history.send(Write({b'w/c': 4}, DURABLE))
    history.settle(held(a=2, c=4))
    for found in (held(a=2), held(a=2, c=4)):
        history.check(found, 35)
    history.send(Write({b'w/d': 5}, DURABLE))
    history.stands(50)
    history.check(held(a=2), 49)
    history.check(held(a=2, c=4, d=5), 50)
    fails('it is missing behind a known one', history.check, held(a=2, d=5), 50)


def promotion_case(_):
    """What the new leader does not have is lost, and nowhere but in folders
    that were left behind."""
    history = three()
    lost = history.fork_off(held(a=2, b=2), 25, 1000)
    expect_equal([write.sequence for write in lost], [30], 'lost')
    history.send(Write({b'w/c': 9}, DURABLE))
    history.stands(1001)
    history.check(held(a=1), 12)
    history.check(held(a=2, b=2, c=9), 1001)
    history.check(held(a=2), 30)  # at the old leader
    fails('what was lost came back', history.check, held(a=2, c=9), 1001)
    fails('half of what was lost', history.check, held(a=2, b=2), 30)
    history.forget(1001)
    history.check(held(a=2, b=2, c=9), 1001)
    expect_equal(history.content(), held(a=2, b=2, c=9), 'content')


def left_behind_case(_):
    """A second promotion takes the node that the first one had passed over."""
    history = three()
    history.fork_off(held(a=2, b=2), 25, 1000)
    history.send(Write({b'w/c': 9}, DURABLE))
    history.stands(1001)
    lost = history.fork_off(held(a=2), 30, 2000)
    expect_equal([write.sequence for write in lost], [1001], 'lost')
    history.check(held(a=2, b=2, c=9), 1001)  # of the leader in between
    history.check(held(a=2), 2000)


def replica_case(_):
    """A write with a replica is never among the lost."""
    fails('a write with a replica is lost', three().fork_off, held(a=1), 21,
          1000)
    history = written((10, DURABLE, {'a': 1}), (None, REPLICATED, {'a': 2}))
    history.settle(held(a=2))
    lost = history.fork_off(held(a=1), 10, 1000)
    expect_equal(len(lost), 1, 'lost, never acknowledged')


def order_case(_):
    history = three()
    history.send(Write({b'w/c': 4}, DURABLE))
    fails('sequences that do not ascend', history.stands, 30)


def strays_case(_):
    check_strays([three()], held(a=1))
    fails('a key of nobody', check_strays, [three()], {b'x': b''})


def main():
    suite = Suite()
    suite.run('folders at a sequence', folders_case)
    suite.run('a leader that was killed', killed_case)
    suite.run('a sequence that nobody knows', unknown_case)
    suite.run('a promotion', promotion_case)
    suite.run('a promotion of what was left behind', left_behind_case)
    suite.run('a write with a replica', replica_case)
    suite.run('sequences', order_case)
    suite.run('keys', strays_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
