#!/usr/bin/env python3
"""Malformed requests: each gets its status, and the type of its problem
wherever a handler is reached; none changes what is stored, and the server
lives on."""
import http.client
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (ANSWER_LIMIT, BATCH, CPP, GO, JSON, Client, Digest, Server,
                    Suite, batch_bytes, check_with_both, exchange_raw, expect,
                    expect_equal, need_oracles, oracle_digest)

# A problem type of None: the HTTP library may answer by itself, and statuses
# are those that it or we may choose. CLOSED: the connection, without answer.
CLOSED = 0
LIBRARY = {400, 413, 414, 431, 501, 505, CLOSED}


def head(method, path, *headers):
    lines = [f'{method} {path} HTTP/1.1', 'Host: a', *headers, '', '']
    return '\r\n'.join(lines).encode('latin-1')


def send(method, path, body=b'', *headers):
    return head(method, path, f'Content-Length: {len(body)}', *headers) + body


def put(path, *headers):
    return send('PUT', path, b'changed', *headers)


def get(path, *headers):
    return head('GET', path, *headers)


def json_batch(text, *headers):
    body = text if isinstance(text, bytes) else text.encode('utf-8')
    return send('POST', '/v1/batch', body, f'Content-Type: {JSON}', *headers)


def raw_batch(body, query=''):
    return send('POST', '/v1/batch' + query, body, f'Content-Type: {BATCH}')


def ops(text):
    """A JSON batch whose first operation is sound."""
    return json_batch('{"ops":[{"op":"put","key":"a","value":"changed"},'
                      f'{text}]}}')


def condition(text):
    return json_batch('{"ops":[{"op":"put","key":"a","value":"changed"}],'
                      f'"if":[{text}]}}')


ONE = batch_bytes([(b'a', b'changed')])

METHODS_AND_PATHS = [
    ('unknown method', send('BREW', '/v1/kv/a'), 405, 'method-not-allowed'),
    ('POST on a key', send('POST', '/v1/kv/a', b'changed'), 405,
     'method-not-allowed'),
    ('PATCH on a key', send('PATCH', '/v1/kv/a', b'changed'), 405,
     'method-not-allowed'),
    ('lower-case method', send('put', '/v1/kv/a', b'changed'), 405,
     'method-not-allowed'),
    ('GET of the batch', get('/v1/batch'), 405, 'method-not-allowed'),
    ('PUT of the batch', put('/v1/batch'), 405, 'method-not-allowed'),
    ('PUT of a range', put('/v1/range'), 405, 'method-not-allowed'),
    ('POST of a size', send('POST', '/v1/size'), 405, 'method-not-allowed'),
    ('POST of stats', send('POST', '/stats'), 405, 'method-not-allowed'),
    ('POST of the root', send('POST', '/'), 405, 'method-not-allowed'),
    ('no such version', put('/v2/kv/a'), 404, 'not-found'),
    ('kv without a slash', put('/v1/kv'), 404, 'not-found'),
    ('two slashes', put('//v1/kv/a'), 404, 'not-found'),
    ('a path before', put('/x/../v1/kv/a'), 404, 'not-found'),
    ('batch with a slash', send('POST', '/v1/batch/', ONE), 404, 'not-found'),
    ('an encoded route', put('/v1%2Fkv/a'), 404, 'not-found'),
    ('OPTIONS of all', head('OPTIONS', '*'), {404, 405, 400}, None),
]

