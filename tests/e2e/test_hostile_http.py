#!/usr/bin/env python3
"""Hostile HTTP on raw sockets: requests that proxies and servers take apart
differently, heads and bodies that are broken, endless or cut off, pipelines
split anywhere. Each has its answers, in order, and then its connection is open
or closed as it should be; after all of them the data is what it was, the server
lives, holds no connection and no memory of it."""
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (BATCH, BIN, JSON, NDJSON, Client, Digest, Failure, Server,
                    Suite, batch_bytes, expect, expect_equal, is_sanitized)
from raw_http import (LIBRARY, LIMIT, Talk, await_connections, figures, head,
                      kind_of)

# For the few that are only cut by it. Long enough for all others.
SOON = ('--body-timeout', '3s')

# How a connection is afterwards.
OPEN, CLOSED = 'open', 'closed'

CONTENT = {b'a': b'old', b'b': bytes(range(256)), b'': b'empty',
           b'\0\xff': b'', b'large': bytes(200000)}


class Row:
    """A conversation: what is sent, the answers as (status, problem), what is
    then of the connection."""

    def __init__(self, name, sent, answers, end=OPEN, half_close=False):
        self.name = name
        self.sent = sent if isinstance(sent, bytes) else sent.encode('latin-1')
        self.answers = [answer if isinstance(answer, tuple) else (answer, None)
                        for answer in answers]
        self.end = end
        self.half_close = half_close


def put(target, *headers, body=b'changed'):
    return head('PUT', target, f'Content-Length: {len(body)}', *headers) + body


def same(*headers, target='/v1/kv/a'):
    """A PUT that changes nothing."""
    return put(target, *headers, body=b'old')


def get(target='/healthz', *headers):
    return head('GET', target, *headers)


def chunked(text, *headers, target='/v1/kv/a'):
    return head('PUT', target, 'Transfer-Encoding: chunked', *headers) + \
        text.encode('latin-1')


def post(target, body, *headers):
    body = body if isinstance(body, bytes) else body.encode('latin-1')
    return head('POST', target, f'Content-Length: {len(body)}', *headers) + body


def refused(name, sent, status=400, kind='malformed', **more):
    """One problem; the connection goes on."""
    return Row(name, sent, [(status, kind)], **more)


def cut(name, sent, status=400, kind='malformed', **more):
    """One problem, and the connection is closed: where the message ends is in
    doubt."""
    return Row(name, sent, [(status, kind)], CLOSED, **more)


def by_library(name, sent, status=400, **more):
    return Row(name, sent, [(status, LIBRARY)], CLOSED, **more)


def dropped(name, sent, **more):
    """Closed without an answer."""
    return Row(name, sent, [], CLOSED, **more)


def taken(name, sent, *statuses, **more):
    return Row(name, sent, list(statuses) or [204], **more)


# What is smuggled: it must never be run.
EVIL = put('/v1/kv/evil')
CL7 = 'Content-Length: 7'
TE = 'Transfer-Encoding: chunked'

