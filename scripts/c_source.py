"""What the checks share: the list of our sources, and C text with comments and
literals blanked out (same length, same lines)."""
import os
import re

FOLDERS = ('storage', 'replication', 'api', 'service')
PREFIX = {'storage': 'ldb', 'replication': 'repl', 'api': 'api',
          'service': 'svc'}

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(root, folders, ends):
    """Relative paths under the folders with one of these endings, sorted."""
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                if name.endswith(ends):
                    found.append(os.path.relpath(os.path.join(where, name),
                                                 root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def blank(text, keep_literals=False):
    def replace(match):
        token = match.group()
        if token[0] == '/':
            return re.sub(r'[^\n]', ' ', token)
        if keep_literals:
            return token
        return token[0] + ' ' * (len(token) - 2) + token[-1]
    return TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1