ENCODINGS = [
    ('percent and letters', put('/v1/kv/%zz'), 400, 'bad-key'),
    ('percent and one digit', put('/v1/kv/a%4'), 400, 'bad-key'),
    ('percent alone', put('/v1/kv/%'), 400, 'bad-key'),
    ('percent, sign', put('/v1/kv/%+1'), 400, 'bad-key'),
    ('odd hex', put('/v1/kv/abc?enc=hex'), 400, 'bad-key'),
    ('no hex', put('/v1/kv/xy?enc=hex'), 400, 'bad-key'),
    ('no base64url', put('/v1/kv/a*bc?enc=base64url'), 400, 'bad-key'),
    ('base64url of 5', put('/v1/kv/aaaaa?enc=base64url'), 400, 'bad-key'),
    ('base64url, loose bits', put('/v1/kv/YR?enc=base64url'), 400, 'bad-key'),
    ('unknown enc', put('/v1/kv/a?enc=rot13'), 400, 'malformed'),
    ('empty enc', put('/v1/kv/a?enc='), 400, 'malformed'),
    ('long key in hex', get('/v1/range?enc=hex&start=abc'), 400, 'bad-key'),
    ('start is no percent code', get('/v1/range?start=%zz'), 400, 'malformed'),
]

PARAMETERS = [
    ('unknown parameter', put('/v1/kv/a?nosuch=1'), 400, 'malformed'),
    ('unknown case', put('/v1/kv/a?Sync=true'), 400, 'malformed'),
    ('sync is no word', put('/v1/kv/a?sync=maybe'), 400, 'malformed'),
    ('sync is empty', put('/v1/kv/a?sync='), 400, 'malformed'),
    ('sync without =', put('/v1/kv/a?sync'), 400, 'malformed'),
    ('sync twice', put('/v1/kv/a?sync=true&sync=true'), 400, 'malformed'),
    ('sync of a GET', get('/v1/kv/a?sync=true'), 400, 'malformed'),
    ('empty pair', put('/v1/kv/a?&'), 400, 'malformed'),
    ('bad code in a name', put('/v1/kv/a?%zz=1'), 400, 'malformed'),
    ('bad code in a value', put('/v1/kv/a?sync=%t'), 400, 'malformed'),
    ('NUL in a name', put('/v1/kv/a?sync%00=true'), 400, 'malformed'),
    ('replicas is no number', put('/v1/kv/a?replicas=x'), 400, 'malformed'),
    ('replicas not there', put('/v1/kv/a?replicas=1'), 409, 'conflict'),
    ('parameter of the batch', raw_batch(ONE, '?enc=hex'), 400, 'malformed'),
    ('parameter of /version', get('/version?x=1'), 400, 'malformed'),
]

RANGES = [
    ('limit 0', get('/v1/range?limit=0'), 400, 'malformed'),
    ('limit over', get('/v1/range?limit=10001'), 400, 'malformed'),
    ('limit below 0', get('/v1/range?limit=-1'), 400, 'malformed'),
    ('limit with a sign', get('/v1/range?limit=%2B1'), 400, 'malformed'),
    ('limit as 1e3', get('/v1/range?limit=1e3'), 400, 'malformed'),
    ('limit past 64 bits', get('/v1/range?limit=' + '9' * 30), 400,
     'malformed'),
    ('limit is empty', get('/v1/range?limit='), 400, 'malformed'),
    ('reverse=yes', get('/v1/range?reverse=yes'), 400, 'malformed'),
    ('values=1', get('/v1/range?values=1'), 400, 'malformed'),
    ('unknown encoding', get('/v1/range?encoding=latin1'), 400, 'malformed'),
    ('no cursor of ours', get('/v1/range?cursor=!!'), 400, 'malformed'),
    ('empty cursor', get('/v1/range?cursor='), 400, 'malformed'),
    ('cursor of the other way', get('/v1/range?cursor=cmE'), 400, 'malformed'),
    ('prefix twice', get('/v1/range?prefix=a&prefix=b'), 400, 'malformed'),
    ('a range as HTML', get('/v1/range', 'Accept: text/html'), 406,
     'not-acceptable'),
    ('deletes without a bound', send('DELETE', '/v1/range'), 400,
     'malformed'),
    ('deletes with a limit', send('DELETE', '/v1/range?start=&limit=1'), 400,
     'malformed'),
    ('deletes with a cursor', send('DELETE', '/v1/range?start=&cursor=ZmE'),
     400, 'malformed'),
    ('deletes on a condition', send('DELETE', '/v1/range?start=', b'',
                                    'If-Match: *'), 400, 'malformed'),
    ('deletes with a body', send('DELETE', '/v1/range?start=', b'{}'), 413,
     'too-large'),
    ('deletes from no hex', send('DELETE', '/v1/range?start=x&enc=hex'), 400,
     'bad-key'),
    ('size of a prefix', get('/v1/size?prefix=a'), 400, 'malformed'),
    ('size to no hex', get('/v1/size?end=x&enc=hex'), 400, 'bad-key'),
    ('bytes past the value', get('/v1/kv/a', 'Range: bytes=900-'), 416,
     'malformed'),
    ('no last byte', get('/v1/kv/a', 'Range: bytes=-0'), 416, 'malformed'),
]

