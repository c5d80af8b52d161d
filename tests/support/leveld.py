"""What the drivers of tests/e2e and tests/interop share: a running server, an
HTTP client, batches as bytes, digests in the form of the reference programs'
dumps, those programs, and a suite that prints cases as cmocka does (which
scripts/test_summary.py counts).

Every wait has a limit. Only processes started here are ended, by their id.
"""
import base64
import binascii
import collections
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

ROOT = os.environ.get('LEVELD_SOURCE_DIR') or os.path.normpath(os.path.join(
    os.path.dirname(os.path.abspath(__file__)), '..', '..'))
BIN = os.path.join(ROOT, os.environ.get('LEVELD_BIN', 'build/dev/bin/leveld'))
ORACLES = os.path.join(ROOT, os.environ.get('LEVELD_ORACLE_DIR',
                                            'tests/interop/oracle/bin'))

# Seconds that anything here is waited for, as tests/support/patience.h has it:
# who is held up by other tests for long is not at fault.
PATIENCE = 300
START_LIMIT = STOP_LIMIT = ANSWER_LIMIT = ORACLE_LIMIT = PATIENCE

JSON = 'application/json'
NDJSON = 'application/x-ndjson'
BATCH = 'application/vnd.leveldb.batch'


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Failure(AssertionError):
    """Something was not as expected; the text says what."""


def expect(is_true, text):
    if not is_true:
        raise Failure(text)


def expect_equal(got, expected, what):
    if got != expected:
        raise Failure(f'{what}: expected {short(expected)}, got {short(got)}')


def wait_until(what, check, limit=ANSWER_LIMIT):
    """Until check() is true; what it then was."""
    end = time.monotonic() + limit
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f'{what}: not within {limit} s')
        time.sleep(0.01)


def short(value):
    text = repr(value)
    return text if len(text) <= 600 else f'{text[:600]}... ({len(text)})'


def is_sanitized():
    """Memory figures of a sanitizer build mean nothing."""
    with open(BIN, 'rb') as program:
        bytes_of_it = program.read()
    return b'__asan_init' in bytes_of_it or b'__tsan_init' in bytes_of_it


def tool(name):
    """A program that scripts/packages.sh unpacks, or the machine's own."""
    places = [os.path.join(ROOT, 'build/tools/usr', folder)
              for folder in ('bin', 'sbin')]
    path = shutil.which(name) or shutil.which(name, path=':'.join(places))
    if path is None:
        raise Skip(f'there is no {name}: scripts/packages.sh ci')
    return path


# ---- the server ----

