"""A leader and its followers on loopback, each a process with an address that
it keeps, killed and started again; and what their folders hold: byte for byte,
and as the reference programs and we read it.
"""
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

from leveld import (ANSWER_LIMIT, BIN, CPP, GO, JSON, ORACLE_LIMIT, PATIENCE,
                    Client, Digest, Failure, Server, expect, expect_equal,
                    free_port, oracle_content, oracle_ok)

FILES = re.compile(r'\d+\.(log|ldb|sst)|MANIFEST-\d+|CURRENT')


def wait_until(what, check, limit=PATIENCE):
    """check() is true when it is so; else it may be a text that says why not.
    """
    end = time.monotonic() + limit
    while True:
        said = check()
        if said and not isinstance(said, str):
            return
        if time.monotonic() > end:
            raise Failure(f'{what}: not within {limit} s: {said}')
        time.sleep(0.01)


class Node:
    """One folder with its process, when that runs. follows: the node that it
    was told to follow; None: it leads."""

    def __init__(self, folder, name):
        self.name = name
        self.data = os.path.join(folder, name)
        self.port = free_port()
        self.url = f'http://127.0.0.1:{self.port}'
        self.server = None
        self.follows = None
        self.others = []

    def launch(self, *flags, follows=None):
        """Begins to start."""
        self.follows = follows
        role = ['--role', 'leader'] if follows is None else \
            ['--role', 'follower', '--leader', follows.url]
        peers = ','.join(node.url for node in self.others)
        self.server = Server(self.data, *role, '--peers', peers, *flags,
                             listen=self.port)
        self.server.launch()

    def start(self, *flags, follows=None):
        """A leader that is ready, or a follower that answers."""
        self.launch(*flags, follows=follows)
        self.server.await_answer('/readyz' if follows is None else '/healthz')

    def is_running(self):
        return self.server is not None

    def kill(self):
        """SIGKILL; it must have lived."""
        server, self.server = self.server, None
        ended = server.process.poll()
        server.kill()
        expect(ended is None, f'{self.name} ended by itself: {ended}\n'
                              f'{server.log()[-4000:]}')

    def get(self, path, headers=None):
        with Client(self.server) as client:
            return client.get(path, headers)

    def document(self, path):
        answer = self.get(path)
        expect_equal(answer.status, 200, f'{path} of {self.name}: {answer}')
        return answer.json()

    def change(self, what, document):
        """POST /v1/admin/<what>; its answer."""
        with Client(self.server) as client:
            return client.request(
                'POST', f'/v1/admin/{what}', json.dumps(document),
                {'Content-Type': JSON,
                 'Leveld-Timeout': f'{ANSWER_LIMIT // 2}s'})

    def content(self):
        """What it serves now."""
        with Client(self.server) as client:
            return dict(client.ndjson())

    def has(self, sequence):
        """True, or a text: what it says instead."""
        answer = self.get('/v1/kv/none', {
            'Leveld-Min-Sequence': str(sequence), 'Leveld-Timeout': '1s'})
        return answer.status == 404 and answer.problem() == 'not-found' or \
            f'{self.name}: {answer}'

    def log(self):
        """Of all its runs."""
        with open(self.data + '.server-log', 'rb') as log:
            return log.read().decode('utf-8', 'replace')


def make_nodes(folder, names):
    nodes = [Node(folder, name) for name in names]
    for node in nodes:
        node.others = [other for other in nodes if other is not node]
    return nodes


def end_nodes(nodes):
    for node in nodes:
        if node.server is not None:
            node.server.kill()


# ---- folders, byte for byte ----

def sha256_of(path, used=None):
    """used: the bytes of a journal that is written; a leader with `--journal
    mapped` has zeros after them."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        if used is not None:
            digest.update(file.read(used))
            digest.update(file.read().rstrip(b'\0'))
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fingerprint(node):
    """{name: sha256} of the database's files; None: one went while we read."""
    newest = node.document('/v1/replication/state')['journals'][-1]
    used = {f'{newest["number"]:06d}.log': newest['bytes']}
    try:
        return {name: sha256_of(os.path.join(node.data, name), used.get(name))
                for name in sorted(os.listdir(node.data))
                if FILES.fullmatch(name)}
    except FileNotFoundError:
        return None


def are_twins(nodes):
    """True, or a text that says how their folders differ. They run, and nobody
    writes."""
    first = fingerprint(nodes[0])
    for node in nodes[1:]:
        other = fingerprint(node)
        if first is None or other is None:
            return 'files come and go'
        differing = sorted(
            f'{name} ({first.get(name, "absent")[:8]} {nodes[0].name}, '
            f'{other.get(name, "absent")[:8]} {node.name})'
            for name in first.keys() | other.keys()
            if first.get(name) != other.get(name))
        if differing:
            return ', '.join(differing[:8])
    return True


