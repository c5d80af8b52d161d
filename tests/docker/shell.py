"""One bash that runs commands after each other, as a person's does: folder,
variables and functions stay from one to the next."""
import os
import re
import select
import signal
import subprocess
import time


class ShellError(Exception):
    pass


class Shell:
    def __init__(self, wrapper, folder, environment):
        self.mark = f'#done-{os.getpid()}-{time.monotonic_ns()}'
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(
            wrapper + ['bash', '--norc', '--noprofile', '-o', 'pipefail'],
            cwd=folder, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True)

    def run(self, command, limit):
        """(exit code, output of both kinds). ShellError: not within limit."""
        text = f'{{ {command}\n}} </dev/null\nprintf "\\n%s %d\\n" "{self.mark}" $?\n'
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        deadline = time.monotonic() + limit
        out = b''
        end = re.compile(re.escape(self.mark.encode()) + rb' (\d+)\n$')
        while True:
            found = end.search(out)
            if found:
                # The line break before the mark is ours.
                return int(found.group(1)), out[:found.start() - 1].decode(
                    'utf-8', 'replace')
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [],
                                              left)[0]:
                self.close()
                raise ShellError(f'not within {limit} s, so far:\n'
                                 + out.decode('utf-8', 'replace'))
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise ShellError('the shell ended:\n'
                                 + out.decode('utf-8', 'replace'))
            out += piece

    def close(self):
        """With what it started and left behind, which is its session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
