#!/usr/bin/env python3
"""/metrics as its readers see it: promtool finds no fault with it, a real
Prometheus scrapes it and gives our figures back, and docs/http_api.md lists
what it and /stats hold, no more and no less."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (PATIENCE, ROOT, Client, Failure, Server, Suite, expect,
                    expect_equal, free_port, tool)

WRITES = 7

CONFIG = """global:
  scrape_interval: 2s
  scrape_timeout: 2s
scrape_configs:
  - job_name: leveld
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def load(server):
    """Requests of several routes and outcomes."""
    with Client(server) as client:
        for i in range(WRITES):
            expect_equal(client.put(b'k%d' % i, b'v' * 100).status, 204, 'PUT')
        expect_equal(client.get('/v1/kv/k0').status, 200, 'GET')
        expect_equal(client.get('/v1/kv/none').status, 404, 'GET')
        expect_equal(client.get('/none').status, 404, 'GET')
        return client.get('/stats').json(), client.get('/metrics')


def wait_for_follower(server):
    """Until the leader has heard of one, and that has all it has."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        with Client(server) as client:
            followers = client.get('/stats').json()['followers']
        if followers and 'lag' in followers[0] and \
                followers[0]['lag']['sequences'] == 0:
            return
        time.sleep(0.01)
    raise Failure(f'no follower is level: {followers}')


def load_both(folder):
    """/stats and /metrics of a leader and of its follower."""
    with Server(os.path.join(folder, 'data')) as leader:
        load(leader)
        with Server(os.path.join(folder, 'follower'), '--role', 'follower',
                    '--leader', f'http://127.0.0.1:{leader.port}') as follower:
            wait_for_follower(leader)
            answers = []
            for server in (leader, follower):
                with Client(server) as client:
                    answers.append((client.get('/stats').json(),
                                    client.get('/metrics')))
            return answers


def promtool_case(folder):
    promtool = tool('promtool')
    for _, answer in load_both(folder):
        expect_equal(answer.headers['content-type'],
                     'text/plain; version=0.0.4; charset=utf-8', 'Content-Type')
        done = subprocess.run([promtool, 'check', 'metrics'], input=answer.body,
                              capture_output=True, timeout=PATIENCE,
                              check=False)
        expect_equal((done.returncode, done.stdout, done.stderr), (0, b'', b''),
                     'promtool check metrics')
    return f'{len(answer.body)} bytes'


def follower_case(folder):
    """Both ends say the same of a follower that has all."""
    (leader, _), (follower, metrics) = load_both(folder)
    told = leader['followers'][0]
    own = follower['replication']['following']
    expect_equal(told['node_id'], follower['node_id'], 'node id')
    expect_equal(own['state'], 'streaming', 'state')
    expect_equal(own['why'], '', 'why')
    expect(own['leader'].startswith('http://127.0.0.1:'), own['leader'])
    expect_equal(own['epoch'], leader['epoch'], 'epoch')
    expect(own['lag']['known'], 'the lag is not known')
    expect_equal(own['lag']['bytes'], 0, 'lag in bytes')
    expect_equal(own['applied'], told['applied'], 'applied')
    expect_equal(own['synced'], told['synced'], 'synced')
    expect_equal(own['synced']['sequence'], leader['sequence'], 'sequence')
    expect(own['counts']['connects'] >= 1, own['counts'])
    expect(own['counts']['journal_bytes'] > 0, own['counts'])
    expect('followers' not in follower, 'a follower has followers')
    expect('following' not in leader['replication'], 'a leader follows')
    text = metrics.body.decode()
    for sample in ('leveld_following_state{state="streaming"} 1',
                   'leveld_following_sequence{position="applied"} '
                   f'{leader["sequence"]}'):
        expect(sample in text, f'{sample} is not in /metrics')


# ---- Prometheus ----

class Prometheus:
    """A Prometheus of our own on loopback, ended by its id."""

    def __init__(self, folder, target_port):
        self.folder = folder
        self.target_port = target_port

    def __enter__(self):
        config = os.path.join(self.folder, 'prometheus.yml')
        with open(config, 'w', encoding='ascii') as file:
            file.write(CONFIG.format(port=self.target_port))
        # It takes no socket and does not tell a port that it chose itself.
        self.port = free_port()
        self.log_path = os.path.join(self.folder, 'prometheus.log')
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                [tool('prometheus'), f'--config.file={config}',
                 f'--storage.tsdb.path={self.folder}/tsdb',
                 f'--web.listen-address=127.0.0.1:{self.port}'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)

    def log(self):
        with open(self.log_path, 'rb') as log:
            return log.read()[-3000:].decode('utf-8', 'replace')

    def ask(self, path, **query):
        url = (f'http://127.0.0.1:{self.port}/api/v1/{path}?'
               + urllib.parse.urlencode(query))
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)['data']

    def value(self, expression):
        """Of the one series that the expression gives; None: not there."""
        found = self.ask('query', query=expression)['result']
        expect(len(found) <= 1, f'{expression}: {found}')
        return float(found[0]['value'][1]) if found else None

    def wait_value(self, expression, is_right, what):
        """A scrape that came too late leaves none until the next one."""
        limit = time.monotonic() + PATIENCE
        last = None
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                break
            try:
                last = self.value(expression)
            except OSError as error:  # it starts
                last = error
            if isinstance(last, float) and is_right(last):
                return
            time.sleep(0.05)
        raise Failure(f'{expression} is {last}, not {what}\n{self.log()}')

    def wait_equal(self, expression, expected):
        self.wait_value(expression, lambda value: value == expected, expected)


def scrape_case(folder):
    tool('prometheus')
    with Server(os.path.join(folder, 'data')) as server:
        stats, _ = load(server)
        with Prometheus(folder, server.port) as prometheus:
            prometheus.wait_equal('leveld_sequence', stats['sequence'])
            for expression, expected in (
                    ('up{job="leveld"}', 1),
                    ('leveld_writes_total', WRITES),
                    ('sum(leveld_level_tables)', 0),
                    ('leveld_http_requests_total{route="PUT /v1/kv/{key}",'
                     'status="2xx"}', WRITES),
                    ('leveld_http_request_duration_seconds_bucket{le="+Inf",'
                     'route="PUT /v1/kv/{key}"}', WRITES),
                    ('leveld_http_request_duration_seconds_count{'
                     'route="GET /v1/kv/{key}"}', 2)):
                prometheus.wait_equal(expression, expected)
            prometheus.wait_value(
                'histogram_quantile(0.5, '
                'leveld_http_request_duration_seconds_bucket{'
                'route="PUT /v1/kv/{key}"})',
                lambda median: 0 < median < 60, 'a time of PUTs')
            told = prometheus.ask('metadata', metric='leveld_writes_total')
            expect_equal(told['leveld_writes_total'][0]['type'], 'counter',
                         'type of leveld_writes_total')


# ---- the page ----

def section(page, title):
    found = re.search(rf'^## {re.escape(title)}\n(.*?)(?=^## )', page,
                      re.MULTILINE | re.DOTALL)
    expect(found, f'docs/http_api.md has no section {title}')
    return found.group(1)


def rows_of(text):
    """(first cell, rest) of each row of the section's tables."""
    for line in text.splitlines():
        cells = re.match(r'\| (.*?) ?\| (.*) \|$', line)
        if cells and cells.group(1) not in ('group', 'label', '---'):
            yield cells.group(1).strip('`'), cells.group(2)


