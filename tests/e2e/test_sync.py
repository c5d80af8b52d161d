#!/usr/bin/env python3
"""What the kernel sees of durable writes, by strace: connections that write
together share an fdatasync, one connection gets one for each PUT, and no
answer leaves before the fdatasync that follows its write to the journal.
"""
import collections
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (PATIENCE, Failure, Server, Skip, Suite, expect,
                    expect_equal)

TRACED = 'write,pwrite64,writev,sendto,sendmsg,fdatasync'
# LeakSanitizer cannot run below strace.
ENVIRONMENT = {'ASAN_OPTIONS': 'detect_leaks=0'}


def need_strace():
    if shutil.which('strace') is None:
        raise Skip('strace is not installed')
    done = subprocess.run(['strace', '-e', 'trace=none', 'true'],
                          capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise Skip(f'strace cannot trace here: {done.stderr[-200:]!r}')


# ---- the client ----

def token(connection, number):
    return f'token-{connection:03d}-{number:05d}'


def request(connection, number, query):
    value = token(connection, number)
    return (f'PUT /v1/kv/k{connection}{query} HTTP/1.1\r\nHost: a\r\n'
            f'Content-Length: {len(value)}\r\n\r\n{value}').encode('ascii')


def read_answer(connection):
    """The ETag of a 204."""
    answer = b''
    while not answer.endswith(b'\r\n\r\n'):
        piece = connection.recv(65536)
        expect(piece, f'cut after {answer!r}')
        answer += piece
    found = re.search(rb'ETag: "(\d+)"', answer, re.IGNORECASE)
    expect(answer.startswith(b'HTTP/1.1 204 ') and found, f'got {answer!r}')
    return int(found.group(1))


def put_from(port, connections, each, query=''):
    """Rounds of one PUT on every connection: all are sent, then all answers
    are read. {ETag: token}."""
    done = {}
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(
            ('127.0.0.1', port), PATIENCE)) for _ in range(connections)]
        for one in sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(each):
            requests = [request(i, number, query) for i in range(connections)]
            for one, text in zip(sockets, requests):
                one.sendall(text)
            for i, one in enumerate(sockets):
                done[read_answer(one)] = token(i, number)
    expect_equal(len(done), connections * each, 'sequences given out')
    return done


# ---- the trace ----

class Call:
    """One system call; first and last are positions in the trace."""

    def __init__(self, name, text, first):
        self.name = name
        self.text = text
        self.first = first
        self.last = None
        self.result = None


LINE = re.compile(r'(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$')


def read_trace(path):
    calls, unfinished = [], {}
    with open(path, encoding='latin-1') as lines:
        for position, line in enumerate(lines):
            found = LINE.match(line.rstrip('\n'))
            if not found:
                continue  # a signal, an exit
            thread, resumed, name, text = found.groups()
            if resumed:
                call = unfinished.pop(thread, None)
                if call is None or call.name != resumed:
                    raise Failure(f'line {position}: {line!r} resumes nothing')
            else:
                call = Call(name, text, position)
                calls.append(call)
                if text.endswith('<unfinished ...>'):
                    unfinished[thread] = call
                    continue
            call.last = position
            result = re.search(r'= (-?\d+)[^=]*$', text)
            call.result = int(result.group(1)) if result else None
    return calls


def file_of(call):
    """What the descriptor is, as -y shows it."""
    found = re.match(r'\d+<(.*?)>', call.text)
    return found.group(1) if found else ''


def is_journal(call):
    return re.search(r'/\d{6,}\.log$', file_of(call)) is not None


class Journal:
    """The writes to journals and their syncs, in order."""

    def __init__(self, calls):
        self.written = {}  # token -> call
        self.syncs = []    # calls that succeeded
        for call in calls:
            if not is_journal(call):
                continue
            if call.name == 'fdatasync':
                if call.result == 0:
                    self.syncs.append(call)
            elif call.name in ('write', 'pwrite64', 'writev'):
                for found in re.findall(r'token-\d{3}-\d{5}', call.text):
                    self.written.setdefault(found, call)

    def is_durable(self, name, position):
        """A sync of the journal began after the write of this token had
        ended, and ended before position."""
        write = self.written.get(name)
        expect(write is not None and write.last is not None,
               f'no journal write holds {name}')
        return any(sync.first > write.last and sync.last < position and
                   file_of(sync) == file_of(write) for sync in self.syncs)


