#!/usr/bin/env python3
"""A leader and its follower, and what comes between them: a cable that is
pulled, that lets one way through, or is slow; connections that are late and
break; a follower that is frozen for longer than journals are kept for it; a
disk that is full, on either side.

Each time: what both say of it, to whom asks for health, figures and logs; the
follower answers reads, and writes within a bounded time; what the leader keeps
is bounded; and when it is over, nobody has to do anything for the folders to be
the same to the byte, with all that was acknowledged in them.

Nodes in network namespaces and disks of their own take root: without it those
cases are skipped. LEVELD_CUTS_SECONDS: how long cuts of all kinds follow on
each other at random (4); LEVELD_CUTS_SEED chooses them.
"""
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (Client, Failure, Server, Skip, Suite, expect, expect_equal,
                    is_sanitized, wait_until)
from netns import Net, Node
from tcp_proxy import TcpProxy
from twins import disk_bytes, wait_for_twins

MIB = 1 << 20
# Small memtables: a journal every few writes. A node is asked for its disk's
# reserve in the cases that fill it.
FLAGS = ('--write-buffer', '64KiB', '--sync-interval', '5ms',
         '--disk-reserve', '0')
FOLLOWS = ('--role', 'follower', '--max-lag', '1s')
# Seconds that a forwarded write may take, whatever happens to the leader: the
# longest silence in it, and some for a busy machine.
WRITE_LIMIT = 90
# Bytes that a leader may grow by: memtables, caches, and what a slow follower
# has not taken.
GROWTH = 64 * MIB
SECONDS = float(os.environ.get('LEVELD_CUTS_SECONDS', '4'))
SEED = int(os.environ.get('LEVELD_CUTS_SEED', str(random.randrange(1 << 32))))


# ---- what nodes say ----

def ask(server, path):
    with Client(server) as client:
        answer = client.get(path)
    expect_equal(answer.status, 200, path)
    return answer.json()


def unready(server):
    """Of /readyz; {}: it is ready."""
    with Client(server) as client:
        answer = client.get('/readyz')
    return {} if answer.status == 200 else answer.json()


def slot_of(leader):
    """What the leader says of its only follower."""
    items = ask(leader, '/v1/replication/followers')['items']
    expect_equal(len(items), 1, 'followers')
    return items[0]


def figures(server):
    return ask(server, '/stats')['replication']


def lagging(follower):
    problem = unready(follower)
    return problem if problem.get('reason') == 'lagging' else None


def wait_lagging(follower):
    problem = wait_until('it says that it lags', lambda: lagging(follower))
    expect_equal(problem['type'], '/problems/lagging', 'type')
    expect('--max-lag' in problem['detail'], f'{problem}')
    return problem


# ---- writes ----

class Written:
    """What was acknowledged, what was refused, and what is in doubt."""

    def __init__(self):
        self.done = {}
        self.refused = {}
        self.doubtful = {}

    def put(self, server, key, value, query=''):
        """At that node; the answer."""
        with Client(server) as client:
            answer = client.put(key, value, query)
        if answer.status == 204:
            self.done[key] = value
        elif answer.status == 504 or answer.problem() == 'outcome-unknown':
            self.doubtful.setdefault(key, []).append(value)
        else:
            self.refused[key] = value
        return answer

    def fill(self, server, prefix, count, size, keys=None):
        """So many random values, of `keys` different keys."""
        with Client(server) as client:
            for i in range(count):
                key = b'%s%06d' % (prefix, i % (keys or count))
                value = os.urandom(size)
                # Only the last one waits for the disk.
                answer = client.put(key, value, '' if i == count - 1
                                    else '?sync=false')
                expect_equal(answer.status, 204, f'PUT {key}')
                self.done[key] = value

    def check(self, *servers):
        """All that was acknowledged is there, and nothing that was refused."""
        for server in servers:
            with Client(server) as client:
                content = dict(client.ndjson())
            for key, value in self.done.items():
                expect(content.get(key) in
                       [value] + self.doubtful.get(key, []),
                       f'{key} was acknowledged, and is not there')
            for key in content.keys() - self.done.keys():
                expect(key in self.doubtful, f'{key} was refused, and is there')


