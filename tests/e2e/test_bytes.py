#!/usr/bin/env python3
"""Keys and values of every kind come back as they went in; what is over a
limit is refused and leaves nothing; large uploads take bounded memory."""
import base64
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (Client, Digest, Server, Skip, Suite, check_with_both,
                    exchange_raw, expect, expect_equal,
                    is_sanitized, need_oracles, path_of)

MIB = 1 << 20
KEY_MAX = 65536
VALUE_MAX = 64 * MIB
UPLOAD_BUDGET = 768 * MIB  # the default
BLOCK = 32768              # a journal's block


def base64url(key):
    return base64.urlsafe_b64encode(key).rstrip(b'=').decode('ascii')


# How a key may be written in a path.
FORMS = {
    'percent': path_of,
    'hex': lambda key: f'/v1/kv/{key.hex()}?enc=hex',
    'base64url': lambda key: f'/v1/kv/{base64url(key)}?enc=base64url',
}


def round_trip(client, key, value, form, content):
    """PUT, GET and HEAD through one form of the path."""
    path = FORMS[form](key)
    what = f'key {key[:40]!r} ({len(key)} bytes) as {form}'
    answer = client.request('PUT', path, value)
    expect_equal(answer.status, 204, f'PUT of {what}')
    etag = answer.headers['etag']
    answer = client.get(path)
    expect_equal((answer.status, answer.headers.get('etag')), (200, etag),
                 f'GET of {what}')
    expect(answer.body == value, f'GET of {what}: {len(value)} bytes went in, '
           f'{len(answer.body)} others came out')
    answer = client.request('HEAD', path)
    expect_equal((answer.status, answer.headers.get('content-length')),
                 (200, str(len(value))), f'HEAD of {what}')
    content[key] = value


def serve(folder, *flags):
    return Server(os.path.join(folder, 'data'), *flags)


def in_server(folder, case):
    """case(client, content); then the stream, and both oracles, hold this
    content."""
    need_oracles()
    content = {}
    with serve(folder) as server, Client(server) as client:
        case(client, content)
        expected = Digest.of_dict(content)
        expect_equal(Digest.of(client.ndjson()), expected, 'NDJSON')
        server.stop()
        check_with_both(server.data, expected)


# ---- keys ----

def keys_case(folder):
    def case(client, content):
        keys = [bytes([i]) for i in range(256)]
        keys += [b'', b'\0', b'\0\0', b'/', b'//', b'a/b', b'/a', b'a/',
                 b'%', b'%00', b'%2F', b'?', b'#', b'a?b=c', b'+', b' ',
                 b'a b', b'..a', b'\xc3\xa4', b'\xff\xff', b'a\0b', b'a\0',
                 bytes(range(256))]
        for key in keys:
            for form in FORMS:
                round_trip(client, key, form.encode() + b'=' + key, form,
                           content)
        # A client may fold these two in a path; as hex nobody does.
        for key in (b'.', b'..', b'../..', b'./a'):
            for form in ('hex', 'base64url'):
                round_trip(client, key, form.encode(), form, content)
        for key in keys:  # none overwrote another
            expect_equal(client.get(path_of(key)).body, content[key],
                         f'GET of {key!r} at the end')

    in_server(folder, case)


def plain_paths_case(folder):
    """What a path holds without being encoded, as the raw request line."""
    with serve(folder) as server, Client(server) as client:
        for path, key in ((b'a/b', b'a/b'), (b'/', b'/'), (b'a//b', b'a//b'),
                          (b'a+b', b'a+b'), (b'%2e', b'.'), (b'%2E%2e', b'..'),
                          (b'.', b'.'), (b'..', b'..'), (b'a/../b', b'a/../b'),
                          (b'%2F', b'/'), (b'%252F', b'%2F'),
                          (b'a%00b', b'a\0b'), (b'', b''), (b'a&b', b'a&b'),
                          (b'a;b', b'a;b')):
            answer = exchange_raw(
                server, b'PUT /v1/kv/' + path + b' HTTP/1.1\r\nHost: a\r\n'
                b'Content-Length: 1\r\n\r\nv')
            expect(answer and answer.status == 204, f'PUT {path!r}: {answer}')
            got = client.get(FORMS['hex'](key))
            expect_equal((got.status, got.body), (200, b'v'),
                         f'GET of {key!r} after PUT {path!r}')
            expect_equal(client.request('DELETE', FORMS['hex'](key)).status,
                         204, f'DELETE {key!r}')
        expect_equal(list(client.ndjson()), [], 'what is left')


