#!/usr/bin/env python3
"""/v1/admin on a real server: what it does to the folder, long work that is
accepted, watched and cancelled, and a stop in the middle of it."""
import hashlib
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (JSON, NDJSON, PATIENCE, Client, Digest, Server, Suite,
                    check_with_both, expect, expect_equal, lines_of,
                    need_oracles)

# A compaction of what load() writes takes minutes.
SLOW = ['--compaction-rate', '64KiB', '--write-buffer', '64KiB',
        '--l0-compaction', '1000', '--l0-slowdown', '1000', '--l0-stop',
        '1000']


def load(client, count=600):
    """Entries in several tables of level 0."""
    rng = random.Random(1)
    content = {}
    for i in range(count):
        key = b'key%04d' % rng.randrange(count)
        content[key] = rng.randbytes(1000)
        expect_equal(client.put(key, content[key],
                                '?sync=false').status, 204, f'PUT {i}')
    return content


# What has to be done when it is answered: a second may be too short for it.
PATIENT = {'Leveld-Timeout': '60s'}


def post(client, name, body=None, headers=None):
    return client.request('POST', '/v1/admin/' + name,
                          None if body is None else json.dumps(body),
                          dict({'Content-Type': JSON} if body else {},
                               **(headers or PATIENT)))


def wait_task(client, name, states):
    """The task's document, once it is in one of the states."""
    limit = time.monotonic() + PATIENCE
    while True:
        answer = client.get('/v1/admin/tasks/' + name)
        expect_equal(answer.status, 200, 'GET of the task')
        task = answer.json()
        if task['state'] in states:
            return task
        expect(time.monotonic() < limit, f'task {name} stays {task}')


def work_case(folder):
    need_oracles()
    data, copies = (os.path.join(folder, name) for name in ('data', 'copies'))
    with Server(data, '--write-buffer', '64KiB', '--checkpoint-dir',
                copies) as server, Client(server) as client:
        content = load(client)
        answer = post(client, 'flush')
        expect_equal((answer.status, answer.json()),
                     (200, {'sequence': 600}), 'flush')
        expect_equal(client.get('/stats').json()['engine']['memtable']
                     ['immutable_count'], 0, 'memtables after a flush')
        answer = post(client, 'compact', {'start': 'key0100'})
        expect_equal(answer.status, 200, f'compact: {answer}')
        expect(answer.json()['bytes'] > 0, f'compact: {answer}')
        answer = post(client, 'verify')
        expect_equal((answer.status, answer.json()['errors']), (200, []),
                     'verify')
        answer = post(client, 'checkpoint', {'dir': 'one'})
        expect_equal((answer.status, answer.json()), (200, {'dir': 'one'}),
                     'checkpoint')
        digest = Digest.of_dict(content)
        expect_equal(client.delete(b'key0100').status, 204, 'DELETE')
        check_with_both(os.path.join(copies, 'one'), digest)
        for name in ('..', '../x', '/tmp/x', '.x', 'a/b'):
            expect_equal(post(client, 'checkpoint', {'dir': name}).status, 400,
                         f'checkpoint {name}')
        expect_equal(os.listdir(copies), ['one'], 'checkpoints')
        answer = client.get('/v1/admin/properties/leveldb.stats')
        expect(answer.status == 200 and b'Compactions' in answer.body,
               f'property: {answer}')


def stream_case(folder):
    with Server(os.path.join(folder, 'data'), '--write-buffer',
                '64KiB') as server, Client(server) as client:
        load(client)
        client.connection.request('POST', '/v1/admin/compact',
                                  headers={'Accept': NDJSON})
        response = client.connection.getresponse()
        expect_equal(response.status, 200, 'status')
        lines = [json.loads(line) for line in lines_of(response)]
        expect(lines[0]['id'] == '1' and lines[-1]['end'] is True and
               lines[-1]['state'] == 'done' and
               lines[-1]['count'] == len(lines) - 1, f'lines {lines}')
        done = [line['done'] for line in lines[:-1]]
        expect_equal(done, sorted(done), 'bytes done')