class Server:
    """`leveld serve` on a folder and a free port, with its log in a file.

    As a context it is stopped at the end, which must succeed, or killed when
    an error passes through (and the end of its log is printed)."""

    host = '127.0.0.1'  # that it listens on

    def __init__(self, data, *flags, wrapper=(), env=None, log=None, listen=0):
        self.data = data
        self.listen = listen  # a port; 0: any that is free
        self.flags = list(flags)
        self.wrapper = list(wrapper)
        self.env = dict(os.environ, **(env or {}))
        self.log_path = log or data.rstrip('/') + '.server-log'
        self.process = None
        self.port = None
        self.is_stopped = False

    def launch(self):
        """Returns while it starts."""
        if not os.path.exists(BIN):
            raise Failure(f'no program {BIN}: build it or set LEVELD_BIN')
        with open(self.log_path, 'ab') as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                self.wrapper + [BIN, 'serve', '--data', self.data,
                                '--listen', f'{self.host}:{self.listen}']
                + self.flags,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, start_new_session=True)

    def start(self, until='/readyz'):
        """Returns when that path answers 200."""
        self.launch()
        return self.await_answer(until)

    def await_answer(self, until):
        """After launch()."""
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            self.port = self.listen or self.logged_port()
            if self.port:
                self.wait_ready(limit, until)
                return self
            if self.process.poll() is not None:
                raise Failure(f'leveld ended with {self.process.returncode}:'
                              f'\n{self.log()}')
            time.sleep(0.005)
        self.kill()
        raise Failure(f'no start-up line in {START_LIMIT} s:\n{self.log()}')

    def logged_port(self):
        """Of the start-up line; None: it is not there yet."""
        found = re.search(re.escape(self.host) + r':([1-9]\d*)', self.log())
        return int(found.group(1)) if found else None

    def connection(self, timeout):
        """To it; not connected yet."""
        return http.client.HTTPConnection('127.0.0.1', self.port,
                                          timeout=timeout)

    def wait_ready(self, limit, until):
        while True:
            try:
                with Client(self) as client:
                    answer = client.get(until)
                if answer.status == 200:
                    return
                last = f'{until} {answer.status} {answer.body!r}'
            except OSError as error:
                last = str(error)
            if self.process.poll() is not None or time.monotonic() > limit:
                self.kill()
                raise Failure(f'not ready: {last}\n{self.log()}')
            time.sleep(0.01)

    def log(self):
        """What this run has logged."""
        with open(self.log_path, 'rb') as log:
            log.seek(self.log_start)
            return log.read().decode('utf-8', 'replace')

    def pid(self):
        """Of leveld itself, also below a wrapper such as strace."""
        pid = self.process.pid
        if self.wrapper:
            with open(f'/proc/{pid}/task/{pid}/children',
                      encoding='ascii') as children:
                pid = int(children.read().split()[0])
        return pid

    def memory(self, name):
        """VmRSS or VmHWM, in bytes."""
        with open(f'/proc/{self.pid()}/status', encoding='ascii') as status:
            for line in status:
                if line.startswith(name + ':'):
                    return int(line.split()[1]) * 1024
        raise Failure(f'no {name} of process {self.pid()}')

    def forget_peak(self):
        """VmHWM begins anew at VmRSS."""
        with open(f'/proc/{self.pid()}/clear_refs', 'w',
                  encoding='ascii') as clear:
            clear.write('5')

    def stop(self):
        """SIGTERM; the exit code must be 0."""
        os.kill(self.pid(), signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f'SIGTERM did not end leveld in {STOP_LIMIT} s:\n'
                          f'{self.log()[-4000:]}') from None
        expect(code == 0,
               f'exit code {code} after SIGTERM:\n{self.log()[-8000:]}')
        self.is_stopped = True

    def kill(self):
        """SIGKILL."""
        if self.process.poll() is not None:
            return
        try:
            os.kill(self.pid(), signal.SIGKILL)
        except (ProcessLookupError, IndexError):
            pass
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_LIMIT)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is None and self.is_stopped:
            return
        if kind is None and self.process.poll() is None:
            self.stop()
            return
        ended = self.process.poll()
        self.kill()
        if kind is None:
            raise Failure(f'leveld ended by itself with {ended}:\n'
                          f'{self.log()[-8000:]}')
        if not issubclass(kind, Skip):
            print(f'server log (exit code {ended}):\n{self.log()[-4000:]}',
                  flush=True)


# ---- HTTP ----

class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # names in small letters
        self.body = body

    def json(self):
        return json.loads(self.body)

    def problem(self):
        """The name of the problem type; None: the body is no problem."""
        if not self.headers.get('content-type', '').startswith(
                'application/problem+json'):
            return None
        kind = self.json()['type']
        return kind[len('/problems/'):] if kind.startswith('/problems/') \
            else kind

    def sequence(self):
        return int(self.headers['leveld-sequence'])

    def __repr__(self):
        return f'{self.status} {self.body[:400]!r}'


def path_of(key):
    """A key's path, every byte percent-encoded but letters, digits, -._~."""
    return '/v1/kv/' + urllib.parse.quote_from_bytes(key, safe='')


def lines_of(response):
    """The lines of a body, each with its newline there."""
    parts = []  # of a line not at its end yet
    while True:
        piece = response.read(1 << 20)
        if not piece:
            break
        lines = piece.split(b'\n')
        parts.append(lines[0])
        for line in lines[1:]:
            yield b''.join(parts)
            parts = [line]
    expect_equal(b''.join(parts), b'', 'bytes after the last newline')


