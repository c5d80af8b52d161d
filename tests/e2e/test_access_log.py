#!/usr/bin/env python3
"""The access log of the real process: rotated by SIGHUP, on a pipe that nobody
reads, beside the log of slow requests; and that no value gets into it."""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (PATIENCE, Client, Failure, Server, Suite, expect,
                    expect_equal)


def wait_for(what, is_true):
    limit = time.monotonic() + PATIENCE
    while not is_true():
        if time.monotonic() > limit:
            raise Failure(f'{what}: not within {PATIENCE} s')
        time.sleep(0.005)


def lines_of(path):
    with open(path, encoding='ascii') as file:
        return [json.loads(line) for line in file]


def rotate_case(folder):
    path, old = os.path.join(folder, 'access'), os.path.join(folder, 'old')
    with Server(os.path.join(folder, 'data'), '--access-log=json',
                f'--access-log-file={path}') as server:
        with Client(server) as client:
            first = client.put(b'first', b'1')
        wait_for('the first line', lambda: any(
            line['path'] == '/v1/kv/first' for line in lines_of(path)))
        os.rename(path, old)
        os.kill(server.pid(), signal.SIGHUP)
        wait_for('a new file', lambda: os.path.exists(path))
        with Client(server) as client:
            client.request('GET', '/v1/kv/second',
                           headers={'X-Request-Id': 'mine'})
        server.stop()
    expect(not any(line['path'] == '/v1/kv/second' for line in lines_of(old)),
           'a line of after the rotation is in the old file')
    line = [line for line in lines_of(old) if line['path'] == '/v1/kv/first'][0]
    expect_equal((line['method'], line['status'], line['request_bytes']),
                 ('PUT', 204, 1), 'the line of the PUT')
    expect_equal(line['request_id'], first.headers['x-request-id'], 'its id')
    expect(line['client'].startswith('127.0.0.1:'), line['client'])
    line = lines_of(path)[0]
    expect_equal((line['path'], line['status'], line['request_id']),
                 ('/v1/kv/second', 404, 'mine'), 'the line of the GET')


def values_case(folder):
    path = os.path.join(folder, 'access')
    secret = b'a-value-and-no-other'
    with Server(os.path.join(folder, 'data'), '--access-log=text',
                f'--access-log-file={path}', '--slow-request=1us') as server:
        with Client(server) as client:
            client.put(b'key', secret)
            expect_equal(client.get('/v1/kv/key').body, secret, 'the value')
            client.request('GET', '/v1/kv/key', headers={
                'Authorization': f'Bearer {secret.decode()}',
                'Accept': 'application/json'})
            client.request('POST', '/v1/batch', b'{"ops":[{"op":"put","key":'
                           b'"other","value":"%s"}]}' % secret,
                           {'Content-Type': 'application/json'})
            client.get(f'/v1/range?start={secret.decode()}')
        server.stop()
        log = server.log()
    with open(path, encoding='ascii') as file:
        lines = file.read()
    expect(secret.decode() not in lines, 'a value is in the access log')
    expect(secret.decode() not in log, 'a value is in the log')
    expect_equal(log.count('event=slow-request'), lines.count('\n'),
                 'slow requests')


def stuck_case(folder):
    """Requests go on while nobody reads the pipe, and lines are counted."""
    path = os.path.join(folder, 'pipe')
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    count = 0
    with Server(os.path.join(folder, 'data'), '--access-log=json',
                f'--access-log-file={path}') as server:
        with Client(server) as client:
            dropped = 0
            while dropped == 0:
                for _ in range(200):
                    expect_equal(client.get('/v1/kv/' + 300 * 'k').status, 404,
                                 'GET')
                count += 200
                expect(count < 20000, 'no line was dropped')
                figures = client.get('/stats').json()['process']
                dropped = figures['log_lines_dropped']
            expect(figures['log_lines'] > dropped, f'{figures}')
        server.stop()
    os.close(reader)
    return f'after {count} requests'


def main():
    suite = Suite()
    suite.run('SIGHUP opens the file again', rotate_case)
    suite.run('no value gets into a log', values_case)
    suite.run('a stuck reader stops no request', stuck_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
