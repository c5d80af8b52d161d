#!/usr/bin/env python3
"""Who gets in: bearer tokens with scopes and a prefix, TLS, certificates of
clients, asked for with curl; reloading them on HUP; no secret in log, figures or
process arguments."""
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
from certificates import make_certificate, make_certificates
from leveld import (BIN, PATIENCE, Client, Failure, Server, Skip, Suite,
                    expect, expect_equal)


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
        ['curl', '-s', '-m', str(PATIENCE), '-w', '\n%{http_code}',
         *credentials, *arguments, f'http://127.0.0.1:{server.port}{path}'],
        check=True, capture_output=True, timeout=2 * PATIENCE)
    body, status = done.stdout.rsplit(b'\n', 1)
    problem = None
    if b'"/problems/' in body:
        problem = json.loads(body)['type'][len('/problems/'):]
    return int(status), problem


def expect_no_secrets(server, admin):
    """Neither tokens nor what the file has of them, wherever they could show."""
    with Client(server) as client:
        told = {path: client.get(path, {'Authorization': f'Bearer {admin}'})
                for path in ('/stats', '/metrics', '/v1/admin/tasks')}
    with open(f'/proc/{server.pid()}/cmdline', 'rb') as file:
        shown = {'arguments': file.read(), 'log': server.log().encode()}
    for path, answer in told.items():
        expect_equal(answer.status, 200, path)
        shown[path] = answer.body
    for place, text in shown.items():
        for secret in (b'secret-', hashlib.sha256(admin.encode())
                       .hexdigest().encode()):
            expect(secret not in text, f'{secret} in {place}: {text!r}')


def expect_row(what, got, wanted):
    """Holds an answer, and prints it as a row of the table of them all."""
    status, problem = got if isinstance(got, tuple) else (got, None)
    shown = 'no answer' if status == 0 else f'{status} {problem or ""}'
    print(f'# | {what} | {shown.strip()} |')
    expect_equal(got, wanted, what)


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
    with Server(os.path.join(folder, 'data'), '--tokens', tokens,
                '--access-log', 'text', '--log-level', 'debug') as server:
        for path, arguments, token, status, problem in rows:
            expect_row(' '.join((path, *arguments, 'with', token or 'no token')),
                       curl(server, path, *arguments, token=token),
                       (status, problem))
        await_log(server, 'event=request')
        expect_no_secrets(server, 'secret-all')
    return f'{len(rows)} requests'


def await_status(server, path, token, status):
    limit = time.monotonic() + PATIENCE
    while curl(server, path, token=token)[0] != status:
        if time.monotonic() > limit:
            raise Failure(f'{path} with {token} is not {status}:\n'
                          f'{server.log()}')
        time.sleep(0.05)


def await_log(server, text):
    limit = time.monotonic() + PATIENCE
    while text not in server.log():
        if time.monotonic() > limit:
            raise Failure(f'no {text!r} in the log:\n{server.log()}')
        time.sleep(0.05)


def reload_case(folder):
    tokens = os.path.join(folder, 'tokens')
    write_tokens(tokens, line('one', 'secret-one', 'read'))
    with Server(os.path.join(folder, 'data'), '--tokens', tokens) as server:
        expect_row('the first token',
                   curl(server, '/stats', token='secret-one')[0], 200)
        write_tokens(tokens, line('two', 'secret-two', 'read'))
        expect_row('it is gone from the file, before HUP',
                   curl(server, '/stats', token='secret-one')[0], 200)
        os.kill(server.pid(), signal.SIGHUP)
        await_status(server, '/stats', 'secret-two', 200)
        expect_row('it is gone from the file, after HUP',
                   curl(server, '/stats', token='secret-one')[0], 401)
        # A file that cannot be read changes nothing.
        write_tokens(tokens, 'two nonsense\n')
        os.kill(server.pid(), signal.SIGHUP)
        await_log(server, 'reload-failed')
        expect_row('the token of before a reload that failed',
                   curl(server, '/stats', token='secret-two')[0], 200)
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
             '--tokens', path], check=False, capture_output=True,
            timeout=PATIENCE)
        expect_equal(done.returncode, 1, f'exit code with {path}')
        expect(text in done.stderr.decode(), f'{text!r} not in {done.stderr}')
    return None


# ---- TLS ----