SMUGGLING = [
    cut('length and chunks', head('PUT', '/v1/kv/x', 'Content-Length: 5', TE) +
        b'0\r\n\r\n' + EVIL),
    cut('chunks and length', head('PUT', '/v1/kv/x', TE, 'Content-Length: 5') +
        b'0\r\n\r\n' + EVIL),
    cut('equal lengths twice', head('PUT', '/v1/kv/x', CL7, CL7) + b'changed'),
    cut('two lengths', head('PUT', '/v1/kv/x', CL7, 'Content-Length: 3') +
        b'changed' + EVIL),
    cut('two lengths, one of other case', head(
        'PUT', '/v1/kv/x', CL7, 'content-length: 3') + b'changed' + EVIL),
    by_library('lengths in a list', head(
        'PUT', '/v1/kv/x', 'Content-Length: 7, 7') + b'changed' + EVIL),
    by_library('length with a sign', head(
        'PUT', '/v1/kv/x', 'Content-Length: +7') + b'changed' + EVIL),
    by_library('length below 0', head(
        'PUT', '/v1/kv/x', 'Content-Length: -7') + b'changed' + EVIL),
    by_library('length in hex', head(
        'PUT', '/v1/kv/x', 'Content-Length: 0x7') + b'changed' + EVIL),
    by_library('length with a point', head(
        'PUT', '/v1/kv/x', 'Content-Length: 7.0') + b'changed' + EVIL),
    by_library('length with an exponent', head(
        'PUT', '/v1/kv/x', 'Content-Length: 7e0') + b'changed' + EVIL),
    by_library('length, blank, number', head(
        'PUT', '/v1/kv/x', 'Content-Length: 7 0') + b'changed' + EVIL),
    by_library('an empty length', head(
        'PUT', '/v1/kv/x', 'Content-Length:') + b'changed' + EVIL),
    by_library('a length of words', head(
        'PUT', '/v1/kv/x', 'Content-Length: seven') + b'changed' + EVIL),
    by_library('a length past 64 bits', head(
        'PUT', '/v1/kv/x', 'Content-Length: 18446744073709551623') +
        b'changed' + EVIL, 413),
    taken('a length with zeros before it', head(
        'PUT', '/v1/kv/a', 'Content-Length: 00000003') + b'old'),
    cut('a blank before the colon of the length', head(
        'PUT', '/v1/kv/x', 'Content-Length : 7') + b'changed' + EVIL),
    cut('a blank before the colon of the encoding', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding : chunked') + b'0\r\n\r\n' +
        EVIL),
    cut('a tab before the colon', head(
        'PUT', '/v1/kv/x', 'Content-Length\t: 7') + b'changed' + EVIL),
    cut('a control before the colon', head(
        'PUT', '/v1/kv/x', 'Content-Length\x0b: 7') + b'changed' + EVIL),
    cut('a control before the value', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding: \x0bchunked') + b'0\r\n\r\n' +
        EVIL),
    cut('a name with a blank', head(
        'PUT', '/v1/kv/x', 'X Y: 1', CL7) + b'changed' + EVIL),
    cut('a name in quotes', head(
        'PUT', '/v1/kv/x', '"Content-Length": 7') + b'changed' + EVIL),
    cut('an empty name', head(
        'PUT', '/v1/kv/x', ': 7', CL7) + b'changed' + EVIL),
    cut('a name that is not ASCII', head(
        'PUT', '/v1/kv/x', 'Content-Length\xff: 7') + b'changed' + EVIL),
    cut('chunks twice', head('PUT', '/v1/kv/x', TE, TE) + b'0\r\n\r\n' + EVIL),
    cut('chunked, chunked', head(
        'PUT', '/v1/kv/x', TE + ', chunked') + b'0\r\n\r\n' + EVIL),
    cut('identity', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding: identity') + b'changed'),
    cut('gzip, chunked', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding: gzip, chunked') +
        b'0\r\n\r\n' + EVIL),
    cut('chunked, gzip', head(
        'PUT', '/v1/kv/x', TE + ', gzip') + b'0\r\n\r\n' + EVIL),
    cut('xchunked', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding: xchunked') + b'0\r\n\r\n' +
        EVIL),
    cut('chunked;q=1', head(
        'PUT', '/v1/kv/x', TE + ';q=1') + b'0\r\n\r\n' + EVIL),
    cut('"chunked"', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding: "chunked"') + b'0\r\n\r\n' +
        EVIL),
    cut('chunked and a blank', head(
        'PUT', '/v1/kv/x', TE + ' ') + b'0\r\n\r\n' + EVIL),
    cut('an empty encoding', head(
        'PUT', '/v1/kv/x', 'Transfer-Encoding:') + b'0\r\n\r\n' + EVIL),
    taken('Chunked', head(
        'PUT', '/v1/kv/a', 'TRANSFER-ENCODING: Chunked') +
        b'3\r\nold\r\n0\r\n\r\n'),
    cut('chunks in HTTP/1.0', head(
        'PUT', '/v1/kv/x', TE, version='HTTP/1.0') + b'7\r\nchanged\r\n0\r\n'
        b'\r\n' + EVIL),
    cut('an encoding made of a folded line', head(
        'PUT', '/v1/kv/x', 'Transfer-Enc: chunked', ' oding') +
        b'0\r\n\r\n' + EVIL),
    cut('a length made of a folded line', head(
        'PUT', '/v1/kv/x', 'Content-Len: 7', '\tgth') + b'changed' + EVIL),
    cut('a folded value', head(
        'PUT', '/v1/kv/x', 'X-A: one', ' two', CL7) + b'changed' + EVIL),
    cut('a folded value of blanks', head(
        'PUT', '/v1/kv/x', CL7, '  ') + b'changed' + EVIL),
    cut('the last line folded', head(
        'PUT', '/v1/kv/x', CL7, 'X-A: one', ' two') + b'changed' + EVIL),
    by_library('the first line folded', head(
        'PUT', '/v1/kv/x', ' folded', CL7, host=None) + b'changed' + EVIL),
    cut('a bare LF after a header', b'PUT /v1/kv/x HTTP/1.1\r\nHost: a\n'
        b'Content-Length: 7\r\n\r\nchanged' + EVIL),
    cut('a bare LF after the request line', b'PUT /v1/kv/x HTTP/1.1\nHost: a'
        b'\r\nContent-Length: 7\r\n\r\nchanged' + EVIL),
    cut('bare LF everywhere', b'PUT /v1/kv/x HTTP/1.1\nHost: a\n'
        b'Content-Length: 7\n\nchanged' + EVIL),
    cut('a bare LF at the end of the head', b'PUT /v1/kv/x HTTP/1.1\r\n'
        b'Host: a\r\nContent-Length: 7\r\n\nchanged' + EVIL),
    cut('two LF at the end of the head', b'PUT /v1/kv/x HTTP/1.1\r\n'
        b'Host: a\r\nContent-Length: 7\n\nchanged' + EVIL),
    cut('a bare CR in a value', head(
        'PUT', '/v1/kv/x', 'X-A: b\rContent-Length: 7', CL7) + b'changed' +
        EVIL),
    cut('a bare CR before the LF', head(
        'PUT', '/v1/kv/x', CL7, 'X-A: b\r') + b'changed' + EVIL),
    by_library('a CR as a line', b'PUT /v1/kv/x HTTP/1.1\r\nHost: a\r\n\r\r\n'
               b'Content-Length: 7\r\n\r\nchanged' + EVIL),
    cut('NUL in a value', head(
        'PUT', '/v1/kv/x', 'X-A: a\0b', CL7) + b'changed' + EVIL),
    cut('NUL after the length', head(
        'PUT', '/v1/kv/x', 'Content-Length: 7\0') + b'changed' + EVIL),
    cut('NUL after chunked', head(
        'PUT', '/v1/kv/x', TE + '\0x') + b'0\r\n\r\n' + EVIL),
    by_library('NUL in a name', head(
        'PUT', '/v1/kv/x', 'Content-\0Length: 7') + b'changed' + EVIL),
    cut('NUL in the target', head(
        'PUT', '/v1/kv/a\0b', CL7) + b'changed' + EVIL),
    cut('NUL in the query', head(
        'PUT', '/v1/kv/a?sync=true\0', CL7) + b'changed' + EVIL),
    cut('NUL in the method', b'PU\0T /v1/kv/x HTTP/1.1\r\nHost: a\r\n'
        b'Content-Length: 7\r\n\r\nchanged' + EVIL),
]

CHUNKS = [
    taken('one chunk', chunked('3\r\nold\r\n0\r\n\r\n')),
    taken('a chunk a byte', chunked('1\r\no\r\n1\r\nl\r\n1\r\nd\r\n0\r\n\r\n')),
    taken('a size with zeros before it', chunked('0003\r\nold\r\n00\r\n\r\n')),
    taken('sizes of both cases', chunked(
        'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n',
        target='/v1/kv/x?nosuch=1'), (400, 'malformed')),
    taken('a chunk extension', chunked('3;a=b\r\nold\r\n0;c\r\n\r\n')),
    taken('a quoted chunk extension', chunked(
        '3;a="b;c"\r\nold\r\n0\r\n\r\n')),
    taken('trailers', chunked('3\r\nold\r\n0\r\nX-A: b\r\nX-B: c\r\n\r\n')),
    taken('a length among the trailers', chunked(
        '3\r\nold\r\n0\r\nContent-Length: 99\r\nHost: b\r\n\r\n')),
    taken('an encoding among the trailers', chunked(
        '3\r\nold\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n')),
    taken('a condition among the trailers', chunked(
        '3\r\nold\r\n0\r\nIf-None-Match: *\r\n\r\n')),
    taken('a trailer with NUL', chunked('3\r\nold\r\n0\r\nX-A: b\0c\r\n\r\n')),
    by_library('a trailer without a colon', chunked(
        '3\r\nold\r\n0\r\nnothing\r\n\r\n')),
    by_library('trailers without end', chunked(
        '3\r\nold\r\n0\r\n' + 'X-A: b\r\n' * 5000 + '\r\n'), 431),
    by_library('a size that is none', chunked('xyz\r\nchanged\r\n0\r\n\r\n')),
    by_library('an empty size', chunked('\r\nchanged\r\n0\r\n\r\n')),
    by_library('a size with a sign', chunked('+3\r\nold\r\n0\r\n\r\n')),
    by_library('a size below 0', chunked('-1\r\nold\r\n0\r\n\r\n')),
    by_library('a size with 0x', chunked('0x3\r\nold\r\n0\r\n\r\n')),
    by_library('a blank before the size', chunked(' 3\r\nold\r\n0\r\n\r\n')),
    by_library('a blank after the size', chunked('3 \r\nold\r\n0\r\n\r\n')),
    by_library('a NUL after the size', chunked('3\0\r\nold\r\n0\r\n\r\n')),
    by_library('a size past 64 bits', chunked(
        '10000000000000003\r\nold\r\n0\r\n\r\n'), 413),
    by_library('a size of 40 digits', chunked(
        'f' * 40 + '\r\nold\r\n0\r\n\r\n'), 413),
    by_library('a chunk longer than its size', chunked(
        '3\r\nchanged\r\n0\r\n\r\n')),
    by_library('a chunk without its CRLF', chunked('3\r\nold0\r\n\r\n')),
    by_library('a CR alone after a chunk', chunked('3\r\nold\r0\r\n\r\n')),
    # The library waits for the rest, in a buffer that is full.
    Row('a size of 20,000 zeros', chunked(
        '0' * 20000 + '3\r\nold\r\n0\r\n\r\n'), [(408, LIBRARY)], CLOSED),
    dropped('a chunk shorter than its size', chunked(
        '7\r\nold\r\n'), half_close=True),
    dropped('no last chunk', chunked('7\r\nchanged\r\n'), half_close=True),
    dropped('trailers cut off', chunked(
        '7\r\nchanged\r\n0\r\nX-A: b\r\n'), half_close=True),
    refused('a chunked body of a wrong method', chunked(
        '10\r\n' + 16 * 'x' + '\r\n0\r\n\r\n', target='/stats'), 405,
            'method-not-allowed'),
]

TARGETS = [
    taken('absolute form', head('PUT', 'http://a/v1/kv/a', 'Content-Length: 3')
          + b'old'),
    taken('absolute form, of another case', head(
        'PUT', 'HTTP://a:80/v1/kv/a?sync=true', 'Content-Length: 3') + b'old'),
    taken('absolute form of https', head('GET', 'https://a/healthz'), 200),
    refused('absolute form of another scheme', get('ftp://a/healthz'), 404,
            'not-found'),
    refused('absolute form without a host', get('http:///v1/none'), 404,
            'not-found'),
    refused('asterisk form', head('OPTIONS', '*'), 404, 'not-found'),
    refused('asterisk form of a GET', get('*'), 404, 'not-found'),
    refused('authority form', head('CONNECT', 'a:80'), 404, 'not-found'),
    refused('CONNECT of a path', head('CONNECT', '/v1/kv/a'), 405,
            'method-not-allowed'),
    refused('no slash before', get('v1/kv/a'), 404, 'not-found'),
    refused('a backslash', get('\\v1\\kv\\a'), 404, 'not-found'),
    refused('two slashes', get('//v1/kv/a'), 404, 'not-found'),
    refused('dots before', put('/x/../v1/kv/a'), 404, 'not-found'),
    refused('dots encoded before', put('/x/%2e%2e/v1/kv/a'), 404, 'not-found'),
    taken('dots in a key', get('/v1/kv/../a'), (404, 'not-found')),
    taken('a key of dots', get('/v1/kv/..'), (404, 'not-found')),
    taken('an encoded slash in a key', get('/v1/kv/%2Fetc%2Fpasswd'),
          (404, 'not-found')),
    refused('an encoded slash in the route', get('/v1%2Fkv/a'), 404,
            'not-found'),
    refused('an encoded letter in the route', get('/v1/%6bv/a'), 404,
            'not-found'),
    taken('an encoded NUL in a key', get('/v1/kv/%00%FF'), 200),
    refused('an encoded NUL in the route', get('/stats%00'), 404, 'not-found'),
    refused('an encoded question mark', get('/stats%3Fx=1'), 404, 'not-found'),
    refused('half a percent code', put('/v1/kv/a%'), 400, 'bad-key'),
    refused('a percent code of one digit', put('/v1/kv/a%4'), 400, 'bad-key'),
    refused('a percent code of letters', put('/v1/kv/%GG'), 400, 'bad-key'),
    refused('a percent code of %u', put('/v1/kv/%u0041'), 400, 'bad-key'),
    refused('a percent code with a sign', put('/v1/kv/%-1'), 400, 'bad-key'),
    taken('an overlong form of a slash', get('/v1/kv/%c0%af'),
          (404, 'not-found')),
    taken('bytes as they are', get('/v1/kv/\xe4\xff'), (404, 'not-found')),
    cut('a blank in the target', put('/v1/kv/a b')),
    cut('a tab in the target', put('/v1/kv/a\tb')),
    cut('a CR in the target', put('/v1/kv/a\rb')),
    cut('a control in the target', put('/v1/kv/a\x1fb')),
    cut('DEL in the target', put('/v1/kv/a\x7fb')),
    cut('two blanks after the method', b'PUT  /v1/kv/x HTTP/1.1\r\nHost: a\r\n'
        b'Content-Length: 7\r\n\r\nchanged'),
    cut('two blanks before the version', b'PUT /v1/kv/x  HTTP/1.1\r\nHost: a'
        b'\r\nContent-Length: 7\r\n\r\nchanged'),
    by_library('a blank after the version', b'PUT /v1/kv/x HTTP/1.1 \r\n'
               b'Host: a\r\nContent-Length: 7\r\n\r\nchanged'),
    cut('two versions', b'PUT /v1/kv/x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n'
        b'Content-Length: 7\r\n\r\nchanged'),
    cut('a tab after the method', b'PUT /v1/kv/x\tHTTP/1.1 HTTP/1.1\r\n'
        b'Host: a\r\nContent-Length: 7\r\n\r\nchanged'),
    dropped('tabs for blanks', b'PUT\t/v1/kv/x\tHTTP/1.1\r\nHost: a\r\n\r\n'),
    by_library('no target', b'GET HTTP/1.1\r\nHost: a\r\n\r\n'),
    by_library('an empty target', b'GET  HTTP/1.1\r\nHost: a\r\n\r\n'),
    by_library('a long target', get('/v1/kv/' + 'a' * 20000), 414),
    by_library('a long query', get('/v1/range?prefix=' + 'a' * 20000), 414),
    by_library('a target without end', b'GET /' + b'a' * 100000, 414),
    refused('a query of 3,000 parameters', get(
        '/v1/range?' + '&'.join(['a=1'] * 3000))),
]

METHODS_AND_VERSIONS = [
    refused('an unknown method', put('/v1/kv/a').replace(b'PUT', b'BREW', 1),
            405, 'method-not-allowed'),
    refused('a method in small letters', put('/v1/kv/a').replace(
        b'PUT', b'put', 1), 405, 'method-not-allowed'),
    refused('a method with a control', put('/v1/kv/a').replace(
        b'PUT', b'P\x01T', 1), 405, 'method-not-allowed'),
    refused('a method of 5,000 letters', head('M' * 5000, '/v1/kv/a'), 405,
            'method-not-allowed'),
    refused('TRACE', head('TRACE', '/v1/kv/a'), 405, 'method-not-allowed'),
    refused('PATCH', head('PATCH', '/v1/kv/a', CL7) + b'changed', 405,
            'method-not-allowed'),
    by_library('HTTP/0.9', b'GET /healthz\r\n\r\n'),
    taken('HTTP/1.0', head('GET', '/healthz', version='HTTP/1.0', host=None),
          200, end=CLOSED),
    taken('HTTP/1.0, to be kept alive', head(
        'GET', '/healthz', 'Connection: keep-alive', version='HTTP/1.0'), 200),
    cut('HTTP/1.2 without Host', head('GET', '/healthz', version='HTTP/1.2',
                                      host=None)),
    by_library('HTTP/2.0', head('GET', '/healthz', version='HTTP/2.0'), 505),
    by_library('the preface of HTTP/2',
               b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505),
    by_library('HTTP/0.8', head('GET', '/healthz', version='HTTP/0.8'), 505),
    by_library('HTTP/1.10', head('GET', '/healthz', version='HTTP/1.10')),
    by_library('HTTP/11', head('GET', '/healthz', version='HTTP/11')),
    by_library('HTTP/1,1', head('GET', '/healthz', version='HTTP/1,1')),
    by_library('http/1.1', head('GET', '/healthz', version='http/1.1')),
    by_library('HTTPS/1.1', head('GET', '/healthz', version='HTTPS/1.1')),
    by_library('HTTP/a.b', head('GET', '/healthz', version='HTTP/a.b')),
    dropped('no request', b'\1\2\3\r\n\r\n'),
    dropped('a TLS hello', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
            b'\r\n\r\n'),
    dropped('SSH', b'SSH-2.0-OpenSSH_9.2\r\n'),
    by_library('SMTP', b'EHLO example.org\r\n'),
    dropped('a word', b'QUIT\r\n'),
    taken('empty lines before', b'\r\n\r\n\r\n' + get(), 200),
]

HEADERS = [
    cut('no Host', head('PUT', '/v1/kv/x', CL7, host=None) + b'changed'),
    cut('two Hosts', put('/v1/kv/x', 'Host: a')),
    cut('two Hosts of different names', put('/v1/kv/x', 'HOST: evil')),
    taken('an empty Host', head('GET', '/healthz', host='Host:'), 200),
    by_library('a header without a colon', put('/v1/kv/x', 'nothing')),
    by_library('a long header', put('/v1/kv/x', 'X-A: ' + 'a' * 20000), 431),
    by_library('a header without end',
               b'GET / HTTP/1.1\r\nX-A: ' + b'a' * 100000, 431),
    by_library('a long name', put('/v1/kv/x', 'a' * 20000 + ': 1'), 431),
    by_library('many headers', put('/v1/kv/x', *['X-A: b'] * 3000), 431),
    by_library('headers without end',
               b'GET / HTTP/1.1\r\n' + b'X-A: b\r\n' * 20000, 431),
    taken('a hundred headers', get('/healthz', *['X-A: b'] * 100), 200),
    by_library('a long cookie', get('/healthz', 'Cookie: ' + 'a=b;' * 3000),
               431),
    taken('a cookie of separators', get('/healthz', 'Cookie: ;,=;,"=,;"'), 200),
    taken('tabs about a value', get('/healthz', 'X-A:\t b \t'), 200),
    taken('bytes that are not ASCII', get('/healthz', 'X-A: \xff\xe4'), 200),
    refused('an ETag without quotes', put('/v1/kv/x', 'If-Match: 1')),
    refused('an ETag left open', put('/v1/kv/x', 'If-Match: "1')),
    refused('an ETag list with a comma too many', put(
        '/v1/kv/x', 'If-Match: "1",')),
    refused('an ETag of small w', put('/v1/kv/x', 'If-Match: w/"1"')),
    refused('two stars', put('/v1/kv/x', 'If-Match: *, *')),
    refused('a condition twice', put('/v1/kv/x', 'If-Match: *',
                                     'If-Match: *')),
    refused('an ETag that is not', put('/v1/kv/a', 'If-Match: "abc"'), 412,
            'precondition-failed'),
    refused('an ETag past 64 bits', put(
        '/v1/kv/a', f'If-Match: "{"9" * 40}"'), 412, 'precondition-failed'),
    refused('a weak ETag', put('/v1/kv/a', 'If-Match: W/"1"'), 412,
            'precondition-failed'),
    refused('2,000 ETags', put('/v1/kv/a', 'If-Match: ' + ','.join(
        ['"x"'] * 2000))),
    refused('a range past the value', get('/v1/kv/a', 'Range: bytes=9-'), 416),
    refused('the last 0 bytes', get('/v1/kv/a', 'Range: bytes=-0'), 416),
    taken('a range the wrong way', get('/v1/kv/a', 'Range: bytes=2-1'), 200),
    taken('a range past 64 bits', get(
        '/v1/kv/a', 'Range: bytes=0-99999999999999999999'), 200),
    taken('ranges', get('/v1/kv/a', 'Range: bytes=0-0,1-1'), 200),
    taken('a hundred ranges', get('/v1/kv/a', 'Range: bytes=' + ','.join(
        ['0-'] * 100)), 200),
    taken('a range of lines', get('/v1/kv/a', 'Range: lines=0-1'), 200),
    taken('a range of nothing', get('/v1/kv/a', 'Range: bytes=-'), 200),
    taken('a range that is none', get('/v1/kv/a', 'Range: bytes'), 200),
    refused('a duration without a unit', get('/v1/kv/a', 'Leveld-Timeout: 5')),
    refused('a duration below 0', get('/v1/kv/a', 'Leveld-Timeout: -5s')),
    refused('a duration of an unknown unit', get(
        '/v1/kv/a', 'Leveld-Timeout: 5y')),
    refused('a duration past 64 bits', get(
        '/v1/kv/a', 'Leveld-Timeout: 99999999999999999999s')),
    refused('a duration with a point', get(
        '/v1/kv/a', 'Leveld-Timeout: 1.5s')),
    refused('an empty duration', get('/v1/kv/a', 'Leveld-Timeout:')),
    refused('a sequence below 0', get('/v1/kv/a', 'Leveld-Min-Sequence: -1')),
    refused('a sequence past 56 bits', get(
        '/v1/kv/a', f'Leveld-Min-Sequence: {1 << 56}')),
    refused('a sequence twice', get(
        '/v1/kv/a', 'Leveld-Min-Sequence: 1', 'Leveld-Min-Sequence: 1')),
    refused('part of a value', put('/v1/kv/x', 'Content-Range: bytes 0-6/7')),
    refused('an Accept of nothing we have', get(
        '/v1/kv/a', 'Accept: image/png'), 406, 'not-acceptable'),
    refused('an Accept of nonsense', get('/stats', 'Accept: ;;,/,q=;*/*'),
            406, 'not-acceptable'),
]

PARAMETERS = [
    refused('unknown', put('/v1/kv/x?nosuch=1')),
    refused('of another case', put('/v1/kv/x?Sync=true')),
    refused('repeated', put('/v1/kv/x?sync=true&sync=true')),
    refused('repeated by an encoded name', put(
        '/v1/kv/x?sync=true&s%79nc=true')),
    refused('without =', put('/v1/kv/x?sync')),
    refused('without a name', put('/v1/kv/x?=true')),
    refused('with two =', put('/v1/kv/x?sync==true')),
    refused('an empty pair', put('/v1/kv/x?&')),
    refused('a semicolon', put('/v1/kv/x?sync=true;sync=false')),
    refused('a second question mark', put('/v1/kv/x?sync=true?sync=false')),
    refused('a NUL in the name', put('/v1/kv/x?sync%00=true')),
    refused('a NUL in the value', put('/v1/kv/x?sync=true%00')),
    refused('a bad code in the value', put('/v1/kv/x?sync=%zz')),
    refused('a limit of 0', get('/v1/range?limit=0')),
    refused('a limit below 0', get('/v1/range?limit=-1')),
    refused('a limit over', get('/v1/range?limit=10001')),
    refused('a limit past 64 bits', get('/v1/range?limit=18446744073709551617'
                                        )),
    refused('a limit of 1e3', get('/v1/range?limit=1e3')),
    refused('a limit in hex', get('/v1/range?limit=0x10')),
    refused('a limit with a blank', get('/v1/range?limit=%2010')),
    refused('an encoding that is none', get('/v1/range?encoding=utf-7')),
    refused('an enc that is none', put('/v1/kv/x?enc=rot13')),
    refused('half a hex digit', put('/v1/kv/abc?enc=hex'), 400, 'bad-key'),
    refused('base64 where base64url belongs', put(
        '/v1/kv/a+b/?enc=base64url'), 400, 'bad-key'),
    refused('a cursor that is none', get('/v1/range?cursor=%00')),
    refused('a snapshot that is none', get('/v1/range?snapshot=..')),
    refused('replicas below 0', put('/v1/kv/x?replicas=-1')),
    refused('replicas that are not there', put('/v1/kv/x?replicas=1'), 409,
            'conflict'),
]

AS_JSON = f'Content-Type: {JSON}'


def batch(body, status=400, kind='bad-batch', name=None):
    return refused(name or short_name(body),
                   post('/v1/batch', body, AS_JSON), status, kind)


def short_name(body):
    return body if len(body) < 40 else body[:40] + '...'


DEEP = 20000
BODIES = [
    batch(''),
    batch('\0'),
    batch('{"ops":['),
    batch('{"ops":[]}\0'),
    batch('\xef\xbb\xbf{"ops":[]}', name='a byte order mark'),
    batch('{"ops":[],"ops":[]}'),
    batch('{"ops":[{"op":"delete","op":"delete","key":"a"}]}'),
    batch('{"ops":[{"op":"put","key":"a\xff","value":""}]}', name='no UTF-8'),
    batch('{"ops":[{"op":"delete","key":"\xc0\xaf"}]}', name='overlong UTF-8'),
    batch('{"ops":[{"op":"delete","key":"\xed\xa0\x80"}]}',
          name='a surrogate as UTF-8'),
    batch('{"ops":[{"op":"delete","key":"\\ud800"}]}'),
    batch('[' * DEEP),
    batch('{"ops":' + '[' * DEEP + ']' * DEEP + '}'),
    batch('{"ops":[{"op":"delete","key":' + '{"a":' * DEEP),
    batch('{"ops":[],"if":[{"key":"a","sequence":1e400}]}'),
    batch('{"ops":[],"if":[{"key":"a","sequence":-0}]}', 412,
          'precondition-failed'),
    batch('{"ops":[],"if":[{"key":"a","sequence":18446744073709551616}]}'),
    batch('{"ops":[],"if":[{"key":"a","sequence":0x1}]}'),
    batch('{"ops":[],"if":[{"key":"a","sequence":NaN}]}'),
    batch('{"ops":[],"if":[{"key":"a","sequence":01}]}'),
    batch('{"ops":[],"encoding":"utf-16"}'),
    batch('{"ops":[{"op":"delete","key":"!","encoding":"base64"}]}'),
    batch("{'ops':[]}"),
    batch('{"ops":[{"op":"delete","key":"%s"}]}' % ('k' * 65537), 413,
          'too-large'),
    refused('a batch as text', post('/v1/batch', '{"ops":[]}',
                                    'Content-Type: text/plain'), 415,
            'unsupported-media-type'),
    refused('a batch of no type', post('/v1/batch', '{"ops":[]}'), 415,
            'unsupported-media-type'),
    refused('a batch of two types', post(
        '/v1/batch', '{"ops":[1]}', AS_JSON, f'Content-Type: {BATCH}'), 400,
        None),
    refused('a batch of a broken type', post(
        '/v1/batch', '{"ops":[]}', 'Content-Type: /;;='), 415,
        'unsupported-media-type'),
    refused('a batch in gzip', post('/v1/batch', '{"ops":[]}', AS_JSON,
                                    'Content-Encoding: gzip'), 415,
            'unsupported-media-type'),
    refused('a LevelDB batch cut off', post(
        '/v1/batch', batch_bytes([(b'x', b'changed')])[:-1],
        f'Content-Type: {BATCH}'), 400, 'bad-batch'),
    refused('lines of nonsense', post(
        '/v1/batch', '\n\n{}\n', f'Content-Type: {NDJSON}'), 400, 'bad-batch'),
    refused('a line of a mebibyte of blanks', post(
        '/v1/batch', ' ' * (1 << 20) + '{', f'Content-Type: {NDJSON}'), 400,
        'bad-batch'),
    refused('keys of a multiget, deep', post(
        '/v1/multiget', '{"keys":' + '[' * DEEP, AS_JSON)),
    refused('a ttl past 64 bits', post(
        '/v1/snapshots', '{"ttl":"99999999999999999999s"}', AS_JSON)),
    refused('a body of a GET', head('GET', '/healthz', CL7) + b'changed', 413,
            'too-large'),
    refused('a body of a DELETE', head('DELETE', '/v1/kv/a', CL7) +
            b'changed', 413, 'too-large'),
    dropped('a body cut off', head('PUT', '/v1/kv/x', 'Content-Length: 100') +
            b'changed', half_close=True),
    dropped('no body', head('PUT', '/v1/kv/x', CL7), half_close=True),
    dropped('a large body cut off', head(
        'PUT', '/v1/kv/x', 'Content-Length: 60000000') + bytes(100000),
            half_close=True),
    dropped('a head cut off', put('/v1/kv/x')[:40], half_close=True),
    dropped('a request line cut off', b'PUT /v1', half_close=True),
    dropped('nothing', b'', half_close=True),
    taken('a whole request, then its end', same(), half_close=True,
          end=CLOSED),
    Row('a body longer than its length', head(
        'PUT', '/v1/kv/a', 'Content-Length: 3') + b'oldchanged\r\n\r\n',
        [204], CLOSED),
    Row('a body longer by a request', head(
        'PUT', '/v1/kv/a', 'Content-Length: 3') + b'old' + get(), [204, 200]),
]

BIG = f'Content-Length: {(64 << 20) + 1}'
CONTINUE = 'Expect: 100-continue'
EXPECTATIONS = [
    Row('100-continue', head('PUT', '/v1/kv/a', CONTINUE, 'Content-Length: 3')
        + b'old', [100, 204]),
    Row('of another case', head('PUT', '/v1/kv/a', 'expect: 100-CONTINUE',
                                'Content-Length: 3') + b'old', [100, 204]),
    Row('with a chunked body', chunked('3\r\nold\r\n0\r\n\r\n', CONTINUE),
        [100, 204]),
    Row('without a body', get('/healthz', CONTINUE), [100, 200]),
    Row('that nobody knows', same('Expect: 200-ok'), [204]),
    Row('in HTTP/1.0', head('PUT', '/v1/kv/a', CONTINUE, 'Content-Length: 3',
                            version='HTTP/1.0') + b'old', [204], CLOSED),
    # Decided before the body is read: no 100, and nothing was sent.
    cut('over the limit', head('PUT', '/v1/kv/x', CONTINUE, BIG), 413,
        'too-large'),
    cut('of an unknown path', head('PUT', '/nothing', CONTINUE, CL7), 404,
        'not-found'),
    cut('of a wrong method', head('POST', '/v1/kv/x', CONTINUE, CL7), 405,
        'method-not-allowed'),
    cut('of a bad key', head('PUT', '/v1/kv/%', CONTINUE, CL7), 400,
        'bad-key'),
    cut('of a bad parameter', head('PUT', '/v1/kv/x?a=1', CONTINUE, CL7)),
    cut('of an unknown type', head('POST', '/v1/batch', CONTINUE, CL7,
                                   'Content-Type: text/css'), 415,
        'unsupported-media-type'),
    cut('of replicas that are not there', head(
        'PUT', '/v1/kv/x?replicas=1', CONTINUE, CL7), 409, 'conflict'),
    cut('of two lengths', head('PUT', '/v1/kv/x', CONTINUE, CL7, CL7)),
    cut('of no Host', head('PUT', '/v1/kv/x', CONTINUE, CL7, host=None)),
    cut('over the limit without being asked', head(
        'PUT', '/v1/kv/x', f'Content-Length: {1 << 40}'), 413, 'too-large'),
]

TABLES = [('smuggling', SMUGGLING), ('chunks', CHUNKS), ('targets', TARGETS),
          ('methods and versions', METHODS_AND_VERSIONS), ('headers', HEADERS),
          ('parameters', PARAMETERS), ('bodies', BODIES),
          ('expectations', EXPECTATIONS)]


# ---- conversations ----

def judge(server, row):
    """None, or what was not as the row says."""
    with Talk(server) as talk:
        talk.send(row.sent)
        if row.half_close:
            talk.socket.shutdown(socket.SHUT_WR)
        got = []
        for status, kind in row.answers:
            answer = talk.answer()
            if answer is None:
                return f'after {got}: closed, not {status} {kind}'
            got.append((answer[0], kind_of(answer)))
            if got[-1] != (status, kind) and not (
                    kind is None and got[-1][0] == status):
                return f'{got}, not {status} {kind}: {answer}'
        if row.end == OPEN:
            return None if talk.is_open() else f'after {got}: not open'
        # Of some of its answers the library sends the head twice.
        is_twice = got and got[-1][1] == LIBRARY
        return None if talk.ends() or is_twice else \
            f'after {got}: more came: {talk.left[:200]!r}'


def judge_all(server, rows):
    wrong = []
    for row in rows:
        try:
            text = judge(server, row)
        except (OSError, Failure, ValueError) as error:
            text = repr(error)
        if text is not None:
            wrong.append(f'{row.name}: {text}')
    expect(not wrong, f'{len(wrong)} of {len(rows)} rows:\n' +
           '\n'.join(wrong))


def fill(server):
    with Client(server) as client:
        for key, value in CONTENT.items():
            expect_equal(client.put(key, value).status, 204, f'PUT {key!r}')


def digest(server):
    with Client(server) as client:
        return Digest.of(client.ndjson())


def check_sound(server):
    """What was there is there, no more, and nobody is waited for."""
    expect_equal(digest(server), Digest.of_dict(CONTENT), 'the data')
    await_connections(server, 0)
    process = figures(server)['process']
    expect_equal(process['upload_bytes'], 0, 'upload budget taken')


def check_folder(data):
    """The same, of the folder that the server has left."""
    done = subprocess.run([BIN, 'dump', data, '--digest'], check=True,
                          capture_output=True, timeout=LIMIT)
    expect_equal(Digest.parse(done.stdout.decode().splitlines()[-1]),
                 Digest.of_dict(CONTENT), 'the data of the folder')


def table_case(folder, rows):
    data = os.path.join(folder, 'data')
    with Server(data, *SOON) as server:
        fill(server)
        judge_all(server, rows)
        check_sound(server)
    check_folder(data)
    return f'{len(rows)} conversations'


# Memory that may come and go between two rounds: buffers a loop keeps, and
# what malloc does not give back. Chosen.
GROWTH = 16 << 20


def again_case(folder):
    """All of them, several times: the same memory."""
    data = os.path.join(folder, 'data')
    rows = [row for _, rows in TABLES for row in rows]
    with Server(data, *SOON) as server:
        fill(server)
        for _ in range(2):
            judge_all(server, rows)
        before = server.memory('VmRSS')
        for _ in range(3):
            judge_all(server, rows)
        after = server.memory('VmRSS')
        check_sound(server)
    check_folder(data)
    if not is_sanitized():
        expect(after - before < GROWTH, f'memory grew from {before} to {after}')
    return f'{5 * len(rows)} conversations, {(after - before) >> 10} KiB more'


# ---- pipelines ----

PIPELINE = [(same(), 204), (get('/v1/kv/a'), 200), (get('/v1/kv/none'), 404),
            (put('/v1/kv/%zz'), 400), (chunked('1\r\no\r\n2\r\nld\r\n0\r\n\r\n'),
                                       204),
            (get('/v1/kv/a?nosuch=1'), 400), (b'\r\n' + get(), 200),
            (post('/v1/batch', '{"ops":[]}', AS_JSON), 200),
            (head('DELETE', '/v1/kv/none'), 204)]


def read_pipeline(talk, what):
    got = []
    for _ in PIPELINE:
        answer = talk.answer()
        expect(answer is not None, f'{what}: closed after {got}')
        got.append(answer[0])
    expect_equal(got, [status for _, status in PIPELINE], what)


def split_case(folder):
    """In one segment, in two split at every byte, and byte by byte."""
    data = os.path.join(folder, 'data')
    whole = b''.join(request for request, _ in PIPELINE)
    with Server(data) as server:
        fill(server)
        with Talk(server) as talk:
            for at in range(len(whole)):
                talk.send(whole[:at])
                talk.send(whole[at:])
                read_pipeline(talk, f'split at {at}')
            for byte in whole:
                talk.send(bytes([byte]))
            read_pipeline(talk, 'byte by byte')
        check_sound(server)
    return f'{len(whole)} places'


def many_case(folder):
    """A thousand requests at once, answered in order."""
    with Server(os.path.join(folder, 'data')) as server:
        fill(server)
        with Talk(server) as talk:
            talk.send(b''.join(get(f'/v1/kv/{n}') for n in range(1000)) +
                      get('/v1/kv/a'))
            for n in range(1000):
                expect_equal(talk.answer()[0], 404, f'answer {n}')
            expect_equal(talk.answer()[2], b'old', 'the last answer')
        check_sound(server)


# ---- connections that break ----

def reset(connection):
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack('ii', 1, 0))
    connection.close()