HEADERS = [
    ('If-Match without quotes', put('/v1/kv/a', 'If-Match: 12'), 400,
     'malformed'),
    ('If-Match left open', put('/v1/kv/a', 'If-Match: "12'), 400, 'malformed'),
    ('If-Match ends with a comma', put('/v1/kv/a', 'If-Match: "1",'), 400,
     'malformed'),
    ('If-Match twice', put('/v1/kv/a', 'If-Match: "1"', 'If-Match: "2"'), 400,
     'malformed'),
    ('If-Match is empty', put('/v1/kv/a', 'If-Match:'), 400, 'malformed'),
    ('If-None-Match: *, "1"', put('/v1/kv/a', 'If-None-Match: *, "1"'), 400,
     'malformed'),
    ('If-Match on no key', put('/v1/kv/none', 'If-Match: *'), 412,
     'precondition-failed'),
    ('If-None-Match on a key', put('/v1/kv/a', 'If-None-Match: *'), 412,
     'precondition-failed'),
    ('a tag of no sequence', put('/v1/kv/a', 'If-Match: "abc"'), 412,
     'precondition-failed'),
    ('sequence is no number', put('/v1/kv/a', 'Leveld-Min-Sequence: x'), 400,
     'malformed'),
    ('sequence below 0', put('/v1/kv/a', 'Leveld-Min-Sequence: -1'), 400,
     'malformed'),
    ('sequence past 56 bits',
     put('/v1/kv/a', f'Leveld-Min-Sequence: {1 << 56}'), 400, 'malformed'),
    ('sequence ahead', put('/v1/kv/a', f'Leveld-Min-Sequence: {1 << 50}',
                            'Leveld-Timeout: 0s'), 503,
     'lagging'),
    ('timeout without a unit', put('/v1/kv/a', 'Leveld-Timeout: 5'), 400,
     'malformed'),
    ('part of a value', put('/v1/kv/a', 'Content-Range: bytes 0-6/7'), 400,
     'malformed'),
    ('no form of a value', get('/v1/kv/a', 'Accept: image/png'), 406,
     'not-acceptable'),
    ('conditions on a batch', raw_batch(ONE)[:-len(ONE)].replace(
        b'\r\n\r\n', b'\r\nIf-Match: "1"\r\n\r\n') + ONE, 400, 'malformed'),
    ('batch without a type', send('POST', '/v1/batch', ONE), 415,
     'unsupported-media-type'),
    ('batch as text', send('POST', '/v1/batch', ONE,
                           'Content-Type: text/plain'), 415,
     'unsupported-media-type'),
    ('batch as a form', send('POST', '/v1/batch', ONE, 'Content-Type: '
                             'application/x-www-form-urlencoded'), 415,
     'unsupported-media-type'),
    ('batch with gzip', json_batch('{"ops":[]}', 'Content-Encoding: gzip'),
     415, 'unsupported-media-type'),
    ('JSON as latin-1', send('POST', '/v1/batch', b'{"ops":[]}',
                             'Content-Type: application/json; charset=latin1'),
     415, 'unsupported-media-type'),
]