def cancel_case(folder):
    with Server(os.path.join(folder, 'data'), *SLOW) as server, \
            Client(server) as client:
        load(client)
        answer = post(client, 'compact', None, {'Leveld-Timeout': '100ms'})
        expect_equal((answer.status, answer.json()), (202, {'id': '1'}),
                     'compact')
        expect_equal(answer.headers['location'], '/v1/admin/tasks/1',
                     'Location')
        answer = post(client, 'verify', None, {'Leveld-Timeout': '0s'})
        expect_equal((answer.status, answer.json()), (202, {'id': '2'}),
                     'verify behind it')
        wait_task(client, '1', ['running'])
        expect_equal(wait_task(client, '2', ['queued'])['kind'], 'verify',
                     'kind')
        figures = client.get('/stats').json()['admin']
        expect_equal((figures['tasks_running'], figures['tasks_queued']),
                     (1, 1), 'tasks of /stats')
        items = client.get('/v1/admin/tasks').json()['items']
        expect_equal([item['id'] for item in items], ['2', '1'], 'tasks')
        for name in ('2', '1'):
            answer = client.request('DELETE', '/v1/admin/tasks/' + name)
            expect_equal(answer.status, 204, f'DELETE of task {name}')
            wait_task(client, name, ['cancelled'])
        expect_equal(client.request('DELETE', '/v1/admin/tasks/1').status, 409,
                     'DELETE of a task that has ended')
        expect_equal(post(client, 'verify').status, 200, 'verify after it')


def stop_case(folder):
    """A stop cancels the task; who watches it is told that it was cut."""
    lines, begun = [], threading.Event()

    def watch(server):
        with Client(server) as client:
            client.connection.request('POST', '/v1/admin/compact',
                                      headers={'Accept': NDJSON})
            try:
                response = client.connection.getresponse()
                # Line by line: a read of many bytes waits for them.
                for line in iter(response.readline, b''):
                    lines.append(json.loads(line))
                    begun.set()
            except Exception:  # pylint: disable=broad-except
                pass  # the stream is cut on purpose

    with Server(os.path.join(folder, 'data'), *SLOW) as server:
        with Client(server) as client:
            load(client)
        watcher = threading.Thread(target=watch, args=(server,))
        watcher.start()
        expect(begun.wait(PATIENCE), 'no line')
        started = time.monotonic()
        server.stop()
        watcher.join(PATIENCE)
        took = time.monotonic() - started
    expect('error' in lines[-1] or lines[-1].get('state') == 'cancelled',
           f'last line {lines[-1]}')
    return f'in {took:.1f} s'


def scope_case(folder):
    tokens = os.path.join(folder, 'tokens')
    with open(tokens, 'w', encoding='ascii') as file:
        for name, scopes in (('user', 'read,write'), ('operator', 'admin')):
            secret = hashlib.sha256(name.encode()).hexdigest()
            file.write(f'{name} {secret} {scopes}\n')
    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server, \
            Client(server) as client:
        for method, path in (('POST', '/v1/admin/flush'),
                             ('POST', '/v1/admin/compact'),
                             ('POST', '/v1/admin/verify'),
                             ('GET', '/v1/admin/tasks'),
                             ('GET', '/v1/admin/properties/leveldb.stats'),
                             ('GET', '/v1/backup')):
            for token, status in (('operator', 200), ('user', 403),
                                  ('nobody', 401)):
                patience = PATIENT if method == 'POST' else {}
                answer = client.request(
                    method, path, None,
                    {'Authorization': 'Bearer ' + token, **patience})
                expect_equal(answer.status, status, f'{method} {path} {token}')


def main():
    suite = Suite()
    suite.run('what is asked for is done', work_case)
    suite.run('a stream tells how far it is', stream_case)
    suite.run('long work is accepted and cancelled', cancel_case)
    suite.run('SIGTERM cancels what runs', stop_case)
    suite.run('only operators may', scope_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
