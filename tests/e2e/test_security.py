#!/usr/bin/env python3
"""Who gets in: bearer tokens with scopes and a prefix, asked for with curl;
reloading them on HUP; no secret in log or process arguments."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import BIN, Failure, Server, Skip, Suite, expect, expect_equal

# Seconds until a reload must be over.
RELOAD_LIMIT = 20


def line(name, secret, scopes, prefix=None):
    digest = hashlib.sha256(secret.encode()).hexdigest()
    end = '' if prefix is None else f' prefix={prefix}'
    return f'{name} {digest} {scopes}{end}\n'


def write_tokens(path, *lines):
    with open(path + '.new', 'w', encoding='ascii') as file:
        file.writelines(lines)
    os.rename(path + '.new', path)


def curl(server, path, *arguments, token=None):
    """The status, and the problem's name."""
    if shutil.which('curl') is None:
        raise Skip('curl is not installed')
    credentials = ['-H', f'Authorization: Bearer {token}'] if token else []
    done = subprocess.run(
        ['curl', '-s', '-m', '60', '-w', '\n%{http_code}', *credentials,
         *arguments, f'http://127.0.0.1:{server.port}{path}'],
        check=True, capture_output=True, timeout=90)
    body, status = done.stdout.rsplit(b'\n', 1)
    problem = None
    if b'"/problems/' in body:
        problem = json.loads(body)['type'][len('/problems/'):]
    return int(status), problem


def scopes_case(folder):
    tokens = os.path.join(folder, 'tokens')
    write_tokens(tokens, '# who may what\n',
                 line('all', 'secret-all', 'read,write,admin,replicate'),
                 line('reader', 'secret-reader', 'read'),
                 line('writer', 'secret-writer', 'write'),
                 line('mine', 'secret-mine', 'read,write', 'm%2F'))
    put = ('-X', 'PUT', '--data-binary', 'value')
    batch = ('-H', 'Content-Type: application/x-ndjson', '--data-binary')
    rows = [
        ('/healthz', (), None, 200, None),
        ('/readyz', (), None, 200, None),
        ('/version', (), None, 200, None),
        ('/stats', (), None, 401, 'unauthorized'),
        ('/v1/kv/a', (), None, 401, 'unauthorized'),
        ('/v1/kv/a', put, None, 401, 'unauthorized'),
        ('/v1/kv/a', put, 'secret-other', 401, 'unauthorized'),
        ('/v1/kv/a', put, 'secret-reader', 403, 'forbidden'),
        ('/v1/kv/a', put, 'secret-writer', 204, None),
        ('/v1/kv/a', (), 'secret-writer', 403, 'forbidden'),
        ('/v1/kv/a', (), 'secret-reader', 200, None),
        ('/stats', (), 'secret-reader', 200, None),
        ('/v1/kv/a', (), 'secret-all', 200, None),
        ('/v1/kv/a', (), 'secret-mine', 403, 'forbidden'),
        ('/v1/kv/m%2Fa', put, 'secret-mine', 204, None),
        ('/v1/kv/m%2Fa', (), 'secret-mine', 200, None),
        ('/v1/range?prefix=m%2F', (), 'secret-mine', 200, None),
        ('/v1/range', (), 'secret-mine', 403, 'forbidden'),
        ('/v1/range?start=', ('-X', 'DELETE'), 'secret-mine', 403,
         'forbidden'),
        ('/v1/batch', (*batch, '{"op":"delete","key":"a"}'), 'secret-mine',
         403, 'forbidden'),
        ('/v1/batch', (*batch, '{"op":"delete","key":"m/a"}'), 'secret-mine',
         200, None),
    ]
    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server:
        for path, arguments, token, status, problem in rows:
            got = curl(server, path, *arguments, token=token)
            expect_equal(got, (status, problem),
                         f'{path} {arguments} with {token}')
        log = server.log()
        with open(f'/proc/{server.pid()}/cmdline', 'rb') as file:
            arguments = file.read()
    expect('secret-' not in log, f'a secret in the log:\n{log}')
    expect(b'secret-' not in arguments, f'a secret in {arguments!r}')
    return f'{len(rows)} requests'


def await_status(server, path, token, status):
    limit = time.monotonic() + RELOAD_LIMIT
    while curl(server, path, token=token)[0] != status:
        if time.monotonic() > limit:
            raise Failure(f'{path} with {token} is not {status}:\n'
                          f'{server.log()}')
        time.sleep(0.05)


def await_log(server, text):
    limit = time.monotonic() + RELOAD_LIMIT
    while text not in server.log():
        if time.monotonic() > limit:
            raise Failure(f'no {text!r} in the log:\n{server.log()}')
        time.sleep(0.05)


def reload_case(folder):
    tokens = os.path.join(folder, 'tokens')
    write_tokens(tokens, line('one', 'secret-one', 'read'))
    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server:
        expect_equal(curl(server, '/stats', token='secret-one')[0], 200,
                     'the first token')
        write_tokens(tokens, line('two', 'secret-two', 'read'))
        expect_equal(curl(server, '/stats', token='secret-one')[0], 200,
                     'before HUP')
        os.kill(server.pid(), signal.SIGHUP)
        await_status(server, '/stats', 'secret-two', 200)
        expect_equal(curl(server, '/stats', token='secret-one')[0], 401,
                     'the token that is gone')
        # A file that cannot be read changes nothing.
        write_tokens(tokens, 'two nonsense\n')
        os.kill(server.pid(), signal.SIGHUP)
        await_log(server, 'reload-failed')
        expect_equal(curl(server, '/stats', token='secret-two')[0], 200,
                     'after a reload that failed')
    return None


def start_case(folder):
    """A start without its tokens is refused, whatever the address."""
    data = os.path.join(folder, 'data')
    tokens = os.path.join(folder, 'tokens')
    write_tokens(tokens, 'name nonsense read\n')
    for path, text in ((tokens + '.none', 'No such file'),
                       (tokens, 'line 1')):
        done = subprocess.run(
            [BIN, 'serve', '--data', data, '--listen', '127.0.0.1:0',
             '--tokens', path], check=False, capture_output=True, timeout=60)
        expect_equal(done.returncode, 1, f'exit code with {path}')
        expect(text in done.stderr.decode(), f'{text!r} not in {done.stderr}')
    return None


def main():
    suite = Suite()
    suite.run('scopes and prefix of tokens', scopes_case)
    suite.run('tokens are reloaded on HUP', reload_case)
    suite.run('no start without the tokens asked for', start_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
