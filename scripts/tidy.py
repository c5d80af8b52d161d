#!/usr/bin/env python3
"""Runs clang-tidy over sources, within a time limit, remembering what is clean.

  tidy.py BUILD [--seconds N] [FILE...]

BUILD is a build folder of clang with compile_commands.json. A file that was
clean is not looked at again until it, a header of ours it uses or .clang-tidy
changes (stamps in BUILD/tidy). Without FILE: all our sources. Exit 1 on
findings; files left when the time is up are counted, not failed.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time


def dependencies(build):
    """source path -> our files that its object was compiled from."""
    text = subprocess.run(['ninja', '-C', build, '-t', 'deps'],
                          capture_output=True, text=True, check=True).stdout
    root = os.getcwd() + os.sep
    found = {}
    for block in text.split('\n\n'):
        files = [os.path.normpath(os.path.join(build, line.strip()))
                 for line in block.splitlines()[1:]]
        files = [os.path.abspath(file) for file in files]
        ours = sorted(file for file in files if file.startswith(root))
        if files:
            found[files[0]] = ours
    return found


def key_of(source, used):
    digest = hashlib.sha256()
    for path in ['.clang-tidy', source, *used]:
        with open(path, 'rb') as file:
            digest.update(file.read())
        digest.update(path.encode())
    return digest.hexdigest()


def run(build, source):
    done = subprocess.run(['clang-tidy', '--quiet', '-p', build, source],
                          capture_output=True, text=True, check=False)
    text = re.sub(r'^\d+ warnings? .*\n?', '', done.stdout, flags=re.M)
    if done.returncode != 0 and not text.strip():
        text = done.stderr
    return source, done.returncode, text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--seconds', type=int, default=600)
    parser.add_argument('files', nargs='*')
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

    with open(os.path.join(args.build, 'compile_commands.json'),
              encoding='utf-8') as file:
        known = {entry['file'] for entry in json.load(file)}
    generated = os.path.abspath(args.build) + os.sep
    sources = sorted(path for path in known if not path.startswith(generated))
    if args.files:
        wanted = {os.path.abspath(path) for path in args.files}
        sources = [path for path in sources if path in wanted]

    stamps = os.path.join(args.build, 'tidy')
    os.makedirs(stamps, exist_ok=True)
    deps = dependencies(args.build)
    waiting = []
    for source in sources:
        key = key_of(source, deps.get(source, []))
        if not os.path.exists(os.path.join(stamps, key)):
            waiting.append((source, key))

    end = time.monotonic() + args.seconds
    found, left = 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        def work(item):
            if time.monotonic() > end:
                return None
            source, code, text = run(args.build, item[0])
            if code == 0 and not text.strip():
                with open(os.path.join(stamps, item[1]), 'w',
                          encoding='utf-8'):
                    pass
            return code, text

        for result in pool.map(work, waiting):
            if result is None:
                left += 1
            elif result[0] != 0 or result[1].strip():
                found += 1
                print(result[1], end='')
    if left:
        print(f'time is up: {left} files not looked at')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
