#!/usr/bin/env python3
"""Checks a bundle of Bailiwick's audit log (docs/EVIDENCE.md) with Python's standard library alone.
python3 verify_bundle.py FILE [--key VERIFIER-KEY]... [--checkpoint NOTE-FILE]...
Exit code: 0 sound, 1 broken, 2 it could not be looked at. Shares not one line with Bailiwick."""
import argparse, base64, functools, hashlib, json, re, sys
if sys.version_info < (3, 8): sys.exit(print("could not look: it takes Python 3.8 or later", file=sys.stderr) or 2)

class CannotLook(Exception): "Nothing is claimed about the log. Any other exception: the bundle does not hold."

def need(holds, what, fault=ValueError):
    if not holds: raise fault(what)

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()

def unbase64(text):
    need(base64.b64encode(base64.b64decode(text)).decode() == text, "base64 in another spelling")
    return base64.b64decode(text)

# Ed25519 (RFC 8032, section 5.1.7). Nothing here is secret, so nothing needs to take the same time.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def add(p, q):
    (a, b), (c, d) = p, q
    t = D * a * b * c * d
    return (a * d + b * c) * pow(1 + t, -1, P) % P, (b * d + a * c) * pow(1 - t, -1, P) % P

def times(n, p):
    half = times(n // 2, add(p, p)) if n else (0, 1)
    return add(half, p) if n % 2 else half

def point(number):
    odd, y = divmod(number, 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square: x = x * pow(2, (P - 1) // 4, P) % P
    need(y < P and x * x % P == square and x >= odd, "a key is not on the curve")
    return (x if x % 2 == odd else P - x), y

def is_signed(key, message, signature):
    r, s, key_number = (int.from_bytes(raw, "little") for raw in (signature[:32], signature[32:], key))
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    base, (x, y) = point(4 * pow(5, -1, P) % P), point(key_number)
    x, y = add(times(s % L, base), times(k, (P - x, y)))
    return len(signature) == 64 and s < L and r == x % 2 * 2**255 + y

# Keys and checkpoints (C2SP signed-note, tlog-checkpoint). A key signs for every epoch of its log.
def key_id(name, key): return sha(name.encode(), b"\n", key)[:4]

def public(verifier, log):
    """The key in a verifier key of the log, its algorithm before it; nothing if it is no such thing."""
    try: key = unbase64(verifier.split("+", 2)[-1])
    except ValueError: return None
    return key if len(key) == 33 and key[0] == 1 and verifier.startswith(f"{log}+{key_id(log, key).hex()}+") else None

class Note:
    """A checkpoint of the log, whoever signed it."""
    def __init__(self, note, log):
        parts = re.fullmatch("((.+)\n(0|[1-9][0-9]*)\n(.+)\n(?:.+\n)*)\n((?:\u2014 [^\0- ]+ [^\0- ]+\n)+)", note)
        need(parts, "a malformed checkpoint")
        self.text, self.name, self.size, self.root = parts[1].encode(), parts[2], int(parts[3]), unbase64(parts[4])
        lines = [line.split(" ") for line in parts[5][:-1].split("\n")]
        self.signatures = [(name, unbase64(raw)) for _, name, raw in lines]
        self.epoch = int(self.name[len(log + "/epoch-"):] or 0)
        need(self.name == (f"{log}/epoch-{self.epoch}" if self.epoch else log), "a checkpoint of another log")

    def signers(self, keys):
        """Those of the keys that signed it, of which there must be one."""
        found = [verifier for verifier, key in keys.items() for name, raw in self.signatures
                 if (name, raw[:4]) == (self.name, key_id(name, key)) and is_signed(key[1:], self.text, raw[4:])]
        need(found, "a checkpoint that no known key has signed")
        return found

class Walk:
    """Over the tree (RFC 6962, section 2.1) from left to right, as the subtrees that are complete: leaves, and root."""
    def __init__(self): self.size, self.subtrees = 0, []

    def cover(self, start, end, hashes):
        need(start == self.size < end, "a line at another's place")
        for node in hashes:  # Each is over as many leaves as its place and the end allow.
            leaves = min(self.size & -self.size or end, 1 << (end - self.size).bit_length() - 1)
            self.size += leaves
            while self.subtrees and self.subtrees[-1][0] == leaves:
                leaves, node = leaves * 2, sha(b"\1", self.subtrees.pop()[1], node)
            self.subtrees.append((leaves, node))
        need(self.size == end, "another number of hashes than it takes")

    def root(self):
        return functools.reduce(lambda it, left: sha(b"\1", left, it), [it for _, it in self.subtrees[::-1]] or [sha()])

# The lines: nothing in them has two readings.
def natural(digits): return int(digits) if digits[0] != "-" and int(digits) < 2**64 else None
MEMBERS = {"bundle": {"version": int, "origin": str, "keys": list, "checkpoint": str}, "checkpoint": {"note": str},
           "skipped": {"from": int, "until": int, "hashes": list}, "entry": {"index": int, "leaf": str},
           "text": {"kind": str, "sha256": str, "body": str}}

def once(pairs):
    need(len(dict(pairs)) == len(pairs), "a member is there twice")
    return dict(pairs)

def lines(file):
    for line in file:
        try:
            (kind, body), = json.loads(line.decode(), object_pairs_hook=once, parse_int=natural).items()
            need({name: type(value) for name, value in body.items()} == MEMBERS[kind], "other members")
            "".join([json.dumps(body, ensure_ascii=False), *body.get("keys", ())]).encode()  # Text, and no half of it.
            for text in [*body.get("hashes", ()), body.get("sha256", "0" * 64)]:
                need(re.fullmatch("[0-9a-f]{64}", text), "a hash in another spelling")
        except Exception as fault: raise CannotLook(f"this is no line of a bundle: {fault!r}")
        yield kind, [body[name] for name in MEMBERS[kind]]

def check(file, given, kept):
    rest = lines(file)
    kind, header = next(rest, (None, None))
    need(kind == "bundle" and header[0] == 1, "this is no bundle of version 1", CannotLook)
    _, log, in_file, note = header
    signed, kept, walk, roots, entries = Note(note, log), [Note(note, log) for note in kept], Walk(), {0: sha()}, 0
    texts, named, notes, rotations, cuts, signs = set(), set(), [], [], [], None
    for kind, value in rest:
        if kind == "entry":
            index, leaf = value
            entry, entries = json.loads(leaf[1:]), entries + 1
            canonical = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
            need(leaf == "\1" + canonical, "an entry of no known version, or in another spelling")
            event = entry["event"]
            walk.cover(index, index + 1, [sha(b"\0", leaf.encode())])
            if event["kind"] == "key-rotated":
                old, new, voucher = map(event.get, ("retired", "active", "voucher"))
                text = f"{log}/next-key\n{old}\n{new}\n{cuts[-1]['epoch'] if cuts else 0}\n".encode()
                need(public(old, log) and public(new, log) and signs in (None, old), "a forged key-rotated")
                need(not any(voucher for *_, voucher in rotations) if voucher is None
                     else is_signed(public(old, log)[1:], text, unbase64(voucher)), "a forged voucher")
                rotations, signs = [*rotations, (index, old, new, voucher)], new
            if event["kind"] == "epoch-began" and event["size"] == index:
                cuts, signs = [*cuts, event], signs if event.get("key") is None else event["key"]
            for rules in filter(lambda it: type(it) is dict, (event.get("policy"), event.get("before"))):
                named |= {(of, rules[of]) for of in ("entities", "policies", "schema") if type(rules.get(of)) is str}
        elif kind == "skipped":
            walk.cover(value[0], value[1], map(bytes.fromhex, value[2]))
        elif kind == "checkpoint":
            notes.append(Note(value[0], log))
            need((notes[-1].size, notes[-1].root) == (walk.size, walk.root()), "a checkpoint of something else")
        else:
            need(kind == "text", "a second header")
            of, name, body = value
            need(sha(body.encode()).hex() == name and (of, name) not in texts, "a text has another hash, or is twice")
            texts.add((of, name))
        if any(note.size == walk.size for note in kept): roots[walk.size] = walk.root()
    need(walk.size == signed.size, f"its lines cover {walk.size} entries, {signed.size} were signed")
    need(walk.root() == signed.root, "its entries and hashes do not come to the root that was signed")
    need(texts <= named, "no entry names one of the texts")
    need(signed.epoch == (cuts[-1]["epoch"] if cuts else 0), "its checkpoint is of another epoch than its entries")
    counts = set(given or in_file)
    line = set(counts)  # The keys that vouchers lead to from one that counts, and those before one of these.
    for _, old, new, voucher in rotations:
        if voucher and old in line: line.add(new)
    for _, old, new, _ in reversed(rotations):
        if new in line: line.add(old)
    need(line.issuperset(new for _, _, new, _ in rotations), "a key-rotated that no key that counts has vouched for")
    known = {key: public(key, log) for key in counts.union(*(keys for _, *keys, _ in rotations)) if public(key, log)}
    for note in [*notes, signed]:  # Whoever vouches for the next key has to sign over the entry that says so as well.
        by = note.signers(known)
        for index, old, new, voucher in rotations:
            if voucher and index < note.size and old in by and old in counts: counts.add(new)
    by, silent = [key for key in by if key in counts], False
    need(by, "no key that counts has signed it")
    for note in kept:
        note.signers(known)
        cut = next((cut for cut in cuts if note.epoch < cut["epoch"] <= signed.epoch), None)
        lost = cut and (note.size < cut["published_size"] or
                        (note.size, note.root.hex()) == (cut["published_size"], cut["published_root"]))
        need(lost or roots.get(note.size, note.root) == note.root, "it does not continue a kept checkpoint: a fork")
        silent |= not lost and note.size not in roots
    need(not silent, "it says nothing about a kept checkpoint", CannotLook)
    print(f"sound: {entries} entries of {log}\n  log          {signed.size} entries, root {signed.root.hex()}")
    print(f"  rules        {len(texts)} of the {len(named)} texts that the entries name are here, unchanged")
    for cut in cuts: print("  epoch {epoch}      from entry {size}, decided by {by!a}: {why!a}".format(**cut))
    whose = "the key that was given" if by[0] in given else "for which the key vouches that was given"
    print(f"  signed by    {by[0]}, {whose if given else 'a key out of the file itself: give --key'}")

def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    for option in ("--key", "--checkpoint"): parser.add_argument(option, action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        need(all(public(key, key.split("+")[0]) for key in options.key), "--key: this is no verifier key", CannotLook)
        kept = [open(path, encoding="utf-8", newline="").read().rstrip("\n") + "\n" for path in options.checkpoint]
        with open(options.file, "rb") as file: check(file, options.key, kept)
    except (CannotLook, OSError) as fault: return print(f"could not look: {fault}", file=sys.stderr) or 2
    except Exception as fault: return print(f"broken: {fault!r}") or 1
    return 0

if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
