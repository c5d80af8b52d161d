#!/usr/bin/env python3
"""Fails on a link in a document that leads nowhere.

  check_links.py [ROOT]

Looks at every .md file that git knows: relative links must name a file, and
an anchor a heading of it. Paths in `backquotes` that start with one of our
folders and end in a file's name must exist too.
"""
import os
import re
import subprocess
import sys

LINK = re.compile(r'\[[^\]\n]*\]\(([^)\s]+)\)')
PATH = re.compile(r'`((?:storage|replication|api|service|tests|fuzz|bench|'
                  r'scripts|docs|cmake|\.ci)/[\w./-]+\.\w+)`')
FENCE = re.compile(r'^```.*?^```', re.S | re.M)


def slug(heading):
    text = re.sub(r'[`*\[\]]', '', heading.strip().lower())
    return re.sub(r'[^\w\- ]', '', text).replace(' ', '-')


def anchors(path):
    with open(path, encoding='utf-8') as file:
        return {slug(match.group(1)) for match in
                re.finditer(r'^#+\s+(.*)$', file.read(), re.M)}


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..')
    names = subprocess.run(
        ['git', '-C', root, 'ls-files', '--cached', '--others',
         '--exclude-standard', '--', '*.md'],
        capture_output=True, text=True, check=True).stdout.split()
    complaints = []
    for name in names:
        path = os.path.join(root, name)
        if not os.path.exists(path):
            continue
        with open(path, encoding='utf-8') as file:
            text = FENCE.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()),
                             file.read())
        for match in LINK.finditer(text):
            target = match.group(1)
            if re.match(r'[a-z]+:', target):
                continue
            file_part, _, anchor = target.partition('#')
            where = f'{name}:{text.count(chr(10), 0, match.start()) + 1}'
            wanted = os.path.normpath(os.path.join(os.path.dirname(path),
                                                   file_part)) \
                if file_part else path
            if not os.path.exists(wanted):
                complaints.append(f'{where}: {target} does not exist')
            elif anchor and wanted.endswith('.md') and \
                    anchor not in anchors(wanted):
                complaints.append(f'{where}: no heading for {target}')
        for match in PATH.finditer(text):
            if not os.path.exists(os.path.join(root, match.group(1))):
                where = f'{name}:{text.count(chr(10), 0, match.start()) + 1}'
                complaints.append(f'{where}: {match.group(1)} does not exist')
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
