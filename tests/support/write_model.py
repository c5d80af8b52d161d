"""What one client's writes leave in a folder whose last sequence is known:
the leader's, a follower's behind it, or that of a node which led and was
passed over; whole, or as kill -9 left it.

A client has keys of its own and one connection, so its writes stand in the
order in which they were sent, and their sequences ascend. What it has to find
again is then exact: with the last sequence of a folder goes one prefix of its
writes, each of them whole. Only where the connection was cut are sequences
unknown: such a write may be the last one or not, wholly.

A promotion ends a line of writes: what the new leader does not have is lost,
but for those who had it, whose folders are in the gap between the last sequence
that the new leader found and its epoch's base. A write that was acknowledged
with replicas=1 may never be among the lost.
"""
import collections
import threading

from leveld import Failure, expect, short

# What an acknowledgement promises.
LOOSE = 'loose'            # sync=false
DURABLE = 'durable'        # survives its leader's crash
REPLICATED = 'replicated'  # a follower has it too

# The writes that a node had when another one was promoted that stood at fork;
# base is the new epoch's. All that has a sequence in between is one of these.
Branch = collections.namedtuple('Branch', 'fork base writes')


class Write:
    """ops: {key: token of its value, or None}; sequence: of its last operation,
    None as long as nobody has said."""
    __slots__ = ('ops', 'kind', 'sequence')

    def __init__(self, ops, kind):
        self.ops = ops
        self.kind = kind
        self.sequence = None


class History:
    """Of the client whose keys begin with prefix; value_of(token): the bytes
    of a value. Writes that are under way at one time have no key in common.

    One thread sends and hears, another one looks at folders: both lock."""

    def __init__(self, prefix, value_of):
        self.prefix = prefix
        self.value_of = value_of
        self.lock = threading.Lock()
        self.base = {}      # what was forgotten, as a state
        self.writes = []    # that stand, after it
        self.now = {}       # the state after them
        self.pending = collections.deque()  # sent and not answered
        self.branches = []
        self.sent = 0
        self.settled = 0    # of them: answered, or known by what was found

    # ---- the client ----

    def send(self, write):
        with self.lock:
            self.pending.append(write)
            self.sent += 1

    def stands(self, sequence, kind=None):
        """The oldest one under way was acknowledged. kind: when that is less
        than it had asked for."""
        with self.lock:
            write = self.pending.popleft()
            last = next((w.sequence for w in reversed(self.writes)
                         if w.sequence is not None), 0)
            expect(sequence > last, f'{self.prefix!r}: sequence {sequence} '
                                    f'was answered after {last}')
            write.sequence = sequence
            write.kind = kind or write.kind
            self.add(write)

    def is_nothing(self):
        """The oldest one under way was refused, or had nothing to do."""
        with self.lock:
            self.pending.popleft()
            self.settled += 1

    def add(self, write):
        self.writes.append(write)
        apply(self.now, write)
        self.settled += 1

    # ---- what a folder holds ----

    def mine(self, content):
        return {key: value for key, value in content.items()
                if key.startswith(self.prefix)}

    def difference(self, state, found):
        """None, or the first key in which found is not the state."""
        for key in sorted(state.keys() | found.keys()):
            token = state.get(key)
            value = None if token is None else self.value_of(token)
            if found.get(key) != value:
                return (f'{key!r}: {short_value(value)} was written, there is '
                        f'{short_value(found.get(key))}')
        return None

    def settle(self, found):
        """The leader was killed, and found is what its folder holds: all that
        it had acknowledged, and of what was under way each write or nothing of
        it."""
        with self.lock:
            expected = dict(self.now)
            while self.pending:
                write = self.pending.popleft()
                if self.has_come(write, found):
                    self.add(write)
                    apply(expected, write)
                else:
                    self.settled += 1
            self.raise_difference(expected, found, 'after its kill')

    def has_come(self, write, found):
        """False also of one that changes nothing."""
        there = {key: found.get(key) for key in write.ops}
        before = {key: self.bytes_of(self.now.get(key)) for key in write.ops}
        after = {key: self.bytes_of(token)
                 for key, token in write.ops.items()}
        if there == before:
            return False
        if there == after:
            return True
        raise Failure(f'a write without an answer stands by half: before '
                      f'{short(before)}, asked {short(after)}, there is '
                      f'{short(there)}')

    def bytes_of(self, token):
        return None if token is None else self.value_of(token)

    def raise_difference(self, state, found, what):
        difference = self.difference(state, found)
        if difference is not None:
            raise Failure(f'{what}: {difference}')

    def line(self, last):
        """The writes that went before a last sequence, and those after them."""
        for branch in self.branches:
            if branch.fork < last < branch.base:
                return branch.writes
        return self.writes

    def count_at(self, found, last):
        """How many writes of line(last) found holds: those up to last. Locked
        by the caller."""
        line = self.line(last)
        least, most = bounds(line, last)
        state = self.state_after(line[:least])
        first = None
        for count in range(least, most + 1):
            if count > least:
                apply(state, line[count - 1])
            difference = self.difference(state, found)
            if difference is None:
                return count
            first = first or difference
        raise Failure(f'not what there was at sequence {last}, {least} to '
                      f'{most} of {len(line)} writes: {first}')

    def check(self, found, last):
        """found is what there was at last. Nothing that was sent when it was
        copied is under way any more."""
        with self.lock:
            self.count_at(found, last)

    def state_after(self, writes):
        state = dict(self.base)
        for write in writes:
            apply(state, write)
        return state

    # ---- what becomes of it ----

    def fork_off(self, found, fork, base):
        """A node was promoted that holds found, up to the sequence fork; its
        epoch's base is base. Nothing is under way. The writes that are lost by
        it."""
        with self.lock:
            expect(not self.pending, 'a write is under way')
            count = self.count_at(found, fork)
            kept = self.line(fork)[:count]
            known = set(map(id, kept))
            lost = [w for w in self.writes if id(w) not in known]
            for write in lost:
                expect(write.kind != REPLICATED or write.sequence is None,
                       f'sequence {write.sequence} was acknowledged with a '
                       f'replica, and a promotion at {fork} has lost it')
            self.branches.append(Branch(fork, base, self.writes))
            self.writes = kept
            self.now = self.state_after(kept)
            return lost

    def forget(self, last):
        """All nodes hold what was written up to last, and nothing that was
        lost."""
        with self.lock:
            count, _ = bounds(self.writes, last)
            for write in self.writes[:count]:
                apply(self.base, write)
            self.writes = self.writes[count:]
            self.branches = []

    def content(self):
        """All its entries, as bytes."""
        with self.lock:
            return {key: self.value_of(token)
                    for key, token in self.now.items()}


def apply(state, write):
    for key, token in write.ops.items():
        if token is None:
            state.pop(key, None)
        else:
            state[key] = token


def bounds(writes, last):
    """How many of them are in a folder that ends with last, at least and at
    most."""
    least = 0
    for i, write in enumerate(writes):
        if write.sequence is None:
            continue
        if write.sequence > last:
            return least, i
        least = i + 1
    return least, len(writes)


def short_value(value):
    if value is None:
        return 'nothing'
    return f'{len(value)} bytes {value[:24]!r}'


def check_strays(histories, content):
    """Every key is one that somebody writes."""
    prefixes = tuple(history.prefix for history in histories)
    strays = [key for key in content if not key.startswith(prefixes)]
    expect(not strays, f'keys that nobody wrote: {strays[:3]}')