def timed_put(written, follower, key):
    """A write sent to a follower whose leader cannot be reached."""
    begun = time.monotonic()
    answer = written.put(follower, key, b'sent on')
    took = time.monotonic() - begun
    expect(took < WRITE_LIMIT, f'a write took {took:.0f} s')
    expect((answer.status, answer.problem()) in
           [(503, 'no-leader'), (504, 'outcome-unknown')], f'{answer}')
    if answer.status == 503:
        expect('retry-after' in answer.headers, 'no Retry-After')
    return answer


def check_without_leader(written, follower):
    """It answers reads from what it has, and says that it may be old."""
    key, value = next(iter(written.done.items()))
    with Client(follower) as client:
        answer = client.get('/v1/kv/' + key.decode())
        expect_equal((answer.status, answer.body), (200, value), 'a read')
        ahead = str(answer.sequence() + 1000000)
        answer = client.get('/v1/kv/' + key.decode(),
                            {'Leveld-Min-Sequence': ahead,
                             'Leveld-Timeout': '100ms'})
    expect_equal((answer.status, answer.problem()), (503, 'lagging'),
                 'a read of what is not there yet')


def check_unreplicated(written, leader, key):
    """The leader writes on; who asks for a follower is told that there is
    none."""
    answer = written.put(leader, key + b'-alone', b'1')
    expect_equal(answer.status, 204, 'a write at the leader')
    with Client(leader) as client:
        answer = client.request('PUT', f'/v1/kv/{key.decode()}-both?replicas=1',
                                b'1', {'Leveld-Timeout': '200ms'})
    expect_equal((answer.status, answer.problem()), (504, 'replicas-timeout'),
                 'a write for two')
    written.done[key + b'-both'] = b'1'  # 504 says: written here


def wait_dead(leader):
    """The leader knows that nothing comes from its follower."""
    wait_until('the leader misses it', lambda: not slot_of(leader)['alive'])
    expect_equal(slot_of(leader)['lost'], False, 'lost')
    expect_equal(figures(leader)['followers_alive'], 0, 'followers_alive')
    expect_equal(figures(leader)['followers'], 1, 'followers')


def finish(written, leader, follower):
    """Nothing is in the way any more."""
    wait_until('the follower is ready', lambda: not unready(follower))
    wait_until('the leader hears it', lambda: slot_of(leader)['alive'])
    wait_for_twins(leader, follower)
    written.check(leader, follower)


class Memory:
    """That of a server does not grow beyond a bound."""

    def __init__(self, server):
        self.server = server
        server.forget_peak()
        self.before = server.memory('VmRSS')

    def check(self):
        grown = self.server.memory('VmHWM') - self.before
        expect(is_sanitized() or grown < GROWTH, f'{grown} bytes more')
        return grown


# ---- cables ----

@contextlib.contextmanager
def cabled(folder):
    """(net, leader, follower, what was written), level with each other; twins
    at the end."""
    written = Written()
    data = [os.path.join(folder, name) for name in ('leader', 'follower')]
    with Net(2) as net:
        with Node(net, 0, data[0], *FLAGS) as leader, \
                Node(net, 1, data[1], *FLAGS, *FOLLOWS, '--leader',
                     net.url(0)) as follower:
            written.fill(leader, b'before', 200, 100)
            wait_for_twins(leader, follower)
            yield net, leader, follower, written
            finish(written, leader, follower)


def unplugged_case(folder):
    with cabled(folder) as (net, leader, follower, written):
        net.unplug(0)
        wait_lagging(follower)
        timed_put(written, follower, b'unplugged')
        check_without_leader(written, follower)
        check_unreplicated(written, leader, b'unplugged')
        wait_dead(leader)
        why = wait_until('its log says why', lambda: [
            line for line in follower.log().splitlines()
            if 'event=following state="waiting"' in line and net.url(0) in line
            and 'why=' in line])
        net.plug(0)
    return why[0].partition('why=')[2]


def one_way_case(folder, direction):
    with cabled(folder) as (net, leader, follower, written):
        net.drop(1, direction)
        check_unreplicated(written, leader, b'one-way')
        wait_lagging(follower)
        timed_put(written, follower, b'one-way')
        check_without_leader(written, follower)
        wait_dead(leader)
        net.let(1)


