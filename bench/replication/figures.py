"""The figures, each a class: made for one program, asked for a sample in each
round, ended. A sample is a dict of numbers; ROWS says what of it is shown: a
text, a function of the sample, a form, and the target.

A row's function may be None: what follows is beside that.
"""
import hashlib
import http.client
import os
import shutil
import threading
import time

from cluster import (CONTROL, Failure, Relay, Static, check_equal,
                     has_everything, settle, wait_until)

MB = 1000000
# Limit of a load that is bounded by its count.
LOAD_SECONDS = 800


def ratio(above, below):
    return lambda sample: sample[above] / sample[below]


def value(name):
    return lambda sample: sample[name]


class Rate:
    """A leader without followers, one with one, one with two, in turn: writes a
    second while the load runs, and the processor time of each process until
    all of it has been flushed, compacted, and is at the followers."""

    LOADS = [
        ('PUT, synced', {}),
        ('PUT, not synced', {'query': 'sync=false'}),
        ('batch of 100, synced', {'batch': 100, 'connections': 16}),
    ]

    @staticmethod
    def rows():
        rows = []
        for name, _ in Rate.LOADS:
            rows += [
                (f'{name}: writes/s, alone', value(f'{name} rate 0'), '.0f',
                 ''),
                ('with one follower, ratio',
                 ratio(f'{name} rate 1', f'{name} rate 0'), '.2f', ''),
                ('with two',
                 ratio(f'{name} rate 2', f'{name} rate 0'), '.2f', ''),
                ('leader\'s CPU a write, µs, alone', value(f'{name} cpu 0'),
                 '.1f', ''),
                ('with one follower, ratio',
                 ratio(f'{name} cpu 1', f'{name} cpu 0'), '.2f', '<= 1.15'),
                ('with two', ratio(f'{name} cpu 2', f'{name} cpu 0'), '.2f',
                 '<= 1.3'),
                ('follower\'s CPU to its leader\'s',
                 ratio(f'{name} follower', f'{name} cpu 1'), '.2f', '<= 0.6'),
            ]
        return rows

    def __init__(self, lab, program, size):
        self.lab = lab
        self.seconds = size['seconds']
        self.sets = []
        for count in range(3):
            leader = lab.node(program, lab.folder(f'leader{count}'))
            lab.load(leader, count=1000)
            followers = [lab.follower(program, lab.folder('follower'),
                                      leader.url()) for _ in range(count)]
            settle(leader, followers)
            self.sets.append((leader, followers))

    def sample(self):
        out = {}
        for name, load in self.LOADS:
            for leader, followers in self.sets:
                nodes = [leader, *followers]
                before = [node.cpu() for node in nodes]
                done = self.lab.load(leader, seconds=self.seconds, **load)
                settle(leader, followers)
                spent = [(node.cpu() - b) * 1e6 / done['writes']
                         for node, b in zip(nodes, before)]
                count = len(followers)
                out[f'{name} rate {count}'] = done['writes'] / done['seconds']
                out[f'{name} cpu {count}'] = spent[0]
                if count == 1:
                    out[f'{name} follower'] = spent[1]
        return out

    def end(self):
        for leader, followers in self.sets:
            for follower in followers:
                check_equal(leader, follower)
                self.lab.end(follower)
            self.lab.end(leader)


