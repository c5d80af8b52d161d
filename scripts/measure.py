#!/usr/bin/env python3
"""Measure the shape of a C (or C++) code base: sizes of files and functions,
share of comments and of documented prototypes, tests per source line.

For this one: measure.py --label leveld --root . --src 'storage/*' \\
  'replication/*' 'api/*' 'service/*' --test 'tests/*' 'fuzz/*'

  measure.py --label NAME --root DIR   --src GLOB... --test GLOB...
  measure.py --label NAME --git GITDIR --src GLOB... --test GLOB...   (reads HEAD)

A GLOB is matched with fnmatch against the path relative to the root; '*'
crosses '/'. Prefix '!' to exclude. Prints one JSON object.

What is counted (so that the numbers can be argued with):
  code/comment/blank  physical lines; a line with both code and comment counts
                      as both. Licence headers (first comment of a file when it
                      says copyright/licen[cs]e/SPDX) are left out of `comment`.
  function length     lines from the first line of the signature to the closing
                      brace, both included; definitions only; C++ members too.
  header contract     share of prototypes (outside C structs) in headers whose
                      previous non-blank line ends a comment.
  header intro        share of headers that say what they are for (20+ characters
                      that are not licence text) before their first declaration.
  per function        assertions and gotos in source files / function count.
A hand-written lexer, not a compiler: expect a few per cent of error around
heavy macros.
"""
import argparse, fnmatch, json, os, re, statistics, subprocess, sys

EXT = ('.c', '.h', '.cc', '.cpp', '.hpp')

