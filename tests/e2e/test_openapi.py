#!/usr/bin/env python3
"""/openapi.json is an OpenAPI 3.1 document, and the answers of a server are as
it says: status, media type, headers and body of each operation."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (BATCH, JSON, NDJSON, PATIENCE, ROOT, Client, Failure,
                    Server, Skip, Suite, expect, expect_equal, keep_aside,
                    wait_until)

try:
    import jsonschema
except ImportError:
    jsonschema = None

# The objects of OpenAPI 3.1 that the document uses: fields that each must
# have, and those that it may have. "x-" is allowed everywhere.
DOCUMENT = ({'openapi', 'info', 'paths'}, {'servers', 'tags', 'components'})
INFO = ({'title', 'version'}, {'summary', 'description', 'license'})
LICENSE = ({'name'}, {'identifier'})
OPERATION = ({'operationId', 'responses', 'summary', 'tags'},
             {'description', 'parameters', 'requestBody', 'security'})
PARAMETER = ({'name', 'in', 'schema'}, {'description', 'required'})
BODY = ({'content'}, {'description', 'required'})
RESPONSE = ({'description'}, {'headers', 'content'})
HEADER = ({'schema'}, {'description'})
MEDIA = (set(), {'schema'})
METHODS = {'get', 'head', 'put', 'post', 'delete'}
COMPONENTS = (set(), {'parameters', 'headers', 'responses', 'schemas',
                      'securitySchemes'})
SECURITY = ({'type', 'scheme'}, {'description'})


class Document:
    def __init__(self, root):
        self.root = root
        self.used = set()

    def follow(self, value):
        """What a reference points to; anything else is itself."""
        while '$ref' in value:
            expect_equal(set(value), {'$ref'}, 'members beside $ref')
            self.used.add(value['$ref'])
            found = self.root
            expect(value['$ref'].startswith('#/'), f'{value} points outside')
            for name in value['$ref'][2:].split('/'):
                expect(name in found, f'{value["$ref"]} points to nothing')
                found = found[name]
            value = found
        return value

    def check(self, value, fields, where):
        must, may = fields
        expect(isinstance(value, dict), f'{where} is no object')
        names = {name for name in value if not name.startswith('x-')}
        expect(must <= names, f'{where} lacks {must - names}')
        expect(names <= must | may, f'{where} has {names - must - may}')

    def check_schema(self, schema):
        """A schema and each that it refers to."""
        jsonschema.Draft202012Validator.check_schema(schema)
        self.check_references(schema)

    def check_references(self, value):
        if isinstance(value, dict) and '$ref' in value:
            is_new = value['$ref'] not in self.used
            found = self.follow(value)
            if is_new:
                self.check_schema(found)
        elif isinstance(value, dict):
            for member in value.values():
                self.check_references(member)
        elif isinstance(value, list):
            for member in value:
                self.check_references(member)

    def check_content(self, content, where):
        for kind, media in content.items():
            expect(re.fullmatch(r'[\w*]+/[\w.+*-]+(; .*)?', kind),
                   f'{where}: media type {kind}')
            self.check(media, MEDIA, f'{where} {kind}')
            if 'schema' in media:
                self.check_schema(media['schema'])

    def check_response(self, response, where):
        response = self.follow(response)
        self.check(response, RESPONSE, where)
        for name, header in response.get('headers', {}).items():
            header = self.follow(header)
            self.check(header, HEADER, f'{where} {name}')
            self.check_schema(header['schema'])
        self.check_content(response.get('content', {}), where)

    def check_parameters(self, parameters, path, where):
        seen = set()
        for parameter in map(self.follow, parameters):
            self.check(parameter, PARAMETER, where)
            name = (parameter['in'], parameter['name'])
            expect(name not in seen, f'{where} has {name} twice')
            expect(parameter['in'] in ('path', 'query', 'header'),
                   f'{where}: {name}')
            expect(parameter['in'] != 'path' or parameter.get('required'),
                   f'{where}: {name} must be required')
            seen.add(name)
            self.check_schema(parameter['schema'])
        expect_equal({name for place, name in seen if place == 'path'},
                     set(re.findall(r'\{(\w+)\}', path)),
                     f'{where}: parameters of the path')

    def check_operation(self, operation, shared, path, where):
        self.check(operation, OPERATION, where)
        self.check_parameters(shared + operation.get('parameters', []), path,
                              where)
        for need in operation.get('security', []):
            expect(set(need) <= set(
                self.root['components']['securitySchemes']), f'{where}: {need}')
        if 'requestBody' in operation:
            self.check(operation['requestBody'], BODY, where)
            self.check_content(operation['requestBody']['content'], where)
        expect(operation['responses'], f'{where} has no response')
        for status, response in operation['responses'].items():
            expect(re.fullmatch(r'[1-5]\d\d', status), f'{where}: {status}')
            self.check_response(response, f'{where} {status}')

    def check_all(self):
        self.check(self.root, DOCUMENT, 'the document')
        expect_equal(self.root['openapi'], '3.1.0', 'openapi')
        self.check(self.root['info'], INFO, 'info')
        self.check(self.root['info']['license'], LICENSE, 'license')
        self.check(self.root['components'], COMPONENTS, 'components')
        tags = {tag['name'] for tag in self.root['tags']}
        ids = []
        for path, methods in self.root['paths'].items():
            expect(path.startswith('/'), f'path {path}')
            shared = methods.get('parameters', [])
            for method, operation in operations_of(methods):
                expect(method in METHODS, f'{path}: {method}')
                self.check_operation(operation, shared, path,
                                     f'{method} {path}')
                expect(set(operation['tags']) <= tags, f'{path}: tags')
                ids.append(operation['operationId'])
        expect_equal(len(set(ids)), len(ids), 'different operationIds')
        for name, scheme in self.root['components']['securitySchemes'].items():
            self.check(scheme, SECURITY, f'scheme {name}')
        for kind, things in self.root['components'].items():
            for name in things if kind != 'securitySchemes' else ():
                reference = f'#/components/{kind}/{name}'
                expect(reference in self.used, f'{reference} is not used')


def operations_of(methods):
    """(method, operation) of a path."""
    return [(method, operation) for method, operation in methods.items()
            if method != 'parameters']


def fetch(client):
    answer = client.get('/openapi.json')
    expect_equal(answer.status, 200, 'GET /openapi.json')
    return answer.json()


def check_page(root):
    """docs/http_api.md has the document's paths and problem types, no more and
    no less of these."""
    with open(os.path.join(ROOT, 'docs/http_api.md'), encoding='utf-8') as file:
        page = file.read()
    for path in root['paths']:
        # Of a group of paths the page names those below where it tells them.
        expect(re.search(rf'{re.escape(path)}(?![\w/])', page),
               f'{path} is not on the page')
    rows = page.split('## Problem types\n')[1].split('\n## ')[0]
    types = {name for line in rows.splitlines()
             for name in re.findall(r'`([a-z-]+)`', line.split('|')[1])}
    known = root['components']['schemas']['Problem']['properties']['type']
    expect_equal(sorted(f'/problems/{name}' for name in types),
                 sorted(known['enum']), 'problem types on the page')


def document_case(folder):
    if jsonschema is None:
        raise Skip('there is no python3-jsonschema: scripts/packages.sh test')
    with Server(os.path.join(folder, 'data')) as server, \
            Client(server) as client:
        root = fetch(client)
        version = client.get('/version').json()['version']
    expect_equal(root['info']['version'], version, 'info.version')
    Document(root).check_all()
    check_page(root)


# ---- answers ----

# Headers that are HTTP's own, in every answer or with every body.
OWN_HEADERS = {'date', 'content-type', 'content-length', 'connection',
               'transfer-encoding'}

BODY_JSON = {'Content-Type': JSON}

# (method, path of the document, path sent, status, body, headers)
REQUESTS = (
    ('PUT', '/v1/kv/{key}', '/v1/kv/a', 204, b'value', {}),
    ('PUT', '/v1/kv/{key}', '/v1/kv/%ff?sync=false', 204, b'\xff', {}),
    ('PUT', '/v1/kv/{key}', '/v1/kv/a', 412, b'x', {'If-None-Match': '*'}),
    ('PUT', '/v1/kv/{key}', '/v1/kv/a?replicas=1', 409, b'x', {}),
    ('PUT', '/v1/kv/{key}', '/v1/kv/a?nosuch=1', 400, b'x', {}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 200, None, {}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 200, None, {'Accept': JSON}),
    ('GET', '/v1/kv/{key}', '/v1/kv/%ff', 200, None, {'Accept': JSON}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 206, None, {'Range': 'bytes=0-1'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 416, None, {'Range': 'bytes=99-'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 304, None, {'If-None-Match': '*'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 412, None, {'If-Match': '"99"'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 406, None, {'Accept': 'text/html'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/none', 404, None, {}),
    ('GET', '/v1/kv/{key}', '/v1/kv/none', 404, None, {'X-Request-Id': 'a'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/none', 412, None, {'If-Match': '*'}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a?snapshot=ID', 200, None, {}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a?snapshot=' + 32 * '0', 410, None, {}),
    ('GET', '/v1/kv/{key}', '/v1/kv/a', 503, None,
     {'Leveld-Min-Sequence': '99999999999', 'Leveld-Timeout': '0s'}),
    ('HEAD', '/v1/kv/{key}', '/v1/kv/a', 200, None, {}),
    ('HEAD', '/v1/kv/{key}', '/v1/kv/none', 404, None, {}),
    ('POST', '/v1/batch', '/v1/batch', 200,
     b'{"ops":[{"op":"put","key":"b","value":"1"},{"op":"delete","key":"b"},'
     b'{"op":"delete-range","start":"x"}],'
     b'"if":[{"key":"none","exists":false}]}', BODY_JSON),
    ('POST', '/v1/batch', '/v1/batch', 200, 12 * b'\0', {'Content-Type': BATCH}),
    ('POST', '/v1/batch', '/v1/batch?encoding=base64', 200,
     b'{"op":"put","key":"YWE=","value":"MQ=="}\n', {'Content-Type': NDJSON}),
    ('POST', '/v1/batch', '/v1/batch', 400,
     b'{"op":"delete","key":"b"}\n{"op":1}\n', {'Content-Type': NDJSON}),
    ('POST', '/v1/batch', '/v1/batch', 412,
     b'{"ops":[],"if":[{"key":"a","exists":false}]}', BODY_JSON),
    ('POST', '/v1/batch', '/v1/batch', 400, b'{"ops":[1]}', BODY_JSON),
    ('POST', '/v1/batch', '/v1/batch', 415, b'', {'Content-Type': 'text/css'}),
    ('POST', '/v1/multiget', '/v1/multiget', 200,
     b'{"keys":["a","none"],"values":false}', BODY_JSON),
    ('POST', '/v1/multiget', '/v1/multiget', 400, b'{"keys":[1]}', BODY_JSON),
    ('GET', '/v1/range', '/v1/range?limit=1', 200, None, {}),
    ('GET', '/v1/range', '/v1/range?values=false', 200, None, {}),
    ('GET', '/v1/range', '/v1/range?limit=1', 200, None, {'Accept': NDJSON}),
    ('GET', '/v1/range', '/v1/range?limit=0', 400, None, {}),
    ('HEAD', '/v1/range', '/v1/range', 200, None, {}),
    ('HEAD', '/v1/range', '/v1/range', 200, None, {'Accept': NDJSON}),
    ('DELETE', '/v1/range', '/v1/range?prefix=zz', 200, None, {}),
    ('DELETE', '/v1/range', '/v1/range', 400, None, {}),
    ('GET', '/v1/changes', '/v1/changes?since=0&limit=2', 200, None, {}),
    ('GET', '/v1/changes', '/v1/changes?since=0', 200, None, {}),
    ('GET', '/v1/changes', '/v1/changes?since=0&limit=1', 200, None,
     {'Accept': NDJSON}),
    ('GET', '/v1/changes', '/v1/changes?limit=1', 200, None,
     {'Accept': 'text/event-stream', 'Last-Event-ID': '0'}),
    ('GET', '/v1/changes', '/v1/changes', 400, None, {}),
    ('GET', '/v1/changes', '/v1/changes?since=99999999999', 410, None, {}),
    ('HEAD', '/v1/changes', '/v1/changes?since=0', 200, None, {}),
    ('HEAD', '/v1/changes', '/v1/changes?since=0', 200, None,
     {'Accept': NDJSON}),
    ('HEAD', '/v1/changes', '/v1/changes?since=0', 200, None,
     {'Accept': 'text/event-stream'}),
    ('GET', '/v1/size', '/v1/size', 200, None, {}),
    ('HEAD', '/v1/size', '/v1/size', 200, None, {}),
    ('POST', '/v1/snapshots', '/v1/snapshots', 201, b'{"ttl":"5m"}',
     BODY_JSON),
    ('POST', '/v1/snapshots', '/v1/snapshots', 400, b'{"ttl":"5y"}',
     BODY_JSON),
    ('GET', '/v1/snapshots', '/v1/snapshots', 200, None, {}),
    ('HEAD', '/v1/snapshots', '/v1/snapshots', 200, None, {}),
    ('POST', '/v1/admin/flush', '/v1/admin/flush', 200, b'',
     {'Leveld-Timeout': '60s'}),
    ('POST', '/v1/admin/flush', '/v1/admin/flush', 400, b'{"a":1}', BODY_JSON),
    ('POST', '/v1/admin/compact', '/v1/admin/compact', 200,
     b'{"start":"a","end":"b"}', {**BODY_JSON, 'Leveld-Timeout': '60s'}),
    ('POST', '/v1/admin/compact', '/v1/admin/compact', 200, b'',
     {'Accept': NDJSON}),
    ('POST', '/v1/admin/checkpoint', '/v1/admin/checkpoint', 200,
     b'{"dir":"one"}', {**BODY_JSON, 'Leveld-Timeout': '60s'}),
    ('POST', '/v1/admin/checkpoint', '/v1/admin/checkpoint', 409,
     b'{"dir":"one"}', {**BODY_JSON, 'Leveld-Timeout': '60s'}),
    ('POST', '/v1/admin/checkpoint', '/v1/admin/checkpoint', 400,
     b'{"dir":"../one"}', BODY_JSON),
    ('POST', '/v1/admin/verify', '/v1/admin/verify', 200, b'',
     {'Leveld-Timeout': '60s'}),
    ('POST', '/v1/admin/promote', '/v1/admin/promote', 400, b'{"a":1}',
     BODY_JSON),
    ('POST', '/v1/admin/demote', '/v1/admin/demote', 400, b'{"a":1}',
     BODY_JSON),
    ('POST', '/v1/admin/handover', '/v1/admin/handover', 400, b'{"a":1}',
     BODY_JSON),
    ('GET', '/v1/admin/properties/{name}', '/v1/admin/properties/leveldb.stats',
     200, None, {}),
    ('GET', '/v1/admin/properties/{name}', '/v1/admin/properties/none', 404,
     None, {}),
    ('HEAD', '/v1/admin/properties/{name}',
     '/v1/admin/properties/leveldb.stats', 200, None, {}),
    ('GET', '/v1/admin/tasks', '/v1/admin/tasks', 200, None, {}),
    ('HEAD', '/v1/admin/tasks', '/v1/admin/tasks', 200, None, {}),
    ('GET', '/v1/admin/tasks/{id}', '/v1/admin/tasks/1', 200, None, {}),
    ('GET', '/v1/admin/tasks/{id}', '/v1/admin/tasks/5', 200, None, {}),
    ('GET', '/v1/admin/tasks/{id}', '/v1/admin/tasks/99', 404, None, {}),
    ('HEAD', '/v1/admin/tasks/{id}', '/v1/admin/tasks/1', 200, None, {}),
    ('DELETE', '/v1/admin/tasks/{id}', '/v1/admin/tasks/1', 409, None, {}),
    ('DELETE', '/v1/admin/tasks/{id}', '/v1/admin/tasks/99', 404, None, {}),
    ('GET', '/v1/backup', '/v1/backup', 200, None, {}),
    ('GET', '/v1/digest', '/v1/digest', 200, None, {}),
    ('HEAD', '/v1/digest', '/v1/digest', 200, None, {}),
    ('GET', '/v1/replication/state', '/v1/replication/state', 200, None, {}),
    ('HEAD', '/v1/replication/state', '/v1/replication/state', 200, None, {}),
    ('HEAD', '/v1/replication/files/{name}', '/v1/replication/files/FILE', 200,
     None, {}),
    ('GET', '/v1/replication/files/{name}', '/v1/replication/files/FILE', 200,
     None, {}),
    ('GET', '/v1/replication/files/{name}',
     '/v1/replication/files/FILE?from=1&follow=true', 200, None, {}),
    ('GET', '/v1/replication/files/{name}', '/v1/replication/files/FILE', 206,
     None, {'Range': 'bytes=0-1'}),
    ('GET', '/v1/replication/files/{name}', '/v1/replication/files/FILE', 304,
     None, {'If-None-Match': '*'}),
    ('GET', '/v1/replication/files/{name}',
     '/v1/replication/files/FILE?from=99999999', 416, None, {}),
    ('GET', '/v1/replication/files/{name}', '/v1/replication/files/LOCK', 404,
     None, {}),
    ('POST', '/v1/replication/ack', '/v1/replication/ack', 200, b'ACK',
     BODY_JSON),
    ('POST', '/v1/replication/ack', '/v1/replication/ack', 409, b'OTHER',
     BODY_JSON),
    ('POST', '/v1/replication/ack', '/v1/replication/ack', 400, b'{}',
     BODY_JSON),
    ('PUT', '/v1/kv/{key}', '/v1/kv/a?replicas=1', 504, b'x',
     {'Leveld-Timeout': '1ms'}),
    ('GET', '/v1/replication/followers', '/v1/replication/followers', 200, None,
     {}),
    ('HEAD', '/v1/replication/followers', '/v1/replication/followers', 200,
     None, {}),
    ('POST', '/v1/replication/checkpoint', '/v1/replication/checkpoint', 200,
     b'{"node_id":"0123456789abcdef0123456789abcdef"}', BODY_JSON),
    ('POST', '/v1/replication/checkpoint', '/v1/replication/checkpoint', 200,
     b'{"node_id":"0123456789abcdef0123456789abcdef","id":1}', BODY_JSON),
    ('POST', '/v1/replication/checkpoint', '/v1/replication/checkpoint', 204,
     b'{"node_id":"0123456789abcdef0123456789abcdef","id":1,"release":true}',
     BODY_JSON),
    ('POST', '/v1/replication/checkpoint', '/v1/replication/checkpoint', 410,
     b'{"node_id":"0123456789abcdef0123456789abcdef","id":1}', BODY_JSON),
    ('DELETE', '/v1/replication/followers/{id}',
     '/v1/replication/followers/0123456789abcdef0123456789abcdef', 204, None,
     {}),
    ('DELETE', '/v1/replication/followers/{id}', '/v1/replication/followers/x',
     404, None, {}),
    ('GET', '/v1/replication/diverged', '/v1/replication/diverged?limit=2',
     200, None, {}),
    ('GET', '/v1/replication/diverged',
     '/v1/replication/diverged?after=2-000012.log', 200, None, {}),
    ('GET', '/v1/replication/diverged', '/v1/replication/diverged?after=x', 400,
     None, {}),
    ('HEAD', '/v1/replication/diverged', '/v1/replication/diverged', 200, None,
     {}),
    ('GET', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 200, None, {}),
    ('GET', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 206, None,
     {'Range': 'bytes=0-1'}),
    ('GET', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 304, None,
     {'If-None-Match': '*'}),
    ('GET', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 416, None,
     {'Range': 'bytes=99-'}),
    ('GET', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/LOCK', 404, None, {}),
    ('HEAD', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 200, None, {}),
    ('DELETE', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 204, None, {}),
    ('DELETE', '/v1/replication/diverged/{name}',
     '/v1/replication/diverged/1-000004.log', 404, None, {}),
    ('POST', '/v1/snapshots/{id}', '/v1/snapshots/ID', 200, b'', {}),
    ('DELETE', '/v1/snapshots/{id}', '/v1/snapshots/ID', 204, None, {}),
    ('DELETE', '/v1/snapshots/{id}', '/v1/snapshots/ID', 410, None, {}),
    ('DELETE', '/v1/kv/{key}', '/v1/kv/none', 204, None, {}),
    ('DELETE', '/v1/kv/{key}', '/v1/kv/a', 412, None, {'If-Match': '"99"'}),
    ('GET', '/', '/', 200, None, {}),
    ('HEAD', '/', '/', 200, None, {}),
    ('GET', '/', '/', 406, None, {'Accept': JSON}),
    ('GET', '/stats', '/stats', 200, None, {}),
    ('HEAD', '/stats', '/stats', 200, None, {}),
    ('GET', '/metrics', '/metrics', 200, None, {}),
    ('HEAD', '/metrics', '/metrics', 200, None, {}),
    ('GET', '/openapi.json', '/openapi.json', 200, None, {}),
    ('HEAD', '/openapi.json', '/openapi.json', 200, None, {}),
    ('GET', '/healthz', '/healthz', 200, None, {}),
    ('HEAD', '/healthz', '/healthz', 200, None, {}),
    ('GET', '/readyz', '/readyz', 200, None, {}),
    ('HEAD', '/readyz', '/readyz', 200, None, {}),
    ('GET', '/version', '/version', 200, None, {}),
    ('HEAD', '/version', '/version', 200, None, {}),
)


def validate(root, schema, value, where):
    """The value against a schema of the document."""
    whole = dict(schema, components=root['components'])
    errors = list(jsonschema.Draft202012Validator(whole).iter_errors(value))
    expect(not errors, f'{where}: {errors[0].message if errors else ""}')


def check_body(root, schema, kind, body, where):
    if kind == NDJSON:
        for line in body.splitlines():
            validate(root, schema, json.loads(line), where)
    elif kind in (JSON, 'application/problem+json'):
        validate(root, schema, json.loads(body), where)


def check_answer(document, operation, answer, where):
    told = operation['responses'].get(str(answer.status))
    expect(told, f'{where}: the document has no {answer.status}')
    told = document.follow(told)
    known = {name.lower() for name in told.get('headers', {})} | OWN_HEADERS
    expect(set(answer.headers) <= known,
           f'{where}: headers {set(answer.headers) - known} are not documented')
    if where.startswith('HEAD'):
        return
    kind = answer.headers.get('content-type')
    if kind is None:
        expect('content' not in told, f'{where}: an answer without a body')
        return
    expect(kind in told.get('content', {}), f'{where}: {kind}')
    schema = told['content'][kind].get('schema')
    if schema is not None:
        check_body(document.root, schema, kind, answer.body, where)


def check_request(document, operation, body, headers, where):
    """A JSON body that is taken is one by its schema."""
    kind = headers.get('Content-Type')
    if body and kind:
        content = operation['requestBody']['content']
        expect(kind in content, f'{where}: {kind} is not documented')
        check_body(document.root, content[kind].get('schema'), kind, body,
                   where)


def ack_of(state, epoch_id):
    """A follower that has what the leader has."""
    return json.dumps({
        'protocol': 1, 'node_id': '0123456789abcdef' * 2, 'url': '',
        'epoch': {'number': state['epochs'][-1]['number'], 'id': epoch_id},
        'written': state['durable'], 'synced': state['durable'],
        'applied': state['durable'], 'manifest': state['manifest'],
        'state': 'streaming',
        'tables': {'built': 0, 'fetched': 0, 'mismatched': 0},
    }).encode('ascii')


class Fill:
    """Puts what this server alone knows into targets and bodies."""

    def __init__(self, client):
        self.client = client
        self.snapshot = client.request('POST', '/v1/snapshots').json()['id']

    def target(self, text):
        text = text.replace('ID', self.snapshot)
        if 'FILE' not in text:
            return text
        # A sealed journal: it was flushed.
        journals = self.client.get('/v1/replication/state').json()['journals']
        expect(journals[0]['sealed'], 'the oldest journal is not sealed')
        return text.replace('FILE', f'{journals[0]["number"]:06d}.log')

    def body(self, body):
        if body not in (b'ACK', b'OTHER'):
            return body
        state = self.client.get('/v1/replication/state').json()
        epoch_id = state['epochs'][-1]['id'] if body == b'ACK' else 16 * '0'
        return ack_of(state, epoch_id)


def answers_case(folder):
    if jsonschema is None:
        raise Skip('there is no python3-jsonschema: scripts/packages.sh test')
    seen = set()
    with Server(os.path.join(folder, 'data'), '--checkpoint-dir',
                os.path.join(folder, 'copies')) as server, \
            Client(server) as client:
        document = Document(fetch(client))
        client.put(b'a', b'in the snapshot')
        keep_aside(server.data)
        fill = Fill(client)
        for method, path, target, status, body, headers in REQUESTS:
            body = fill.body(body)
            answer = client.request(method, fill.target(target), body, headers)
            where = f'{method} {target[:60]} {answer.status}'
            expect_equal(answer.status, status, where)
            operation = document.root['paths'][path][method.lower()]
            check_answer(document, operation, answer, where)
            if status < 300:
                check_request(document, operation, body, headers, where)
            seen.add((path, method.lower()))
    told = {(path, method) for path, methods in document.root['paths'].items()
            for method, _ in operations_of(methods)}
    expect_equal(sorted(told - seen), [], 'operations that were not asked')
    return f'{len(REQUESTS)} requests'


def change(document, server, what, body):
    """A change of role that is done, as the document has it."""
    path = f'/v1/admin/{what}'
    body = json.dumps(body).encode('ascii')
    headers = {**BODY_JSON, 'Leveld-Timeout': '60s'}
    with Client(server) as client:
        answer = client.request('POST', path, body, headers)
    where = f'POST {path} {answer.status}'
    expect_equal(answer.status, 200, f'{where} {answer.body!r}')
    operation = document.root['paths'][path]['post']
    check_answer(document, operation, answer, where)
    check_request(document, operation, body, headers, where)
    return answer.json()


def done(answer):
    """Itself; None: it is a refusal, and nothing was written."""
    expect(answer.status in (204, 409), f'{answer}')
    return answer if answer.status == 204 else None


def url_of(server):
    return f'http://127.0.0.1:{server.port}'


def wait_for_epoch(follower, epoch):
    """Until it streams in it: who does not know it may not be promoted."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        with Client(follower) as client:
            now = client.get('/stats').json()['replication'].get('following')
        if now and now['state'] == 'streaming' and now['epoch'] == epoch:
            return
        time.sleep(0.01)
    raise Failure(f'it does not follow in epoch {epoch}: {now}')


