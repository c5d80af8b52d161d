#!/usr/bin/env python3
"""Counts the single test cases in ctest's JUnit file and prints the summary.

  test_summary.py RESULTS.xml

Each cmocka case counts as one; a program without cmocka output counts as one.
A case that a crash or a time limit cut off counts as failed. Skipped cases are
named with their reason: the last line before the skip that starts with
"skip:". The last line is "N passed, N failed, N skipped"; exit 1 on failures.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

# cmocka may print on a line that the test itself had begun.
CASE = re.compile(r'\[\s*(RUN|OK|FAILED|SKIPPED|ERROR)\s*\] ?(.*)$')
REASON = re.compile(r'skip: *(.*)')


class Totals:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []


def read_cmocka(program, text, totals):
    """Counts the cases of one program; False when it shows none."""
    running, reason, seen = None, '', False
    for line in text.splitlines():
        found = REASON.search(line)
        if found:
            reason = found.group(1).strip()
        found = CASE.search(line)
        if not found:
            continue
        mark, name = found.group(1), found.group(2).strip()
        if mark == 'RUN':
            if running is not None:
                totals.failed.append(f'{program}: {running}')
            running, reason, seen = name, '', True
        elif running is not None and name == running:
            if mark == 'OK':
                totals.passed += 1
            elif mark == 'FAILED':
                totals.failed.append(f'{program}: {name}')
            elif mark == 'SKIPPED':
                totals.skipped.append(
                    f'{program}: {name}: {reason or "no reason given"}')
            else:
                continue
            running = None
    if running is not None:
        totals.failed.append(f'{program}: {running}')
    return seen


def main():
    totals = Totals()
    for case in ElementTree.parse(sys.argv[1]).getroot().iter('testcase'):
        program = case.get('name')
        text = case.findtext('system-out') or ''
        before = len(totals.failed)
        status = case.get('status')
        seen = read_cmocka(program, text, totals)
        if status == 'fail' and len(totals.failed) == before:
            totals.failed.append(f'{program}: exit code or time limit')
        elif status in ('notrun', 'disabled') and not seen:
            reason = REASON.search(text)
            skipped = case.find('skipped')
            why = reason.group(1) if reason else (
                skipped.get('message', '') if skipped is not None else '')
            if reason or 'SKIP_RETURN_CODE' in why:
                totals.skipped.append(f'{program}: {why}')
            else:
                totals.failed.append(f'{program}: did not run: {why}')
        elif status == 'run' and not seen:
            totals.passed += 1
    for line in totals.skipped:
        print(f'skipped {line}')
    for line in totals.failed:
        print(f'failed {line}')
    print(f'{totals.passed} passed, {len(totals.failed)} failed, '
          f'{len(totals.skipped)} skipped')
    return 1 if totals.failed else 0


if __name__ == '__main__':
    sys.exit(main())