def long_keys_case(folder):
    def case(client, content):
        rng = random.Random(5)
        longest = rng.randbytes(KEY_MAX)
        ops = [(longest, b'64 KiB'), (longest[:-1], b'one less'),
               (longest[:-1] + bytes([longest[-1] ^ 1]), b'the last bit')]
        for send in (client.batch, client.json_batch):
            answer = send(ops)
            expect_equal((answer.status, answer.json()['count']), (200, 3),
                         'batch with keys of 64 KiB')
        content.update(ops)
        over = longest + b'x'
        for send in (client.batch, client.json_batch):
            answer = send([(b'before', b'1'), (over, b'2')])
            expect_equal((answer.status, answer.problem()),
                         (413, 'too-large'), 'a key of 64 KiB and 1')
        # Through the path too, as far as a request line may go.
        for size in (1, 1000, 3000):
            round_trip(client, longest[:size], b'path', 'percent', content)

    in_server(folder, case)


# ---- values ----

def values_case(folder):
    rng = random.Random(6)

    def case(client, content):
        sizes = [0, 1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 16383, 16384,
                 16385, 65535, 65536, 65537, MIB, 5 * MIB + 3]
        # A record ends before, at, and past the end of a journal block, and
        # within the 7 bytes in which no header fits.
        for blocks in (1, 2, 3):
            sizes += range(blocks * BLOCK - 48, blocks * BLOCK + 8)
        for size in sizes:
            round_trip(client, b'size%08d' % size, rng.randbytes(size),
                       'percent', content)
        for i, size in enumerate(rng.sample(sizes, 30)):  # compressible
            round_trip(client, b'same%d' % i, b'x' * size, 'hex', content)

    in_server(folder, case)


def ranges_case(folder):
    """Parts of a value, and both forms of an item."""
    with serve(folder) as server, Client(server) as client:
        value = bytes(range(256)) * 40
        client.put(b'k', value)
        for text, start, end in (('0-0', 0, 1), ('0-99', 0, 100),
                                 ('100-', 100, len(value)),
                                 ('-5', len(value) - 5, len(value)),
                                 ('5000-99999', 5000, len(value))):
            answer = client.get('/v1/kv/k', {'Range': 'bytes=' + text})
            expect_equal((answer.status, answer.body), (206, value[start:end]),
                         f'Range {text}')
        answer = client.get('/v1/kv/k?encoding=base64',
                            {'Accept': 'application/json'})
        expect_equal(base64.b64decode(answer.json()['value']), value, 'JSON')
        answer = client.get('/v1/kv/k', {'Accept': 'application/json'})
        expect_equal((answer.json()['encoding'],
                      base64.b64decode(answer.json()['value'])),
                     ('base64', value), 'JSON of a value that is not UTF-8')


def large_case(folder):
    def case(client, content):
        value = random.Random(7).randbytes(VALUE_MAX)
        round_trip(client, b'large', value[::-1], 'percent', content)
        answer = client.batch([(b'large', value), (b'small', b'1')])
        expect_equal(answer.status, 200, 'a batch with a value of 64 MiB')
        content.update({b'large': value, b'small': b'1'})

    in_server(folder, case)


def over_limit_case(folder):
    """413, with a length and without, and the old value stays."""
    over, part = bytes(VALUE_MAX + 1), bytes(MIB)
    with serve(folder) as server, Client(server) as client:
        before = client.put(b'k', b'old').sequence()
        for what, answer in (
                ('PUT of 64 MiB and 1', client.put(b'k', over)),
                ('chunked PUT of 65 MiB', client.request(
                    'PUT', '/v1/kv/k', (part for _ in range(65)))),
                ('batch with a value of 64 MiB and 1',
                 client.batch([(b'before', b''), (b'k', over)])),
                ('JSON batch over 96 MiB',
                 client.json_batch([(b'k', bytes(80 * MIB))]))):
            expect_equal((answer.status, answer.problem()),
                         (413, 'too-large'), what)
        expect_equal(list(client.ndjson()), [(b'k', b'old')], 'what is stored')
        expect_equal(client.get('/v1/kv/k').sequence(), before, 'sequence')
        # A chunked body at the limit is no different from one with a length.
        answer = client.request('PUT', '/v1/kv/k', (part for _ in range(64)))
        expect_equal(answer.status, 204, 'chunked PUT of 64 MiB')
        expect_equal(client.get('/v1/kv/k').body, bytes(VALUE_MAX), 'GET')


