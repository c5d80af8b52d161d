"""Whether a history of requests is linearizable: one order of all of them
explains every answer and agrees with real time.

The order need not be searched for. The server's sequence numbers are that of
its writes, and a read says which sequence it saw; so each request has its
place, and what is left is to hold the answers and the clock to it:

- the numbers of the writes follow one another without gap or double, and each
  write takes as many as it says: nothing was written that nobody answers for;
- the conditions of a write were true at its place, and its ranges deleted what
  lived there;
- a read saw no half of a batch, and each of its items is what the writes up to
  there leave;
- a request whose place is after another's was not answered before that one was
  sent.

A refused condition (412) has no number. Its answer names the state that it
met, which stood for one or more stretches of the order: it must have stood at
a place where the clock lets the request be. With one such place the request is
held to the clock like the others; with several it is not.

Places are twice a sequence: 2 * last is a write, and 2 * seen + 1 is between
that write and the next, where reads are.
"""
import bisect
import collections
import itertools
import math

from leveld import Failure, short

# call, ret: the clock, in any unit, when the request was sent and when its
# answer was there. None on a Read or a Page: it is of a snapshot, and its
# content alone is checked.

# ops: ('put', key, value), ('delete', key), ('delete-range', start, end), the
# range with None for no bound. last, count: as the answer has them.
Write = collections.namedtuple('Write', 'call ret ops conditions last count')
# index: of the condition that failed, None: any of them, all on one key.
# current: what the answer says of the key, a sequence or None.
Refused = collections.namedtuple('Refused',
                                 'call ret conditions index current')
# seen: the sequence of the view. items: (key, None or (sequence, value)), with
# None for a value that was not read.
Read = collections.namedtuple('Read', 'call ret seen items')
# The range [start, end), None: open. more: the answer says that more follows.
Page = collections.namedtuple(
    'Page', 'call ret seen start end limit reverse items more')

# kind: 'in' and 'not-in' (of sequences), 'present', 'absent'.
Condition = collections.namedtuple('Condition', 'kind key sequences',
                                   defaults=((),))

# place: where it stands; value None: deleted.
Version = collections.namedtuple('Version', 'place sequence value')

# A request in the order: somewhere from start to end, when the clock lets it.
Mark = collections.namedtuple('Mark', 'start end call ret what')


class NotLinearizable(Failure):
    """No order explains the history; the text says which request shows it."""


def need(is_true, text, *operations):
    if not is_true:
        raise NotLinearizable('\n'.join([text, *map(short, operations)]))


def holds(condition, version):
    """version: None or a deleted one for a key without a value."""
    if version is None or version.value is None:
        return condition.kind in ('absent', 'not-in')
    if condition.kind in ('in', 'not-in'):
        return (version.sequence in condition.sequences) == \
            (condition.kind == 'in')
    return condition.kind == 'present'


def current_of(version):
    """As a 412 says it."""
    return None if version is None or version.value is None \
        else version.sequence


def is_within(key, start, end):
    return (start is None or key >= start) and (end is None or key < end)


class Contents:
    """All versions of all keys, by their places."""

    def __init__(self):
        self.versions = collections.defaultdict(list)  # of a key, ascending

    def add(self, key, version):
        self.versions[key].append(version)

    def index_at(self, key, place):
        """Of the newest version before that place; -1: none."""
        return bisect.bisect_left(self.versions.get(key, ()), place,
                                  key=lambda version: version.place) - 1

    def at(self, key, place):
        index = self.index_at(key, place)
        return None if index < 0 else self.versions[key][index]

    def live(self, place, start, end):
        """(key, version) of a range, ascending."""
        found = ((key, self.at(key, place)) for key in sorted(self.versions)
                 if is_within(key, start, end))
        return [(key, version) for key, version in found
                if version is not None and version.value is not None]

    def stretches(self, key, test, low, high):
        """[first, last place] where test(version) holds, of places between
        low and high that are no write's."""
        found = []
        versions = self.versions.get(key, [])
        index = self.index_at(key, low) if low > -math.inf else -1
        first = low
        while first <= high:
            end = versions[index + 1].place - 1 \
                if index + 1 < len(versions) else math.inf
            if end >= first and test(versions[index] if index >= 0 else None):
                found.append((first, min(end, high)))
            index += 1
            if index == len(versions):
                break
            first = max(first, versions[index].place + 1)
        return found


def intersect(left, right):
    """Of two ascending lists of stretches."""
    both = ((max(a[0], b[0]), min(a[1], b[1])) for a in left for b in right)
    return [(first, last) for first, last in both if first <= last]


# ---- the writes ----

def replay(writes, base):
    """What they leave, each held to its number and conditions. The contents,
    and the places between writes where a read can be."""
    contents, gaps, last = Contents(), {base}, base
    for write in sorted(writes, key=lambda w: (w.last, w.count == 0)):
        need(write.last - write.count == last,
             f'after sequence {last} comes a write that begins after '
             f'{write.last - write.count}: numbers given out twice, or never '
             'answered for', write)
        for condition in write.conditions:
            version = contents.at(condition.key, 2 * last + 1)
            need(holds(condition, version),
                 f'written, but the condition {condition} was false: the key '
                 f'had {short(version)}', write)
        last = apply_write(contents, write, last)
        gaps.add(last)
    return contents, gaps