def answers_of(calls):
    """(ETag, the call that sent it) of every 204."""
    for call in calls:
        if call.name in ('sendto', 'sendmsg', 'writev', 'write') and \
                'HTTP/1.1 204' in call.text:
            for found in re.findall(r'ETag: \\"(\d+)\\"', call.text,
                                    re.IGNORECASE):
                yield int(found), call


def early_answers(calls, done):
    """The tokens whose answer left before their sync. done: {ETag: token}."""
    journal = Journal(calls)
    sent = dict(answers_of(calls))
    early = []
    for etag, name in done.items():
        expect(etag in sent, f'no traced call sent the answer with {etag}')
        if not journal.is_durable(name, sent[etag].first):
            early.append(name)
    return early, journal


def traced(folder, name, connections, each, query=''):
    """Runs a server below strace and the client against it."""
    trace = os.path.join(folder, name + '.trace')
    wrapper = ['strace', '-f', '-y', '-s', '1000000', '-e',
               'trace=' + TRACED, '-o', trace]
    with Server(os.path.join(folder, name), wrapper=wrapper,
                env=ENVIRONMENT) as server:
        done = put_from(server.port, connections, each, query)
    return early_answers(read_trace(trace), done)


# ---- cases ----

def count_syncs(folder, name, connections, each):
    """strace -f -c -e fdatasync, as a user would count."""
    summary = os.path.join(folder, name + '.summary')
    with Server(os.path.join(folder, name), env=ENVIRONMENT,
                wrapper=['strace', '-f', '-c', '-e', 'trace=fdatasync', '-o',
                         summary]) as server:
        put_from(server.port, connections, each)
    with open(summary, encoding='ascii') as lines:
        counts = [int(line.split()[3]) for line in lines
                  if line.rstrip().endswith('fdatasync')]
    expect(len(counts) == 1, 'strace counted no fdatasync')
    return counts[0]


def shared_case(folder, connections, each):
    """At most one fdatasync for 8 PUTs. A busy machine may hold up the client
    between two sends while the server goes on: the best of five counts."""
    need_strace()
    puts, counts = connections * each, []
    while len(counts) < 5 and (not counts or min(counts) * 8 > puts):
        counts.append(count_syncs(folder, f'shared{len(counts)}', connections,
                                  each))
    expect(min(counts) * 8 <= puts,
           f'expected at most {puts // 8} fdatasync for {puts} PUTs on '
           f'{connections} connections, got {counts}')
    return (f'{min(counts)} fdatasync for {puts} PUTs on {connections} '
            f'connections: one for {puts / min(counts):.1f}')


def together_case(folder, connections, each):
    need_strace()
    early, journal = traced(folder, 'together', connections, each)
    expect_equal(early, [], 'answers sent before their fdatasync')
    return (f'{connections * each} answers, each after one of '
            f'{len(journal.syncs)} fdatasync')


def alone_case(folder, puts):
    need_strace()
    early, journal = traced(folder, 'alone', 1, puts)
    expect_equal(early, [], 'answers sent before their fdatasync')
    counts = collections.Counter(
        call.first for call in journal.written.values())
    expect_equal(len(counts), puts, 'journal writes')
    first = min(call.first for call in journal.written.values())
    syncs = [sync for sync in journal.syncs if sync.first > first]
    # The stop may sync once more.
    expect(puts <= len(syncs) <= puts + 1,
           f'expected one fdatasync for each of {puts} PUTs, got {len(syncs)}')
    return f'{len(syncs)} fdatasync for {puts} PUTs on one connection'


def unsynced_case(folder, puts):
    """The judge sees answers without a sync where they are asked for."""
    need_strace()
    early, journal = traced(folder, 'unsynced', 1, puts, '?sync=false')
    expect(len(early) >= puts - 1,
           f'expected {puts} answers before a sync with sync=false, saw '
           f'{len(early)} ({len(journal.syncs)} fdatasync)')


def main():
    suite = Suite()
    suite.run('64 connections share fdatasyncs', shared_case, 64, 50)
    suite.run('no answer of 64 connections leaves before its fdatasync',
              together_case, 64, 20)
    suite.run('one connection gets one fdatasync for each PUT', alone_case,
              100)
    suite.run('with sync=false answers leave before any fdatasync',
              unsynced_case, 50)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