def names_in(value):
    """Every member's name in a JSON value, however deep."""
    if isinstance(value, list):
        return names_in(value[0]) if value else set()
    if not isinstance(value, dict):
        return set()
    names = set(value)
    for member in value.values():
        names |= names_in(member)
    return names


def group_of(stats, path):
    for name in path.split('.'):
        stats = stats[name.removesuffix('[]')]
    return stats


def page_case(folder):
    with open(os.path.join(ROOT, 'docs/http_api.md'), encoding='utf-8') as file:
        page = file.read()
    both = load_both(folder)
    stats, following = both[0][0], both[1][0]
    families = set()
    for _, answer in both:
        families |= set(re.findall(r'^# TYPE (\S+) ', answer.body.decode(),
                                   re.MULTILINE))
    listed = [name for _, cell in rows_of(section(page, '/metrics'))
              for name in re.findall(r'`((?:leveld|process)_\w+)`', cell)]
    expect_equal(sorted(listed), sorted(families), 'families on the page')

    groups = dict(rows_of(section(page, '/stats')))
    seen = set()
    for path, cell in groups.items():
        named = set(re.findall(r'`(\w+)`', cell))
        if path == 'top':
            have = {name for name, value in stats.items()
                    if not isinstance(value, (dict, list))} | {'reason'}
        elif path == 'replication.following':
            have = names_in(group_of(following, path))
        else:
            have = names_in(group_of(stats, path))
            seen.add(path.removesuffix('[]'))
        expect_equal(sorted(named), sorted(have), f'members of {path}')
    for name, value in stats.items():
        paths = [name] if name != 'engine' else \
            [f'engine.{member}' for member in value]
        for path in paths:
            if isinstance(group_of(stats, path), (dict, list)):
                expect(any(s == path or s.startswith(path + '.')
                           for s in seen), f'{path} is not on the page')
    return f'{len(families)} families'


def main():
    suite = Suite()
    suite.run('promtool finds no fault', promtool_case)
    suite.run('both ends tell of a follower', follower_case)
    suite.run('Prometheus scrapes it', scrape_case)
    suite.run('the page lists it all', page_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
