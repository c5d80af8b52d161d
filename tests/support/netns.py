"""Nodes in network namespaces: a switch, and a cable from it to each node, that
can be pulled, made one-way, or slow. Nothing of the machine's own network is
touched.

    with Net(2) as net, Node(net, 0, folder) as leader, \\
            Node(net, 1, other, '--role', 'follower', ...) as follower:
        net.unplug(0)

Whoever talks to a node does so inside its namespace, over its loopback: a cut
cable is none to the test. Namespaces are removed at the end, after a failure
too, and those of a test that was killed by the next one.
"""
import contextlib
import ctypes
import errno
import http.client
import os
import re
import shutil
import subprocess

from leveld import Failure, Server, Skip

CLONE_NEWNET = 0x40000000  # <sched.h>
OWN = '/proc/thread-self/ns/net'
NAMED = '/run/netns'
NAME = re.compile(r'leveld-(\d+)-\w+')
# Of the switch and its cables alone: no route leads out of it.
ADDRESS = '10.99.0.{}'
PORT = 8080
# Seconds; each takes milliseconds.
COMMAND_LIMIT = 60


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True,
                          timeout=COMMAND_LIMIT, check=False)
    if done.returncode != 0:
        raise Failure(f'{" ".join(command)}: {done.stderr.strip()}')


def set_namespace(fd):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'setns: {os.strerror(number)}')


@contextlib.contextmanager
def entered(namespace):
    """What this thread starts and connects to lies in there. A socket stays
    where it was made."""
    own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(os.path.join(NAMED, namespace),
                        os.O_RDONLY | os.O_CLOEXEC)
        try:
            set_namespace(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            set_namespace(own)
    finally:
        os.close(own)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def remove_left_over():
    """Of tests that could not."""
    if not os.path.isdir(NAMED):
        return
    for name in os.listdir(NAMED):
        found = NAME.fullmatch(name)
        if found and not is_running(int(found.group(1))):
            run('ip', 'netns', 'del', name)


class Net:
    """A switch and its nodes, by number from 0."""

    def __init__(self, nodes):
        self.switch = f'leveld-{os.getpid()}-sw'
        self.nodes = [f'leveld-{os.getpid()}-{i}' for i in range(nodes)]

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip('network namespaces take root')
        for name in ('ip', 'tc', 'nft'):
            if shutil.which(name) is None:
                raise Skip(f'there is no {name}: scripts/packages.sh test')
        remove_left_over()
        try:
            self.make()
        except Failure as error:
            self.remove()
            raise Skip(f'this machine has no such network: {error}') from None
        except BaseException:
            self.remove()
            raise
        return self

    def make(self):
        run('ip', 'netns', 'add', self.switch)
        run('ip', '-n', self.switch, 'link', 'add', 'sw', 'type', 'bridge')
        run('ip', '-n', self.switch, 'link', 'set', 'sw', 'up')
        for i, name in enumerate(self.nodes):
            run('ip', 'netns', 'add', name)
            run('ip', '-n', self.switch, 'link', 'add', f'port{i}', 'type',
                'veth', 'peer', 'name', 'eth0', 'netns', name)
            run('ip', '-n', self.switch, 'link', 'set', f'port{i}', 'master',
                'sw', 'up')
            run('ip', '-n', name, 'link', 'set', 'lo', 'up')
            run('ip', '-n', name, 'link', 'set', 'eth0', 'up')
            run('ip', '-n', name, 'address', 'add',
                self.address(i) + '/24', 'dev', 'eth0')
            # What this test asks of the kernel, before anything depends on it.
            self.drop(i, 'input')
            self.let(i)
            self.slow_down(i, '1mbit')
            self.speed_up(i)

    def remove(self):
        for name in self.nodes + [self.switch]:
            if os.path.exists(os.path.join(NAMED, name)):
                run('ip', 'netns', 'del', name)

    def __exit__(self, *_):
        self.remove()

    @staticmethod
    def address(node):
        return ADDRESS.format(node + 1)

    def url(self, node):
        return f'http://{self.address(node)}:{PORT}'

    # ---- cuts ----

    def unplug(self, node):
        run('ip', '-n', self.switch, 'link', 'set', f'port{node}', 'down')

    def plug(self, node):
        run('ip', '-n', self.switch, 'link', 'set', f'port{node}', 'up')

    def drop(self, node, direction):
        """'input': what others send does not come in; 'output': nothing of its
        own goes out."""
        interface = 'iif' if direction == 'input' else 'oif'
        text = (f'table inet cut {{\n chain one-way {{\n'
                f'  type filter hook {direction} priority 0; policy accept;\n'
                f'  {interface} eth0 drop\n }}\n}}\n')
        run('ip', 'netns', 'exec', self.nodes[node], 'nft', '-f', '-',
            text=text)

    def let(self, node):
        """Ends a drop."""
        run('ip', 'netns', 'exec', self.nodes[node], 'nft', 'delete', 'table',
            'inet', 'cut')

    def slow_down(self, node, rate):
        """What it sends, to a rate such as '1mbit'."""
        run('tc', '-n', self.nodes[node], 'qdisc', 'add', 'dev', 'eth0', 'root',
            'tbf', 'rate', rate, 'burst', '16kb', 'latency', '200ms')

    def speed_up(self, node):
        run('tc', '-n', self.nodes[node], 'qdisc', 'del', 'dev', 'eth0', 'root')


class Connection(http.client.HTTPConnection):
    """To a node, from inside its namespace."""

    def __init__(self, namespace, timeout):
        super().__init__('127.0.0.1', PORT, timeout=timeout)
        self.namespace = namespace

    def connect(self):
        with entered(self.namespace):
            super().connect()


class Node(Server):
    """`leveld serve` in a namespace of a Net, at net.url(number)."""

    host = '0.0.0.0'

    def __init__(self, net, number, data, *flags, **options):
        super().__init__(data, '--insecure', '--advertise', net.url(number),
                         *flags, listen=PORT, **options)
        self.namespace = net.nodes[number]
        self.url = net.url(number)

    def start(self, *arguments):
        with entered(self.namespace):
            return super().start(*arguments)

    def connection(self, timeout):
        return Connection(self.namespace, timeout)