MESSAGES = [
    ('no Host', b'PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 7\r\n\r\nchanged',
     400, 'malformed'),
    ('two Hosts', put('/v1/kv/a', 'Host: b'), 400, 'malformed'),
    ('length and chunks', head('PUT', '/v1/kv/a', 'Content-Length: 7',
                               'Transfer-Encoding: chunked') +
     b'7\r\nchanged\r\n0\r\n\r\n', 400, None),
    ('length twice', head('PUT', '/v1/kv/a', 'Content-Length: 7',
                          'Content-Length: 7') + b'changed', 400, None),
    ('two lengths', head('PUT', '/v1/kv/a', 'Content-Length: 7',
                         'Content-Length: 3') + b'changed', 400, None),
    ('length below 0', head('PUT', '/v1/kv/a', 'Content-Length: -7') +
     b'changed', LIBRARY, None),
    ('length is no number', head('PUT', '/v1/kv/a', 'Content-Length: 7x') +
     b'changed', LIBRARY, None),
    ('length past 64 bits', head('PUT', '/v1/kv/a',
                                 'Content-Length: ' + '9' * 40), LIBRARY,
     None),
    ('length over the limit', head('PUT', '/v1/kv/a', 'Expect: 100-continue',
                                   f'Content-Length: {(64 << 20) + 1}'), 413,
     'too-large'),
    ('coded transfer', head('PUT', '/v1/kv/a', 'Transfer-Encoding: gzip') +
     b'changed', LIBRARY, None),
    ('chunk without a size', head('PUT', '/v1/kv/a',
                                  'Transfer-Encoding: chunked') +
     b'xyz\r\nchanged\r\n0\r\n\r\n', LIBRARY, None),
    ('chunk too long', head('PUT', '/v1/kv/a', 'Transfer-Encoding: chunked') +
     b'3\r\nchanged\r\n0\r\n\r\n', LIBRARY, None),
    ('chunk past 64 bits', head('PUT', '/v1/kv/a',
                                'Transfer-Encoding: chunked') +
     b'f' * 40 + b'\r\nchanged\r\n0\r\n\r\n', LIBRARY, None),
    # The library ends a header's value at a NUL.
    ('NUL in a header', get('/v1/kv/a', 'X-A: a\0b'), LIBRARY | {200}, None),
    ('NUL in a condition', put('/v1/kv/a', 'If-Match: "9"\0, "1"'),
     LIBRARY | {412}, None),
    ('header without a colon', put('/v1/kv/a', 'no colon'), LIBRARY, None),
    ('no such version', b'PUT /v1/kv/a HTTP/9.9\r\nHost: a\r\n'
     b'Content-Length: 7\r\n\r\nchanged', LIBRARY, None),
    ('HTTP/0.9', b'GET /v1/kv/a\r\n\r\n', LIBRARY, None),
    ('no request', b'\1\2\3\r\n\r\n', LIBRARY | {405, 404}, None),
    ('TLS', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
     LIBRARY | {405, 404}, None),
    ('long path', put('/v1/kv/' + 'a' * 70000), LIBRARY, None),
    ('long header', put('/v1/kv/a', 'X-A: ' + 'a' * 70000), LIBRARY, None),
    ('many headers', put('/v1/kv/a', *['X-A: a'] * 20000), LIBRARY, None),
]

