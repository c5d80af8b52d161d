#!/usr/bin/env python3
"""Followers that are fed by a copy of their leader's folder: at a plain web
server (nginx), and in a folder that rsync fills, while clients write at the
leader; and one whose own folder was made by rsync, which goes on from the
leader itself.

They catch up to what the copy has, to the byte, whenever somebody brings the
copy up to date, and say that they have no leader to send writes to.
"""
import contextlib
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (ANSWER_LIMIT, ROOT, Client, Failure, Server, Skip, Suite,
                    expect, expect_equal, free_port, tool, wait_until)
from twins import difference, wait_for_twins

# Small memtables: a journal every few hundred writes.
FLAGS = ('--write-buffer', '64KiB', '--sync-interval', '5ms')
PASSES = 6
# What rsync says when a file that it has listed was renamed before it came.
VANISHED = 24


def documented_line():
    """By which a copy is brought up to date."""
    with open(os.path.join(ROOT, 'docs/operations.md'),
              encoding='utf-8') as page:
        lines = [line.split() for line in page
                 if line.strip().startswith('rsync ')]
    expect_equal(len(lines), 1, 'lines that begin with rsync')
    expect_equal(lines[0][-2:], ['A/', '/srv/copy/'], 'what it copies')
    return lines[0][:-2]


def rsync(source, target):
    """While the leader goes on."""
    if shutil.which('rsync') is None:
        raise Skip('there is no rsync: scripts/packages.sh test')
    done = subprocess.run(documented_line() + [source + '/', target + '/'],
                          capture_output=True, text=True, check=False,
                          timeout=ANSWER_LIMIT)
    expect(done.returncode in (0, VANISHED),
           f'rsync ended with {done.returncode}: {done.stderr}')


