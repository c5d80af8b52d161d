#!/usr/bin/env python3
"""The TCP proxy gives what it takes, whole and in order, and does what it is
told to do to it."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from leveld import Suite, expect, expect_equal
from tcp_proxy import WINDOW, TcpProxy

# Seconds for what takes a moment.
LIMIT = 60
LONG = bytes(range(256)) * 8192


class Echo:
    """A server that sends back what comes."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,),
                             daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                while piece := connection.recv(65536):
                    connection.sendall(piece)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def connect(proxy):
    return socket.create_connection(('127.0.0.1', proxy.port), LIMIT)


def receive(connection, count):
    got = bytearray()
    while len(got) < count:
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return bytes(got)


def send_in_background(connection, data):
    thread = threading.Thread(target=connection.sendall, args=(data,),
                              daemon=True)
    thread.start()
    return thread


def whole_case(_):
    with Echo() as echo, TcpProxy('127.0.0.1', echo.port) as proxy, \
            connect(proxy) as a, connect(proxy) as b:
        threads = [send_in_background(one, LONG) for one in (a, b)]
        for one in (a, b):
            expect(receive(one, len(LONG)) == LONG, 'other bytes came back')
        for one in threads:
            one.join()
        a.shutdown(socket.SHUT_WR)
        expect_equal(a.recv(1), b'', 'after the end')
        expect_equal(proxy.bytes, 4 * len(LONG), 'bytes')


def delay_case(_):
    with Echo() as echo, TcpProxy('127.0.0.1', echo.port, delay_s=0.1) as proxy:
        with connect(proxy) as one:
            begun = time.monotonic()
            one.sendall(b'x')
            expect_equal(receive(one, 1), b'x', 'came back')
            expect(time.monotonic() - begun >= 0.2, 'it was early')


def is_gone(connection):
    try:
        return connection.recv(1) == b''
    except ConnectionResetError:
        return True


def is_cut_at_once(proxy, data=b''):
    """A new connection, maybe before connect() or sendall() has returned."""
    try:
        with connect(proxy) as one:
            one.sendall(data)
            return is_gone(one)
    except (ConnectionResetError, BrokenPipeError):
        return True


def cut_case(_):
    with Echo() as echo, TcpProxy('127.0.0.1', echo.port) as proxy:
        with connect(proxy) as one:
            one.sendall(b'x')
            expect_equal(receive(one, 1), b'x', 'came back')
            proxy.cut()
            expect(is_gone(one), 'it is there after a cut')
        proxy.is_closed = True
        expect(is_cut_at_once(proxy), 'it is there, and none are taken')
        proxy.is_closed = False
        proxy.cut_chance = 1.0
        expect(is_cut_at_once(proxy, b'x'), 'it is there after a sure chance')
        expect_equal(proxy.cuts, 1, 'cuts')


def silent_case(_):
    with Echo() as echo, TcpProxy('127.0.0.1', echo.port) as proxy:
        with connect(proxy) as one:
            proxy.is_silent = True
            sender = send_in_background(one, LONG)
            one.settimeout(0.3)
            try:
                expect_equal(one.recv(1), None, 'came while it is silent')
            except TimeoutError:
                pass
            one.settimeout(LIMIT)
            proxy.is_silent = False
            expect(receive(one, len(LONG)) == LONG, 'other bytes came back')
            sender.join()


def bounded_case(_):
    """Who does not read holds back who sends."""
    with Echo() as echo, TcpProxy('127.0.0.1', echo.port,
                                  delay_s=LIMIT) as proxy:
        with connect(proxy) as one:
            send_in_background(one, LONG)
            limit = time.monotonic() + LIMIT
            while proxy.bytes < WINDOW:
                expect(time.monotonic() < limit, 'it does not fill')
                time.sleep(0.01)
            held = [d.held for pair in proxy.pairs for d in pair]
            expect(max(held) <= WINDOW + (16 << 10), f'{held} bytes held')


def main():
    suite = Suite()
    suite.run('what comes goes out', whole_case)
    suite.run('late', delay_case)
    suite.run('cut', cut_case)
    suite.run('silent', silent_case)
    suite.run('bounded', bounded_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
