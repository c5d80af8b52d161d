#!/usr/bin/env python3
"""The curl lines of README.md and docs/http_api.md do what the pages say:
each block is run by a shell as it stands there, with the port of a server
started here in place of 8080. A line that looks like such a command and is not
run is a failure."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (PATIENCE, ROOT, Failure, Server, Skip, Suite, expect,
                    expect_equal, keep_aside)

PAGES = ['README.md', 'docs/http_api.md']

# Commands whose answer is not 2xx, by a text that stands in them.
STATUSES = {"If-None-Match: *": 412}

# Appended by curl to what it prints, as the last line.
CURLRC = """silent
show-error
max-time = 60
write-out = "\\n#%{http_code}\\n"
"""


def commands_of(text):
    """The curl commands of indented blocks and the variables they need; lines
    that a quote leaves open are joined."""
    commands, open_lines = [], []
    for line in text.splitlines():
        if open_lines:
            open_lines.append(line)
        elif re.match(r'    (curl |[A-Z]+=(\S+$|\$\())', line):
            open_lines = [line]
        if open_lines and '\n'.join(open_lines).count("'") % 2 == 0:
            commands.append('\n'.join(open_lines).strip())
            open_lines = []
    expect(not open_lines, f'a quote is left open: {open_lines}')
    return commands


# A line that begins with curl, behind what may stand before it there.
LOOKS_RUN = re.compile(r'[\s$#>`*-]*(\w+=\S*\s+)*(\w+=["$(]*)?curl\s')


def check_all_are_run(text, commands):
    """Every line of the page that begins with curl stands in one command."""
    lines = [line.strip() for line in text.splitlines() if LOOKS_RUN.match(line)]
    run = [line.strip() for command in commands
           for line in command.splitlines() if LOOKS_RUN.match(line)]
    expect_equal(lines, run, 'lines with curl, and those that are run')


def run_command(folder, setup, command, port):
    script = f'{setup}\n{command}'.replace('127.0.0.1:8080',
                                           f'127.0.0.1:{port}')
    done = subprocess.run(['sh', '-c', script], cwd=folder, timeout=PATIENCE,
                          env=dict(os.environ, CURL_HOME=folder,
                                   HOME=folder), check=False,
                          capture_output=True, stdin=subprocess.DEVNULL)
    output = done.stdout.decode('utf-8', 'replace')
    expect_equal(done.returncode, 0,
                 f'{command}\n{output}\n{done.stderr.decode()}\nexit code')
    found = re.search(r'#(\d{3})\s*$', output)
    expect(found, f'{command}\nno status in {output!r}')
    return int(found.group(1)), output


def page_case(folder, page):
    if shutil.which('curl') is None:
        raise Skip('curl is not installed')
    with open(os.path.join(folder, '.curlrc'), 'w', encoding='ascii') as rc:
        rc.write(CURLRC)
    with open(os.path.join(ROOT, page), encoding='utf-8') as file:
        text = file.read()
    commands = commands_of(text)
    check_all_are_run(text, commands)
    setup, count = '', 0
    with Server(os.path.join(folder, 'data'), '--checkpoint-dir',
                os.path.join(folder, 'copies')) as server:
        keep_aside(server.data)
        for command in commands:
            if not command.startswith('curl '):
                setup += command + '\n'
                continue
            expected = [code for text, code in STATUSES.items()
                        if text in command] or range(200, 300)
            status, output = run_command(folder, setup, command, server.port)
            expect(status in expected,
                   f'{command}\nexpected {list(expected)[:1]}, got {output}')
            count += 1
    expect(count > 0, f'{page} has no curl line')
    return f'{count} commands'


def passed_over_case(_folder):
    """Pages whose lines would not be run."""
    pages = ['  curl a', 'curl a', '     curl a', '```\ncurl a\n```',
             '    $ curl a', '    X=1 curl a', '\tcurl a', '- curl a']
    sound = "    curl a\n    X=$(curl b)\n    curl -d '\n  curl' c\n"
    check_all_are_run(sound, commands_of(sound))
    for page in pages:
        try:
            check_all_are_run(sound + page, commands_of(sound + page))
        except Failure:
            continue
        raise Failure(f'{page!r} was passed over')
    return f'{len(pages)} pages'


def main():
    suite = Suite()
    suite.run('no line is passed over', passed_over_case)
    for page in PAGES:
        suite.run(f'curl lines of {page}', page_case, page)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