class Client:
    """One connection."""

    def __init__(self, server, timeout=ANSWER_LIMIT):
        self.connection = server.connection(timeout)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        return Answer(response.status,
                      {k.lower(): v for k, v in response.getheaders()},
                      response.read())

    def get(self, path, headers=None):
        return self.request('GET', path, None, headers)

    def put(self, key, value, query=''):
        return self.request('PUT', path_of(key) + query, value)

    def delete(self, key, query=''):
        return self.request('DELETE', path_of(key) + query)

    def batch(self, ops, query=''):
        return self.request('POST', '/v1/batch' + query, batch_bytes(ops),
                            {'Content-Type': BATCH})

    def json_batch(self, ops, query=''):
        return self.request('POST', '/v1/batch' + query, batch_json(ops),
                            {'Content-Type': JSON})

    def ndjson(self, query='?encoding=base64'):
        """Yields (key, value) of the whole stream, which must have its end
        line and the right count."""
        self.connection.request('GET', '/v1/range' + query,
                                headers={'Accept': NDJSON})
        response = self.connection.getresponse()
        if response.status != 200:
            raise Failure(f'GET /v1/range{query}: {response.status} '
                          f'{response.read()!r}')
        count, end = 0, None
        for line in lines_of(response):
            expect(end is None, f'a line after the end line: {line[:200]!r}')
            item = json.loads(line)
            if 'key' not in item:
                end = item
                continue
            count += 1
            yield (base64.b64decode(item['key'], validate=True),
                   base64.b64decode(item['value'], validate=True))
        expect(end is not None and end.get('end') is True,
               f'the stream ends with {end}')
        expect_equal(end['count'], count, 'count in the end line')

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def exchange_raw(server, request, timeout=ANSWER_LIMIT):
    """Sends bytes and reads one answer. None: the connection was closed
    without one."""
    with socket.create_connection(('127.0.0.1', server.port),
                                  timeout) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer may be there nevertheless
        # The method decides whether the answer to it has a body.
        method = 'HEAD' if request.startswith(b'HEAD ') else 'GET'
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
        except (http.client.BadStatusLine, ConnectionResetError):
            return None
        return Answer(response.status,
                      {k.lower(): v for k, v in response.getheaders()}, body)


# ---- batches ----