def digests_of(nodes):
    """GET /v1/digest of each, which is one: True, or a text."""
    found = [node.document('/v1/digest') for node in nodes]
    return all(one == found[0] for one in found) or str(found)


def find_file(data, name):
    """Its bytes, in the folder or its archive; None: it is nowhere."""
    for path in (os.path.join(data, name),
                 os.path.join(data, 'leveld', 'archive', name)):
        try:
            with open(path, 'rb') as file:
                return file.read()
        except FileNotFoundError:
            pass
    return None


# Bytes; the window of a journal of a leader with `--journal mapped` has so
# many, or a multiple (storage/base/env.h).
WINDOW_UNIT = 65536


def check_prefixes(copy, data):
    """The files of a folder that was copied are prefixes of those that the
    leader has in data: of a table, what the kill cut short while it was written
    is named by no version, as the reference programs would say. A node that was
    killed as a leader has zeros after the records of its last journal until it
    is opened. Files that the leader has no more prove nothing. How many were
    compared."""
    count = 0
    for name in os.listdir(copy):
        if not FILES.fullmatch(name) or name == 'CURRENT':
            continue
        theirs = find_file(data, name)
        if theirs is None:
            continue
        with open(os.path.join(copy, name), 'rb') as file:
            ours = file.read()
        size = len(ours)
        if name.endswith('.log') and size % WINDOW_UNIT == 0:
            ours = ours.rstrip(b'\0')
        expect(ours == theirs[:len(ours)],
               f'{name} of {size} bytes is no prefix of the leader\'s, of '
               f'{len(theirs)}')
        count += 1
    return count


# ---- folders, as they are read ----

# content: {key: value}; last: the last sequence.
Opened = collections.namedtuple('Opened', 'content last')


def run_offline(*args):
    done = subprocess.run([BIN, *args], capture_output=True, check=False,
                          timeout=ORACLE_LIMIT, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0,
           f'leveld {" ".join(args)}: {done.returncode}\n'
           f'{done.stdout[-2000:].decode("utf-8", "replace")}\n'
           f'{done.stderr[-2000:].decode("utf-8", "replace")}')
    return done.stdout.decode('ascii', 'replace')


def check_by(name, copy):
    """All that a reference program walked, forwards, backwards and by gets."""
    text = oracle_ok(name, 'check', copy, '--strict', 'default')
    return Digest.parse(text.splitlines()[-1])


# What `leveld dump` says of an entry of a journal.
ENTRY = re.compile(r'  "([^"]*)"@(\d+):(put|delete)(?: = "([^"]*)")?')


def dump_journal(path):
    """[(key, sequence, value's first bytes or None)] of a journal that has a
    journal's name, or that of one which was kept aside."""
    found = []
    for line in run_offline('dump', path).splitlines():
        match = ENTRY.match(line)
        if match:
            key, sequence, kind, value = match.groups()
            found.append((key, int(sequence),
                          value if kind == 'put' else None))
    return found


def dump_diverged(node):
    """All that the node has kept aside."""
    aside = os.path.join(node.data, 'leveld', 'diverged')
    found = []
    for name in os.listdir(aside) if os.path.isdir(aside) else ():
        found += dump_journal(os.path.join(aside, name))
    return found


def open_copy(copy):
    """Both reference programs and we open a folder as kill -9 has left it, and
    find the same. They write nothing to it, and run side by side."""
    with concurrent.futures.ThreadPoolExecutor() as side_by_side:
        done = [side_by_side.submit(*call) for call in (
            (oracle_content, CPP, copy),
            (check_by, GO, copy),
            (check_by, CPP, copy),
            (run_offline, 'dump', copy, '--digest'),
            (run_offline, 'stats', copy, '--json'),
            (run_offline, 'check', copy))]
        content, go, cpp, ours, stats, _ = [one.result() for one in done]
    digest = Digest.of_dict(content)
    expect_equal(go, digest, 'ldbgo against ldbcpp')
    expect_equal(cpp, digest, 'ldbcpp check against its dump')
    expect_equal(Digest.parse(ours.splitlines()[-1]), digest,
                 'leveld against ldbcpp')
    return Opened(content, json.loads(stats)['sequence'])


def copy_folder(node, folder):
    """A copy of a dead node's, to be looked at; it replaces an earlier one."""
    copy = os.path.join(folder, 'copy')
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(node.data, copy)
    return copy
