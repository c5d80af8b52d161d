"""What has to be so before and after commands of docs/docker.md.

A check is a function of the session and of what the command printed; its
docstring is its name. It raises CheckFailed, or returns a note. session.run()
does a command in the same shell."""
import json
import re
import time

# Seconds. Chosen: what takes a moment on an idle machine.
LIMIT = 120

IMAGE_MIB_MAX = 60

_before, _after = [], []


class CheckFailed(Exception):
    pass


def before(command):
    return [check for text, check in _before if text in command]


def after(command):
    return [check for text, check in _after if text in command]


def name_of(check):
    return '  ' + ' '.join(check.__doc__.split())


def without_command(commands):
    """Texts of checks that no command has: the page has changed."""
    return [text for text, _ in _before + _after
            if not any(text in command for command in commands)]


def at(where, text):
    def add(function):
        where.append((text, function))
        return function
    return add


def expect(is_true, text):
    if not is_true:
        raise CheckFailed(text)


def expect_equal(got, expected, what):
    expect(got == expected, f'{what}: expected {expected!r}, got {got!r}')


def wait_until(session, command, is_so, what):
    """Does command again and again until what it prints is as wanted."""
    limit = time.monotonic() + LIMIT
    while True:
        output = session.run(command)
        if is_so(output):
            return output
        expect(time.monotonic() < limit, f'{what}: not within {LIMIT} s: '
                                         f'{output}')
        time.sleep(0.5)


def documents(text):
    """The JSON documents that stand behind each other."""
    decoder, found, at_byte = json.JSONDecoder(), [], 0
    while True:
        while at_byte < len(text) and text[at_byte].isspace():
            at_byte += 1
        if at_byte == len(text):
            return found
        document, at_byte = decoder.raw_decode(text, at_byte)
        found.append(document)


def inspect(session, container, template):
    return session.run(f'docker inspect --format "{template}" {container}'
                       ).strip()


def node(session, name):
    """Its container. Not of docker-compose, which takes seconds to say so."""
    return session.run('docker ps -aq --filter '
                       f'label=com.docker.compose.service={name}').strip()


def stats(session, url):
    return json.loads(session.run(f'ask {url}/stats'))


# ---- Start ----

@at(_before, 'docker-compose build')
def secrets_are_closed(session, _):
    """nobody else reads the secrets, and they are made once"""
    expect_equal(session.run('stat -c %a secrets').strip(), '700', 'mode')
    was = session.run('cat secrets/*')
    session.run('./make-secrets')
    expect_equal(session.run('cat secrets/*'), was, 'secrets')


@at(_after, 'docker-compose build')
def image_is_small(session, _):
    """the image is small, of the program alone"""
    size = int(inspect(session, 'leveld', '{{.Size}}'))
    expect(size < IMAGE_MIB_MAX << 20, f'{size} bytes')
    text = session.run('docker run --rm leveld version')
    expect(re.match(r'leveld \S+ \([0-9a-f]{12}\)$', text.strip()), text)
    code, _ = session.shell.run('docker run --rm --entrypoint sh leveld', 60)
    expect(code != 0, 'it has a shell')
    return f'{size / (1 << 20):.1f} MiB, {text.strip()}'


@at(_after, 'docker-compose build')
def nothing_open_by_mistake(session, _):
    """without tokens it does not start"""
    code, text = session.shell.run('docker run --rm leveld', 60)
    expect_equal(code, 2, 'exit code')
    expect('--tokens' in text, text)


@at(_after, '$N1/readyz $N2/readyz $N3/readyz')
def containers_are_healthy(session, _):
    """all three become healthy by their own check"""
    for name in ('node1', 'node2', 'node3'):
        container = node(session, name)
        wait_until(session, 'docker inspect --format "{{.State.Health.Status}}"'
                            f' {container}',
                   lambda text: text.strip() == 'healthy', f'{name} is healthy')


@at(_after, '$N1/readyz $N2/readyz $N3/readyz')
def processes_may_nothing(session, _):
    """pid 1 is leveld, user 10001, without capabilities, on a root that it
    cannot write"""
    for name in ('node1', 'node2', 'node3'):
        # Of the engine's processes, whose ids are not ours.
        is_read_only, pid = inspect(
            session, node(session, name),
            '{{.HostConfig.ReadonlyRootfs}} {{.State.Pid}}').split()
        expect_equal(is_read_only, 'true', 'root')
        status = session.run(f'cat {session.engine.proc()}/{pid}/status')
        for line in (r'Name:\s+leveld', r'NSpid:.*\s1', r'Uid:(\s+10001){4}',
                     r'Gid:(\s+10001){4}', r'CapEff:\s+0+', r'CapPrm:\s+0+',
                     r'CapBnd:\s+0+', r'NoNewPrivs:\s+1'):
            expect(re.search(f'^{line}$', status, re.M), f'{line}:\n{status}')


