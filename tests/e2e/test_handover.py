#!/usr/bin/env python3
"""A handover whose heir fails just when it is to lead: one that is not there
is passed over at once, one that is silent leads when it is back.

LEVELD_FULL=1: one that stays silent for longer than the request waits
(a minute more)."""
import json
import os
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (JSON, PATIENCE, Client, Failure, Server, Skip, Suite,
                    expect, expect_equal, wait_until)

# A follower counts as there for some seconds after it was heard of; a machine
# that is busy may take longer to ask, and then it is tried anew.
TRIES = 10


def url_of(server):
    return f'http://127.0.0.1:{server.port}'


def role_of(server):
    with Client(server) as client:
        return client.get('/healthz').headers['leveld-role']


def follower_of(folder, name, leader):
    return Server(os.path.join(folder, name), '--role', 'follower', '--leader',
                  url_of(leader))


def id_when_level(leader):
    """The node id of the one follower, once it has all and has said so."""
    found = {}

    def is_level():
        with Client(leader) as client:
            stats = client.get('/stats').json()
        for one in stats['followers']:
            if one['alive'] and 'lag' in one and \
                    one['synced']['sequence'] == stats['sequence']:
                found['id'] = one['node_id']
        return found

    wait_until('a follower that is level', is_level)
    return found['id']


def hand_over(server, node_id):
    with Client(server) as client:
        return client.request('POST', '/v1/admin/handover',
                              json.dumps({'to': node_id, 'timeout': '60s'}),
                              {'Content-Type': JSON, 'Leveld-Timeout': '300s'})


def write(server, key):
    with Client(server) as client:
        expect_equal(client.put(key, b'1').status, 204, f'PUT {key}')


def has(server, key):
    with Client(server) as client:
        return client.get(f'/v1/kv/{key.decode()}').status == 200


def gone_case(folder):
    """Killed after it had all: this node leads again, and takes writes."""
    with Server(os.path.join(folder, 'one')) as one:
        write(one, b'a')
        for _ in range(TRIES):
            with follower_of(folder, 'two', one) as two:
                node_id = id_when_level(one)
                two.kill()
                two.is_stopped = True
                answer = hand_over(one, node_id)
            expect_equal(answer.status, 409, answer)
            if 'cannot be asked to lead' in answer.json()['detail']:
                break
        else:
            raise Failure(f'never in time: {answer}')
        expect_equal(role_of(one), 'leader', 'role')
        expect('leads-again' in one.log(), one.log())
        write(one, b'b')
        # It follows when it is back.
        with follower_of(folder, 'two', one) as two:
            wait_until('b at the follower', lambda: has(two, b'b'))


class Handover(threading.Thread):
    def __init__(self, server, node_id):
        super().__init__(daemon=True)
        self.server = server
        self.node_id = node_id
        self.answer = None

    def run(self):
        self.answer = hand_over(self.server, self.node_id)

    def wait(self):
        self.join(PATIENCE)
        expect(self.answer is not None, 'the handover has no answer')
        return self.answer


def freeze_and_hand_over(one, two):
    """The heir is frozen, this node has stepped down for it."""
    for _ in range(TRIES):
        node_id = id_when_level(one)
        os.kill(two.pid(), signal.SIGSTOP)
        handover = Handover(one, node_id)
        handover.start()
        wait_until('stepping down', lambda: role_of(one) == 'follower' or
                   not handover.is_alive())
        if handover.is_alive():
            return handover
        os.kill(two.pid(), signal.SIGCONT)
    raise Failure(f'never in time: {handover.answer}')


def check_changed(one, two):
    """two leads, and one follows it."""
    wait_until('the heir leads', lambda: role_of(two) == 'leader')
    write(two, b'b')
    wait_until('b at the other', lambda: has(one, b'b'))


def silent_case(folder):
    """Frozen when it is asked; it leads once it goes on."""
    with Server(os.path.join(folder, 'one')) as one:
        write(one, b'a')
        with follower_of(folder, 'two', one) as two:
            handover = freeze_and_hand_over(one, two)
            os.kill(two.pid(), signal.SIGCONT)
            answer = handover.wait()
            expect_equal(answer.status, 200, answer)
            check_changed(one, two)


def long_silent_case(folder):
    """Frozen until the request is answered: it is asked on."""
    if not os.environ.get('LEVELD_FULL'):
        raise Skip('set LEVELD_FULL=1')
    with Server(os.path.join(folder, 'one')) as one:
        write(one, b'a')
        with follower_of(folder, 'two', one) as two:
            handover = freeze_and_hand_over(one, two)
            answer = handover.wait()
            expect('outcome-unknown' in answer.json()['type'], answer)
            expect('handover-failed' in one.log(), one.log())
            expect_equal(role_of(one), 'follower', 'role')
            os.kill(two.pid(), signal.SIGCONT)
            check_changed(one, two)
            wait_until('the log', lambda: re.search(
                r'event=(heir-leads|following state="streaming")', one.log()))


def main():
    suite = Suite()
    suite.run('an heir that is gone is passed over', gone_case)
    suite.run('an heir that was silent leads', silent_case)
    suite.run('an heir that stays silent is asked on', long_silent_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
