#!/usr/bin/env python3
"""What scripts/docker-test runs: builds the images, then does all that
docs/docker.md says, on an engine of our own, and looks between the lines
whether it is so (checks.py). Each command and each check is a case; after one
that fails nothing more is done, for each goes on from the one before."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks
from engine import Engine, EngineError, lacking
from page import commands_of
from shell import Shell, ShellError

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                     '..', '..'))
PAGE = 'docs/docker.md'
CACHE = os.path.join(ROOT, 'build', 'docker')
BASE = 'debian:bookworm-slim'

# Commands of the page that are not executed, by a text in them: why.
NOT_EXECUTED = {}

# Seconds. Chosen: several times what it takes; nothing may hang for ever.
BUILD_LIMIT = 1800
COMMAND_LIMIT = 300

BEGUN = time.monotonic()


def say(text):
    passed = int(time.monotonic() - BEGUN)
    print(f'[{passed // 60:02d}:{passed % 60:02d}] {text}', flush=True)


class Failure(Exception):
    pass


def tool(argv, environment=None, limit=BUILD_LIMIT, cwd=ROOT):
    """Runs it; what it printed. Failure, with that, when it failed."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=environment, timeout=limit,
                              check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired as error:
        raise Failure(f'{argv}: not within {limit} s\n'
                      + (error.stdout or b'').decode('utf-8', 'replace')
                      ) from error
    text = done.stdout.decode('utf-8', 'replace')
    if done.returncode != 0:
        raise Failure(f'{argv}: exit code {done.returncode}\n{text}')
    return text


# ---- the images ----

def copy_of_tree():
    """What git knows of, in a clone of its own: a session leaves its secrets
    and backups beside compose.yaml, and the commit has to stay what it is."""
    copy = os.path.join(CACHE, 'session')
    shutil.rmtree(copy, ignore_errors=True)
    tool(['git', 'clone', '--quiet', '--shared', '--no-checkout', ROOT, copy])
    names = tool(['git', 'ls-files', '-z', '--cached', '--others',
                  '--exclude-standard']).split('\0')
    for name in filter(None, names):
        source, target = os.path.join(ROOT, name), os.path.join(copy, name)
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
    return copy