def slow_case(folder):
    with cabled(folder) as (net, leader, follower, written):
        memory = Memory(leader)
        net.slow_down(0, '2mbit')
        written.fill(leader, b'slow', 500, 5000)
        wait_until('the leader sees the lag', lambda: (
            slot_of(leader)['lag']['bytes'] > 0 and
            slot_of(leader)['lag']['us'] > 0 and slot_of(leader)['alive']))
        expect(figures(leader)['lag_bytes'] > 0, 'no lag in /stats')
        wait_lagging(follower)
        answer = written.put(follower, b'through the slow one', b'1')
        expect_equal(answer.status, 204, 'a write through it')
        net.speed_up(0)
        wait_until('it is ready', lambda: not unready(follower))
        grown = memory.check()
    return f'{grown >> 20} MiB more at the leader'


# ---- connections ----

def lossy_case(folder):
    """Late, and broken again and again."""
    data = [os.path.join(folder, name) for name in ('leader', 'follower')]
    written = Written()
    with Server(data[0], *FLAGS) as leader, \
            TcpProxy('127.0.0.1', leader.port, delay_s=0.01,
                     seed=SEED) as proxy:
        with Server(data[1], *FLAGS, *FOLLOWS, '--leader',
                    f'http://127.0.0.1:{proxy.port}') as follower:
            proxy.cut_chance = 0.03
            for i in range(20):
                written.fill(leader, b'lossy%d-' % i, 50, 2000)
            wait_until('connections broke', lambda: proxy.cuts > 20)
            proxy.cut_chance = 0.0
            finish(written, leader, follower)
            expect('state="waiting"' in follower.log(), 'its log says nothing')
        cuts = proxy.cuts
        check_without_one(data[1], leader)
    return f'{cuts} of {proxy.accepted} connections broken, seed {SEED}'


def check_without_one(data, leader):
    """A follower that starts while its leader is away answers reads, and says
    that it may be old."""
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(TcpProxy('127.0.0.1', leader.port))
        proxy.is_closed = True
        follower = stack.enter_context(
            Server(data, *FLAGS, *FOLLOWS, '--leader',
                   f'http://127.0.0.1:{proxy.port}'))
        wait_lagging(follower)
        with Client(follower) as client:
            expect_equal(client.get('/v1/kv/lossy0-000000').status, 200, 'GET')
        proxy.is_closed = False
        wait_until('it is ready', lambda: not unready(follower))


def silent_case(folder):
    """Connections are open, and nothing moves on them."""
    data = [os.path.join(folder, name) for name in ('leader', 'follower')]
    written = Written()
    with Server(data[0], *FLAGS) as leader, \
            TcpProxy('127.0.0.1', leader.port) as proxy, \
            Server(data[1], *FLAGS, *FOLLOWS, '--leader',
                   f'http://127.0.0.1:{proxy.port}') as follower:
        written.fill(leader, b'before', 50, 100)
        wait_for_twins(leader, follower)
        proxy.is_silent = True
        wait_lagging(follower)
        check_without_leader(written, follower)
        check_unreplicated(written, leader, b'silent')
        wait_dead(leader)
        proxy.is_silent = False
        finish(written, leader, follower)


# ---- a follower that does nothing ----

def frozen_case(folder):
    """For longer than journals are kept for it: its slot is lost, the leader's
    disk is bounded, and once it runs again it has all anew by itself."""
    data = [os.path.join(folder, name) for name in ('leader', 'follower')]
    written = Written()
    bound = 6 * MIB
    with Server(data[0], *FLAGS, '--slot-bytes', '1MiB', '--archive-bytes',
                '4MiB', '--archive-min-age', '0s') as leader, \
            Server(data[1], *FLAGS, *FOLLOWS, '--leader',
                   f'http://127.0.0.1:{leader.port}') as follower:
        written.fill(leader, b'before', 100, 1000)
        wait_for_twins(leader, follower)
        memory = Memory(leader)
        os.kill(follower.pid(), signal.SIGSTOP)
        try:
            peak = 0
            for _ in range(8):
                written.fill(leader, b'meanwhile', 100, 10000, keys=50)
                peak = max(peak, disk_bytes(data[0]))
            expect(peak < bound, f'{peak} bytes of disk')
            wait_until('it is lost', lambda: slot_of(leader)['lost'])
            wait_until('it is missed', lambda: not slot_of(leader)['alive'])
            slot = slot_of(leader)
            expect_equal((slot['alive'], slot['journal'], slot['kept_bytes']),
                         (False, 0, 0), 'its slot')
            said = figures(leader)
            expect_equal((said['followers_lost'], said['slots_lost'],
                          said['followers_alive']), (1, 1, 0), '/stats')
            wait_until('the log says so',
                       lambda: 'event=follower-lost' in leader.log())
        finally:
            os.kill(follower.pid(), signal.SIGCONT)
        finish(written, leader, follower)
        wait_until('it is found', lambda: not slot_of(leader)['lost'])
        expect('event=rebuilt' in follower.log(), 'it was not rebuilt')
        wait_until('the log says so',
                   lambda: 'event=follower-found' in leader.log())
        grown = memory.check()
    return (f'at most {peak >> 10} KiB of disk and {grown >> 20} MiB more '
            'memory at the leader, for 8 MB written')