def roles_case(folder):
    if jsonschema is None:
        raise Skip('there is no python3-jsonschema: scripts/packages.sh test')
    with Server(os.path.join(folder, 'one')) as one, \
            Server(os.path.join(folder, 'two'), '--role', 'follower',
                   '--leader', url_of(one)) as two:
        with Client(one) as client:
            document = Document(fetch(client))
            client.put(b'a', b'1')
        with Client(two) as client:
            following = client.get('/stats')
            check_answer(document, document.root['paths']['/stats']['get'],
                         following, 'GET /stats of a follower')
            changes = client.get('/v1/changes?since=0')
            expect_equal((changes.status, changes.json()['leader']),
                         (421, url_of(one)), 'changes of a follower')
            check_answer(document,
                         document.root['paths']['/v1/changes']['get'],
                         changes, 'GET /v1/changes of a follower')
        after = change(document, one, 'handover',
                       {'to': url_of(two), 'timeout': '60s'})
        expect_equal(after['role'], 'follower', 'after the handover')
        wait_for_epoch(one, after['epoch'])
        with Client(two) as client:
            # At both: one is to lead again. It is no follower before its ack.
            written = wait_until('a write at both', lambda: done(
                client.request('PUT', '/v1/kv/b?replicas=1', b'2',
                               {'Leveld-Timeout': '5m'}))).sequence()
            page = client.get('/v1/changes?since=1').json()
            expect_equal([item['sequence'] for item in page['items']],
                         [written], 'changes after 1 at the new leader')
        after = change(document, two, 'demote', {'leader': url_of(one)})
        expect_equal(after['role'], 'follower', 'after the demotion')
        after = change(document, one, 'promote', {})
        expect_equal(after['role'], 'leader', 'after the promotion')


def main():
    suite = Suite()
    suite.run('it is an OpenAPI 3.1 document', document_case)
    suite.run('answers are as it says', answers_case)
    suite.run('changes of role are as it says', roles_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