def tls_curl(server, folder, *arguments, ca='ca', client=None,
             scheme='https'):
    """The status; 0: no answer came."""
    own = [] if client is None else [
        '--cert', os.path.join(folder, f'{client}.pem'),
        '--key', os.path.join(folder, f'{client}.key')]
    done = subprocess.run(
        ['curl', '-s', '-m', str(PATIENCE), '-o', os.devnull, '-w',
         '%{http_code}', '--cacert', os.path.join(folder, f'{ca}.pem'), *own, *arguments,
         f'{scheme}://127.0.0.1:{server.port}/v1/kv/a'],
        check=False, capture_output=True, timeout=2 * PATIENCE)
    return int(done.stdout)


class TlsServer(Server):
    """Over TLS http.client is not used: curl asks whether it is ready."""

    def __init__(self, folder, *flags):
        super().__init__(os.path.join(folder, 'data'), '--tls-cert',
                         os.path.join(folder, 'server.pem'), '--tls-key',
                         os.path.join(folder, 'server.key'), *flags)

    def wait_ready(self, limit, until):
        """The start-up line was seen: it accepts."""


def tls_case(folder):
    make_certificates(folder)
    put = ('-X', 'PUT', '--data-binary', 'value')
    rows = [
        (put, {}, 204),
        ((), {}, 200),
        ((), {'ca': 'other-ca'}, 0),
        ((), {'scheme': 'http'}, 0),
        # OpenSSL's own bar is taken away: it is leveld that refuses.
        (('--tlsv1.0', '--tls-max', '1.1', '--ciphers',
          'DEFAULT@SECLEVEL=0'), {}, 0),
        (('--tls-max', '1.2'), {}, 200),
        (('--tlsv1.3',), {}, 200),
    ]
    with TlsServer(folder) as server:
        expect('address="https://' in server.log(),
               f'no https in {server.log()}')
        for arguments, options, status in rows:
            expect_row(' '.join(('https', *arguments, *options.values())),
                       tls_curl(server, folder, *arguments, **options),
                       status)
    return f'{len(rows)} requests'


def client_certificate_case(folder):
    make_certificates(folder)
    rows = [(None, 0), ('expired', 0), ('stranger', 0), ('client', 404)]
    with TlsServer(folder, '--tls-client-ca',
                   os.path.join(folder, 'ca.pem')) as server:
        for client, status in rows:
            expect_row(f'a client\'s certificate: {client or "none"}',
                       tls_curl(server, folder, client=client), status)
    # With tokens as well, both are needed.
    tokens = os.path.join(folder, 'tokens')
    write_tokens(tokens, line('one', 'secret-one', 'read'))
    bearer = ('-H', 'Authorization: Bearer secret-one')
    with TlsServer(folder, '--tls-client-ca', os.path.join(folder, 'ca.pem'),
                   '--tokens', tokens) as server:
        expect_row('a token alone where both are needed',
                   tls_curl(server, folder, *bearer), 0)
        expect_row('a certificate alone where both are needed',
                   tls_curl(server, folder, client='client'), 401)
        expect_row('token and certificate',
                   tls_curl(server, folder, *bearer, client='client'), 404)
    return f'{len(rows) + 3} requests'


def tls_reload_case(folder):
    make_certificates(folder)
    with TlsServer(folder) as server:
        expect_row('the first certificate', tls_curl(server, folder), 404)
        os.remove(os.path.join(folder, 'server.key'))
        make_certificate(folder, 'server', 'other-ca',
                         'ip_address = "127.0.0.1"', 'tls_www_server',
                         'signing_key', 'expiration_days = 30')
        os.kill(server.pid(), signal.SIGHUP)
        await_log(server, 'certificate-loaded')
        expect_row('the certificate that HUP brought',
                   tls_curl(server, folder, ca='other-ca'), 404)
        expect_row('the old authority, after HUP',
                   tls_curl(server, folder), 0)
        os.remove(os.path.join(folder, 'server.key'))
        os.kill(server.pid(), signal.SIGHUP)
        await_log(server, 'reload-failed')
        expect_row('the certificate of before a reload that failed',
                   tls_curl(server, folder, ca='other-ca'), 404)
    return None


def main():
    suite = Suite()
    suite.run('scopes and prefix of tokens', scopes_case)
    suite.run('tokens are reloaded on HUP', reload_case)
    suite.run('no start without the tokens asked for', start_case)
    suite.run('TLS', tls_case)
    suite.run('certificates of clients', client_certificate_case)
    suite.run('a certificate is reloaded on HUP', tls_reload_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
