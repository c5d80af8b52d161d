#!/usr/bin/env python3
"""Fails on an #include that points against the arrows.

  check_layers.py [ROOT]

service -> api -> replication -> storage; inside storage the store's own files
-> version -> journal, table -> base. Headers named *_internal.h stay in their
folder, headers do not include each other in circles, and a library from
outside is included only where the list below allows it.
"""
import os
import re
import sys

import c_source

MAY_USE = {
    'storage/include': ('storage/include',),
    'storage/base': ('storage/base', 'storage/include'),
    'storage/journal': ('storage/journal', 'storage/base', 'storage/include'),
    'storage/table': ('storage/table', 'storage/base', 'storage/include'),
    'storage/version': ('storage/version', 'storage/journal', 'storage/table',
                        'storage/base', 'storage/include'),
    'storage': ('storage',),
    'replication': ('replication', 'storage'),
    'api': ('api', 'replication', 'storage'),
    'service': ('service', 'api', 'replication', 'storage'),
}

# Who may see a library from outside.
LIBRARIES = (
    (re.compile(r'^microhttpd\.h$'), re.compile(r'^service/http_')),
    (re.compile(r'^nettle/'),
     re.compile(r'^service/cmd_dump\.|^api/(tokens|dashboard)\.')),
    (re.compile(r'^gnutls/'), re.compile(r'^service/http_tls\.')),
    (re.compile(r'^jansson\.h$'),
     re.compile(r'^api/|^replication/(json_document|protocol)\.')),
    (re.compile(r'^curl/'), re.compile(r'^replication/')),
    (re.compile(r'^snappy-c\.h$'),
     re.compile(r'^storage/table/compression\.')),
    (re.compile(r'^isa-l'), re.compile(r'^storage/base/checksum\.')),
    (re.compile(r'^xxhash'), re.compile(r'^storage/base/digest\.')),
    (re.compile(r'^sys/(socket|epoll|eventfd)\.h$|^netinet/|^arpa/'),
     # What libcurl is told of sockets.
     re.compile(r'^service/|^replication/http_options\.c$')),
)

# Written by the build, not in the tree.
GENERATED = ('api/dashboard_page.inc', 'api/openapi_document.inc',
             'service/version.h')

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def layer(path):
    """The deepest folder of MAY_USE that holds the path."""
    folder = os.path.dirname(path)
    while folder and folder not in MAY_USE:
        folder = os.path.dirname(folder)
    return folder


def resolve(root, path, name):
    """The file an #include "name" in path means, or None."""
    for base in ('', os.path.dirname(path), 'storage/include'):
        candidate = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def allowed(path, target):
    mine, theirs = layer(path), layer(target)
    if not theirs:
        return False
    uses = MAY_USE[mine]
    if theirs in uses:
        return True
    # storage as a whole is open to the folders above it.
    return theirs.startswith('storage') and 'storage' in uses


def check_file(root, path, complaints):
    """Appends what is wrong; returns the headers of ours it includes."""
    text = c_source.blank(c_source.read(root, path), keep_literals=True)
    used = []
    for match in INCLUDE.finditer(text):
        where = f'{path}:{c_source.line_of(text, match.start(1))}'
        name = match.group(2)
        if match.group(1) == '<':
            for library, users in LIBRARIES:
                if library.match(name) and not users.match(path):
                    complaints.append(f'{where}: <{name}> is not for this file')
            continue
        target = resolve(root, path, name)
        if target is None:
            if name not in GENERATED:
                complaints.append(f'{where}: "{name}" does not exist')
            continue
        if target.endswith('.c'):
            complaints.append(f'{where}: "{name}" is a source, not a header')
        if not allowed(path, target):
            complaints.append(f'{where}: {layer(path)} may not use {target}')
        if (target.endswith('_internal.h')
                and os.path.dirname(target) != os.path.dirname(path)):
            complaints.append(f'{where}: {target} is private to its folder')
        used.append(target)
    return used


def find_cycles(graph, complaints):
    done, path = set(), []

    def visit(node):
        if node in path:
            circle = path[path.index(node):] + [node]
            complaints.append('headers in a circle: ' + ' -> '.join(circle))
            return
        if node in done:
            return
        path.append(node)
        for child in graph.get(node, ()):
            visit(child)
        path.pop()
        done.add(node)

    for node in sorted(graph):
        visit(node)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..')
    complaints, graph = [], {}
    for path in c_source.files(root, c_source.FOLDERS, ('.c', '.h')):
        used = check_file(root, path, complaints)
        if path.endswith('.h'):
            graph[path] = used
    find_cycles(graph, complaints)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