def load(args):
    def wanted(path, globs):
        inc = [g for g in globs if not g.startswith('!')]
        exc = [g[1:] for g in globs if g.startswith('!')]
        return any(fnmatch.fnmatch(path, g) for g in inc) and \
            not any(fnmatch.fnmatch(path, g) for g in exc)
    if args.git:
        names = subprocess.run(['git', '-C', args.git, 'ls-tree', '-r', '--name-only', args.rev],
                               capture_output=True, text=True, check=True).stdout.split('\n')
        reader = subprocess.Popen(['git', '-C', args.git, 'cat-file', '--batch'],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        def read(p):
            reader.stdin.write(f'{args.rev}:{p}\n'.encode()); reader.stdin.flush()
            head = reader.stdout.readline().split()
            if head[1] != b'blob':
                return ''
            data = reader.stdout.read(int(head[2])); reader.stdout.read(1)
            return data.decode('utf-8', 'replace')
    else:
        names = []
        for d, _, fs in os.walk(args.root):
            for f in fs:
                names.append(os.path.relpath(os.path.join(d, f), args.root))
        def read(p):
            return open(os.path.join(args.root, p), encoding='utf-8', errors='replace').read()
    pick = lambda globs: {p: read(p) for p in sorted(names)
                          if p.endswith(EXT) and wanted(p, globs)}
    return pick(args.src), pick(args.test)

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

def split(text):
    """-> (text with comments and literals blanked, comment spans)"""
    comments, out, last = [], [], 0
    for m in TOKEN.finditer(text):
        out.append(text[last:m.start()])
        tok = m.group()
        if tok[0] == '/':
            comments.append((m.start(), m.end()))
            out.append(re.sub(r'[^\n]', ' ', tok))
        else:
            out.append(tok[0] + 'x' * (len(tok) - 2) + tok[-1])
        last = m.end()
    out.append(text[last:])
    return ''.join(out), comments

def blank_preproc(code):
    res, cont = [], False
    for line in code.split('\n'):
        is_pp = cont or line.lstrip().startswith('#')
        cont = is_pp and line.rstrip().endswith('\\')
        res.append(' ' * len(line) if is_pp else line)
    return '\n'.join(res)

def line_counts(text, code, comments):
    lines = text.split('\n')
    is_comment = [False] * len(lines)
    starts = [0]
    for l in lines:
        starts.append(starts[-1] + len(l) + 1)
    import bisect
    for i, (a, b) in enumerate(comments):
        body = text[a:b]
        if i == 0 and re.search(r'copyright|licen[cs]e|spdx', body, re.I):
            # a licence block in // style is several comments; skip the run
            continue
        la, lb = bisect.bisect_right(starts, a) - 1, bisect.bisect_right(starts, max(a, b - 1)) - 1
        for k in range(la, lb + 1):
            is_comment[k] = True
    # drop a leading // licence run
    k = 0
    while k < len(lines) and lines[k].startswith('//') and k < 6 and \
            re.search(r'copyright|licen[cs]e|AUTHORS|rights reserved', '\n'.join(lines[:4]), re.I):
        is_comment[k] = False; k += 1
    codel = [bool(c.strip()) for c in code.split('\n')]
    return sum(codel), sum(is_comment), sum(1 for l in lines if not l.strip())

CONTAINER = re.compile(r'(\bnamespace\b|\bextern\s+"x*")[^()]*$')
CLASS = re.compile(r'^\s*(template\s*<.*>\s*)?(typedef\s+)?(class|struct|union|enum)\b[^()=]*$', re.S)
CTOR = re.compile(r'\)\s*:\s*[^;]*$', re.S)
TAIL = re.compile(r'(?:\b(?:const|override|noexcept|final)|\b[A-Z_][A-Z0-9_]*)\s*$')
TAIL_CALL = re.compile(r'\b(?:[A-Z_][A-Z0-9_]*|__attribute__|throw)\s*$')

def is_signature(seg):
    """does seg end in a parameter list, trailing qualifiers and attributes aside?"""
    seg = seg[-2000:].rstrip()
    for _ in range(8):
        if seg.endswith(')'):
            depth, i = 0, len(seg) - 1
            while i >= 0:
                depth += (seg[i] == ')') - (seg[i] == '(')
                if depth == 0:
                    break
                i -= 1
            head = seg[:max(i, 0)]
            if TAIL_CALL.search(head) and ')' in head:      # trailing ATTRIBUTE(...)
                seg = TAIL_CALL.sub('', head).rstrip()
                continue
            return bool(re.search(r'[\w\]>]\s*$', head)) and \
                not re.search(r'\b(if|while|for|switch|return|sizeof)\s*$', head)
        cut = TAIL.sub('', seg).rstrip()
        if cut == seg:
            return False
        seg = cut
    return False

def functions(code, cxx):
    """yield (first_line, last_line, static?, name)"""
    stack, seg_start = [], 0
    for m in re.finditer(r'[{};]', code):
        ch, pos = m.group(), m.start()
        if ch == ';':
            if all(s != 'func' for s in stack):
                seg_start = pos + 1
            continue
        if ch == '{':
            seg = code[seg_start:pos]
            kind = 'other'
            if all(s == 'open' for s in stack):
                if CONTAINER.search(seg) or re.search(r'\bnamespace\s*$', seg):
                    kind = 'open'
                elif cxx and CLASS.match(re.sub(r'\b(public|private|protected)\s*:', ' ', seg)):
                    kind = 'open'
                elif (is_signature(seg) or (cxx and CTOR.search(seg[-2000:]))) and \
                        not re.search(r'=\s*$', seg) and not re.match(r'\s*(typedef|enum)\b', seg):
                    kind = 'func'
            if kind == 'func':
                lead = len(seg) - len(seg.lstrip())
                nm = re.search(r'([A-Za-z_~][\w:~]*)\s*\(', seg)
                stack.append(('func', seg_start + lead, bool(re.search(r'\bstatic\b', seg)),
                              nm.group(1) if nm else '?'))
                info = stack[-1]
                stack[-1] = 'func'
                stack_info.append(info)
            else:
                stack.append(kind)
            if kind == 'open':
                seg_start = pos + 1
            continue
        # '}'
        if stack:
            k = stack.pop()
            if k == 'func':
                _, start, st, nm = stack_info.pop()
                yield code.count('\n', 0, start), code.count('\n', 0, pos), st, nm
        if all(s != 'func' for s in stack):
            seg_start = pos + 1
stack_info = []

PROTO = re.compile(r'^[^={}()]*[A-Za-z_]\w*\s*\([^{}]*\)[^{}=()]*(?:\(\([^{}]*\)\)\s*)?(?:=\s*0\s*)?$', re.S)

def prototypes(text, code, comments, cxx):
    """yield True/False: documented?"""
    ends = {}
    lines = text.split('\n')
    depth_open, seg_start = [], 0
    comment_end_lines = {text.count('\n', 0, max(a, b - 1)) for a, b in comments}
    for m in re.finditer(r'[{};]', code):
        ch, pos = m.group(), m.start()
        if ch == '{':
            seg = code[seg_start:pos]
            op = bool(CONTAINER.search(seg) or re.search(r'\bnamespace\s*$', seg) or
                      (cxx and CLASS.match(re.sub(r'\b(public|private|protected)\s*:', ' ', seg))))
            depth_open.append(op); seg_start = pos + 1
        elif ch == '}':
            if depth_open: depth_open.pop()
            seg_start = pos + 1
        else:
            seg = code[seg_start:pos]
            if all(depth_open) and len(seg) < 4000 and PROTO.match(seg.strip() or '=') and \
                    not re.match(r'\s*(typedef|return|static_assert|_Static_assert|using)\b', seg):
                body = re.sub(r'^\s*((public|private|protected)\s*:\s*)+', lambda k: re.sub(r'[^\n]', ' ', k.group()), seg)
                lead = len(body) - len(body.lstrip())
                ln = code.count('\n', 0, seg_start + lead)
                k = ln - 1
                while k >= 0 and not lines[k].strip():
                    k -= 1
                near = k in comment_end_lines and ln - k <= 1
                same = code.count('\n', 0, pos) in comment_end_lines
                yield bool(near or same)
            seg_start = pos + 1

BOILER = re.compile(r'copyright|licen[cs]e|spdx|permission|rights reserved|AUTHORS|warrant', re.I)

def has_intro(text):
    """does the header say, before its first declaration, what it is for?"""
    prose = []
    for m in re.finditer(r'//[^\n]*|/\*.*?\*/|\#[^\n]*|[^\s]', text, re.S):
        tok = m.group()
        if tok.startswith('//'):
            if not BOILER.search(tok) and 'can be' not in tok and 'found in' not in tok:
                prose.append(tok.strip('/ '))
        elif tok.startswith('/*'):
            if not BOILER.search(tok):
                prose.append(re.sub(r'[\s*/=-]+', ' ', tok))
            if len(' '.join(prose).strip()) >= 20:
                break
        elif re.match(r'#\s*(ifndef|define\s+\w+\s*$|pragma\s+once|endif|if\s)', tok):
            continue
        else:
            break
    return len(' '.join(prose).strip()) >= 20

ASSERT = re.compile(r'\b(?!static_assert|_Static_assert)\w*(?:assert|ASSERT)\w*\s*\(|\bBUG(?:_ON)?\s*\(|\bDCHECK\w*\s*\(')

def measure(files):
    r = dict(files=0, headers=0, code=0, comment=0, blank=0, funcs=[], statics=0, protos=0,
             documented=0, intro=0, asserts=0, gotos=0, over80=0, over100=0, lines=0, sizes=[], longest=[])
    for path, text in files.items():
        text = text.replace('\r\n', '\n')
        cxx = path.endswith(('.cc', '.cpp', '.hpp')) or bool(re.search(r'^class \w', text, re.M)) \
            or bool(re.search(r'^namespace \w', text, re.M))
        code, comments = split(text)
        c, k, b = line_counts(text, code, comments)
        r['files'] += 1; r['code'] += c; r['comment'] += k; r['blank'] += b
        n = text.count('\n'); r['lines'] += n; r['sizes'].append(n)
        for l in text.split('\n'):
            w = len(l.expandtabs(8))
            r['over80'] += w > 80; r['over100'] += w > 100
        flat = blank_preproc(code)
        stack_info.clear()
        for a, z, st, nm in functions(flat, cxx):
            r['funcs'].append(z - a + 1); r['statics'] += st
            r['longest'].append((z - a + 1, f'{path}:{nm}'))
        if path.endswith(('.h', '.hpp')):
            r['headers'] += 1; r['intro'] += has_intro(text)
            for d in prototypes(text, flat, comments, cxx):
                r['protos'] += 1; r['documented'] += d
        r['asserts'] += len(ASSERT.findall(flat)); r['gotos'] += len(re.findall(r'\bgoto\s+\w', flat))
    f = sorted(r['funcs']) or [0]
    q = lambda p: f[min(len(f) - 1, int(p * len(f)))]
    nf = max(1, len(r['funcs']))
    return {
        'files': r['files'], 'headers': r['headers'], 'lines': r['lines'], 'code': r['code'],
        'comment_pct': round(100 * r['comment'] / max(1, r['comment'] + r['code']), 1),
        'file_median': int(statistics.median(r['sizes'] or [0])), 'file_max': max(r['sizes'] or [0]),
        'files_over_1000_pct': round(100 * sum(s > 1000 for s in r['sizes']) / max(1, r['files']), 1),
        'funcs': len(r['funcs']), 'fn_mean': round(statistics.mean(f), 1), 'fn_median': int(statistics.median(f)),
        'fn_p90': q(.90), 'fn_p99': q(.99), 'fn_max': f[-1],
        'fn_over70_pct': round(100 * sum(x > 70 for x in f) / nf, 1),
        'static_pct': round(100 * r['statics'] / nf, 1),
        'protos': r['protos'], 'header_contract_pct': round(100 * r['documented'] / max(1, r['protos']), 1),
        'header_intro_pct': round(100 * r['intro'] / max(1, r['headers']), 1),
        'asserts_per_fn': round(r['asserts'] / nf, 2), 'gotos_per_100fn': round(100 * r['gotos'] / nf, 1),
        'over80_pct': round(100 * r['over80'] / max(1, r['lines']), 1),
        'over100_pct': round(100 * r['over100'] / max(1, r['lines']), 1),
        'longest': [f'{n} {w}' for n, w in sorted(r['longest'], reverse=True)[:3]],
    }

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--label', default='')
    ap.add_argument('--root'); ap.add_argument('--git'); ap.add_argument('--rev', default='HEAD')
    ap.add_argument('--src', nargs='+', required=True); ap.add_argument('--test', nargs='*', default=['!*'])
    a = ap.parse_args()
    src, test = load(a)
    s, t = measure(src), measure(test)
    s['test_files'], s['test_lines'] = t['files'], t['lines']
    s['test_to_src'] = round(t['code'] / max(1, s['code']), 2)
    s['test_fn_median'] = t['fn_median']
    print(json.dumps({'label': a.label, **s}))

if __name__ == '__main__':
    main()
