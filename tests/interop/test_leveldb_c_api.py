#!/usr/bin/env python3
"""A program made with LevelDB's header runs on libleveld by linking it.

One source (c_api/program.c), linked with libleveld.a, libleveld.so and
LevelDB itself, prints the same three times. Every function that LevelDB's
header declares and its library exports, ours export too; that the declarations
agree, the compiler has seen (c_api/prototypes.c).
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.normpath(os.path.join(
    os.path.dirname(os.environ.get('LEVELD_BIN', '')), '..'))
HEADER = '/usr/include/leveldb/c.h'


def setUpModule():
    if not os.path.exists(HEADER):
        print(f'skip: {HEADER} is not here: libleveldb-dev')
        sys.exit(77)


def run_program(kind):
    program = os.path.join(BUILD, 'tests', f'c_api_{kind}')
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, TEST_TMPDIR=os.path.join(folder, 'test'))
        done = subprocess.run([program, folder], env=env, timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors='backslashreplace')
        return done.returncode, text.replace(folder, 'FOLDER')


def functions_of_header():
    with open(HEADER, encoding='utf-8') as file:
        return set(re.findall(r'\b(leveldb_\w+)\s*\(', file.read()))


def symbols(*command):
    """Defined functions whose names begin with leveldb_."""
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True).stdout
    return set(re.findall(r' T (leveldb_\w+)$', lines, re.MULTILINE))


def library_of(kind):
    """The libleveldb that the linker chose."""
    program = os.path.join(BUILD, 'tests', f'c_api_{kind}')
    lines = subprocess.run(['ldd', program], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    return re.search(r'=> (\S*/libleveldb\.so\S*)', lines).group(1)


class Program(unittest.TestCase):
    maxDiff = None

    def test_libleveld_prints_what_leveldb_prints(self):
        code, expected = run_program('leveldb')
        self.assertEqual(code, 0, expected)
        self.assertGreater(expected.count('\n'), 100)
        for kind in ('static', 'shared'):
            with self.subTest(kind):
                self.assertEqual(run_program(kind), (0, expected))


class Symbols(unittest.TestCase):
    def setUp(self):
        self.wanted = functions_of_header()
        self.assertGreater(len(self.wanted), 60)

    def test_leveldb_exports_what_its_header_declares(self):
        self.assertEqual(symbols('nm', '-D', '--defined-only',
                                 library_of('leveldb')), self.wanted)

    def test_the_shared_library_exports_every_function(self):
        path = os.path.join(BUILD, 'lib', 'libleveld.so')
        self.assertEqual(symbols('nm', '-D', '--defined-only', path),
                         self.wanted)

    def test_the_static_library_has_every_function(self):
        path = os.path.join(BUILD, 'lib', 'libleveld.a')
        self.assertEqual(symbols('nm', '--defined-only', path),
                         self.wanted)


if __name__ == '__main__':
    unittest.main()