JSON_BATCHES = [
    ('empty body', json_batch(''), 400, 'bad-batch'),
    ('cut off', json_batch('{"ops":['), 400, 'bad-batch'),
    ('a list', json_batch('[]'), 400, 'bad-batch'),
    ('a string', json_batch('"ops"'), 400, 'bad-batch'),
    ('no ops', json_batch('{}'), 400, 'bad-batch'),
    ('ops is a number', json_batch('{"ops":1}'), 400, 'bad-batch'),
    ('more after the end', json_batch('{"ops":[]} {}'), 400, 'bad-batch'),
    ('unknown member', json_batch('{"ops":[],"opts":1}'), 400, 'bad-batch'),
    ('member twice', json_batch(
        '{"ops":[],"ops":[{"op":"delete","key":"a"}]}'), 400, 'bad-batch'),
    ('comma at the end', json_batch('{"ops":[],}'), 400, 'bad-batch'),
    ('a comment', json_batch('{"ops":[] /* none */}'), 400, 'bad-batch'),
    ('no UTF-8', json_batch(b'{"ops":[{"op":"put","key":"a","value":"\xff"}]}'
                            ), 400, 'bad-batch'),
    ('lone surrogate', ops(r'{"op":"delete","key":"\ud800"}'), 400,
     'bad-batch'),
    ('bad escape', ops(r'{"op":"delete","key":"\q"}'), 400, 'bad-batch'),
    ('control in a string', ops('{"op":"delete","key":"\1"}'), 400,
     'bad-batch'),
    ('too deep', json_batch('[' * 100000), 400, 'bad-batch'),
    ('unknown encoding', json_batch('{"ops":[],"encoding":"rot13"}'), 400,
     'bad-batch'),
    ('bad base64', ops('{"op":"delete","key":"a*==","encoding":"base64"}'),
     400, 'bad-batch'),
    ('bad hex', ops('{"op":"delete","key":"abc","encoding":"hex"}'), 400,
     'bad-batch'),
    ('op is a number', ops('1'), 400, 'bad-batch'),
    ('op is null', ops('null'), 400, 'bad-batch'),
    ('op without a name', ops('{"key":"b"}'), 400, 'bad-batch'),
    ('unknown op', ops('{"op":"merge","key":"b","value":"1"}'), 400,
     'bad-batch'),
    ('no key', ops('{"op":"put","value":"1"}'), 400, 'bad-batch'),
    ('key is a number', ops('{"op":"put","key":1,"value":"1"}'), 400,
     'bad-batch'),
    ('no value', ops('{"op":"put","key":"b"}'), 400, 'bad-batch'),
    ('value is null', ops('{"op":"put","key":"b","value":null}'), 400,
     'bad-batch'),
    ('value of a delete', ops('{"op":"delete","key":"b","value":"1"}'), 400,
     'bad-batch'),
    ('delete-range of all', ops('{"op":"delete-range"}'), 400, 'bad-batch'),
    ('key over the limit', ops('{"op":"delete","key":"%s"}' % ('k' * 65537)),
     413, 'too-large'),
    ('if is an object', json_batch('{"ops":[],"if":{}}'), 400, 'bad-batch'),
    ('condition without a test', condition('{"key":"a"}'), 400, 'bad-batch'),
    ('condition with two', condition(
        '{"key":"a","exists":true,"sequence":1}'), 400, 'bad-batch'),
    ('sequence below 0', condition('{"key":"a","sequence":-1}'), 400,
     'bad-batch'),
    ('sequence with a point', condition('{"key":"a","sequence":1.0}'), 400,
     'bad-batch'),
    ('sequence past 64 bits', condition(
        '{"key":"a","sequence":99999999999999999999}'), 400, 'bad-batch'),
    ('exists is a word', condition('{"key":"a","exists":"no"}'), 400,
     'bad-batch'),
    ('false condition', condition('{"key":"a","exists":false}'), 412,
     'precondition-failed'),
]

def multiget(text):
    return send('POST', '/v1/multiget', text.encode('utf-8'),
                f'Content-Type: {JSON}')


