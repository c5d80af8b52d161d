#!/usr/bin/env python3
"""A follower that is started against a leader which is not there, not known,
not one, or not ours: the log has one line that says so, /readyz and /stats have
the reason, and once that is mended it follows without a restart."""
import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from certificates import make_certificates
from leveld import (BIN, JSON, PATIENCE, Client, Failure, Server, Suite, expect,
                    expect_equal, free_port)

# Longer than a follower that waits pauses at most, twice: what is to be logged
# again has been by then.
TRIES = 3


class Follower(Server):
    """It is not waited for until it is ready: that may take for ever."""

    def __init__(self, folder, leader, *flags):
        super().__init__(os.path.join(folder, 'follower'), '--role', 'follower',
                         '--leader', leader, *flags)

    def start(self, until='/healthz'):
        return super().start(until)

    def following(self):
        """What it says of that; not there yet just after the start-up line, and
        while it is exchanged for another."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with Client(self) as client:
                now = client.get('/stats').json()['replication']
            if 'following' in now:
                return now['following']
            time.sleep(0.01)
        raise Failure(f'it follows nobody:\n{self.log()}')

    def ready(self):
        with Client(self) as client:
            return client.get('/readyz')


def leader_on(folder, port, *flags):
    return Server(os.path.join(folder, 'leader'), *flags, listen=port)


def url(port, scheme='http'):
    return f'{scheme}://127.0.0.1:{port}'


def wait_until(what, check, server):
    limit = time.monotonic() + PATIENCE
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > limit:
            raise Failure(f'{what}: not within {PATIENCE} s: '
                          f'{server.following()}\n{server.log()}')
        time.sleep(0.01)


def wait_for_reason(follower, text):
    """Until it waits for that reason; then log and /readyz have it too."""
    def has_failed():
        now = follower.following()
        return now if now['counts']['failures'] >= TRIES and \
            text in now['why'] else None

    now = wait_until(f'a failure with {text!r}', has_failed, follower)
    expect(now['state'] in ('waiting', 'connecting', 'comparing'), now)
    expect(not now['lag']['known'], now)
    answer = follower.ready()
    expect_equal(answer.status, 503, '/readyz')
    told = answer.json()
    expect_equal(told['reason'], 'bootstrapping', 'reason')
    expect(text in told['detail'], told['detail'])
    lines = [line for line in follower.log().splitlines()
             if 'event=following' in line and 'level=warn' in line]
    expect(lines and text in lines[-1], follower.log())
    # Not one each time it is tried.
    expect(len(lines) <= 2, '\n'.join(lines))
    return now


def wait_for_data(follower, leader):
    """Until it has, and is ready with, what is written at the leader now."""
    key = b'after-%d' % time.monotonic_ns()
    with Client(leader) as client:
        expect_equal(client.put(key, b'1').status, 204, 'PUT at the leader')
    wait_until('following', lambda: follower.ready().status == 200, follower)
    with Client(follower) as client:
        wait_until('what was written',
                   lambda: client.get(f'/v1/kv/{key.decode()}').status == 200,
                   follower)
    now = follower.following()
    expect_equal((now['state'], now['why']), ('streaming', ''), 'following')


# ---- the URL ----

def refused_case(folder):
    """What can never be a leader's URL ends the start."""
    for leader, text in (('127.0.0.1:80', 'http://HOST:PORT'),
                         ('http://127.0.0.1:80/v1', 'a host and a port'),
                         ('http://me:secret@127.0.0.1:80', 'use a token'),
                         ('ftp://127.0.0.1', 'neither http nor https')):
        done = subprocess.run(
            [BIN, 'serve', '--data', os.path.join(folder, 'data'), '--listen',
             '127.0.0.1:0', '--role', 'follower', '--leader', leader],
            check=False, capture_output=True, timeout=PATIENCE,
            stdin=subprocess.DEVNULL)
        told = done.stderr.decode()
        expect(done.returncode != 0, f'{leader} was taken')
        expect('--leader' in told and text in told, f'{leader}: {told}')
        expect('secret' not in told, told)
    for flags in (('--role', 'follower'), ('--leader', 'http://127.0.0.1:1')):
        done = subprocess.run(
            [BIN, 'serve', '--data', os.path.join(folder, 'data'), *flags],
            check=False, capture_output=True, timeout=PATIENCE,
            stdin=subprocess.DEVNULL)
        expect_equal(done.returncode, 2, 'exit code')
        expect(b'go together' in done.stderr, done.stderr)


