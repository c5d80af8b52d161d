#!/usr/bin/env python3
"""The page at /: one file that a strict policy lets run, and what it shows is
in /stats."""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'support'))
from leveld import (PATIENCE, Client, Server, Skip, Suite, expect,
                    expect_equal)

# Bytes of the page at most.
SIZE = 20 << 10


def fetch(folder):
    with Server(os.path.join(folder, 'data')) as server, \
            Client(server) as client:
        expect_equal(client.put(b'a', b'value').status, 204, 'PUT')
        page = client.get('/', {'Accept': 'text/html,*/*;q=0.8'})
        expect_equal(page.status, 200, 'GET /')
        return page, client.get('/stats').json()


def inside(page, element):
    found = re.findall(f'<{element}>(.*?)</{element}>', page, re.DOTALL)
    expect_equal(len(found), 1, f'elements {element}')
    return found[0]


def policy_case(folder):
    answer, _ = fetch(folder)
    page = answer.body.decode('utf-8')
    expect(len(answer.body) < SIZE, f'{len(answer.body)} bytes')
    policy = dict(part.strip().split(' ', 1) for part in
                  answer.headers['content-security-policy'].split(';'))
    for element, name in (('script', 'script-src'), ('style', 'style-src')):
        digest = hashlib.sha256(inside(page, element).encode()).digest()
        expect_equal(policy[name],
                     f"'sha256-{base64.b64encode(digest).decode()}'", name)
    expect_equal(policy['default-src'], "'none'", 'default-src')
    expect_equal(policy['connect-src'], "'self'", 'connect-src')
    expect_equal(policy['frame-ancestors'], "'none'", 'frame-ancestors')
    # What the policy would forbid, or fetch from elsewhere.
    for bad in (r'\son\w+=', r'\sstyle=', r'\ssrc=', r'https?:', r'//\w',
                r'@import', r'url\(', r'innerHTML', r'localStorage',
                r'sessionStorage', r'document\.cookie', r'\beval\b'):
        found = re.search(bad, page)
        expect(not found, f'{bad} in the page: {found}')
    links = re.findall(r'href="([^"]*)"', page)
    expect_equal(set(links), {'/stats'}, 'links')
    return f'{len(answer.body)} bytes'


def member(value, path):
    for name in path.split('.'):
        expect(isinstance(value, dict) and name in value,
               f'{path} is not in /stats')
        value = value[name]
    return value


def fields_case(folder):
    answer, stats = fetch(folder)
    page = answer.body.decode('utf-8')
    fields = re.findall(r'data-field="([^"]+)"', page)
    rates = re.findall(r'data-rate="([^"]+)"', page)
    expect(len(fields) > 30 and len(rates) > 3, f'{fields} {rates}')
    for path in fields:
        expect(not isinstance(member(stats, path), (dict, list)), path)
    for path in rates:
        expect(isinstance(member(stats, path), int), path)
    count = 0
    for table in re.findall(r'<table.*?</table>', page, re.DOTALL):
        rows = member(stats, re.search(r'data-rows="([^"]+)"', table).group(1))
        expect(isinstance(rows, list) and rows, table)
        columns = re.findall(r'data-(?:column|while)="([^"]+)"', table)
        for path in columns:
            member(rows[0], path)
        count += len(columns)
    # Those that the script itself names.
    for name in re.findall(r'\bstats\.(\w+)', inside(page, 'script')):
        expect(name in stats or name == 'reason', f'stats.{name}')
    return f'{len(fields) + len(rates) + count} members'


def markup_case(folder):
    """Sound enough for a reader's aid: language, title, labels, headings."""
    page = fetch(folder)[0].body.decode('utf-8')
    expect(page.startswith('<!doctype html>\n<html lang="en">'), page[:60])
    ids = re.findall(r'\sid="([^"]+)"', page)
    expect_equal(len(ids), len(set(ids)), 'ids')
    for name in re.findall(r'(?:for|aria-labelledby)="([^"]+)"', page):
        expect(name in ids, f'nothing has the id {name}')
    inputs = re.findall(r'<input[^>]*>', page)
    for text in inputs:
        name = re.search(r'id="([^"]+)"', text).group(1)
        expect(f'<label for="{name}">' in page, f'no label of {name}')
    opened = re.findall(r'<(section|table|dl|div|dt|dd|th|tr|form|main)\b',
                        page)
    closed = re.findall(r'</(section|table|dl|div|dt|dd|th|tr|form|main)>',
                        page)
    for name in set(opened):
        expect_equal(closed.count(name), opened.count(name), f'ends of {name}')
    expect('prefers-color-scheme: dark' in page, 'no dark colours')