MULTIGETS = [
    ('no type', send('POST', '/v1/multiget', b'{"keys":["a"]}'), 415,
     'unsupported-media-type'),
    ('a GET', get('/v1/multiget'), 405, 'method-not-allowed'),
    ('cut off', multiget('{"keys":["a"'), 400, 'malformed'),
    ('too deep', multiget('[' * 100000), 400, 'malformed'),
    ('no keys', multiget('{"values":false}'), 400, 'malformed'),
    ('a number', multiget('{"keys":["a",7]}'), 400, 'malformed'),
    ('a nested list', multiget('{"keys":[["a"]]}'), 400, 'malformed'),
    ('no base64', multiget('{"keys":["a*"],"encoding":"base64"}'), 400,
     'bad-key'),
    ('too long a key', multiget('{"keys":["%s"]}' % ('k' * 65537)), 413,
     'too-large'),
    ('10,001 keys', multiget('{"keys":[%s]}' % ','.join(['"a"'] * 10001)),
     413, 'too-large'),
]

NO_ID = '0' * 32
SNAPSHOTS = [
    ('GET of one', get(f'/v1/snapshots/{NO_ID}'), 405, 'method-not-allowed'),
    ('one that is gone', send('DELETE', f'/v1/snapshots/{NO_ID}'), 410,
     'expired'),
    ('no id', send('POST', '/v1/snapshots/1'), 400, 'malformed'),
    ('a value of one gone', get(f'/v1/kv/a?snapshot={NO_ID}'), 410, 'expired'),
    ('a range of one gone', get(f'/v1/range?snapshot={NO_ID}'), 410,
     'expired'),
    ('two hours', send('POST', '/v1/snapshots', b'{"ttl":"2h"}',
                       f'Content-Type: {JSON}'), 400, 'malformed'),
    ('a form', send('POST', '/v1/snapshots', b'ttl=2h', 'Content-Type: '
                    'application/x-www-form-urlencoded'), 415,
     'unsupported-media-type'),
    ('a long body', send('POST', '/v1/snapshots', b' ' * 5000,
                         f'Content-Type: {JSON}'), 413, 'too-large'),
]

HEADER = bytes(12)
LEVELDB_BATCHES = [
    ('nothing', b''),
    ('11 bytes', HEADER[:11]),
    ('more than counted', batch_bytes([(b'a', b'1'), (b'b', b'2')], count=1)),
    ('fewer than counted', batch_bytes([(b'a', b'1')], count=2)),
    ('counted 4 G', batch_bytes([(b'a', b'1')], count=0xffffffff)),
    ('counted 0', batch_bytes([(b'a', b'1')], count=0)),
    ('unknown kind', ONE[:12] + b'\7' + ONE[13:]),
    ('a byte after', ONE + b'\0'),
    ('cut in the value', ONE[:-1]),
    ('cut in the key', ONE[:14]),
    ('cut after the kind', ONE[:13]),
    ('key past the end', ONE[:13] + b'\xff\xff\xff\xff\x07' + ONE[14:]),
    ('value past the end', ONE[:15] + b'\xff\xff\xff\xff\x0f' + ONE[16:]),
    ('varint of 6 bytes', ONE[:13] + b'\x81\x80\x80\x80\x80\x00' + ONE[14:]),
    ('varint past 32 bits', ONE[:13] + b'\xff\xff\xff\xff\x7f' + ONE[14:]),
]

TABLES = [
    ('methods and paths', METHODS_AND_PATHS),
    ('encodings', ENCODINGS),
    ('parameters', PARAMETERS),
    ('ranges', RANGES),
    ('headers', HEADERS),
    ('messages', MESSAGES),
    ('JSON batches', JSON_BATCHES),
    ('multigets', MULTIGETS),
    ('snapshots', SNAPSHOTS),
    ('LevelDB batches', [(name, raw_batch(body), 400, 'bad-batch')
                         for name, body in LEVELDB_BATCHES]),
]

CONTENT = {b'a': b'old', b'b': bytes(range(256)), b'': b'empty',
           b'\0\xff': b'', b'large': bytes(100000)}


def last_sequence(server):
    with Client(server) as client:
        answer = client.get('/v1/kv/a')
    expect_equal((answer.status, answer.body), (200, CONTENT[b'a']),
                 'GET of a stored key')
    return answer.sequence()