# ---- nginx ----

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/nginx-access.log;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        location /copies/a/ {{ alias {root}/; }}
    }}
}}
"""


class Nginx:
    """A plain web server over a folder, at self.url."""

    def __init__(self, folder, root):
        self.program = tool('nginx')
        self.folder = folder
        self.root = root
        self.port = free_port()
        self.url = f'files+http://127.0.0.1:{self.port}/copies/a/'
        self.process = None

    def start(self):
        path = os.path.join(self.folder, 'nginx.conf')
        with open(path, 'w', encoding='ascii') as file:
            file.write(CONFIGURATION.format(
                user='user root;' if os.geteuid() == 0 else '',
                folder=self.folder, root=self.root, port=self.port))
        self.process = subprocess.Popen(
            [self.program, '-p', self.folder, '-e',
             os.path.join(self.folder, 'nginx-error.log'), '-c', path],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        wait_until('nginx listens', self.is_up)

    def is_up(self):
        if self.process.poll() is not None:
            raise Failure(f'nginx ended with {self.process.returncode}')
        try:
            socket.create_connection(('127.0.0.1', self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(ANSWER_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(ANSWER_LIMIT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


# ---- leaders, copies and followers ----

def fill(server, first, count, size=300):
    with Client(server) as client:
        for i in range(first, first + count):
            answer = client.put(b'key%06d' % i, os.urandom(size),
                                '?sync=false' if i + 1 < first + count else '')
            expect_equal(answer.status, 204, 'PUT')


def has(server, key):
    with Client(server) as client:
        return client.get(f'/v1/kv/{key}').status == 200


def content_of(server):
    with Client(server) as client:
        return dict(client.ndjson())


def fed_by(data, url):
    return Server(data, '--role', 'follower', '--leader', url, *FLAGS)


def check_as_follower(server):
    """There is nobody to send a write to."""
    with Client(server) as client:
        answer = client.put(b'a', b'1')
        expect_equal((answer.status, answer.problem()), (503, 'no-leader'),
                     'a write')
        expect_equal(client.get('/readyz').status, 200, '/readyz')
        answer = client.request('POST', '/v1/admin/promote', '{}',
                                {'Content-Type': 'application/json'})
        expect_equal((answer.status, answer.problem()), (409, 'conflict'),
                     'promoted without force')


def wait_as_copied(follower, copy):
    """To the byte."""
    wait_until('it is as the copy', lambda: difference(
        copy, follower.data) is None)


@contextlib.contextmanager
def at_nginx(folder, copy):
    with Nginx(folder, copy) as server:
        yield server.url


@contextlib.contextmanager
def at_hand(_folder, copy):
    yield f'files:{copy}'


def still_case(folder, where):
    """Of a leader that has stopped: all of it comes, from nothing."""
    data, copy = (os.path.join(folder, name) for name in ('leader', 'copy'))
    with Server(data, *FLAGS) as leader:
        fill(leader, 0, 3000)
        with Client(leader) as client:
            expect_equal(client.request('POST', '/v1/admin/compact', '{}', {
                'Content-Type': 'application/json'}).status, 200, 'compact')
        fill(leader, 3000, 300)
        expected = content_of(leader)
    rsync(data, copy)
    with where(folder, copy) as url, \
            fed_by(os.path.join(folder, 'follower'), url) as follower:
        wait_as_copied(follower, copy)
        expect(content_of(follower) == expected, 'another content')
        check_as_follower(follower)


def live_case(folder, where):
    """Brought up to date while clients write; at the end all is there."""
    data, copy = (os.path.join(folder, name) for name in ('leader', 'copy'))
    with Server(data, *FLAGS) as leader:
        fill(leader, 0, 500)
        rsync(data, copy)
        with where(folder, copy) as url, \
                fed_by(os.path.join(folder, 'follower'), url) as follower:
            wait_until('it has the first', lambda: has(follower, 'key000499'))
            for i in range(1, PASSES + 1):
                fill(leader, 500 * i, 500)
                rsync(data, copy)
                wait_until(f'pass {i} has come', lambda last=500 * i + 499:
                           has(follower, f'key{last:06d}'))
            rebuilt = follower.log().count('event=rebuilt')
            expected = content_of(leader)
            leader.stop()
            rsync(data, copy)
            wait_as_copied(follower, copy)
            expect_equal(difference(data, follower.data), None, 'the leader')
            expect(content_of(follower) == expected, 'another content')
    return f'{rebuilt} times rebuilt in {PASSES} passes'


def away_case(folder):
    """The web server stops, and is there again."""
    data, copy = (os.path.join(folder, name) for name in ('leader', 'copy'))
    with Server(data, *FLAGS) as leader:
        fill(leader, 0, 500)
        rsync(data, copy)
        with Nginx(folder, copy) as web, \
                Server(os.path.join(folder, 'follower'), '--role', 'follower',
                       '--leader', web.url, '--max-lag', '1s',
                       *FLAGS) as follower:
            wait_until('it has the first', lambda: has(follower, 'key000499'))
            web.stop()
            fill(leader, 500, 500)
            rsync(data, copy)
            with Client(follower) as client:
                wait_until('it says that it lags', lambda: client.get(
                    '/readyz').status == 503)
                expect_equal(client.get('/readyz').json()['reason'], 'lagging',
                             'reason')
            expect(has(follower, 'key000499'), 'it has what it had')
            wait_until('its log says why', lambda: any(
                'state="waiting"' in line and str(web.port) in line
                for line in follower.log().splitlines()))
            web.start()
            wait_until('it has the rest', lambda: has(follower, 'key000999'))


def own_case(folder):
    """Its own folder was made by rsync, of a leader that went on meanwhile."""
    data, own = (os.path.join(folder, name) for name in ('leader', 'own'))
    with Server(data, *FLAGS) as leader:
        fill(leader, 0, 3000)
        rsync(data, own)
        fill(leader, 3000, 1000)
        with fed_by(own, f'http://127.0.0.1:{leader.port}') as follower:
            wait_for_twins(leader, follower)
            expect(content_of(follower) == content_of(leader),
                   'another content')
            ids = []
            for server in (leader, follower):
                with Client(server) as client:
                    ids.append(client.get('/stats').json()['node_id'])
            expect(ids[0] != ids[1], 'two nodes of one id')
            with Client(leader) as client:
                items = client.get('/v1/replication/followers').json()['items']
            expect_equal([one['node_id'] for one in items], [ids[1]], 'slots')


def main():
    suite = Suite()
    suite.run('a copy at nginx, of a leader that stopped', still_case, at_nginx)
    suite.run('a folder, of a leader that stopped', still_case, at_hand)
    suite.run('a copy at nginx that goes on', live_case, at_nginx)
    suite.run('a folder that rsync fills', live_case, at_hand)
    suite.run('a web server that was away', away_case)
    suite.run('a folder of its own by rsync', own_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
