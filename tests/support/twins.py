"""Are two folders twins? What a leader's folder and its follower's, or a copy of
either, have to the byte, once both are quiet; and what a folder takes.
"""
import os
import time

from cluster import FILES, sha256_of
from leveld import ANSWER_LIMIT, Client, Failure


def fingerprint(folder):
    """{name: sha256} of the database's files; None: one went while we read."""
    try:
        return {name: sha256_of(os.path.join(folder, name))
                for name in os.listdir(folder) if FILES.fullmatch(name)}
    except FileNotFoundError:
        return None


def difference(a, b):
    """In words; None: they are twins."""
    ours, theirs = fingerprint(a), fingerprint(b)
    if ours is None or theirs is None:
        return 'files come and go'
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            return f'{name}: {ours.get(name)} and {theirs.get(name)}'
    return None


def digest_of(server):
    with Client(server) as client:
        answer = client.get('/v1/digest')
    return answer.json() if answer.status == 200 else None


def wait_for_twins(leader, follower, limit=ANSWER_LIMIT):
    """Both run, and nobody writes: they come to be twins, by their digests and
    by their bytes."""
    end = time.monotonic() + limit
    while True:
        what = difference(leader.data, follower.data)
        if what is None:  # digests hold a version, so they are asked last
            ours, theirs = digest_of(leader), digest_of(follower)
            if ours is not None and ours == theirs:
                return
            what = f'digests {ours} and {theirs}'
        if time.monotonic() > end:
            raise Failure(f'no twins within {limit} s: {what}')
        time.sleep(0.05)


def disk_bytes(folder):
    """With its sub-folders."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total
