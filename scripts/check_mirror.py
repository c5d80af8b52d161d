#!/usr/bin/env python3
"""Fails on a module without its test and on a test without its module.

  check_mirror.py [ROOT]

storage/base/buf.c belongs to tests/storage/base/test_buf.c. What is tested
from elsewhere stands in ELSEWHERE with the file that does it.
"""
import os
import sys

import c_source

ELSEWHERE = {
    'replication/forwarder_transfer.c':
        'tests/replication/test_forwarder_http.c',
    'service/cmd_serve.c': 'tests/e2e/test_serve.c',
    'service/http_acceptor.c': 'tests/service/test_http_server.c',
    'service/http_body.c': 'tests/service/test_http_exchange.c',
    'service/http_head.c': 'tests/service/test_http_exchange.c',
    'service/http_kept.c': 'tests/service/test_http_exchange.c',
    'service/http_reply.c': 'tests/service/test_http_exchange.c',
    'service/main.c': 'tests/e2e/test_serve.c',
    'service/node_care.c': 'tests/e2e/test_heal.py',
    'service/node_change.c': 'tests/service/test_node_run.c',
    'service/node_following.c': 'tests/service/test_node_run.c',
    'service/node_handover.c': 'tests/service/test_node_run.c',
    'service/node_leading.c': 'tests/service/test_node_run.c',
    'service/node_search.c': 'tests/service/test_node_run.c',
    'service/node_standing.c': 'tests/service/test_node_run.c',
    'storage/repair_commit.c': 'tests/storage/test_repair.c',
    'storage/repair_manifest.c': 'tests/storage/test_repair.c',
    'storage/repair_merge.c': 'tests/storage/test_repair_place.c',
    'storage/repair_output.c': 'tests/storage/test_repair.c',
    'storage/repair_tables.c': 'tests/storage/test_repair.c',
    'storage/retained_read.c': 'tests/storage/test_retained.c',
}


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..')
    complaints = []
    for path in c_source.files(root, c_source.FOLDERS, ('.c',)):
        folder, name = os.path.split(path)
        test = os.path.join('tests', folder, 'test_' + name)
        other = ELSEWHERE.get(path)
        if other:
            if not os.path.exists(os.path.join(root, other)):
                complaints.append(f'{path}: {other} does not exist')
        elif not os.path.exists(os.path.join(root, test)):
            complaints.append(f'{path}: no {test}')
    for path in c_source.files(root, [f'tests/{f}' for f in c_source.FOLDERS],
                               ('.c',)):
        folder, name = os.path.split(path)
        if not name.startswith('test_'):
            continue
        module = os.path.join(os.path.relpath(folder, 'tests'),
                              name[len('test_'):-len('.c')])
        if not any(os.path.exists(os.path.join(root, module + end))
                   for end in ('.c', '.h')):
            complaints.append(f'{path}: no module {module}')
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