# A browser, as far as the script asks for one; prints what it has put where.
BROWSER = r'''
const fs = require('fs');
const page = fs.readFileSync(process.argv[2], 'utf8');
const answers = JSON.parse(fs.readFileSync(process.argv[3], 'utf8'));
const places = {};
const dataOf = text => Object.fromEntries([...text.matchAll(
    /\sdata-([a-z]+)="([^"]*)"/g)].map(m => [m[1], m[2]]));
const tags = name => [...page.matchAll(
    new RegExp('<[a-z]+[^>]*\\sdata-' + name + '="[^>]*>', 'g'))].map(
    m => places[m.index] ??= {dataset: dataOf(m[0]), textContent: ''});
const tables = [...page.matchAll(/<table[^]*?<\/table>/g)].map(m => ({
  dataset: dataOf(m[0].match(/<table[^>]*>/)[0]), rows: [],
  columns: [...m[0].matchAll(/<th\s[^>]*>/g)].map(c => ({dataset: dataOf(c[0])})),
  get tBodies() { return [{replaceChildren: (...r) => this.rows = r}]; },
  querySelectorAll() { return this.columns; }}));
const ids = {};
global.document = {
  hidden: false,
  querySelectorAll: what => what === '[data-rows]' ? tables :
      tags(what.slice(6, -1)),
  getElementById: id => ids[id] ??= {textContent: '', value: '',
      addEventListener(kind, f) { this.on = f; }},
  createElement: () => ({cells: [], append(c) { this.cells.push(c); }}),
  addEventListener() {}};
const asked = [];
global.fetch = async (path, options) => {
  asked.push([path, options.headers]);
  const answer = answers.shift();
  return {status: answer.status, ok: answer.status === 200,
          json: async () => answer.body};
};
const turns = [];
global.setTimeout = f => turns.push(f);
global.clearTimeout = () => {};
const settle = () => new Promise(done => setImmediate(done));
(async () => {
  (0, eval)(page.match(/<script>([^]*?)<\/script>/)[1]);
  for (let i = 0; i < 5; i++) await settle();
  const first = document.getElementById('status').textContent;
  document.getElementById('token').value = 'secret';
  document.getElementById('access').on({preventDefault() {}});
  for (let i = 0; i < 5; i++) await settle();
  await turns.at(-1)();
  console.log(JSON.stringify({first, asked,
    status: document.getElementById('status').textContent,
    left: document.getElementById('token').value,
    rate: document.getElementById('rate').textContent,
    fields: Object.fromEntries(tags('field').map(
        p => [p.dataset.field, p.textContent])),
    tables: tables.map(t => t.rows.map(r => r.cells.map(
        c => c.textContent)))}));
})();
'''


def script_case(folder):
    """What the script makes of answers: without a token, with one, again."""
    if shutil.which('node') is None:
        raise Skip('there is no node to run the script')
    answer, stats = fetch(folder)
    paths = {name: os.path.join(folder, name)
             for name in ('browser.js', 'page.html', 'answers.json')}
    later = dict(stats, sequence=stats['sequence'] + 1)
    answers = [{'status': 401}, {'status': 200, 'body': stats},
               {'status': 200, 'body': later}]
    for name, text in (('browser.js', BROWSER),
                       ('page.html', answer.body.decode('utf-8')),
                       ('answers.json', json.dumps(answers))):
        with open(paths[name], 'w', encoding='utf-8') as file:
            file.write(text)
    done = subprocess.run(
        ['node', *(paths[name] for name in
                   ('browser.js', 'page.html', 'answers.json'))],
        check=False, capture_output=True, timeout=PATIENCE)
    expect_equal(done.returncode, 0, f'node: {done.stderr.decode()}')
    got = json.loads(done.stdout)
    expect('token' in got['first'], f'without a token: {got["first"]}')
    expect_equal(got['asked'], [['/stats', {}]] + 2 * [
        ['/stats', {'Authorization': 'Bearer secret'}]], 'what was asked')
    expect_equal(got['left'], '', 'the field of the token')
    expect_equal(got['status'], 'Ready.', 'the status')
    expect_equal(got['rate'], '0', 'requests a second')
    expect_equal(got['fields']['role'], 'leader', 'role')
    expect_equal(got['fields']['ready'], 'yes', 'ready')
    expect_equal(got['fields']['sequence'], str(later['sequence']), 'sequence')
    empty = [name for name, text in got['fields'].items() if not text]
    expect_equal(empty, [], 'fields that show nothing')
    routes = [row[0] for row in got['tables'][1]]
    expect('PUT /v1/kv/{key}' in routes, f'routes {routes}')


def main():
    suite = Suite()
    suite.run('one page under a strict policy', policy_case)
    suite.run('what it names is in /stats', fields_case)
    suite.run('its markup', markup_case)
    suite.run('its script', script_case)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