def small_limits_case(folder):
    """The limits are options."""
    with serve(folder, '--key-max', '10', '--value-max', '100', '--batch-max',
                 '1KiB', '--json-batch-max', '2KiB') as server, \
            Client(server) as client:
        for what, answer, status in (
                ('key of 10', client.put(b'k' * 10, b''), 204),
                ('key of 11', client.put(b'k' * 11, b''), 413),
                ('value of 100', client.put(b'k', bytes(100)), 204),
                ('value of 101', client.put(b'k', bytes(101)), 413),
                ('batch over', client.batch([(b'b', bytes(99))] * 11), 413),
                ('batch at most', client.batch([(b'b', bytes(99))] * 9), 200),
                ('JSON over', client.json_batch([(b'b', bytes(99))] * 20),
                 413)):
            expect_equal(answer.status, status, what)
            if status == 413:
                expect_equal(answer.problem(), 'too-large', what)


# ---- memory ----

def one_upload_case(folder):
    if is_sanitized():
        raise Skip('a sanitizer build has other memory figures')
    with serve(folder) as server, Client(server) as client:
        client.put(b'warm', bytes(1000))
        value = random.Random(8).randbytes(VALUE_MAX)
        server.forget_peak()
        before = server.memory('VmRSS')
        expect_equal(client.put(b'large', value).status, 204, 'PUT')
        grown = server.memory('VmHWM') - before
    expect(grown <= 3 * VALUE_MAX, f'expected at most {3 * VALUE_MAX // MIB} '
           f'MiB more for a PUT of 64 MiB, got {grown // MIB} MiB')
    return f'a PUT of 64 MiB took {grown // MIB} MiB more'


class Upload(threading.Thread):
    """PUTs until it is taken. A 503 says: later."""

    def __init__(self, server, number, value):
        super().__init__()
        self.server, self.number, self.value = server, number, value
        self.refused = 0
        self.failure = 'not finished'
        self.start()

    def run(self):
        limit = time.monotonic() + 240
        try:
            while time.monotonic() < limit:
                with Client(self.server) as client:
                    answer = client.put(b'%d' % self.number, self.value)
                if answer.status == 204:
                    self.failure = None
                    return
                if answer.status != 503 or 'retry-after' not in answer.headers:
                    self.failure = repr(answer)
                    return
                self.refused += 1
                time.sleep(0.2)
        except (OSError, http.client.HTTPException) as error:
            self.failure = repr(error)


def many_uploads_case(folder, count):
    if is_sanitized():
        raise Skip('a sanitizer build has other memory figures')
    limit = UPLOAD_BUDGET + 64 * MIB
    with serve(folder) as server:
        with Client(server) as client:
            client.put(b'warm', bytes(1000))
        value = random.Random(9).randbytes(VALUE_MAX)
        server.forget_peak()
        before = server.memory('VmRSS')
        uploads = [Upload(server, i, value) for i in range(count)]
        for upload in uploads:
            upload.join(300)
        grown = server.memory('VmHWM') - before
        failures = [f'{u.number}: {u.failure}' for u in uploads if u.failure]
        expect_equal(failures, [], 'uploads that failed')
        with Client(server) as client:
            for i in range(count):
                expect(client.get(f'/v1/kv/{i}').body == value,
                       f'upload {i} reads otherwise')
    expect(grown <= limit, f'expected at most {limit // MIB} MiB more for '
           f'{count} PUTs of 64 MiB at once, got {grown // MIB} MiB')
    return (f'{count} PUTs of 64 MiB at once took {grown // MIB} MiB more; '
            f'{sum(u.refused for u in uploads)} times 503')


def main():
    suite = Suite()
    suite.run('keys of every byte come back in every form', keys_case)
    suite.run('a path is taken byte for byte', plain_paths_case)
    suite.run('keys up to 64 KiB', long_keys_case)
    suite.run('values around the edges of blocks', values_case)
    suite.run('parts and forms of a value', ranges_case)
    suite.run('values of 64 MiB', large_case)
    suite.run('over the limit is 413 and leaves nothing', over_limit_case)
    suite.run('limits are options', small_limits_case)
    suite.run('memory of one upload', one_upload_case)
    count = 16 if os.environ.get('LEVELD_FULL') == '1' else 4
    suite.run(f'memory of {count} uploads at once', many_uploads_case, count)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