def judge(server, rows):
    """What was not as the row says."""
    wrong, sequence = [], last_sequence(server)
    for name, request, statuses, kind in rows:
        statuses = statuses if isinstance(statuses, set) else {statuses}
        try:
            answer = exchange_raw(server, request)
        except OSError as error:
            wrong.append(f'{name}: no answer: {error!r}')
            continue
        status = answer.status if answer else CLOSED
        got_kind = answer.problem() if answer else None
        if status not in statuses or (kind and got_kind != kind):
            wrong.append(f'{name}: expected {sorted(statuses)} {kind}, got '
                         f'{status} {got_kind} {answer}')
        elif got_kind and answer.json()['status'] != status:
            wrong.append(f'{name}: status {status}, in the body {answer}')
        elif status == 405 and 'allow' not in answer.headers:
            wrong.append(f'{name}: 405 without Allow')
        try:
            now = last_sequence(server)
        except (OSError, AssertionError) as error:
            now = error
        if now != sequence:
            wrong.append(f'{name}: {answer} left sequence {now}, before it '
                         f'was {sequence}')
            sequence = now
    return wrong


def table_case(folder, rows):
    need_oracles()
    data = os.path.join(folder, 'data')
    with Server(data) as server, Client(server) as client:
        for key, value in CONTENT.items():
            expect_equal(client.put(key, value).status, 204, f'PUT {key!r}')
    before = {name: oracle_digest(name, data) for name in (GO, CPP)}
    expected = Digest.of_dict(CONTENT)
    expect_equal(before, {GO: expected, CPP: expected}, 'digests before')
    with Server(data) as server:
        wrong = judge(server, rows)
        expect(not wrong, f'{len(wrong)} of {len(rows)} rows:\n' +
               '\n'.join(wrong))
        with Client(server) as client:
            expect_equal(Digest.of(client.ndjson()), expected,
                         'NDJSON afterwards')
    check_with_both(data, expected)
    return f'{len(rows)} requests'


def cut_case(folder):
    """Requests that end in the middle: nothing of them is stored."""
    need_oracles()
    data = os.path.join(folder, 'data')
    whole = put('/v1/kv/cut')
    batch = raw_batch(batch_bytes([(b'cut%d' % i, b'v') for i in range(20)]))
    # The library may see a cut only when the connection has been idle.
    with Server(data, '--stop-timeout', '1s') as server:
        for request in (whole, batch):
            for end in range(1, len(request), 7):
                with socket.create_connection(('127.0.0.1', server.port),
                                              ANSWER_LIMIT) as connection:
                    connection.sendall(request[:end])
        with Client(server) as client:
            expect_equal(list(client.ndjson()), [], 'entries afterwards')
            expect_equal(client.get('/healthz').status, 200, '/healthz')
    check_with_both(data, Digest.of([]))


def pipelined_case(folder):
    """A bad request in the middle of a pipeline is answered in its place."""
    data = os.path.join(folder, 'data')
    with Server(data) as server:
        with socket.create_connection(('127.0.0.1', server.port),
                                      ANSWER_LIMIT) as connection:
            connection.sendall(put('/v1/kv/p') + get('/v1/kv/p?nosuch=1') +
                               put('/v1/kv/%zz') + get('/v1/kv/p'))
            file = connection.makefile('rb')
            got = []
            for _ in range(4):
                status = int(file.readline().split()[1])
                headers = http.client.parse_headers(file)
                length = int(headers.get('Content-Length', 0))
                got.append((status, file.read(length)[:7]))
            file.close()
        expect_equal([status for status, _ in got], [204, 400, 400, 200],
                     'statuses of the pipeline')
        expect_equal(got[3][1], b'changed', 'the value')


def main():
    suite = Suite()
    for name, rows in TABLES:
        suite.run(f'bad {name}', table_case, rows)
    suite.run('requests cut off', cut_case)
    suite.run('a bad request in a pipeline', pipelined_case)
    print(f'# {sum(len(rows) for _, rows in TABLES)} malformed requests')
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
