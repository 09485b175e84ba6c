#!/usr/bin/env python3
"""`make bench-proxy`: what a request through Bailiwick costs, beside nginx, which asks nothing, and Envoy, which checks a
JWT and a few rules. Everything is on: identity from an app session, a decision over 200 rules with 2,000 people in the
database, and an audit entry that is on disk before the request is forwarded.

All take turns within each round, in another order each time, so that whatever else the machine does meets them all; only
ratios within a round are compared. The figure to look at is requests per busy second of the proxy's core.

    ROUNDS=5      rounds (the first is extra, and thrown away)
    SECONDS=2     seconds for each measurement
    ONLY=...      which measurements: keep, two, handshakes, latency, stream
    BESIDE=file   another build of the broker, which takes turns too
    RAW=file      every single figure, as JSON"""

import json
import os
import re
import statistics
import subprocess
import sys
import time

from world import HOST, OTHER_CORES, World

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "2"))
ONLY = os.environ.get("ONLY", "keep two handshakes latency stream").replace(",", " ").split()
TICK = os.sysconf("SC_CLK_TCK")


class Peer:
    def __init__(self, name, started, measured):
        self.name = name
        self.process, self.port, self.headers = started
        self.measured = measured
        self.most = 1000.0

    def url(self, path):
        return f"https://{HOST}:{self.port}/{path}"

    def busy(self):
        """Seconds of CPU so far, from schedstat of each thread: ticks would be too coarse."""
        total = 0
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            try:
                with open(f"{tasks}/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total / 1e9

    def drive(self, *command):
        """Runs a driver on the other cores: what it printed, seconds passed, seconds of the peer's CPU."""
        headers = [word for header in self.headers for word in ("-H", header)]
        before, began = self.busy(), time.monotonic()
        done = subprocess.run([*command[:1], *headers, *command[1:]], capture_output=True, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CORES))
        took, used = time.monotonic() - began, self.busy() - before
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout, took, used

    # ---- measurements: each gives (figure to compare, what to show beside it) ----

    def wrk(self, *more):
        out, took, used = self.drive("wrk", "-t1", f"-d{SECONDS:g}s", *more, self.url("1k"))
        if "Non-2xx" in out or "Socket errors" in out and "-H" not in more:
            sys.exit(f"{self.name} did not answer all requests:\n{out}")
        return int(re.search(r"(\d+) requests in", out)[1]), took, used

    def keep(self):
        count, took, used = self.wrk("-c64")
        self.most = count / SECONDS
        return count / used, {"cpu_us": used / count * 1e6, "per_second": count / took}

    def two(self):
        out, took, used = self.drive("h2load", "-c8", "-m16", "-t1", f"-D{SECONDS:g}", self.url("1k"))
        count = int(re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out)[1])
        return count / used, {"cpu_us": used / count * 1e6, "per_second": count / took}

    def handshakes(self):
        count, took, used = self.wrk("-c16", "-H", "Connection: close")
        return count / used, {"cpu_us": used / count * 1e6, "per_second": count / took}

    def latency(self):
        """Paced at half of what it can do; each request is timed from when it left."""
        log, clients = f"/tmp/bailiwick-bench-{os.getpid()}.log", 16
        rate = max(1, int(self.most / 2 / clients))
        self.drive("h2load", "--h1", f"-c{clients}", "-t1", "-m1", f"--rps={rate}", f"-D{SECONDS:g}",
                   f"--log-file={log}", self.url("1k"))
        with open(log) as file:
            times = sorted(int(line.split()[2]) for line in file if line.split()[1] == "200")
        os.unlink(log)
        at = lambda share: times[min(len(times) - 1, int(len(times) * share))]
        return 1e6 / at(0.5), {"p50_us": at(0.5), "p99_us": at(0.99), "per_second": rate * clients}

    def stream(self):
        _, took, used = self.drive("curl", "-sSfk", "--http1.1", "-o", "/dev/null", self.url("100m"))
        return 100 / used, {"cpu_us": used * 1e6, "per_second": 100 / took}