# ---- Write and read ----

@at(_after, '"Leveld-Min-Sequence: $S" $N2/v1/kv/greeting')
def read_your_write(_, output):
    """the follower has the write"""
    expect_equal(output, 'hello', 'value')


@at(_after, '$N3/v1/kv/other')
def forwarded(session, _):
    """the leader has what was written at a follower"""
    expect_equal(session.run('ask $N1/v1/kv/other'), 'hi', 'value')


@at(_after, 'ask $N1/v1/replication/followers')
def both_follow(_, output):
    """both followers are listed, with their URLs"""
    items = json.loads(output)['items']
    expect_equal(sorted(item['url'] for item in items),
                 ['http://node2:8080', 'http://node3:8080'], 'followers')


@at(_after, '$N1/v1/digest')
def files_are_equal(session, _):
    """the files of all three are the same"""
    text = wait_until(
        session, 'ask $N1/v1/digest $N2/v1/digest $N3/v1/digest',
        lambda text: len({one['digest'] for one in documents(text)}) == 1,
        'equal digests')
    return documents(text)[0]['digest']


@at(_after, '$N1/v1/kv/app%2Fcounter')
def token_is_limited(session, _):
    """the new token is good for its own keys alone"""
    text = session.run('curl -s -o /dev/null -w "%{http_code}" '
                       '-H "Authorization: Bearer $TOKEN" $N1/v1/kv/greeting')
    expect_equal(text, '403', 'status')


# ---- Scale ----

@at(_after, 'ask $R/v1/kv/greeting')
def readers_follow(session, output):
    """the readers have the data, and the leader four followers"""
    expect_equal(output, 'hello', 'value')
    wait_until(session, 'ask $N1/v1/replication/followers',
               lambda text: len(json.loads(text)['items']) == 4, 'followers')


@at(_after, '-X DELETE $N1/v1/replication/followers/$ID')
def reader_is_forgotten(session, _):
    """one of them is not listed any more"""
    items = json.loads(session.run('ask $N1/v1/replication/followers'))['items']
    expect_equal(len(items), 3, 'followers')


# ---- Change places ----

@at(_after, '"to":"http://node2:8080"')
def node2_leads(session, output):
    """node2 leads, node1 follows, and a write goes through"""
    expect_equal(json.loads(output)['role'], 'follower', 'role of node1')
    expect_equal(stats(session, '$N2')['role'], 'leader', 'role of node2')
    session.run('ask -X PUT --data-binary 2 $N1/v1/kv/turn')
    expect_equal(session.run('ask $N2/v1/kv/turn'), '2', 'value')


@at(_after, 'docker-compose stop node1')
def stop_is_clean(session, _):
    """SIGTERM: it says that it stopped, and exits with 0"""
    container = node(session, 'node1')
    expect_equal(inspect(session, container, '{{.State.ExitCode}}'), '0',
                 'exit code')
    log = session.run(f'docker logs --tail 5 {container}')
    expect('event=stopped' in log, log)


@at(_after, '"to":"http://node1:8080"')
def node1_leads_again(session, _):
    """node1 leads again, the others follow"""
    expect_equal(stats(session, '$N1')['role'], 'leader', 'role of node1')
    wait_until(session, 'ask $N1/v1/replication/followers',
               lambda text: sorted(
                   item['url'] for item in json.loads(text)['items']
                   if item['alive'] and item['url']) ==
               ['http://node2:8080', 'http://node3:8080'], 'followers')


# ---- When the leader is lost ----

@at(_before, 'docker-compose kill node1')
def only_node1_has_them(session, _):
    """ten writes that node1 alone has"""
    session.run('docker-compose stop node2 node3')
    for i in range(10):
        session.run(f'ask -X PUT --data-binary {i} $N1/v1/kv/lost{i}')


@at(_after, 'docker-compose kill node1')
def reads_go_on(session, _):
    """the others come up without it; reads go on, writes are told so"""
    session.run('docker-compose start node2 node3')
    for url in ('$N2', '$N3'):
        session.run(f'await {url}/v1/kv/greeting')
        expect_equal(session.run(f'ask {url}/v1/kv/greeting'), 'hello', 'value')
    text = session.run('curl -s -H @secrets/admin_header -X PUT '
                       '--data-binary 1 $N2/v1/kv/nobody')
    expect_equal(json.loads(text)['type'], '/problems/no-leader', 'type')


@at(_after, '"force":true')
def promoted(session, output):
    """node2 leads in a new epoch"""
    expect_equal(json.loads(output)['role'], 'leader', 'role')
    expect_equal(stats(session, '$N2')['role'], 'leader', 'role of node2')