def free_port():
    """One that is nobody's, from below those that connections and servers on
    port 0 are given: nobody else is given it before it is taken."""
    with open('/proc/sys/net/ipv4/ip_local_port_range',
              encoding='ascii') as file:
        end = int(file.read().split()[0])
    for _ in range(100):
        port = random.SystemRandom().randrange(end // 2, end)
        try:
            with socket.socket() as probe:
                probe.bind(('127.0.0.1', port))
            return port
        except OSError:
            continue
    raise Failure('no port is free')


def crc32c(data):
    """The checksum of ours and of both libraries, unmasked."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def write_sidecar(data, name, lines, version=1):
    """A file of leveld/ in the folder, as leveld itself writes it."""
    text = f'leveld-{name} {version}\n'.encode('ascii') + lines
    os.makedirs(os.path.join(data, 'leveld'), exist_ok=True)
    with open(os.path.join(data, 'leveld', name), 'wb') as file:
        file.write(text + f'crc32c {crc32c(text):08x}\n'.encode('ascii'))


def keep_aside(data):
    """Diverged files of three rewinds in the folder; what the third was is not
    known."""
    folder = os.path.join(data, 'leveld', 'diverged')
    os.makedirs(folder)
    for name in ('1-000004.log', '2-000012.log', '3-entries.log'):
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(b'as it was')
    write_sidecar(data, 'rewinds',
                  b'rewind 1 4 000000000000000a 100 120 1234567\n'
                  b'rewind 2 5 000000000000000b 130 130 7654321\n')


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch_bytes(ops, sequence=0, count=None):
    """LevelDB's form of [(key, value or None)]."""
    out = [sequence.to_bytes(8, 'little'),
           (len(ops) if count is None else count).to_bytes(4, 'little')]
    for key, value in ops:
        if value is None:
            out += [b'\0', varint(len(key)), key]
        else:
            out += [b'\1', varint(len(key)), key, varint(len(value)), value]
    return b''.join(out)


def batch_json(ops):
    def text(data):
        return base64.b64encode(data).decode('ascii')

    return json.dumps({'encoding': 'base64', 'ops': [
        {'op': 'delete', 'key': text(key)} if value is None else
        {'op': 'put', 'key': text(key), 'value': text(value)}
        for key, value in ops]}).encode('ascii')


# ---- digests ----

class Digest(collections.namedtuple('Digest', 'sha256 entries')):
    """Of the lines `keyhex TAB valuehex`, ascending: the oracles' form."""

    @classmethod
    def of(cls, entries):
        """entries: (key, value), ascending."""
        digest, count, last = hashlib.sha256(), 0, None
        for key, value in entries:
            expect(last is None or last < key,
                   f'key {key.hex()} comes after {last and last.hex()}')
            last = key
            digest.update(b'%b\t%b\n' % (binascii.hexlify(key),
                                         binascii.hexlify(value)))
            count += 1
        return cls(digest.hexdigest(), count)

    @classmethod
    def parse(cls, line):
        found = re.fullmatch(r'# sha256 ([0-9a-f]{64}) entries (\d+).*', line)
        expect(found, f'no digest in {line!r}')
        return cls(found.group(1), int(found.group(2)))

    @classmethod
    def of_dict(cls, content):
        return cls.of(sorted(content.items()))


# ---- the reference programs ----

GO = 'ldbgo'
CPP = 'ldbcpp'


def need_oracles():
    for name in (GO, CPP):
        if not os.access(os.path.join(ORACLES, name), os.X_OK):
            raise Skip(f'no {os.path.join(ORACLES, name)}: run '
                       'tests/interop/oracle/build.sh')


def oracle(name, *args):
    """Runs it; exit code 0 or 1 and its output, last line first to look at."""
    done = subprocess.run(
        [os.path.join(ORACLES, name), *map(str, args)], capture_output=True,
        timeout=ORACLE_LIMIT, check=False, stdin=subprocess.DEVNULL)
    text = done.stdout.decode('ascii', 'replace')
    expect(done.returncode in (0, 1),
           f'{name} {args} ended with {done.returncode}: '
           f'{done.stderr[-2000:]!r}')
    return done.returncode, text


def oracle_ok(name, *args):
    """Its output; it must succeed."""
    code, text = oracle(name, *args)
    expect(code == 0, f'{name} {" ".join(map(str, args))}: {text[-1000:]}')
    return text


def oracle_digest(name, folder):
    return Digest.parse(
        oracle_ok(name, 'dump', folder, '--digest').splitlines()[-1])


def oracle_content(name, folder):
    """All entries as a dict."""
    content = {}
    for line in oracle_ok(name, 'dump', folder).splitlines():
        if not line.startswith('#'):
            key, _, value = line.partition('\t')
            content[bytes.fromhex(key)] = bytes.fromhex(value)
    return content


def check_with_both(folder, expected, after_crash=False):
    """Both accept the folder with all strictness on and hold these entries."""
    strict = ['--strict', 'default'] if after_crash else []
    for name, options in ((GO, strict), (CPP, [])):
        text = oracle_ok(name, 'check', folder, *options)
        expect_equal(Digest.parse(text.splitlines()[-1]), expected,
                     f'entries that {name} check walked')
        expect_equal(oracle_digest(name, folder), expected,
                     f'entries of {name} dump')


# ---- the suite ----

class Suite:
    """Runs named cases, each in a folder of its own, and prints what came of
    each; finish() gives the exit code: 77 when all were skipped."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def run(self, name, case, *args):
        """case(folder, *args); what it returns is shown."""
        print(f'[ RUN      ] {name}', flush=True)
        begun = time.monotonic()
        folder = tempfile.mkdtemp(prefix='leveld-')
        keep = bool(os.environ.get('LEVELD_KEEP'))
        # The oracles make their private copies there too.
        os.environ['TMPDIR'] = folder
        try:
            note = case(folder, *args)
            self.passed += 1
            mark = '      OK'
        except Skip as skip:
            self.skipped += 1
            print(f'skip: {skip}')
            mark, note = ' SKIPPED', None
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            mark, note = ' FAILED ', None
            if isinstance(error, Failure):
                frame = traceback.extract_tb(error.__traceback__)[1]
                print(f'{name}: {frame.name}:{frame.lineno}: {error}')
            else:
                traceback.print_exc(file=sys.stdout)
            if keep:
                print(f'kept {folder}')
        finally:
            del os.environ['TMPDIR']
        if not (keep and mark == ' FAILED '):
            shutil.rmtree(folder, ignore_errors=True)
        if note:
            print(f'# {name}: {note}')
        print(f'# {name}: {time.monotonic() - begun:.1f} s')
        print(f'[ {mark} ] {name}', flush=True)

    def finish(self):
        print(f'{self.passed} passed, {self.failed} failed, '
              f'{self.skipped} skipped', flush=True)
        if self.failed:
            return 1
        return 77 if self.skipped and not self.passed else 0