TITLES = {
    "keep": "1 KiB over HTTP/1.1, TLS 1.3 kept open (wrk, 64 connections): requests per busy core-second",
    "two": "1 KiB over HTTP/2 (h2load, 8 connections of 16 streams): requests per busy core-second",
    "handshakes": "a full TLS 1.3 handshake and one request each (wrk, 16 at once): connections per busy core-second",
    "latency": "at half of its own most (h2load, paced): 1/p50",
    "stream": "100 MB over HTTP/1.1 (curl): MB per busy core-second",
}


def middle(values):
    return statistics.median(values)


def table(what, peers, rounds):
    print(f"\n{TITLES[what]}")
    told = "p50 µs  p99 µs   req/s" if what == "latency" else "CPU µs     /s wall"
    print(f"  {'':34}  {'median':>8}   ratio to nginx (min-max)   {told}")
    for peer in peers:
        figures = [r[peer.name][what] for r in rounds if what in r[peer.name]]
        if not figures:
            continue
        ratios = [r[peer.name][what][0] / r["nginx, plain"][what][0] for r in rounds]
        beside = [figure[1] for figure in figures]
        told = lambda key: middle([b[key] for b in beside])
        if what == "latency":
            last = f"{told('p50_us'):7.0f} {told('p99_us'):7.0f} {told('per_second'):7.0f}"
        else:
            last = f"{told('cpu_us'):7.1f} {told('per_second'):9.0f}"
        span = f"{middle(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"  {peer.name:34}  {middle([f[0] for f in figures]):8.0f}   {span:24}   {last}")


def check(peer):
    """It answers whom it knows, and nobody else."""
    def ask(headers):
        words = [word for header in headers for word in ("-H", header)]
        return subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", *words, peer.url("1k")],
                              capture_output=True, text=True).stdout
    if ask(peer.headers) != "200":
        sys.exit(f"{peer.name} answers {ask(peer.headers)}")
    if not peer.headers:
        return
    shown = peer.headers[0]
    changed = shown[:-9] + ("x" if shown[-9] != "x" else "y") + shown[-8:]
    if ask([changed]).startswith("2") or ask([]).startswith("2"):
        sys.exit(f"{peer.name} lets anybody in")


def main():
    bailiwick, envoy = sys.argv[1:3]
    everything = ["keep", "two", "handshakes", "latency", "stream"]
    with World(bailiwick, envoy) as world:
        world.certificate()
        world.upstream()
        world.postgres()
        world.rules("policies")
        world.rules("timely", '@id("not-yet") forbid (principal, action, resource in App::"wiki") when '
                    '{ context.time < datetime("2020-01-01") };')
        peers = [
            Peer("nginx, plain", world.plain(), everything),
            Peer("Envoy, JWT cached + 5 RBAC rules", world.jwt_and_rules(), everything),
            Peer("Bailiwick", world.ours("broker", "policies"), everything),
            Peer("Bailiwick, a rule reads the time", world.ours("timely-broker", "timely"), ["keep"]),
        ]
        if "BESIDE" in os.environ:
            beside = world.ours("beside", "policies", os.environ["BESIDE"])
            peers.append(Peer("Bailiwick, another build", beside, everything))
        for peer in peers:
            check(peer)
        rounds = []
        for number in range(ROUNDS + 1):
            found = {peer.name: {} for peer in peers}
            for what in [what for what in everything if what in ONLY or what == "keep"]:
                turn = number % len(peers)
                for peer in peers[turn:] + peers[:turn]:
                    if what in peer.measured:
                        found[peer.name][what] = getattr(peer, what)()
            if number:
                rounds.append(found)
            load = os.getloadavg()[0]
            shown = {peer.name: round(found[peer.name]["keep"][0]) for peer in peers}
            print(f"round {number}{'' if number else ' (thrown away)'}: {shown}, load {load:.1f}", flush=True)
        entries = int(world.sql("select size from head order by size desc limit 1"))
        for what in ONLY:
            table(what, peers, rounds)
        print(f"\n{entries} entries are in the log, each on disk before its request was forwarded or right after it ended.")
        if "RAW" in os.environ:
            with open(os.environ["RAW"], "w") as file:
                json.dump(rounds, file)


main()
