#!/usr/bin/env python3
"""Fails on a call where the code base does not allow it, and on a note that
work is left.

  check_calls.py [ROOT]

storage/base/banned.h stops what may be called nowhere; here is what may be
called in some files alone: the allocator behind ldb_mem, the world behind the
environment. Also: no TODO, FIXME or XXX.
"""
import os
import re
import sys

import c_source

# (what, pattern of the call, folders it is looked for in, files it may be in)
RULES = (
    ('allocation goes through ldb_mem_*',
     r'malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|'
     r'strndup|asprintf|vasprintf|free',
     c_source.FOLDERS,
     r'^storage/base/mem\.c$|^storage/leveldb_c\.c$|^service/http_'),
    ('files, clocks and threads are reached through ldb_env',
     r'open|openat|creat|fopen|read|write|pread|pwrite|preadv|pwritev|readv|'
     r'writev|fsync|fdatasync|sync_file_range|syncfs|rename|renameat|unlink|'
     r'unlinkat|mkdir|rmdir|opendir|readdir|ftruncate|truncate|fallocate|'
     r'posix_fallocate|mmap|munmap|msync|flock|fcntl|clock_gettime|'
     r'gettimeofday|time|nanosleep|clock_nanosleep|usleep|sleep|rand|random|'
     r'getrandom|getentropy|pthread_create|socket|accept|accept4|recv|send',
     ('storage', 'replication', 'api'),
     # mutex.c: a timed wait is told an absolute time.
     r'^storage/base/(env_posix|mapped_file|mutex)\.c$|^replication/transport_http\.c$'),
)
LEFT = re.compile(r'\b(TODO|FIXME|XXX)\b')


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..')
    complaints = []
    for what, names, folders, exempt in RULES:
        # Not a member (x->read(...), ops.read(...)), not a declaration of one
        # ((*read)(...)), not part of a longer name.
        call = re.compile(rf'(?<![\w.>*])({names})\s*\(')
        for path in c_source.files(root, folders, ('.c', '.h')):
            if re.match(exempt, path):
                continue
            code = c_source.blank(c_source.read(root, path))
            for match in call.finditer(code):
                before = code[:match.start()].rstrip()
                # A function of that name defined or declared here.
                if re.search(r'[\w*]$', before) and not re.search(
                        r'\b(return|else|do|case)$', before):
                    continue
                line = c_source.line_of(code, match.start())
                complaints.append(f'{path}:{line}: {match.group(1)}(): {what}')
    for path in c_source.files(root, c_source.FOLDERS + ('tests', 'fuzz'),
                               ('.c', '.h')):
        text = c_source.read(root, path)
        for match in LEFT.finditer(text):
            complaints.append(f'{path}:{c_source.line_of(text, match.start())}:'
                              f' {match.group()}')
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