@at(_after, "-H 'Leveld-Timeout: 30s' $N3/v1/kv/greeting")
def node3_follows(session, _):
    """node3 follows the new leader"""
    expect_equal(session.run('ask $N3/v1/kv/greeting'), 'world', 'value')


@at(_before, 'NODE1_ROLE=follower')
def old_leader_does_not_lead(session, _):
    """node1, started as it was, refuses to lead and says what to do"""
    session.run('docker-compose start node1')
    container = node(session, 'node1')
    wait_until(session, f'docker logs --tail 20 {container}',
               lambda text: 'start it with --role follower' in text,
               'it says so')
    session.run('docker-compose stop node1')


@at(_after, "-H 'Leveld-Timeout: 30s' $N1/v1/kv/greeting")
def node1_is_a_twin(session, _):
    """node1 has the new history, not what it had alone"""
    expect_equal(session.run('ask $N1/v1/kv/greeting'), 'world', 'value')
    for i in range(10):
        text = session.run('curl -s -o /dev/null -w "%{http_code}" '
                           f'-H @secrets/admin_header $N1/v1/kv/lost{i}')
        expect_equal(text, '404', f'status of lost{i}')
    session.run('ask -X POST $N2/v1/admin/flush')
    wait_until(
        session, 'ask $N1/v1/digest $N2/v1/digest $N3/v1/digest',
        lambda text: len({one['digest'] for one in documents(text)}) == 1,
        'equal digests')


@at(_after, '$N1/v1/replication/diverged')
def its_writes_are_kept(session, output):
    """the ten writes are kept, and can be had"""
    document = json.loads(output)
    expect(document['items'], output)
    names = ' '.join(item['name'] for item in document['items'])
    # Keys stand in a journal as they are.
    found = session.run(f'for name in {names}; do '
                        'ask $N1/v1/replication/diverged/$name; done | '
                        "grep -a -o 'lost[0-9]' | sort -u | wc -l")
    expect_equal(found.strip(), '10', 'keys among them')
    return names


# ---- Back up and restore ----

@at(_after, 'tar -tf backup.tar')
def archive_is_whole(session, output):
    """the archive is whole"""
    expect_equal(output.strip(), 'CURRENT', 'last file')
    session.run(f'CLUSTER={stats(session, "$N3")["cluster_id"]}')


@at(_after, 'down --volumes && rm -f .env')
def all_is_gone(session, _):
    """no container and no volume is left"""
    expect_equal(session.run('docker ps -aq; docker volume ls -q').strip(), '',
                 'left')


@at(_after, 'ask $N3/v1/kv/greeting')
def restored(session, output):
    """the data is there, at a follower, in another cluster"""
    expect_equal(output, 'world', 'value')
    now = stats(session, '$N1')
    expect_equal(now['role'], 'leader', 'role of node1')
    expect(now['cluster_id'] != session.run('echo $CLUSTER').strip(),
           'it is the same cluster')


# ---- Monitor ----

@at(_after, 'query?query=leveld_ready')
def all_are_scraped(session, _):
    """Prometheus scrapes all three, and has the alerts"""
    url = "'http://127.0.0.1:9090/api/v1/query?query=leveld_ready'"

    def is_complete(text):
        rows = json.loads(text)['data']['result']
        return sorted((row['metric']['instance'], row['value'][1])
                      for row in rows) == [
                          (f'node{i}:8080', '1') for i in (1, 2, 3)]

    wait_until(session, f'curl -sS {url}', is_complete, 'three that are ready')
    groups = json.loads(session.run(
        'curl -sS http://127.0.0.1:9090/api/v1/rules'))['data']['groups']
    rules = [rule for group in groups for rule in group['rules']]
    expect(len(rules) >= 8, f'{len(rules)} alerts')
    expect(all(rule['health'] != 'err' for rule in rules), f'{rules}')
    return f'{len(rules)} alerts'


# ---- Look inside ----

@at(_after, 'exec -T node1 leveld health')
def health_answers(_, output):
    """health prints the answer of the other node"""
    expect(json.loads(output)['ready'], output)


@at(_after, 'run --rm -T node3 check /data')
def folder_is_clean(_, output):
    """the folder is clean"""
    expect('# clean: damages 0' in output, output)


# ---- Stop, one node alone ----

@at(_after, 'monitoring.yaml down --volumes')
def nothing_is_left(session, _):
    """no container, no volume, no network of ours is left"""
    expect_equal(session.run('docker ps -aq; docker volume ls -q').strip(), '',
                 'left')
    text = session.run('docker network ls --filter type=custom -q')
    expect_equal(text.strip(), '', 'networks')


@at(_after, 'docker stop leveld')
def one_stops_clean(session, _):
    """it exits with 0"""
    expect_equal(inspect(session, 'leveld', '{{.State.ExitCode}}'), '0',
                 'exit code')
