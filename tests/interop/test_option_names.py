#!/usr/bin/env python3
"""docs/library.md names every option of goleveldb and LevelDB.

Their sources, as the distribution packs them, say which there are; what the
table calls ours must be in ldb.h.
"""
import glob
import os
import re
import sys
import unittest

ROOT = os.environ.get('LEVELD_SOURCE_DIR') or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), '..', '..')
GOLEVELDB = '/usr/share/gocode/src/github.com/syndtr/goleveldb/leveldb/opt'
LEVELDB = '/usr/include/leveldb/options.h'
# Since the version that is packed.
LATER = {'MaxManifestFileSize'}


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def setUpModule():
    for path in (GOLEVELDB, LEVELDB):
        if not os.path.exists(path):
            print(f'skip: {path} is not here')
            sys.exit(77)


def options_section():
    text = read(os.path.join(ROOT, 'docs', 'library.md'))
    return re.search(r'^## Options$(.*?)^## ', text, re.M | re.S).group(1)


def goleveldb_names():
    names = set(LATER)
    for path in glob.glob(os.path.join(GOLEVELDB, '*.go')):
        text = read(path)
        for struct in re.findall(
                r'^type (?:Options|ReadOptions|WriteOptions) struct \{(.*?)^\}',
                text, re.M | re.S):
            names.update(re.findall(r'^\t([A-Z]\w*) ', struct, re.M))
        names.update(re.findall(r'^\t(Strict\w+)\b(?! = Strict)', text, re.M))
    return names - {'StrictAll'}


def leveldb_names():
    text = re.sub(r'//.*', '', read(LEVELDB))
    return set(re.findall(r'^  [\w:*<> ]+?[ *](\w+)(?: = [^;(]+)?;', text,
                          re.M))


class Names(unittest.TestCase):
    def setUp(self):
        section = options_section()
        self.words = set(re.findall(r'\w+', section))
        self.section = section

    def test_every_option_of_goleveldb_has_a_row(self):
        names = goleveldb_names()
        self.assertGreater(len(names), 40)
        self.assertEqual(names - self.words, set())

    def test_every_option_of_leveldb_has_a_row(self):
        names = leveldb_names()
        self.assertIn('paranoid_checks', names)
        self.assertGreater(len(names), 15)
        self.assertEqual(names - self.words, set())

    def test_what_is_called_ours_is_in_the_header(self):
        header = read(os.path.join(ROOT, 'storage', 'include', 'ldb.h'))
        for row in re.findall(r'^\| (`.*?`) \|', self.section, re.M):
            for name in re.findall(r'[`.](\w+)`', row):
                self.assertRegex(header, rf'\b{name}\b', row)


if __name__ == '__main__':
    unittest.main()
