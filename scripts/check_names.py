#!/usr/bin/env python3
"""Fails on a name without its folder's prefix, a wrong include guard, and a
"guarded by" that names no member of its struct.

  check_names.py [ROOT] [--libraries DIR]

With --libraries, the global symbols of lib*.a there are held to the prefixes
and libleveld.so is held to export ldb_* and leveldb_* alone.
"""
import argparse
import os
import re
import subprocess
import sys

import c_source

LIBRARIES = {
    'libleveld.a': ('ldb_', 'leveldb_'),
    'librepl.a': ('repl_',),
    'libapi.a': ('api_',),
    'libsvc.a': ('svc_',),
}
# Symbols that a sanitizer or gcov adds.
FOREIGN = re.compile(r'^(__|_GLOBAL|\.)')

TAG = re.compile(r'\b(struct|enum|union)\s+(\w+)\s*\{')
MACRO = re.compile(r'^[ \t]*#[ \t]*define[ \t]+(\w+)', re.M)
GUARD = re.compile(r'^[ \t]*#[ \t]*ifndef[ \t]+(\w+)\s*\n[ \t]*#[ \t]*define'
                   r'[ \t]+(\w+)', re.M)
STRUCT = re.compile(r'\bstruct\s+\w+\s*\{(.*?)\n\}', re.S)
GUARDED = re.compile(r'\bLDB_GUARDED_BY\s*\(\s*&?\s*(\w+)|'
                     r'guarded by\s+[`\']?(\w+)\b(?!\.\w)[`\']?', re.I)
# Spelled by others: the LevelDB C API.
NOT_OURS = ('storage/include/leveldb/c.h',)


def check_header(root, path, complaints):
    text = c_source.read(root, path)
    code = c_source.blank(text)
    prefix = c_source.PREFIX[path.split('/')[0]]
    guard = re.sub(r'[^A-Za-z0-9]', '_', path).upper()
    found = GUARD.search(code)
    if not found or found.group(1) != guard or found.group(2) != guard:
        complaints.append(f'{path}: its include guard is not {guard}')
    for match in TAG.finditer(code):
        if not match.group(2).startswith(prefix + '_'):
            complaints.append(f'{path}:{c_source.line_of(code, match.start())}:'
                              f' {match.group(2)} lacks {prefix}_')
    for match in MACRO.finditer(code):
        name = match.group(1)
        if (name != guard and not name.upper().startswith(prefix.upper() + '_')
                and name not in ('assert_slow',)):
            complaints.append(f'{path}:{c_source.line_of(code, match.start())}:'
                              f' macro {name} lacks {prefix.upper()}_')


def check_guarded(root, path, complaints):
    text = c_source.read(root, path)
    for struct in STRUCT.finditer(text):
        code = c_source.blank(struct.group(1))
        for match in GUARDED.finditer(struct.group(1)):
            name = match.group(1) or match.group(2)
            if name in ('the', 'its', 'a'):
                continue
            if not re.search(rf'\b{name}\b\s*[;\[,)]', code):
                line = c_source.line_of(text, struct.start(1) + match.start())
                complaints.append(f'{path}:{line}: guarded by {name}, which is '
                                  'no member here')


def symbols(arguments):
    text = subprocess.run(['nm', '--format=posix', '--defined-only',
                           *arguments], capture_output=True, text=True,
                          check=True).stdout
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2 and not fields[0].endswith(':'):
            yield fields[0], fields[1]


def check_libraries(folder, complaints):
    for name, prefixes in LIBRARIES.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            continue
        for symbol, kind in symbols(['-g', path]):
            if kind in 'Ww' or FOREIGN.match(symbol):
                continue
            if not symbol.startswith(prefixes):
                complaints.append(f'{name}: {symbol} lacks '
                                  f'{" or ".join(prefixes)}')
    shared = os.path.join(folder, 'libleveld.so')
    if os.path.exists(shared):
        for symbol, _ in symbols(['-D', shared]):
            if not symbol.startswith(('ldb_', 'leveldb_', '_')):
                complaints.append(f'libleveld.so: exports {symbol}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('root', nargs='?', default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..'))
    parser.add_argument('--libraries')
    args = parser.parse_args()
    complaints = []
    for path in c_source.files(args.root, c_source.FOLDERS, ('.c', '.h')):
        if path in NOT_OURS:
            continue
        if path.endswith('.h'):
            check_header(args.root, path, complaints)
        check_guarded(args.root, path, complaints)
    if args.libraries:
        check_libraries(args.libraries, complaints)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
