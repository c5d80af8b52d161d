"""What the figures are made with: nodes, loads, a static server and its client.

Every wait has a limit; only processes started here are ended.
"""
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests/support'))
import leveld  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')
# Seconds for whatever ends by itself; the longest is a folder of 5 GB.
LIMIT = 900
# A leader that has done nothing for so long has nothing to do: a second after
# the last flush it merges what it put off.
QUIET = 1.5
CONTROL = {'Content-Type': 'application/json', 'Leveld-Timeout': '60s'}


class Failure(Exception):
    """No figure can be had; the text says why."""


def wait_until(what, check, pause=0.005):
    """The time, monotonic, when it was so."""
    limit = time.monotonic() + LIMIT
    while True:
        if check():
            return time.monotonic()
        if time.monotonic() > limit:
            raise Failure(f'{what}: not within {LIMIT} s')
        time.sleep(pause)


class Node(leveld.Server):
    """A leveld, which need not be ready when it is started."""

    def __init__(self, program, data, *flags):
        super().__init__(data, *flags, log=data + '.log')
        self.program = program

    def start(self):
        leveld.BIN = self.program  # what the module starts
        return super().start('/healthz')

    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def ask(self, method, path, document=None):
        """Status and document."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port,
                                                timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request(
                method, path,
                None if document is None else json.dumps(document), CONTROL)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None

    def get(self, path):
        status, document = self.ask('GET', path)
        if status != 200:
            raise Failure(f'GET {path}: {status} {document}')
        return document

    def post(self, path, document):
        status, answer = self.ask('POST', path, document)
        if status // 100 != 2:
            raise Failure(f'POST {path}: {status} {answer}')
        return answer

    def run_task(self, what, document):
        """Of /v1/admin, until it is done."""
        self.post(f'/v1/admin/{what}', document)
        wait_until(what, lambda: all(
            task['state'] not in ('queued', 'running')
            for task in self.get('/v1/admin/tasks')['items']), 0.02)

    def stats(self):
        return self.get('/stats')

    def place(self):
        """Where its journals and its MANIFEST stand; None: it cannot say."""
        try:
            status, state = self.ask('GET', '/v1/replication/state')
        except (OSError, http.client.HTTPException):
            return None
        if status != 200:
            return None
        durable = state['durable']
        return (state['last_sequence'], durable['journal'], durable['offset'],
                state['manifest']['number'], state['manifest']['bytes'])

    def cpu(self):
        """Seconds of user and system."""
        with open(f'/proc/{self.pid()}/stat', encoding='ascii') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def is_idle(leader):
    engine = leader.stats()['engine']
    return (engine['compaction']['running'] == 0 and
            engine['compaction']['pending_bytes'] == 0 and
            engine['memtable']['immutable_count'] == 0)


def has_everything(node, place):
    """Its MANIFEST too: the leader's may have grown since by a compaction that
    it had put off."""
    at = node.place()
    return at is not None and at[1:3] >= place[1:3] and at[3:] >= place[3:]


def settle(leader, followers=()):
    """Waits until the leader has nothing to do and its followers have all that
    it has. The time when that was so first."""
    quiet = {'place': None, 'since': 0}

    def check():
        place = leader.place()
        now = time.monotonic()
        if place is None or place != quiet['place']:
            quiet.update(place=place, since=now)
            return False
        if any(f.place() != place for f in followers) or not is_idle(leader):
            quiet['since'] = now
            return False
        return now - quiet['since'] > QUIET

    wait_until('settled', check, 0.05)
    return quiet['since']


def check_equal(leader, follower):
    """A figure of a copy that is none would be no figure."""
    mine, theirs = leader.get('/v1/digest'), follower.get('/v1/digest')
    if mine != theirs:
        raise Failure(f'the follower has {theirs}, the leader {mine}')


class Lab:
    """A folder, the programs in it, and all that was started."""

    def __init__(self, out):
        self.out = out
        self.started = []
        self.count = 0
        os.makedirs(out, exist_ok=True)
        subprocess.run(['make', '-s', '-C', HERE, f'BIN={out}'], check=True)

    def folder(self, name):
        """An empty one."""
        self.count += 1
        path = os.path.join(self.out, f'{self.count:03d}-{name}')
        shutil.rmtree(path, ignore_errors=True)
        return path

    def node(self, program, data, *flags):
        node = Node(program, data, *flags)
        self.started.append(node)
        return node.start()

    def follower(self, program, data, leader_url, *flags):
        return self.node(program, data, '--role', 'follower', '--leader',
                         leader_url, *flags)

    def end(self, node):
        """Stops it and forgets its folder."""
        node.stop()
        self.started.remove(node)
        self.forget(node.data)

    def forget(self, data):
        shutil.rmtree(data, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.remove(data + '.log')

    def kill_all(self):
        for node in self.started:
            node.kill()
        self.started.clear()

    # ---- loads ----

    def tool(self, name, *args):
        done = subprocess.run(
            [os.path.join(self.out, name), *map(str, args)],
            stdout=subprocess.PIPE, check=True, timeout=LIMIT)
        return json.loads(done.stdout)

    def load(self, node, **options):
        """What load.c prints; options are its own, True for a bare one."""
        options.setdefault('query', 'sync=true')
        args = ['--port', node.port]
        for name, value in options.items():
            args += [f'--{name}'] + ([] if value is True else [value])
        figures = self.tool('load', *args)
        if figures['refused'] > 0 or figures['requests'] == 0:
            raise Failure(f'load: {figures}')
        return figures

    def begin_load(self, node, seconds, rate):
        return subprocess.Popen(
            [os.path.join(self.out, 'load'), '--port', str(node.port),
             '--seconds', str(seconds), '--rate', str(rate), '--query',
             'sync=true'], stdout=subprocess.PIPE)

    def end_load(self, process):
        text, _ = process.communicate(timeout=LIMIT)
        if process.returncode != 0:
            raise Failure(f'load ended with {process.returncode}')
        figures = json.loads(text)
        if figures['refused'] > 0:
            raise Failure(f'load: {figures}')
        return figures


class Relay:
    """Counts what goes through it to a node and back."""

    def __init__(self, lab, node):
        self.process = subprocess.Popen(
            [os.path.join(lab.out, 'relay'), str(node.port)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f'http://127.0.0.1:{int(self.process.stdout.readline())}'

    def counts(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(LIMIT)


# ---- the same bytes without leveld ----

NGINX = '''
daemon off;
worker_processes 2;
pid {out}/nginx.pid;
error_log {out}/nginx.error.log;
events {{ }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {out}/nginx-body;
    proxy_temp_path {out}/nginx-proxy;
    fastcgi_temp_path {out}/nginx-fastcgi;
    uwsgi_temp_path {out}/nginx-uwsgi;
    scgi_temp_path {out}/nginx-scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
'''


def nginx_program():
    unpacked = os.path.join(ROOT, 'build/tools/usr/sbin/nginx')
    path = shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin')
    if path is None and os.path.exists(unpacked):
        path = unpacked
    if path is None:
        raise Failure('no nginx: scripts/packages.sh bench')
    return path


class Static:
    """nginx over files, and curl that copies them and syncs the copies."""

    def __init__(self, lab, files):
        """files: paths, of which a copy has the base name."""
        self.lab = lab
        self.root = lab.folder('www')
        self.names = []
        os.makedirs(self.root)
        for number, path in enumerate(files):
            name = f'{number:06d}-{os.path.basename(path)}'
            os.link(path, os.path.join(self.root, name))
            self.names.append(name)
        self.bytes = sum(os.path.getsize(os.path.join(self.root, name))
                         for name in self.names)

    def __enter__(self):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        conf = os.path.join(self.lab.out, 'nginx.conf')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(NGINX.format(out=self.lab.out, port=self.port,
                                 root=self.root))
        self.process = subprocess.Popen([nginx_program(), '-c', conf, '-e',
                                         f'{self.lab.out}/nginx.error.log'])

        def answers():
            with socket.socket() as s:
                return s.connect_ex(('127.0.0.1', self.port)) == 0

        wait_until('nginx answers', answers)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT)
        shutil.rmtree(self.root)

    def copy(self, *flags):
        """Seconds of one curl for all of them, and of the syncs."""
        to = self.lab.folder('curl')
        os.makedirs(to)
        config = to + '.curl'
        with open(config, 'w', encoding='ascii') as f:
            for name in self.names:
                f.write(f'url = "http://127.0.0.1:{self.port}/{name}"\n'
                        f'output = "{to}/{name}"\n')
        os.sync()
        begun = time.monotonic()
        subprocess.run(['curl', '-sS', '--fail', *flags, '-K', config],
                       check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
        for name in self.names:
            fd = os.open(os.path.join(to, name), os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        seconds = time.monotonic() - begun
        shutil.rmtree(to)
        os.remove(config)
        return seconds
