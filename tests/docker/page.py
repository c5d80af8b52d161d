"""The commands of a page: all that stands in its indented blocks, in order.
What is only to be looked at stands between fences."""
import re
import subprocess

# A command that goes on over so many lines has a quote that nobody closes.
LINES_MAX = 20


def is_whole(text):
    """Whether a shell that has read it would not wait for more."""
    return subprocess.run(['bash', '-n', '-c', text], check=False,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def commands_of(text):
    """[(line number, command)]"""
    commands, open_lines, fenced = [], [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith('```'):
            fenced = not fenced
        if fenced:
            continue
        if re.match(r' {4}\S', line) or (open_lines and line.startswith('    ')):
            open_lines.append((number, line[4:]))
            command = '\n'.join(part for _, part in open_lines)
            if is_whole(command) and not command.endswith('\\'):
                commands.append((open_lines[0][0], command))
                open_lines = []
        if open_lines and (not line.startswith('    ')
                           or len(open_lines) > LINES_MAX):
            raise ValueError(f'line {open_lines[0][0]}: a command without end')
    if open_lines:
        raise ValueError(f'line {open_lines[0][0]}: a command without end')
    return commands