class Lag:
    """lag.c beside a load: none, half of what the leader takes with its
    follower at work, and all of it."""

    PARTS = [('idle', 0), ('half', 0.5), ('full', 1)]

    @staticmethod
    def rows():
        rows = []
        for name, _ in Lag.PARTS:
            rows += [
                (f'{name} rate: writes/s beside', value(f'{name} rate'), '.0f',
                 ''),
                ('fdatasync + round trip, p50, µs', value(f'{name} bound p50'),
                 '.0f', ''),
                ('the same, p99', value(f'{name} bound p99'), '.0f', ''),
                ('PUT at the leader, p50, µs', value(f'{name} put p50'), '.0f',
                 ''),
                ('read at the follower after it, p50, µs',
                 value(f'{name} read p50'), '.0f', ''),
                ('to the bound\'s p50',
                 ratio(f'{name} read p50', f'{name} bound p50'), '.2f',
                 '<= 2' if name != 'idle' else ''),
                ('p99, µs', value(f'{name} read p99'), '.0f', ''),
                ('to the bound\'s p50',
                 ratio(f'{name} read p99', f'{name} bound p50'), '.2f',
                 '<= 10' if name != 'idle' else ''),
                ('PUT with replicas=1, p50, µs', value(f'{name} replica p50'),
                 '.0f', ''),
                ('p99, µs', value(f'{name} replica p99'), '.0f', ''),
                ('beyond a PUT, p50, to the bound\'s',
                 lambda s, name=name: (s[f'{name} replica p50'] -
                                       s[f'{name} put p50']) /
                 s[f'{name} bound p50'], '.2f', ''),
            ]
        return rows

    def __init__(self, lab, program, size):
        self.lab = lab
        self.seconds = size['seconds']
        self.leader = lab.node(program, lab.folder('leader'))
        lab.load(self.leader, count=1000)
        self.follower = lab.follower(program, lab.folder('follower'),
                                     self.leader.url())
        settle(self.leader, [self.follower])

    def sample(self):
        out = {}
        full = self.lab.load(self.leader, seconds=self.seconds)
        rate = full['requests'] / full['seconds']
        for name, part in self.PARTS:
            settle(self.leader, [self.follower])
            load = None
            if part > 0:
                # At full rate as fast as it goes: there is no rate to keep.
                load = self.lab.begin_load(
                    self.leader, self.seconds + 1,
                    int(rate * part) if part < 1 else 0)
                time.sleep(0.5)
            lag = self.lab.tool('lag', '--leader', self.leader.port,
                                '--follower', self.follower.port, '--folder',
                                self.follower.data, '--seconds', self.seconds)
            done = None if load is None else self.lab.end_load(load)
            out[f'{name} rate'] = (done['requests'] / done['seconds']
                                   if done else 0)
            for what in ('bound', 'put', 'read', 'replica'):
                for q in ('p50', 'p99'):
                    out[f'{name} {what} {q}'] = lag[what][q]
        return out

    def end(self):
        settle(self.leader, [self.follower])
        check_equal(self.leader, self.follower)
        self.lab.end(self.follower)
        self.lab.end(self.leader)


def folder_files(data):
    """Of the database itself."""
    return [entry.path for entry in os.scandir(data)
            if entry.name.endswith(('.ldb', '.log')) or
            entry.name.startswith('MANIFEST')]


def digest_of(path):
    with open(path, 'rb') as f:
        return hashlib.file_digest(f, 'sha1').digest()


