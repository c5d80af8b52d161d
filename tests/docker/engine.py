"""A Docker engine of our own: dockerd with a folder, a socket and namespaces
that nobody else has.

Mount and process namespace: no mount of a container shows on this machine, and
when the engine ends, or whoever started it, even by SIGKILL, everything in it
ends too. Network namespace, unless it is to build: bridges, addresses, NAT and
published ports are in there; enter() says how to get there. To build it stays
in the network that there is, which RUN needs for packages, and touches nothing
of it: no bridge, no rule, no forwarding. Containers are in a control group of
its own, beneath ours: what bounds us bounds them."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# Seconds. Chosen: it takes one or two; a machine in CI may be busy.
START_LIMIT = 120
STOP_LIMIT = 60

# Pid 1 of the namespace: reaps what containerd's shims leave, and hands TERM on.
# A containerd that runs here is not to be found: dockerd starts its own. Debian's
# iptables speaks nf_tables; where the kernel lacks that, the older one is tried.
INIT = r'''
set -eu
folder=$1
shift
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
ip link set lo up
if ! iptables -t nat -S >/dev/null 2>&1; then
    mkdir -p "$folder/bin"
    ln -sf "$(command -v iptables-legacy)" "$folder/bin/iptables"
    PATH=$folder/bin:$PATH
fi
dockerd "$@" &
trap 'kill -TERM $!' TERM INT
wait $! || true
wait $! || true
'''

FLAGS_TO_BUILD = ['--bridge=none', '--iptables=false', '--ip6tables=false',
                  '--ip-forward=false', '--ip-masq=false']


class EngineError(Exception):
    pass


def lacking():
    """What an engine needs and this kernel does not have; None: it has all. As
    root. That something is not allowed is no lack: then it is to fail."""
    for kind in ('mnt', 'pid', 'net'):
        if not os.path.exists(f'/proc/self/ns/{kind}'):
            return f'namespaces ({kind})'
    with open('/proc/self/mounts', encoding='utf-8') as mounts:
        if not re.search(r' cgroup2? ', mounts.read()):
            return 'control groups'
    for kind in ('bridge', 'veth'):
        made = subprocess.run(
            ['unshare', '--net', 'ip', 'link', 'add', 'probe', 'type', kind],
            check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        if re.search(b'not supported|Unknown device type', made.stderr):
            return f'network devices ({kind})'
    listed = subprocess.run(
        ['unshare', '--net', 'sh', '-c',
         'iptables -t nat -S || iptables-legacy -t nat -S'],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    if b'does not exist' in listed.stderr and listed.returncode != 0:
        return 'NAT'
    return None


def children_of(pid):
    found = []
    for name in os.listdir('/proc'):
        try:
            with open(f'/proc/{name}/stat', encoding='utf-8') as stat:
                # "PID (NAME) STATE PARENT ...", and a name may have brackets.
                parent = int(stat.read().rsplit(')', 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if name.isdigit() and parent == pid:
            found.append(int(name))
    return found


def remove_control_groups(name):
    """Of every hierarchy there is; what is in use stays."""
    for above, folders, _ in os.walk('/sys/fs/cgroup'):
        if name in folders:
            folders.remove(name)
            for path, _, _ in os.walk(os.path.join(above, name), topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass


class Engine:
    def __init__(self, data_root, log_path, to_build):
        self.data_root = data_root
        self.log_path = log_path
        self.to_build = to_build
        self.folder = None
        self.process = None
        self.init = None

    @property
    def socket_path(self):
        return os.path.join(self.folder, 'docker.sock')

    def environment(self):
        """Of the programs that are to speak to this engine."""
        return dict(os.environ, DOCKER_HOST='unix://' + self.socket_path,
                    DOCKER_CONFIG=os.path.join(self.folder, 'client'),
                    DOCKER_BUILDKIT='0', COMPOSE_DOCKER_CLI_BUILD='0')

    def enter(self):
        """What stands before a command that is to see the engine's network."""
        return ['nsenter', f'--net=/proc/{self.init}/ns/net']

    def proc(self):
        """The /proc of its processes: containers have their ids in there."""
        return f'/proc/{self.init}/root/proc'

    def flags(self):
        path = os.path.join(self.folder, 'daemon.json')
        with open(path, 'w', encoding='ascii') as config:
            config.write('{}\n')  # this machine's is not for this engine
        return ['--config-file', path, '--data-root', self.data_root,
                '--exec-root', os.path.join(self.folder, 'exec'),
                '--pidfile', os.path.join(self.folder, 'docker.pid'),
                '--host', 'unix://' + self.socket_path, '--log-level', 'warn',
                # Not by systemd, which knows other process ids than are in
                # here. A name without a slash is beneath our own group.
                '--exec-opt', 'native.cgroupdriver=cgroupfs',
                '--cgroup-parent', os.path.basename(self.folder)
                ] + (FLAGS_TO_BUILD if self.to_build else [])

    def __enter__(self):
        os.makedirs(self.data_root, exist_ok=True)
        # Short, for the path of a socket may have 107 bytes.
        self.folder = tempfile.mkdtemp(prefix='leveld-docker.')
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with open(self.log_path, 'ab') as log:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount',
                 '--pid', '--fork', '--kill-child', '--mount-proc']
                + ([] if self.to_build else ['--net'])
                + ['sh', '-c', INIT, 'sh', self.folder] + self.flags(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        limit = time.monotonic() + START_LIMIT
        while not self.answers():
            if self.process.poll() is not None:
                raise EngineError(f'dockerd did not start:\n{self.log_end()}')
            if time.monotonic() > limit:
                raise EngineError(f'no answer of dockerd within {START_LIMIT} '
                                  f's:\n{self.log_end()}')
            time.sleep(0.1)
        self.init = children_of(self.process.pid)[0]

    def answers(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(self.socket_path)
                client.sendall(b'GET /_ping HTTP/1.0\r\n\r\n')
                return b' 200 ' in client.recv(100)
            except OSError:
                return False

    def log_end(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return ''.join(log.readlines()[-40:])

    def stop(self):
        """Ends it by its id; what does not end in time is killed with all that
        is in its namespaces."""
        if self.process is not None and self.process.poll() is None:
            for pid in children_of(self.process.pid):
                os.kill(pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        remove_control_groups(os.path.basename(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)