# ---- disks ----

@contextlib.contextmanager
def disk(folder, name, size):
    """A file system of so many MiB."""
    if os.geteuid() != 0:
        raise Skip('a disk of its own takes root')
    path = os.path.join(folder, name)
    os.mkdir(path)
    done = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={size}m,mode=0755', 'tmpfs',
         path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f'no tmpfs can be mounted: {done.stderr.strip()}')
    try:
        yield path
    finally:
        # Of a server that was just killed a file may be open for a moment.
        subprocess.run(['umount', '--lazy', path], check=False)


def free_bytes(path):
    of = os.statvfs(path)
    return of.f_bavail * of.f_frsize


class Ballast:
    """Takes the room on a disk, all but `left` bytes."""

    def __init__(self, path, left):
        self.path = os.path.join(path, 'ballast')
        with open(self.path, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, free_bytes(path) - left)

    def throw(self):
        os.unlink(self.path)


def follower_full_case(folder):
    written = Written()
    leader_data = os.path.join(folder, 'leader')
    with disk(folder, 'disk', 64) as mounted:
        data = os.path.join(mounted, 'follower')
        with Server(leader_data, *FLAGS) as leader, \
                Server(data, *FLAGS, '--disk-reserve', '1MiB', *FOLLOWS,
                       '--leader', f'http://127.0.0.1:{leader.port}',
                       log=os.path.join(folder, 'follower-log')) as follower:
            written.fill(leader, b'before', 100, 1000)
            wait_for_twins(leader, follower)
            ballast = Ballast(mounted, 2 * MIB)
            written.fill(leader, b'full', 400, 10000)
            problem = wait_until('it says that its disk is full', lambda: (
                unready(follower).get('reason') == 'disk-full' and
                unready(follower)))
            expect_equal(problem['type'], '/problems/disk-full', 'type')
            wait_until('its log says so', lambda: 'No space' in follower.log())
            with Client(follower) as client:
                expect_equal(client.get('/v1/kv/before000000').status, 200,
                             'a read of it')
            check_unreplicated(written, leader, b'full')
            expect(slot_of(leader)['lag']['bytes'] > 0, 'no lag at the leader')
            ballast.throw()
            finish(written, leader, follower)


def leader_full_case(folder):
    written = Written()
    follower_data = os.path.join(folder, 'follower')
    with disk(folder, 'disk', 96) as mounted:
        data = os.path.join(mounted, 'leader')
        with Server(data, *FLAGS, '--archive-bytes', '1MiB',
                    log=os.path.join(folder, 'leader-log')) as leader, \
                Server(follower_data, *FLAGS, *FOLLOWS, '--leader',
                       f'http://127.0.0.1:{leader.port}') as follower:
            written.fill(leader, b'before', 100, 1000)
            wait_for_twins(leader, follower)
            ballast = Ballast(mounted, 2 * MIB)
            refused = fill_up(written, leader)
            problem = wait_until('it says so', lambda: unready(leader))
            expect_equal((problem['reason'], problem['type']),
                         ('disk-full', '/problems/disk-full'), '/readyz')
            wait_until('its log says so', lambda: 'disk-full' in leader.log())
            answer = written.put(follower, b'sent on', os.urandom(10000))
            expect_equal((answer.status, answer.problem()), (507, 'disk-full'),
                         'a write at the follower')
            with Client(leader) as client:
                expect_equal(client.get('/v1/kv/before000000').status, 200,
                             'a read of it')
            written.check(leader)
            wait_until('the follower has what stands', lambda: (
                slot_of(leader)['lag']['sequences'] == 0))
            written.check(follower)
            ballast.throw()
            wait_until('writes go on', lambda: written.put(
                leader, b'after', b'1').status == 204)
            wait_until('it is ready', lambda: not unready(leader))
            # Flushes that failed are tried again after a pause.
            wait_until('its log says so', lambda: 'health="healthy"' in
                       leader.log().rpartition('event=health ')[2])
            finish(written, leader, follower)
    return f'{refused} writes refused'