def absent_case(folder):
    port = free_port()
    with Follower(folder, url(port)) as follower:
        wait_for_reason(follower, 'connect')
        with leader_on(folder, port) as leader:
            wait_for_data(follower, leader)


def unknown_host_case(folder):
    """A name that nobody knows; then the operator gives another one."""
    with Follower(folder, 'http://' + 64 * 'a' + '.invalid:80') as follower, \
            Server(os.path.join(folder, 'leader')) as leader:
        wait_for_reason(follower, 'resolve')
        with Client(follower) as client:
            answer = client.request(
                'POST', '/v1/admin/demote',
                json.dumps({'leader': url(leader.port)}),
                {'Content-Type': JSON, 'Leveld-Timeout': '60s'})
        expect_equal(answer.status, 200, answer)
        wait_for_data(follower, leader)


class Page(http.server.BaseHTTPRequestHandler):
    """Something else that answers HTTP."""

    def do_GET(self):
        body = b'<html>hello</html>'
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Nowhere."""


def no_leveld_case(folder):
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Page) as page:
        thread = threading.Thread(target=page.serve_forever, daemon=True)
        thread.start()
        try:
            with Follower(folder, url(page.server_address[1])) as follower:
                wait_for_reason(follower, '/v1/replication/state')
        finally:
            page.shutdown()
            thread.join()


# ---- who is there ----

def follower_case(folder):
    """The node it is to follow follows another: so does it then."""
    with Server(os.path.join(folder, 'leader')) as leader:
        with Server(os.path.join(folder, 'first'), '--role', 'follower',
                    '--leader', url(leader.port)) as first, \
                Follower(folder, url(first.port)) as follower:
            wait_until('a failure', lambda: re.search(
                f'why="[^"]*it follows {url(leader.port)}', follower.log()),
                follower)
            wait_for_data(follower, leader)
            expect_equal(follower.following()['leader'], url(leader.port),
                         'leader')


def cluster_of(server):
    with Client(server) as client:
        return client.get('/stats').json()['cluster_id']


def asked_cluster_case(folder):
    """--cluster-id is looked at before anything is taken."""
    other = 32 * '0'
    with Server(os.path.join(folder, 'leader')) as leader:
        with Client(leader) as client:
            client.put(b'a', b'1')
        cluster = cluster_of(leader)
        with Follower(folder, url(leader.port), '--cluster-id',
                      other) as follower:
            now = wait_for_reason(follower, f'one of cluster {other}')
            expect(cluster in now['why'], now['why'])
            expect_equal(now['counts']['rebuilds'], 0, 'rebuilds')
            expect_equal(now['counts']['journal_bytes'], 0, 'bytes')
        for name in ('identity', 'epochs'):
            expect(not os.path.exists(os.path.join(follower.data, 'leveld',
                                                   name)),
                   f'leveld/{name} was taken')
        with Follower(folder, url(leader.port), '--cluster-id',
                      cluster) as follower:
            wait_for_data(follower, leader)


def other_cluster_case(folder):
    """The address is another cluster's for a while: nothing of it is taken, and
    what is here is shown as it was."""
    port = free_port()
    with leader_on(folder, port) as leader:
        with Follower(folder, url(port)) as follower:
            wait_for_data(follower, leader)
            cluster = cluster_of(leader)
            leader.stop()
            with Server(os.path.join(folder, 'stranger'),
                        listen=port) as stranger:
                with Client(stranger) as client:
                    client.put(b'strange', b'1')
                other = cluster_of(stranger)

                def has_seen():
                    now = follower.following()
                    return now if other in now['why'] else None

                now = wait_until('the other cluster', has_seen, follower)
                expect(cluster in now['why'], now['why'])
                with Client(follower) as client:
                    expect_equal(client.get('/v1/kv/strange').status, 404,
                                 'GET of a stranger\'s key')
            with leader_on(folder, port) as again:
                wait_for_data(follower, again)


# ---- whom it lets in ----

def write_file(path, text):
    """Replaced whole, as who mounts secrets does."""
    with open(path + '.new', 'w', encoding='ascii') as file:
        file.write(text)
    os.rename(path + '.new', path)


def tokens_file(folder):
    digest = hashlib.sha256(b'secret-one').hexdigest()
    weak = hashlib.sha256(b'secret-weak').hexdigest()
    path = os.path.join(folder, 'tokens')
    write_file(path, f'one {digest} read,write,admin,replicate\n'
                     f'weak {weak} read\n')
    return path


class TokenClient(Client):
    def request(self, method, path, body=None, headers=None):
        return super().request(method, path, body, {
            **(headers or {}), 'Authorization': 'Bearer secret-one'})


def token_case(folder):
    """None, a wrong one, one that may not, and then the right one, which the
    follower finds in the file by itself."""
    own = os.path.join(folder, 'token')
    with Server(os.path.join(folder, 'leader'), '--tokens',
                tokens_file(folder)) as leader:
        with Follower(folder, url(leader.port)) as follower:
            wait_for_reason(follower, '401 unauthorized')
        write_file(own, 'secret-wrong\n')
        with Follower(folder, url(leader.port), '--replication-token-file',
                      own) as follower:
            wait_for_reason(follower, '401 unauthorized')
            write_file(own, 'secret-weak\n')
            wait_for_reason(follower, '403 forbidden')
            with TokenClient(leader) as client:
                expect_equal(client.put(b'a', b'1').status, 204, 'PUT')
            write_file(own, 'secret-one\n')
            wait_until('following', lambda: follower.ready().status == 200,
                       follower)
            with Client(follower) as client:
                expect_equal(client.get('/v1/kv/a').status, 200, 'GET')
            expect('secret-' not in follower.log(), follower.log())


class TlsLeader(Server):
    def __init__(self, folder):
        super().__init__(os.path.join(folder, 'leader'), '--tls-cert',
                         os.path.join(folder, 'server.pem'), '--tls-key',
                         os.path.join(folder, 'server.key'))

    def wait_ready(self, limit, until):
        """The start-up line was seen: it accepts."""


def tls_case(folder):
    """Authorities that did not make the leader's certificate; no TLS at all."""
    make_certificates(folder)
    trusted = os.path.join(folder, 'trusted.pem')

    def trust(name):
        with open(os.path.join(folder, f'{name}.pem'),
                  encoding='ascii') as file:
            write_file(trusted, file.read())

    trust('other-ca')
    with TlsLeader(folder) as leader:
        with Follower(folder, url(leader.port)) as follower:
            wait_for_reason(follower, '/v1/replication/state')
        with Follower(folder, url(leader.port, 'https'), '--replication-ca',
                      trusted) as follower:
            wait_for_reason(follower, 'certificate')
            trust('ca')
            os.kill(follower.pid(), signal.SIGHUP)
            wait_until('following', lambda: follower.ready().status == 200,
                       follower)


def main():
    suite = Suite()
    suite.run('a URL that is none is refused', refused_case)
    suite.run('a leader that is not there yet', absent_case)
    suite.run('a host that nobody knows', unknown_host_case)
    suite.run('something that is no leveld', no_leveld_case)
    suite.run('a leader that follows another', follower_case)
    suite.run('a cluster that was not asked for', asked_cluster_case)
    suite.run('another cluster at the address', other_cluster_case)
    suite.run('tokens that are not let in', token_case)
    suite.run('certificates that are not trusted', tls_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