def apply_write(contents, write, last):
    place = 2 * write.last
    for op in write.ops:
        if op[0] == 'delete-range':
            # After the write's own earlier operations.
            changes = [(key, None) for key, _ in
                       contents.live(place + 1, op[1], op[2])]
        else:
            changes = [(op[1], op[2] if op[0] == 'put' else None)]
        for key, value in changes:
            last += 1
            contents.add(key, Version(place, last, value))
    need(last == write.last, f'the answer ends at {write.last}, its '
         f'operations at {last}', write)
    return last


# ---- the reads ----

def check_item(read, key, item, version):
    expected = current_of(version)
    if item is None:
        need(expected is None,
             f'{key!r} is not there, after {short(version)} was written', read)
        return
    need(item[0] == expected,
         f'{key!r} is at {item[0]}, and should be at {expected}', read)
    need(item[1] is None or item[1] == version.value,
         f'{key!r} at {item[0]} has {short(item[1])}, written was '
         f'{short(version.value)}', read)


def check_read(contents, gaps, read):
    need(read.seen in gaps, f'sequence {read.seen} was seen, which is not the '
         'end of any write: half a batch, or a write that nobody sent', read)
    place = 2 * read.seen + 1
    if isinstance(read, Read):
        for key, item in read.items:
            check_item(read, key, item, contents.at(key, place))
        return
    expected = contents.live(place, read.start, read.end)
    if read.reverse:
        expected.reverse()
    cut = expected if read.limit is None else expected[:read.limit]
    need([key for key, _ in read.items] == [key for key, _ in cut],
         f'the page should have {[key for key, _ in cut]}', read)
    for (key, item), (_, version) in zip(read.items, cut):
        check_item(read, key, item, version)
    need(read.more == (len(cut) < len(expected)),
         f'more follows: {len(cut) < len(expected)}', read)


# ---- the clock ----

def check_clock(marks):
    """No request stands behind one that was sent after its answer."""
    by_end = sorted(marks, key=lambda mark: mark.end)
    newest, index = None, 0  # of those before: the one that was sent last
    for mark in sorted(marks, key=lambda m: m.start):
        while index < len(by_end) and by_end[index].end < mark.start:
            if newest is None or by_end[index].call > newest.call:
                newest = by_end[index]
            index += 1
        need(newest is None or newest.call <= mark.ret,
             f'at {mark.ret} the second was answered, at '
             f'{newest and newest.call} the first was sent, but it stands '
             'before the second', newest and newest.what, mark.what)


class Windows:
    """Where in the order a request without a number may be, by the clock."""

    def __init__(self, marks):
        marks = sorted(marks, key=lambda mark: mark.start)
        self.places = [mark.start for mark in marks]
        # The latest call of these and those before, the earliest answer of
        # these and those behind: both ascend.
        self.calls = list(itertools.accumulate((m.call for m in marks), max))
        self.rets = list(itertools.accumulate(
            (m.ret for m in reversed(marks)), min))[::-1]

    def of(self, operation):
        """First and last place, both odd or infinite."""
        behind = bisect.bisect_left(self.rets, operation.call)
        before = bisect.bisect_right(self.calls, operation.ret)
        low = self.places[behind - 1] if behind > 0 else -math.inf
        high = self.places[before] if before < len(self.places) else math.inf
        return (low + 1 if low % 2 == 0 else low,
                high - 1 if high % 2 == 0 else high)


def places_of_refusal(contents, refused, low, high):
    """Stretches between low and high whose state explains the 412."""
    index = refused.index
    key = refused.conditions[index or 0].key
    failing = refused.conditions if index is None \
        else refused.conditions[index:index + 1]
    stretches = contents.stretches(
        key, lambda version: current_of(version) == refused.current and
        not all(holds(condition, version) for condition in failing), low, high)
    for condition in refused.conditions[:index or 0]:
        stretches = intersect(stretches, contents.stretches(
            condition.key,
            lambda version, condition=condition: holds(condition, version),
            low, high))
    return stretches


def check_refusals(contents, refusals, marks):
    """The marks of those that can be at one place alone."""
    windows = Windows(marks)
    found = []
    for refused in refusals:
        low, high = windows.of(refused)
        stretches = places_of_refusal(contents, refused, low, high)
        need(stretches, 'a 412 that the state never justified while the '
             f'request ran, which was between {low / 2} and {high / 2}',
             refused)
        if len(stretches) == 1:
            found.append(Mark(*stretches[0], refused.call, refused.ret,
                              refused))
    return found


# ---- all ----

def check(operations, base=0):
    """Raises NotLinearizable. base: the sequence before the first of them, of
    an empty database. What the writes leave, as {key: (sequence, value)}."""
    of_kind = collections.defaultdict(list)
    for operation in operations:
        of_kind[type(operation)].append(operation)
    contents, gaps = replay(of_kind[Write], base)
    marks = []
    for write in of_kind[Write]:
        # Without operations it is a read of the sequence it answers with.
        place = 2 * write.last + (write.count == 0)
        marks.append(Mark(place, place, write.call, write.ret, write))
    for read in of_kind[Read] + of_kind[Page]:
        check_read(contents, gaps, read)
        if read.call is not None:
            place = 2 * read.seen + 1
            marks.append(Mark(place, place, read.call, read.ret, read))
    check_clock(marks)
    marks += check_refusals(contents, of_kind[Refused], marks)
    check_clock(marks)
    return {key: (version.sequence, version.value) for key, version in
            contents.live(math.inf, None, None)}