def reset_case(folder):
    """In the head, in the body, and in the answer."""
    data = os.path.join(folder, 'data')
    body = head('PUT', '/v1/kv/x', 'Content-Length: 1000000') + bytes(500000)
    bulk = head('POST', '/v1/batch', f'Content-Type: {NDJSON}', TE) + \
        b'1f400\r\n' + b'{"op":"put","key":"x' * 5
    with Server(data) as server:
        fill(server)
        for _ in range(20):
            for sent in (b'PUT /v1', put('/v1/kv/x')[:50], body, bulk,
                         chunked('3\r\nch')):
                with Talk(server) as talk:
                    talk.send(sent)
                    reset(talk.socket)
            for target in ('/v1/kv/large', '/v1/range?encoding=base64',
                           '/stats'):
                with Talk(server) as talk:
                    talk.send(get(target) * 20)
                    expect(talk.more(), f'no answer to {target}')
                    reset(talk.socket)
        check_sound(server)
    check_folder(data)


def main():
    suite = Suite()
    for name, rows in TABLES:
        suite.run(f'hostile {name}', table_case, rows)
    suite.run('all of them again and again', again_case)
    suite.run('a pipeline split at every byte', split_case)
    suite.run('a thousand requests in one segment', many_case)
    suite.run('connections reset', reset_case)
    print(f'# {sum(len(rows) for _, rows in TABLES)} hostile conversations')
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
