#!/usr/bin/env python3
"""The gates of scripts/ catch what they are there for: each planted fault is
reported, and a clean tree is not."""
import contextlib
import importlib
import io
import os
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.normpath(os.path.join(os.path.dirname(
    os.path.abspath(__file__)), '..', '..'))

sys.path.insert(0, os.path.join(ROOT, 'scripts'))

CLEAN = {
    'storage/include/ldb_types.h':
        '#ifndef STORAGE_INCLUDE_LDB_TYPES_H\n'
        '#define STORAGE_INCLUDE_LDB_TYPES_H\n#include <stddef.h>\n#endif\n',
    'storage/base/buf.h':
        '#ifndef STORAGE_BASE_BUF_H\n#define STORAGE_BASE_BUF_H\n'
        '#include "storage/include/ldb_types.h"\n'
        'struct ldb_buf {\n    int mu;\n    int len; /* guarded by mu */\n};\n'
        '#endif\n',
    'storage/base/buf.c': '#include "storage/base/buf.h"\n',
    'api/kv.c': '#include "storage/base/buf.h"\n',
    'service/http_server.c': '#include <microhttpd.h>\n',
    'service/version.h':
        '#ifndef SERVICE_VERSION_H\n#define SERVICE_VERSION_H\n#endif\n',
    'tests/storage/base/test_buf.c': '',
    'tests/api/test_kv.c': '',
    'tests/service/test_http_server.c': '',
}


def run(script, changes):
    """The script's exit code and output on the clean tree with changes."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**CLEAN, **changes}.items():
            if text is None:
                continue
            full = os.path.join(folder, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        said = io.StringIO()
        with mock.patch.object(sys, 'argv', [script, folder]), \
                contextlib.redirect_stdout(said):
            code = importlib.import_module(script[:-len('.py')]).main()
        return code, said.getvalue()


class Checks(unittest.TestCase):
    def refuses(self, script, changes, said):
        code, output = run(script, changes)
        self.assertEqual(code, 1, output)
        self.assertIn(said, output)

    def test_a_clean_tree_passes_every_gate(self):
        for script in ('check_layers.py', 'check_mirror.py', 'check_names.py',
                       'check_calls.py'):
            self.assertEqual(run(script, {}), (0, ''), script)

    def test_includes_against_the_arrows_are_refused(self):
        for path, name in (
                ('storage/base/buf.c', 'api/kv.h'),
                ('storage/base/buf.c', 'storage/table/block.h'),
                ('storage/journal/a.c', 'storage/table/block.h'),
                ('storage/table/a.c', 'storage/version/version.h'),
                ('storage/version/a.c', 'storage/db.h'),
                ('storage/db.c', 'replication/feed.h'),
                ('replication/feed.c', 'api/kv.h'),
                ('api/kv.c', 'service/http.h'),
                ('api/kv.c', 'tests/support/x.h')):
            with self.subTest(path=path, name=name):
                self.refuses('check_layers.py',
                             {path: f'#include "{name}"\n', name: ''}, name)

    def test_the_http_library_is_for_two_files_of_service(self):
        for path in ('api/kv.c', 'service/config.c', 'storage/db.c'):
            with self.subTest(path=path):
                self.refuses('check_layers.py',
                             {path: '#include <microhttpd.h>\n'}, path)

    def test_a_commented_include_is_no_include(self):
        self.assertEqual(run('check_layers.py', {
            'storage/base/buf.c': '/* #include "api/kv.h" */\n'}), (0, ''))

    def test_private_headers_and_circles_are_refused(self):
        self.refuses('check_layers.py', {
            'storage/db_internal.h': '',
            'api/kv.c': '#include "storage/db_internal.h"\n'}, 'private')
        self.refuses('check_layers.py', {
            'storage/a.h': '#include "storage/b.h"\n',
            'storage/b.h': '#include "storage/a.h"\n'}, 'circle')

    def test_a_header_that_is_not_there_is_refused(self):
        self.refuses('check_layers.py',
                     {'api/kv.c': '#include "api/gone.h"\n'}, 'not exist')

    def test_modules_and_tests_mirror_each_other(self):
        self.refuses('check_mirror.py', {'storage/new.c': ''}, 'test_new.c')
        self.refuses('check_mirror.py', {'tests/api/test_gone.c': ''},
                     'no module')

    def test_names_guards_and_guarded_members(self):
        guard = '#ifndef API_X_H\n#define API_X_H\n'
        self.refuses('check_names.py', {
            'api/x.h': guard + 'struct thing {\n    int a;\n};\n#endif\n'},
            'thing')
        self.refuses('check_names.py', {
            'api/x.h': guard + '#define LIMIT 3\n#endif\n'}, 'LIMIT')
        self.refuses('check_names.py', {
            'api/x.h': '#ifndef X_H\n#define X_H\n#endif\n'}, 'guard')
        self.refuses('check_names.py', {
            'api/x.h': guard + 'struct api_x {\n    int a; '
            '/* guarded by lock */\n};\n#endif\n'}, 'lock')

    def test_calls_in_the_wrong_file_are_refused(self):
        body = 'void api_f(void)\n{{\n    {}\n}}\n'
        self.refuses('check_calls.py', {
            'api/kv.c': body.format('(void)malloc(3);')}, 'malloc')
        self.refuses('check_calls.py', {
            'storage/db.c': body.format('return fsync(3);')}, 'fsync')
        self.assertEqual(run('check_calls.py', {
            'storage/base/mem.c': body.format('(void)malloc(3);'),
            'api/kv.c': body.format('x->ops->read(x); /* malloc(1) */')}),
            (0, ''))
        self.refuses('check_calls.py', {
            'api/kv.c': '/* TO' 'DO: later */\n'}, 'api/kv.c:1')


if __name__ == '__main__':
    unittest.main()
