#!/usr/bin/env python3
"""Checks a bundle of Bailiwick's audit log (docs/EVIDENCE.md) with Python's standard library alone.
python3 verify_bundle.py FILE [--key VERIFIER-KEY]... [--checkpoint NOTE-FILE]...
Exit code: 0 sound, 1 broken, 2 it could not be looked at. Shares not one line with Bailiwick."""
import argparse, base64, hashlib, json, re, sys

class Broken(Exception): "It was looked at, and does not hold."
class Foreign(Exception): "It could not be looked at."

def need(holds, what, fault=Broken):
    if not holds: raise fault(what)

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()

# Ed25519 (RFC 8032, section 5.1.7). Nothing here is secret, so nothing needs to take the same time.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def add(p, q):
    t = D * p[0] * q[0] * p[1] * q[1]
    return (p[0] * q[1] + p[1] * q[0]) * pow(1 + t, -1, P) % P, (p[1] * q[1] + p[0] * q[0]) * pow(1 - t, -1, P) % P

def times(n, p):
    if n == 0: return 0, 1
    half = times(n // 2, add(p, p))
    return add(half, p) if n % 2 else half

def point(raw):
    y = int.from_bytes(raw, "little") % 2**255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    need(y < P and (x * x - square) % P == 0, "the key is not on the curve")
    return (x if x % 2 == raw[31] >> 7 else -x % P), y

def is_signed(public, message, signature):
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    if len(signature) != 64 or s >= L: return False
    base, (x, y) = point((4 * pow(5, -1, P) % P).to_bytes(32, "little")), point(public)
    x, y = add(times(s, base), times(k, (-x % P, y)))
    return (y | x % 2 << 255).to_bytes(32, "little") == signature[:32]

# Keys and notes (C2SP signed-note, tlog-checkpoint). A key signs for every epoch of its log.
def b64(text):
    try: raw = base64.b64decode(text, validate=True)
    except ValueError: raise Broken("this is not base64")
    need(base64.b64encode(raw).decode() == text, "base64 in another spelling")
    return raw

def key_id(name, key): return sha(name.encode(), b"\n", key)[:4]

def public(verifier):
    """Name and key in a verifier key; None if it is none."""
    parts = re.fullmatch(r"([^\s+\x00-\x1f\x7f-\x9f]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", verifier)
    try: key = b64(parts[3] if parts else "")
    except Broken: return None
    return (parts[1], key) if len(key) == 33 and key[0] == 1 and parts[2] == key_id(parts[1], key).hex() else None

class Note:
    def __init__(self, text, log):
        """A checkpoint of the log, whoever signed it."""
        parts = re.fullmatch("((.+)\n(0|[1-9][0-9]{0,18})\n(.+)\n(?:.+\n)*)\n((?:\u2014 [^ \n]+ [^ \n]+\n)+)", text)
        need(parts and len(text.encode()) <= 65536 and not re.search(r"[\x00-\x09\x0b-\x1f]", text), "a malformed note")
        epoch = re.fullmatch(re.escape(log) + "(?:/epoch-([1-9][0-9]*))?", parts[2])
        self.body, self.name, self.size, self.root = parts[1].encode(), parts[2], int(parts[3]), b64(parts[4])
        need(epoch and len(self.root) == 32, "this is no checkpoint of the log")
        self.epoch, self.lines = int(epoch[1] or 0), [line.split(" ")[1:] for line in parts[5].splitlines()]
        self.lines = [(name, b64(raw)) for name, raw in self.lines]
        need(all(len(raw) >= 4 for _, raw in self.lines), "a malformed note")

    def signers(self, verifiers):
        """Those of the keys that signed it, of which there must be one."""
        found = []
        for verifier in verifiers:
            name, key = public(verifier)
            name = self.name if re.fullmatch(re.escape(name) + "/epoch-[1-9][0-9]*", self.name) else name
            mine = [raw[4:] for at, raw in self.lines if at == name and raw[:4] == key_id(name, key)]
            if mine and all(is_signed(key[1:], self.body, raw) for raw in mine): found.append(verifier)
        need(found, "no signature by a known key")
        return found

# The tree (RFC 6962, section 2.1), from left to right, as the roots of its complete subtrees.
class Tree:
    size, nodes = 0, ()

    def add(self, height, node):
        at, nodes = self.size >> height, list(self.nodes)
        while at & 1: node, at = sha(b"\1", nodes.pop(), node), at >> 1
        self.nodes, self.size = nodes + [node], self.size + (1 << height)

    def root(self):
        root = self.nodes[-1] if self.nodes else sha()
        for left in self.nodes[-2::-1]: root = sha(b"\1", left, root)
        return root

    def skip(self, start, end, hashes):
        need(start == self.size and start < end < 2**63, "what is skipped does not begin where the walk is")
        for node in hashes:
            need(self.size < end, "what is skipped has another number of hashes")
            fits = (end - self.size).bit_length() - 1
            self.add(min(fits, (self.size & -self.size).bit_length() - 1) if self.size else fits, node)
        need(self.size == end, "what is skipped has another number of hashes")

# The lines. What an entry says is believed because its bytes lead to the root; only the lines themselves are strict.
def members(pairs):
    need(len(dict(pairs)) == len(pairs), "a member is there twice", Foreign)
    return dict(pairs)

SHAPES = {"bundle": {"version": int, "origin": str, "keys": [str], "checkpoint": str}, "checkpoint": {"note": str},
          "skipped": {"from": int, "until": int, "hashes": [bytes]}, "entry": {"index": int, "leaf": str},
          "text": {"kind": str, "sha256": bytes, "body": str}}

def shaped(value, shape):
    if type(value) is list and type(shape) is list: return [shaped(item, shape[0]) for item in value]
    if shape is bytes and re.fullmatch("[0-9a-f]{64}", value if type(value) is str else ""): return bytes.fromhex(value)
    need(type(value) is shape and (shape is str or value >= 0), "a line of another shape", Foreign)
    return value

def lines(file):
    for line in iter(lambda: file.readline(2**26), b""):
        try: (kind, value), = json.loads(line.decode("utf-8"), object_pairs_hook=members).items()
        except (ValueError, AttributeError, RecursionError): raise Foreign("this is no line of a bundle")
        need(type(value) is dict and set(value) == set(SHAPES.get(kind, ())), "no line of a bundle", Foreign)
        yield kind, [shaped(value[name], shape) for name, shape in SHAPES[kind].items()]

def event_of(leaf):
    try: event = json.loads(leaf[1:]).get("event")
    except (ValueError, AttributeError, RecursionError): raise Broken("this is no entry")
    need(leaf[0] == "\x01", "the entry is not of a known version")
    return event if type(event) is dict else {}

def named_texts(event):
    versions = [version for version in (event.get("policy"), event.get("before")) if isinstance(version, dict)]
    return {(kind, version[kind]) for version in versions for kind in ("entities", "policies", "schema")
            if isinstance(version.get(kind), str)}

def check(file, given, kept):
    rest, tree, entries, texts, named = lines(file), Tree(), 0, set(), set()
    kind, header = next(rest, (None, None))
    need(kind == "bundle" and header[0] == 1, "not a bundle of version 1", Foreign)
    log, in_file, signed = header[1], [key for key in header[2] if public(key)], Note(header[3], header[1])
    kept, roots, notes, rotated, cuts = [Note(note, log) for note in kept], {0: tree.root()}, [], [], []
    counts, known = {*(given or in_file)}, dict.fromkeys([*given, *in_file])

    def confirm(note):
        """A key that signed the entry that names the next vouches for it, if it counts itself."""
        by = note.signers(known)
        for old, new in rotated:
            if old in by and old in counts: counts.add(new)
        return by

    for kind, value in rest:
        need(kind != "bundle", "a second header")
        if kind == "skipped": tree.skip(*value)
        elif kind == "text":
            text = value[0], value[1].hex()
            need(sha(value[2].encode()) == value[1] and text not in texts, "a text has another hash, or is there twice")
            texts.add(text)
        elif kind == "checkpoint":
            notes.append(Note(value[0], log))
            need((notes[-1].size, notes[-1].root) == (tree.size, tree.root()), "a checkpoint of something else")
            confirm(notes[-1])
        else:
            event = event_of(value[1])
            need(value[0] == tree.size, "an entry stands at another's place")
            if event.get("kind") == "key-rotated" and public(event["retired"]) and public(event["active"]):
                rotated.append((event["retired"], event["active"]))
                known.update(dict.fromkeys(rotated[-1]))
            if event.get("kind") == "epoch-began" and event["size"] == tree.size: cuts.append(event)
            named, entries = named | named_texts(event), entries + 1
            tree.add(0, sha(b"\0", value[1].encode()))
        if any(note.size == tree.size for note in kept): roots[tree.size] = tree.root()
    need(signed.size == tree.size, f"its lines cover {tree.size} entries, {signed.size} were signed")
    need(signed.root == tree.root(), "its entries and hashes do not come to the root that was signed")
    need(texts <= named, "no entry names one of the texts")
    by = [key for key in confirm(signed) if key in counts]
    need(by and public(by[0])[0] == log, "no key that counts has signed it")
    for note in kept:
        note.signers(known)
        cut = next((cut for cut in cuts if note.epoch < cut["epoch"] <= signed.epoch), None)
        end = (cut["published_size"], cut["published_root"]) if cut else (0, "")
        if roots.get(note.size) == note.root: notes.append(note)
        elif note.size < end[0] or (note.size, note.root.hex()) == end:
            roots[note.size] = None  # It is lost, and somebody has accepted that.
        else: need(note.size not in roots, "it does not continue a kept checkpoint: a fork")
    for old, new in reversed(rotated):
        if new in counts: counts.add(old)
    need(all(counts & {*note.signers(known)} for note in notes), "no key that counts has signed one of its checkpoints")
    need(all(note.size in roots for note in kept), "it says nothing about a kept checkpoint", Foreign)
    print(f"sound: {entries} entries of {log}\n  log          {signed.size} entries, root {signed.root.hex()}")
    print(f"  rules        {len(texts)} of the {len(named)} texts that the entries name are here, unchanged")
    for cut in cuts: print("  epoch {epoch}      from entry {size}, accepted by {by!a}: {why!a}".format(**cut))
    whose = "the key that was given" if by[0] in given else "for which the key vouches that was given"
    print(f"  signed by    {by[0]}, {whose if given else 'a key out of the file itself: give --key'}")

def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    for option in ("--key", "--checkpoint"): parser.add_argument(option, action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        need(all(map(public, options.key)), "--key: this is not a verifier key", Foreign)
        kept = [open(path, encoding="utf-8", newline="").read().rstrip("\n") + "\n" for path in options.checkpoint]
        with open(options.file, "rb") as file: check(file, options.key, kept)
    except Broken as fault: return print(f"broken: {fault}") or 1
    except (Foreign, OSError, UnicodeDecodeError) as fault: return print(f"could not look: {fault}", file=sys.stderr) or 2
    return 0

if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
