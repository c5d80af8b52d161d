"""A TCP proxy on loopback for tests: what comes on one side goes out on the
other, late, cut, or not at all, as the test says meanwhile.

    with TcpProxy('127.0.0.1', port, delay_s=0.05) as proxy:
        ... connect to proxy.port ...
        proxy.cut()

One thread; connections and the bytes held for each are bounded, so that a slow
side holds the other back, as a network does.
"""
import collections
import random
import select
import socket
import struct
import threading
import time

# Chosen: more than a cluster in a test has.
CONNECTIONS_MAX = 64
# Bytes of one direction that are under way. Chosen: of a fast network.
WINDOW = 256 << 10
PIECE = 16 << 10
# Seconds in which a change of the settings is noticed, at the latest.
LOOK_S = 0.05
RESET = struct.pack('ii', 1, 0)  # SO_LINGER: closing drops what is under way


class Direction:
    """From one socket to the other."""

    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.pieces = collections.deque()  # (when it is due, bytes)
        self.held = 0
        self.is_ended = False  # nothing more comes,
        self.is_shut = False  # and the other side knows

    def has_room(self):
        return not self.is_ended and self.held < WINDOW

    def due(self):
        """When something is to be sent; None: nothing is."""
        if self.pieces:
            return self.pieces[0][0]
        return 0 if self.is_ended and not self.is_shut else None

    def take(self, delay_s):
        piece = self.source.recv(PIECE)
        self.is_ended = not piece
        if piece:
            self.pieces.append((time.monotonic() + delay_s, piece))
            self.held += len(piece)
        return len(piece)

    def give(self):
        if not self.pieces:
            self.is_shut = True
            self.sink.shutdown(socket.SHUT_WR)
            return
        when, piece = self.pieces.popleft()
        sent = self.sink.send(piece)
        self.held -= sent
        if sent < len(piece):
            self.pieces.appendleft((when, piece[sent:]))


class TcpProxy:
    """delay_s: each way. cut_chance: that a piece of up to 16 KiB is the last
    of its connection. The settings may be changed while it runs; is_silent:
    nothing is taken or given, and nobody is told; is_closed: connections are
    refused."""

    def __init__(self, host, port, delay_s=0.0, cut_chance=0.0, seed=0):
        self.target = (host, port)
        self.delay_s = delay_s
        self.cut_chance = cut_chance
        self.is_silent = False
        self.is_closed = False
        self.cuts = 0  # by chance
        self.accepted = 0
        self.bytes = 0
        self.chance = random.Random(seed)
        self.pairs = []  # of Direction, one for each connection
        self.must_cut = threading.Event()
        self.is_ending = threading.Event()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def cut(self):
        """Every connection, now; what is under way is lost."""
        self.must_cut.set()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        self.thread.join()
        for pair in list(self.pairs):
            self.drop(pair)
        self.listener.close()

    # ---- on its thread ----

    def drop(self, pair):
        self.pairs.remove(pair)
        for direction in pair:
            direction.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        RESET)
            direction.source.close()

    def accept(self):
        client, _ = self.listener.accept()
        if self.is_closed or len(self.pairs) >= CONNECTIONS_MAX:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            return
        self.accepted += 1
        server = socket.socket()
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connect_ex(self.target)  # a failure shows at the first use
        self.pairs.append((Direction(client, server),
                           Direction(server, client)))

    def take(self, pair, direction):
        self.bytes += direction.take(self.delay_s)
        if self.chance.random() < self.cut_chance:
            self.cuts += 1
            self.drop(pair)

    def each_ready(self, now):
        """What select() is asked for: {socket: (pair, direction)}, twice."""
        reads, writes = {}, {}
        for pair in [] if self.is_silent else self.pairs:
            for direction in pair:
                if direction.has_room():
                    reads[direction.source] = (pair, direction)
                due = direction.due()
                if due is not None and due <= now:
                    writes[direction.sink] = (pair, direction)
        return reads, writes

    def until_next(self, now):
        dues = [direction.due() for pair in self.pairs for direction in pair]
        later = [due - now for due in dues if due is not None and due > now]
        return min(later + [LOOK_S])

    def turn(self):
        now = time.monotonic()
        reads, writes = self.each_ready(now)
        readable, writable, _ = select.select(
            [self.listener, *reads], list(writes), [], self.until_next(now))
        for one in readable:
            if one is self.listener:
                self.accept()
        for ready, known, act in (
                (readable, reads, self.take),
                (writable, writes, lambda pair, direction: direction.give())):
            for one in ready:
                pair, direction = known.get(one, (None, None))
                if pair not in self.pairs:
                    continue
                try:
                    act(pair, direction)
                except BlockingIOError:
                    pass
                except OSError:
                    self.drop(pair)
        for pair in list(self.pairs):
            if all(direction.is_shut for direction in pair):
                self.drop(pair)

    def run(self):
        while not self.is_ending.is_set():
            if self.must_cut.is_set():
                self.must_cut.clear()
                for pair in list(self.pairs):
                    self.drop(pair)
            self.turn()
