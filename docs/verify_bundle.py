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
    q = 0, 1
    for bit in bin(n)[2:]: q = add(add(q, q), p) if bit == "1" else add(q, q)
    return q

def point(raw):
    y, odd = int.from_bytes(raw, "little") % 2**255, raw[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    need(y < P and (x * x - square) % P == 0, "the key is not on the curve")
    return (x if x % 2 == odd else -x % P), y

BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))

def is_signed(public, message, signature):
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    x, y = point(public)
    x, y = add(times(s, BASE), times(k, (-x % P, y))) if len(signature) == 64 and s < L else (0, 0)
    return (y | x % 2 << 255).to_bytes(32, "little") == signature[:32]

# Keys, notes and checkpoints (C2SP signed-note, tlog-checkpoint). An epoch of the log has a name of its own.
def b64(text):
    try: raw = base64.b64decode(text, validate=True)
    except ValueError: raise Broken("this is not base64")
    need(base64.b64encode(raw).decode() == text, "base64 in another spelling")
    return raw

def key_id(name, key): return sha(name.encode(), b"\n", key)[:4]

def verifier(text):
    name, _, rest = text.partition("+")
    key = b64(rest.partition("+")[2])
    need(name and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", name) and len(key) == 33 and key[0] == 1
         and rest.partition("+")[0] == key_id(name, key).hex(), f"{text!r} is not a verifier key")
    return text, name, key

def opened(note, keys):
    """The verifier key, and the name, size and root that it signed."""
    need(len(note.encode()) <= 65536 and not re.search(r"[\x00-\x09\x0b-\x1f]", note), "the note is malformed")
    body, blank, signatures = note.rpartition("\n\n")
    lines = (body + "\n").split("\n")[:-1]
    need(blank and signatures.endswith("\n"), "the note is malformed")
    signatures = [re.fullmatch("\u2014 (\\S*) (.*)", line) for line in signatures[:-1].split("\n")]
    need(all(signatures), "a signature line is malformed")
    signatures = [(line[1], b64(line[2])) for line in signatures]
    need(all(len(raw) >= 4 for _, raw in signatures), "a signature line is malformed")
    for text, name, key in keys:
        known = lines[0] if re.fullmatch(re.escape(name) + "/epoch-[1-9][0-9]*", lines[0]) else name
        mine = [raw[4:] for signer, raw in signatures if signer == known and raw[:4] == key_id(known, key)]
        if mine and all(is_signed(key[1:], body.encode() + b"\n", signature) for signature in mine):
            need(len(lines) > 2 and all(lines) and lines[0] == known and re.fullmatch("0|[1-9][0-9]{0,18}", lines[1])
                 and len(b64(lines[2])) == 32, "the note is no checkpoint of this log")
            return (text, name), (known, int(lines[1]), b64(lines[2]))
    raise Broken("no signature by a known key")

# The tree (RFC 6962, section 2.1), from left to right, as the roots of its complete subtrees.
class Walk:
    def __init__(self, kept): self.size, self.nodes, self.kept, self.met = 0, [], kept, set()

    def add(self, height, node):
        at = self.size >> height
        while at & 1: node, at = sha(b"\1", self.nodes.pop(), node), at >> 1
        self.nodes.append(node)
        self.size += 1 << height

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

    def compare(self):
        for size, root in self.kept:
            if size == self.size:
                need(root == self.root(), "it does not continue a kept checkpoint: a fork")
                self.met.add(size)

# JSON with one spelling, and the shapes of its lines.
def strict(text, fault, least):
    def integer(digits):
        need(least <= int(digits) < 2**64 and digits != "-0", "a number is out of range", fault)
        return int(digits)
    def members(pairs):
        need(len(dict(pairs)) == len(pairs), "a key is there twice", fault)
        return dict(pairs)
    def refuse(_): raise fault("a number is not an integer")
    try: return json.loads(text, parse_int=integer, parse_float=refuse, parse_constant=refuse, object_pairs_hook=members)
    except (ValueError, RecursionError): raise fault("this is not JSON")