class CatchUp:
    """A follower is stopped, its leader written to, and then it is started
    again: from its first instruction until it has everything; beside curl for
    as many bytes of journals and tables from nginx, synced."""

    @staticmethod
    def rows():
        return [
            ('missed, MB of journals', lambda s: s['journals'] / MB, '.0f',
             ''),
            ('sent, MB', lambda s: s['bytes'] / MB, '.0f', ''),
            ('of it tables, MB', lambda s: s['tables'] / MB, '.0f', ''),
            ('until it has everything, ms', lambda s: s['seconds'] * 1e3,
             '.0f', ''),
            ('MB/s of what is sent', lambda s: s['bytes'] / s['seconds'] / MB,
             '.0f', ''),
            ('curl from nginx, MB/s', lambda s: s['bytes'] / s['curl'] / MB,
             '.0f', ''),
            ('ratio', ratio('curl', 'seconds'), '.2f', '>= 0.7'),
            ('ratio, if curl has to copy what was missed',
             lambda s: (s['curl'] * s['journals'] / s['bytes'] /
                        s['seconds']), '.2f', ''),
            ('follower\'s CPU, ms a MB',
             lambda s: s['follower cpu'] * 1e3 / s['bytes'] * MB, '.1f', ''),
            ('leader\'s CPU, ms a MB',
             lambda s: s['leader cpu'] * 1e3 / s['bytes'] * MB, '.1f', ''),
        ]

    def __init__(self, lab, program, size):
        self.lab = lab
        self.program = program
        self.bytes = size['catch_up_bytes']
        self.leader = lab.node(program, lab.folder('leader'))
        self.data = lab.folder('follower')
        lab.load(self.leader, count=1000)
        self.start_and_stop()

    def start_and_stop(self):
        follower = self.lab.follower(self.program, self.data,
                                     self.leader.url())
        settle(self.leader, [follower])
        check_equal(self.leader, follower)
        follower.stop()
        self.lab.started.remove(follower)

    def write(self):
        """Puts of 1 kB at random, in batches: some of it is compacted."""
        self.lab.load(self.leader, batch=100, value=1000, connections=8,
                      query='sync=false', seconds=LOAD_SECONDS,
                      count=max(1, self.bytes // 102000))
        self.lab.load(self.leader, count=1)
        settle(self.leader)

    def journal_files(self, before):
        """Paths of journals that have bytes after that place."""
        data = self.leader.data
        out = []
        for journal in self.leader.get('/v1/replication/state')['journals']:
            if journal['number'] <= before[1] or journal['bytes'] == 0:
                continue
            name = f'{journal["number"]:06d}.log'
            out.append(os.path.join(
                data, 'leveld/archive' if journal['archived'] else '.', name))
        return out

    def sample(self):
        before = self.leader.place()
        self.write()
        place = self.leader.place()
        os.sync()
        sent = self.leader.stats()['replication']['files']['bytes']
        cpu = self.leader.cpu()
        out = {}
        begun = time.monotonic()
        follower = self.lab.follower(self.program, self.data,
                                     self.leader.url())
        out['seconds'] = wait_until(
            'everything', lambda: has_everything(follower, place)) - begun
        out['leader cpu'] = self.leader.cpu() - cpu
        out['follower cpu'] = follower.cpu()
        check_equal(self.leader, follower)
        files = self.journal_files(before)
        out['bytes'] = (self.leader.stats()['replication']['files']['bytes'] -
                        sent)
        out['journals'] = sum(map(os.path.getsize, files))
        follows = follower.stats()['replication']['following']
        out['tables'] = (follows['counts']['fetched_bytes'] +
                         follows['rebuild']['bytes_fetched'])
        follower.stop()
        self.lab.started.remove(follower)
        out['curl'] = self.curl(files, out['bytes'])
        return out

    def curl(self, files, size):
        """Seconds for so many bytes: those journals, and tables."""
        have = sum(map(os.path.getsize, files))
        for path in folder_files(self.leader.data):
            if have >= size:
                break
            if path.endswith('.ldb'):
                files.append(path)
                have += os.path.getsize(path)
        with Static(self.lab, files) as static:
            return static.copy() * size / static.bytes

    def end(self):
        self.lab.forget(self.data)
        self.lab.end(self.leader)


class Bytes:
    """A follower behind a relay that counts, at half the full rate: all that
    goes over its link."""

    @staticmethod
    def rows():
        return [
            ('writes/s', value('rate'), '.0f', ''),
            ('journals written', ratio('journal', 'user'), '.3f', ''),
            ('tables compacted', ratio('compacted', 'user'), '.3f', ''),
            ('sent in files', ratio('files', 'user'), '.3f', ''),
            ('sent to the follower, heads and heartbeats included',
             ratio('down', 'user'), '.3f', ''),
            ('to journals and compacted tables',
             lambda s: s['down'] / (s['journal'] + s['compacted']), '.2f',
             '1, and heads'),
            ('sent by the follower', ratio('up', 'user'), '.3f', ''),
            ('acks a second', value('acks'), '.0f', ''),
        ]

    def __init__(self, lab, program, size):
        self.lab = lab
        self.seconds = size['seconds'] * 2
        self.leader = lab.node(program, lab.folder('leader'))
        lab.load(self.leader, count=1000)
        self.relay = Relay(lab, self.leader)
        self.follower = lab.follower(program, lab.folder('follower'),
                                     self.relay.url)
        settle(self.leader, [self.follower])
        done = lab.load(self.leader, seconds=size['seconds'])
        self.rate = int(done['requests'] / done['seconds'] / 2)
        settle(self.leader, [self.follower])

    def figures(self):
        stats = self.leader.stats()
        engine = stats['engine']
        relay = self.relay.counts()
        return {
            'journal': engine['journal']['written_bytes_total'],
            'compacted': sum(level['written_bytes']
                             for level in engine['levels']),
            'files': stats['replication']['files']['bytes'],
            'acks': stats['replication']['acks'],
            'down': relay['down'],
            'up': relay['up'],
        }

    def sample(self):
        before = self.figures()
        done = self.lab.load(self.leader, seconds=self.seconds,
                             rate=self.rate)
        acks = self.figures()['acks'] - before['acks']
        settle(self.leader, [self.follower])
        out = {name: now - before[name]
               for name, now in self.figures().items()}
        out['user'] = done['user_bytes']
        out['rate'] = done['requests'] / done['seconds']
        out['acks'] = acks / done['seconds']
        return out

    def end(self):
        check_equal(self.leader, self.follower)
        self.lab.end(self.follower)
        self.relay.__exit__()
        self.lab.end(self.leader)


class Bootstrap:
    """A folder made from nothing; and one from that of a follower which was
    stopped before a twentieth of the keys was written again and compacted, and
    whose journals the leader has let go of."""

    @staticmethod
    def rows():
        return [
            ('folder, MB', lambda s: s['bytes'] / MB, '.0f', ''),
            ('from nothing, MB/s',
             lambda s: s['bytes'] / s['empty'] / MB, '.0f', ''),
            ('curl from nginx, MB/s',
             lambda s: s['bytes'] / s['curl'] / MB, '.0f', ''),
            ('ratio', ratio('curl', 'empty'), '.2f', '>= 0.8'),
            ('curl with four connections, MB/s',
             lambda s: s['bytes'] / s['curl 4'] / MB, '.0f', ''),
            ('follower\'s CPU, ms a MB',
             lambda s: s['follower cpu'] * 1e3 / s['bytes'] * MB, '.2f', ''),
            ('leader\'s CPU, ms a MB',
             lambda s: s['leader cpu'] * 1e3 / s['bytes'] * MB, '.2f', ''),
            ('from an old copy: files that differ, MB',
             lambda s: s['differ'] / MB, '.1f', ''),
            ('sent, to those', ratio('sent', 'differ'), '.3f', '<= 1.1'),
            ('seconds', value('copy'), '.2f', ''),
        ]

    def __init__(self, lab, program, size):
        self.lab = lab
        self.program = program
        self.leader = lab.node(program, lab.folder('leader'),
                               '--archive-bytes', '0', '--slot-bytes', '1MiB')
        # A put takes 1016 bytes, and half of that in a table.
        self.keys = size['bootstrap_bytes'] // 520 // 100 * 100
        self.write(0, self.keys)
        self.old = lab.folder('old')
        self.follow(self.old, self.leader.url(), {})
        changed = max(100, self.keys // 20 // 100 * 100)
        self.write(self.keys // 2, changed)
        self.differ = self.differing()

    def write(self, first, count):
        """Keys one after the other, compacted: what else they overlap does not
        become another table."""
        lab = self.lab
        lab.load(self.leader, batch=100, value=1000, connections=1,
                 keys=count, first=first, query='sync=false', ordered=True,
                 count=count // 100, seconds=LOAD_SECONDS)
        self.leader.run_task('compact', {'start': f'{first:016d}',
                                         'end': f'{first + count:016d}'})
        lab.load(self.leader, count=1, keys=1)
        settle(self.leader)

    def follow(self, data, url, out):
        """Seconds until a follower in that folder has everything."""
        place = self.leader.place()
        os.sync()
        cpu = self.leader.cpu()
        begun = time.monotonic()
        follower = self.lab.follower(self.program, data, url)
        seconds = wait_until(
            'everything', lambda: has_everything(follower, place)) - begun
        out['leader cpu'] = self.leader.cpu() - cpu
        out['follower cpu'] = follower.cpu()
        check_equal(self.leader, follower)
        follower.stop()
        self.lab.started.remove(follower)
        return seconds

    def differing(self):
        """Bytes of the leader's files that the copy has under no name."""
        held = {digest_of(path) for path in folder_files(self.old)}
        return sum(os.path.getsize(path)
                   for path in folder_files(self.leader.data)
                   if digest_of(path) not in held)

    def sample(self):
        out = {}
        files = folder_files(self.leader.data)
        out['bytes'] = sum(map(os.path.getsize, files))
        empty = self.lab.folder('empty')
        out['empty'] = self.follow(empty, self.leader.url(), out)
        self.lab.forget(empty)
        with Static(self.lab, files) as static:
            out['curl'] = static.copy()
            out['curl 4'] = static.copy('--no-progress-meter', '--parallel',
                                        '--parallel-max', '4')
        copy = self.lab.folder('copy')
        shutil.copytree(self.old, copy)
        out['differ'] = self.differ
        with Relay(self.lab, self.leader) as relay:
            out['copy'] = self.follow(copy, relay.url, {})
            out['sent'] = relay.counts()['down']
        self.lab.forget(copy)
        return out

    def end(self):
        self.lab.end(self.leader)
        self.lab.forget(self.old)


class Promote:
    """The leader of a pair is killed and its follower promoted by force, while
    a client puts all the time: from the request to the first PUT that was
    taken."""

    @staticmethod
    def rows():
        return [
            ('to the first accepted write, ms', value('write'), '.1f',
             '<= 100'),
            ('until promote answers, ms', value('answer'), '.1f', ''),
        ]

    def __init__(self, lab, program, size):
        self.lab = lab
        self.program = program

    def sample(self):
        lab = self.lab
        leader = lab.node(self.program, lab.folder('leader'))
        lab.load(leader, count=20000, query='sync=false')
        lab.load(leader, count=1)
        follower = lab.follower(self.program, lab.folder('follower'),
                                leader.url())
        settle(leader, [follower])
        leader.kill()
        out = {}
        begun = time.monotonic()
        thread = threading.Thread(target=promote, args=(follower, begun, out))
        thread.start()
        out['write'] = put_until_taken(follower, begun)
        thread.join()
        if 'answer' not in out:
            raise Failure('promote was refused')
        lab.started.remove(leader)
        lab.forget(leader.data)
        lab.end(follower)
        return out

    def end(self):
        pass


def promote(node, begun, out):
    node.post('/v1/admin/promote', {'force': True})
    out['answer'] = (time.monotonic() - begun) * 1e3


def put_until_taken(node, begun):
    """Milliseconds."""
    connection = http.client.HTTPConnection('127.0.0.1', node.port, timeout=60)
    while time.monotonic() - begun < 60:
        connection.request('PUT', '/v1/kv/first', b'1', CONTROL)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 204:
            connection.close()
            return (time.monotonic() - begun) * 1e3
    raise Failure('no write was taken for a minute')


ALL = {
    'rate': ('Leader and followers on one machine', Rate),
    'lag': ('Lag', Lag),
    'catch-up': ('Catching up', CatchUp),
    'bytes': ('Bytes sent, per byte of keys and values', Bytes),
    'bootstrap': ('Bootstrap', Bootstrap),
    'promote': ('Promotion', Promote),
}
