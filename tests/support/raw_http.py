"""Raw connections to a server, for what an HTTP client would never send: bytes
out, answers in, and whether the connection is open afterwards."""
import json
import socket
import time

from leveld import PATIENCE, Client, expect, expect_equal

# Seconds for one answer, and for what is waited for.
LIMIT = PATIENCE

# What the HTTP library answers by itself: no problem body.
LIBRARY = 'library'


def head(method, target, *headers, version='HTTP/1.1', host='Host: a'):
    lines = [f'{method} {target} {version}', *([host] if host else []),
             *headers, '', '']
    return '\r\n'.join(lines).encode('latin-1')


class Talk:
    """One raw connection."""

    def __init__(self, server):
        self.socket = socket.create_connection(('127.0.0.1', server.port),
                                               LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b''

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer may be there nevertheless

    def more(self):
        """False: the end."""
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionResetError:
            piece = b''
        self.left += piece
        return piece != b''

    def answer(self, is_head=False):
        """(status, headers, body); None: the connection has ended."""
        while b'\r\n\r\n' not in self.left:
            if not self.more():
                return None
        head_of_it, self.left = self.left.split(b'\r\n\r\n', 1)
        lines = head_of_it.decode('latin-1').split('\r\n')
        expect(lines[0].startswith('HTTP/1.'), f'no answer: {lines[0]!r}')
        status = int(lines[0].split()[1])
        headers = dict(line.lower().split(': ', 1) for line in lines[1:])
        length = int(headers.get('content-length', 0))
        if status in (100, 204, 304) or is_head:
            length = 0
        while len(self.left) < length:
            expect(self.more(), f'the answer {status} is cut')
        body, self.left = self.left[:length], self.left[length:]
        return status, headers, body

    def is_open(self):
        """It answers another request."""
        self.send(head('GET', '/healthz'))
        answer = self.answer()
        return answer is not None and answer[0] == 200 and \
            answer[2] == b'{"alive":true}\n'

    def ends(self):
        """Nothing more comes but the end."""
        while self.more():
            continue
        return self.left == b''

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def kind_of(answer):
    status, headers, body = answer
    if status < 400:
        return None
    if not headers.get('content-type', '').startswith(
            'application/problem+json'):
        return LIBRARY
    problem = json.loads(body)
    expect_equal(problem['status'], status, 'status in the body')
    return problem['type'][len('/problems/'):]


def figures(server):
    with Client(server) as client:
        return client.get('/stats').json()


def await_connections(server, count):
    """As many are open, and one that asks."""
    limit = time.monotonic() + LIMIT
    while True:
        now = figures(server)['process']['connections'] - 1
        if now == count:
            return
        expect(time.monotonic() < limit, f'{now} connections, not {count}')
        time.sleep(0.02)