SHAPES = {
    "bundle": {"version": int, "origin": str, "keys": [str], "checkpoint": str},
    "skipped": {"from": int, "until": int, "hashes": [bytes]},
    "entry": {"index": int, "leaf": str},
    "text": {"kind": str, "sha256": bytes, "body": str},
}

def shaped(value, shape):
    if isinstance(shape, list) and isinstance(value, list): return [shaped(item, shape[0]) for item in value]
    if shape is bytes and re.fullmatch("[0-9a-f]{64}", value if isinstance(value, str) else ""): return bytes.fromhex(value)
    need(type(value) is shape, "a line of another shape", Foreign)
    return value

def lines(file):
    for line in iter(lambda: file.readline(2**26), b""):
        value = strict(line.decode("utf-8"), Foreign, 0)
        kind = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else None
        shape = SHAPES.get(kind, {})
        need(shape and isinstance(value[kind], dict) and set(value[kind]) == set(shape), "no line of a bundle", Foreign)
        yield kind, [shaped(value[kind][name], shape[name]) for name in shape]

def named_texts(leaf):
    need(leaf.startswith("\x01"), "the entry is not of a known version")
    entry = strict(leaf[1:], Broken, -2**63)
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    need(canonical == leaf[1:], "the entry is not canonical")
    event = entry.get("event") if isinstance(entry, dict) else None
    versions = [event.get("policy"), event.get("before")] if isinstance(event, dict) else []
    versions = [version for version in versions if isinstance(version, dict)]
    return {(kind, version[kind]) for version in versions for kind in ("entities", "policies", "schema")
            if isinstance(version.get(kind), str)}

def known_keys(texts):
    for text in texts:
        try: yield verifier(text)
        except Broken: pass

def check(file, given, kept):
    rest, named, texts, entries = lines(file), set(), set(), 0
    kind, header = next(rest, (None, None))
    need(kind == "bundle" and header[0] == 1, "not a bundle of version 1", Foreign)
    keys = given or list(known_keys(header[2]))
    (key, name), (origin, size, root) = opened(header[3], keys)
    need(name == header[1], "it names another log than the key")
    walk = Walk([opened(note, keys)[1][1:] for note in kept])
    walk.compare()
    for kind, value in rest:
        need(kind != "bundle", "a second header")
        if kind == "skipped": walk.skip(*value)
        elif kind == "text":
            need(sha(value[2].encode()) == value[1], "a text is not the one that its hash names")
            need((value[0], value[1].hex()) not in texts, "a text is there twice")
            texts.add((value[0], value[1].hex()))
        else:
            need(value[0] == walk.size, "an entry stands at another's place")
            named |= named_texts(value[1])
            walk.add(0, sha(b"\0", value[1].encode()))
            entries += 1
        walk.compare()
    need(size == walk.size, f"its lines cover {walk.size} entries, {size} were signed")
    need(root == walk.root(), "its entries and hashes do not come to the root that was signed")
    need(texts <= named, "no entry names one of the texts")
    need(all(size in walk.met for size, _ in walk.kept), "it says nothing about a kept checkpoint", Foreign)
    print(f"sound: {entries} entries of {origin}\n  log          {size} entries, root {root.hex()}")
    print(f"  rules        {len(texts)} of the {len(named)} texts that the entries name are here, unchanged")
    print(f"  signed by    {key}, " + ("the key that was given" if given else "a key out of the file itself: give --key"))

def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    for option in ("--key", "--checkpoint"): parser.add_argument(option, action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        given = list(known_keys(options.key))
        need(len(given) == len(options.key), "--key: this is not a verifier key", Foreign)
        kept = [open(path, encoding="utf-8", newline="").read().rstrip("\n") + "\n" for path in options.checkpoint]
        with open(options.file, "rb") as file: check(file, given, kept)
    except Broken as fault: return print(f"broken: {fault}") or 1
    except (Foreign, OSError, UnicodeDecodeError) as fault: return print(f"could not look: {fault}", file=sys.stderr) or 2
    return 0

if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