def make_base(engine):
    found = subprocess.run(['docker', 'image', 'inspect', BASE], check=False,
                           env=engine.environment(),
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    if found.returncode == 0:
        return
    archive = os.path.join(CACHE, 'base.tar')
    if not os.path.exists(archive):
        say(f'making {BASE}')
        # With us ends all that it runs.
        tool(['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid',
              '--fork', '--kill-child', '--mount-proc',
              'tests/docker/make-base-image', archive])
    tool(['docker', 'import', '--change', 'CMD ["bash"]', archive, BASE],
         engine.environment())


def build(engine, tree):
    """With the network that apt needs, and proxies that the environment names:
    neither counts when the engine looks whether it has a layer, so that the
    page's own lines to build find all of it done, without a network."""
    make_base(engine)
    with_network = os.path.join(CACHE, 'with-network.yaml')
    proxies = {name: os.environ[name] for name in
               ('http_proxy', 'https_proxy', 'no_proxy') if name in os.environ}
    how = {'build': {'network': 'host', 'args': proxies}}
    with open(with_network, 'w', encoding='utf-8') as file:
        json.dump({'services': {'node1': how, 'prometheus': how}}, file)
    commit = tool(['git', 'rev-parse', '--short=12', 'HEAD'], cwd=tree).strip()
    for service in ('node1', 'prometheus'):
        say(f'building the image of {service}')
        tool(['docker-compose', '-f', 'compose.yaml', '-f',
              'compose.monitoring.yaml', '-f', with_network, 'build', service],
             dict(engine.environment(), LEVELD_COMMIT=commit),
             cwd=os.path.join(tree, 'docker'))


# ---- the session ----

class Session:
    def __init__(self, engine, tree):
        self.engine = engine
        self.shell = Shell(engine.enter(), tree, engine.environment())
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def run(self, command, limit=COMMAND_LIMIT):
        """For checks: what a command printed; it has to succeed."""
        code, output = self.shell.run(command, limit)
        if code != 0:
            raise Failure(f'{command}: exit code {code}\n{output}')
        return output

    def case(self, name, function):
        """Whether it passed."""
        begun = time.monotonic()
        try:
            note = function()
        except (Failure, checks.CheckFailed, ShellError, LookupError,
                ValueError) as error:  # the last two: not the answer expected
            self.failed += 1
            say(f'FAILED  {name}\n{type(error).__name__}: {error}')
            return False
        self.passed += 1
        took = time.monotonic() - begun
        say(f'ok      {name}  ({took:.1f} s{"; " + note if note else ""})')
        return True

    def command(self, number, command):
        """One of the page's, and the checks behind it."""
        name = f'{PAGE}:{number}: $ {command}'
        for text, reason in NOT_EXECUTED.items():
            if text in command:
                self.skipped += 1
                say(f'skipped {name}: {reason}')
                return True
        output = []

        def execute():
            output.append(self.run(command))

        for check in checks.before(command):
            if not self.case(checks.name_of(check),
                             lambda c=check: c(self, '')):
                return False
        if not self.case(name, execute):
            return False
        for check in checks.after(command):
            if not self.case(checks.name_of(check),
                             lambda c=check: c(self, output[0])):
                return False
        return True

    def page(self):
        with open(os.path.join(ROOT, PAGE), encoding='utf-8') as file:
            commands = commands_of(file.read())
        missing = checks.without_command([text for _, text in commands])
        if missing:
            raise Failure(f'no command of {PAGE} has {missing}')
        for number, command in commands:
            if not self.command(number, command):
                return False
        return True

    def show_logs(self):
        """What helps to find out why it failed."""
        print(self.engine.log_end())
        for line in ('docker ps --all', 'docker-compose logs --tail 40'):
            try:
                print(self.shell.run(line, 60)[1])
            except (ShellError, OSError, ValueError) as error:
                print(f'{line}: {error}')

    def remove_all(self):
        """Whatever the page has left, also of a run that was cut short."""
        environment = self.engine.environment()
        ids = tool(['docker', 'ps', '--all', '--quiet'], environment).split()
        if ids:
            tool(['docker', 'rm', '--force', '--volumes'] + ids, environment)
        volumes = tool(['docker', 'volume', 'ls', '--quiet'],
                       environment).split()
        if volumes:
            tool(['docker', 'volume', 'rm'] + volumes, environment)
        tool(['docker', 'network', 'prune', '--force'], environment)


def run_session(tree):
    with Engine(os.path.join(CACHE, 'engine'), os.path.join(CACHE, 'engine.log'),
                to_build=False) as engine:
        session = Session(engine, tree)
        try:
            session.remove_all()
            if not session.page():
                session.show_logs()
        except (Failure, ShellError):
            session.failed += 1
            traceback.print_exc()
            session.show_logs()
        finally:
            session.shell.close()
            session.remove_all()
    return session


def main():
    # So that what was begun is ended: CI and people stop it so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tools = os.path.join(ROOT, 'build', 'tools', 'usr')
    os.environ['PATH'] = ':'.join([os.path.join(tools, 'sbin'),
                                   os.path.join(tools, 'bin'), '/usr/sbin',
                                   '/usr/bin', '/sbin', '/bin',
                                   os.environ.get('PATH', '')])
    reason = lacking()
    if reason is not None:
        print(f'FAILED  no engine can start: this kernel has no {reason}')
        print('0 passed, 1 failed, 0 skipped')
        return 1
    os.makedirs(CACHE, exist_ok=True)
    log = os.path.join(CACHE, 'engine.log')
    if os.path.exists(log):
        os.remove(log)
    passed, failed, skipped = 0, 1, 0
    try:
        tree = copy_of_tree()
        say('starting an engine to build')
        with Engine(os.path.join(CACHE, 'engine'), log, to_build=True) as engine:
            build(engine, tree)
        say(f'the session of {PAGE}')
        session = run_session(tree)
        passed, failed = session.passed, session.failed
        skipped = session.skipped
    except (Failure, EngineError) as error:
        print(f'FAILED  {error}')
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 0 if failed == 0 else 1


if __name__ == '__main__':
    sys.exit(main())