def fill_up(written, leader):
    """Writes until there is no room; how many were refused."""
    for i in range(2000):
        answer = written.put(leader, b'full%06d' % i, os.urandom(10000))
        if answer.status == 204:
            continue
        expect_equal((answer.status, answer.problem()), (507, 'disk-full'),
                     'a write without room')
        if len(written.refused) == 20:
            return 20
    raise Failure('20 MB went onto a disk of 2')


# ---- one after the other, at random ----

class Writing(threading.Thread):
    """Puts at a node until it is told to end, and knows what came of it."""

    def __init__(self, server, prefix):
        super().__init__(daemon=True)
        self.server = server
        self.prefix = prefix
        self.written = Written()
        self.is_ending = threading.Event()
        self.failure = None

    def run(self):
        count = 0
        try:
            while not self.is_ending.is_set():
                answer = self.written.put(
                    self.server, b'%s%06d' % (self.prefix, count),
                    os.urandom(random.randrange(2000)))
                expect(answer.status in (204, 503, 504), f'{answer}')
                count += 1
                if answer.status != 204:
                    time.sleep(0.01)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def end(self):
        self.is_ending.set()
        self.join(2 * WRITE_LIMIT)
        expect(not self.is_alive(), 'a write hangs')
        if self.failure is not None:
            raise self.failure


def cut_at_random(net, follower, chance):
    """One cut of any kind, for a moment."""
    kind = chance.choice(['unplugged', 'input', 'output', 'slow', 'frozen'])
    node = chance.randrange(2)
    pause = chance.uniform(0.1, 2.0)
    if kind == 'unplugged':
        net.unplug(node)
        time.sleep(pause)
        net.plug(node)
    elif kind == 'slow':
        net.slow_down(node, '1mbit')
        time.sleep(pause)
        net.speed_up(node)
    elif kind == 'frozen':
        os.kill(follower.pid(), signal.SIGSTOP)
        time.sleep(pause)
        os.kill(follower.pid(), signal.SIGCONT)
    else:
        net.drop(node, kind)
        time.sleep(pause)
        net.let(node)
    return kind


def random_case(folder):
    chance = random.Random(SEED)
    kinds = []
    with cabled(folder) as (net, leader, follower, written):
        memory = Memory(leader)
        end = time.monotonic() + SECONDS
        while not kinds or time.monotonic() < end:
            writers = [Writing(leader, b'l%d-' % len(kinds)),
                       Writing(follower, b'f%d-' % len(kinds))]
            for writer in writers:
                writer.start()
            for _ in range(chance.randrange(1, 4)):
                kinds.append(cut_at_random(net, follower, chance))
            for writer in writers:
                writer.end()
                written.done.update(writer.written.done)
                written.doubtful.update(writer.written.doubtful)
            finish(written, leader, follower)
        grown = memory.check()
    return (f'{len(kinds)} cuts, {len(written.done)} writes acknowledged, '
            f'{len(written.doubtful)} in doubt, {grown >> 20} MiB more at the '
            f'leader, seed {SEED}')


def main():
    suite = Suite()
    suite.run('the leader is unplugged', unplugged_case)
    suite.run('nothing comes in', one_way_case, 'input')
    suite.run('nothing goes out', one_way_case, 'output')
    suite.run('a slow cable', slow_case)
    suite.run('connections that are late and break', lossy_case)
    suite.run('connections that are silent', silent_case)
    suite.run('a follower frozen past its slot', frozen_case)
    suite.run('the disk of the follower is full', follower_full_case)
    suite.run('the disk of the leader is full', leader_full_case)
    suite.run('cuts of all kinds', random_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
