#!/usr/bin/env python3
"""peer.py: another store behind HTTP, for `run`.

  peer.py load NAME DIR KEYS    fills its folder with KEYS keys
  peer.py serve NAME DIR PORT   serves it until SIGTERM

NAME: webdis-everysec, webdis-always (webdis over redis, its append-only file
synced each second, or before a write is answered), etcd (its HTTP gateway),
nginx-files (values as files; WebDAV's PUT), nginx-memcached. Programs come from
PATH or build/tools (scripts/packages.sh bench). A peer behind the front takes
the port 1000 above, etcd's own peers the one 2000 above.
"""
import json
import os
import random
import shutil
import signal
import socket
import string
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(ROOT, "build/tools/usr")
NEEDS = {
    "webdis-everysec": ("webdis", "redis-server", "redis-cli"),
    "webdis-always": ("webdis", "redis-server", "redis-cli"),
    "etcd": ("etcd",),
    "nginx-files": ("nginx",),
    "nginx-memcached": ("nginx", "memcached"),
}
children = []


def find(program):
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin",
                            os.path.join(TOOLS, "bin"),
                            os.path.join(TOOLS, "sbin")])
    return shutil.which(program, path=path)


def missing(name):
    """The programs of NAME that are not there."""
    return [p for p in NEEDS[name] if find(p) is None]


def start(folder, *command):
    with open(os.path.join(folder, "log"), "ab") as log:
        children.append(subprocess.Popen(
            [find(command[0]), *command[1:]], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log))


def wait_port(port):
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"port {port} was not opened")


def stop(*_):
    for child in reversed(children):
        child.terminate()
    for child in children:
        child.wait()
    children.clear()


def entries(keys):
    rnd = random.Random(1)
    for i in range(keys):
        yield "key-%012d" % i, "".join(
            rnd.choices(string.ascii_letters + string.digits, k=100))


def start_redis(folder, port, fsync):
    start(folder, "redis-server", "--bind", "127.0.0.1", "--port", str(port),
          "--dir", folder, "--save", "", "--appendonly", "yes",
          "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0",
          "--tcp-backlog", "1024")
    wait_port(port)
    ping = [find("redis-cli"), "-p", str(port), "ping"]
    while b"PONG" not in subprocess.run(ping, capture_output=True).stdout:
        time.sleep(0.1)  # it reads its file


def start_webdis(folder, port, fsync):
    start_redis(folder, port + 1000, fsync)
    config = {"redis_host": "127.0.0.1", "redis_port": port + 1000,
              "http_host": "127.0.0.1", "http_port": port, "threads": 2,
              "pool_size": 32, "daemonize": False, "websockets": False,
              "database": 0, "acl": [{"disabled": ["DEBUG"]}], "verbosity": 1,
              "http_max_request_size": 1 << 26,
              "logfile": os.path.join(folder, "webdis.log")}
    path = os.path.join(folder, "webdis.json")
    with open(path, "w") as f:
        json.dump(config, f)
    start(folder, "webdis", path)


def load_redis(folder, keys, port=20400):
    """Each key with its value, and all as members of a sorted set: the usual
    way to keep order in redis."""
    start_redis(folder, port, "no")
    pipe = subprocess.Popen([find("redis-cli"), "-p", str(port), "--pipe"],
                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for key, value in entries(keys):
        for command in (("SET", key, value),
                        ("ZADD", "idx", "0", f"{key}={value}")):
            pipe.stdin.write(("*%d\r\n" % len(command) + "".join(
                "$%d\r\n%s\r\n" % (len(x), x) for x in command)).encode())
    pipe.stdin.close()
    pipe.wait()
    stop()


def start_etcd(folder, port):
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 2000}"
    start(folder, "etcd", "--name", "a", "--data-dir",
          os.path.join(folder, "data"), "--listen-client-urls", url,
          "--advertise-client-urls", url, "--listen-peer-urls", peer,
          "--initial-advertise-peer-urls", peer, "--initial-cluster",
          f"a={peer}", "--log-level", "error", "--max-txn-ops", "10000",
          "--quota-backend-bytes", str(8 << 30))


def load_etcd(folder, keys, port=19400):
    start_etcd(folder, port)
    wait_port(port)
    time.sleep(2)  # it elects itself
    subprocess.run(
        [os.path.join(HERE, "httpbench"), "--preload", "--url",
         f"http://127.0.0.1:{port}", "--method", "POST", "--path",
         "/v3/kv/txn", "--body", '{"success":[{items}]}', "--item",
         '{"requestPut":{"key":"{key64}","value":"{value64}"}}', "--batch",
         "500", "--window", "1", "--keys", str(keys)], check=True,
        stdout=sys.stderr)
    stop()


def start_nginx(folder, port, location):
    path = os.path.join(folder, "nginx.conf")
    temp = "".join(f"{kind}_temp_path {folder}/temp-{kind}; " for kind in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root; " if os.getuid() == 0 else ""
    with open(path, "w") as f:
        f.write(f"""daemon off; {user}worker_processes 2;
worker_rlimit_nofile 20000; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; {temp}
  client_max_body_size 64m; default_type application/octet-stream;
  {location.format(folder=folder, port=port, behind=port + 1000)} }}
""")
    start(folder, "nginx", "-c", path, "-e", f"{folder}/error.log")


FILES = """open_file_cache max=8000 inactive=600s; open_file_cache_valid 600s;
  server {{ listen 127.0.0.1:{port} reuseport; root {folder}/files;
    location / {{ dav_methods PUT; create_full_put_path on; }} }}"""
MEMCACHED = """upstream m {{ server 127.0.0.1:{behind}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port} reuseport;
    location /kv/ {{ set $memcached_key $uri; memcached_pass m; }} }}"""


def load_files(folder, keys):
    for i in range(256):
        os.makedirs(f"{folder}/files/{i:02x}")
    for i, (key, value) in enumerate(entries(keys)):
        # httpbench's {keyxx}
        where = f"{folder}/files/{i * 2654435761 % 256:02x}"
        with open(f"{where}/{key}", "w") as f:
            f.write(value)


def start_memcached(folder, port):
    user = ["-u", "root"] if os.getuid() == 0 else []
    start(folder, "memcached", "-l", "127.0.0.1", "-p", str(port + 1000),
          "-m", "512", "-t", "2", "-c", "4096", *user)
    wait_port(port + 1000)
    with socket.create_connection(("127.0.0.1", port + 1000)) as s:
        with open(f"{folder}/keys") as f:
            keys = int(f.read())
        for key, value in entries(keys):
            s.sendall(f"set /kv/{key} 0 0 100 noreply\r\n{value}\r\n".encode())
        s.sendall(b"version\r\n")
        s.recv(100)
    start_nginx(folder, port, MEMCACHED)


def load(name, folder, keys):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(f"{folder}/keys", "w") as f:
        f.write(str(keys))
    if name.startswith("webdis"):
        load_redis(folder, keys)
    elif name == "etcd":
        load_etcd(folder, keys)
    elif name == "nginx-files":
        load_files(folder, keys)


def serve(name, folder, port):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if name.startswith("webdis"):
            start_webdis(folder, port, name.partition("-")[2])
        elif name == "etcd":
            start_etcd(folder, port)
        elif name == "nginx-files":
            start_nginx(folder, port, FILES)
        else:
            start_memcached(folder, port)
        signal.pause()
    finally:
        stop()


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[2] not in NEEDS:
        sys.exit(__doc__)
    (load if sys.argv[1] == "load" else serve)(
        sys.argv[2], os.path.abspath(sys.argv[3]), int(sys.argv[4]))
