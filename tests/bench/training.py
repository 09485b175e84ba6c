#!/usr/bin/env python3
"""What `make release-profiled` learns from: `training.py BROKER`, a minute or two.

A profiled build makes fast what it saw the program do, and small what it never saw. So every way that is gone often comes up
here: apps and a cluster, many people and places, permitted and refused, a rule that reads the time, large bodies both ways,
new connections, the command line's portal, a collector, and checking and searching the log that all of this has left and bundles
of it. The requests of the benchmark (`proxy.py`) are among them; what `history` checks is not. The broker is ended as an operator ends it: only then
does it write what it counted."""

import json
import os
import sys

from world import HOST, OTHER_CORES, PEOPLE, World, free_port, run

SECONDS = os.environ.get("SECONDS", "4")
TOKEN = "bailiwick_" + "0" * 43
LISTED = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
    {"metadata": {"name": f"web-{n}", "namespace": "team-1", "labels": {"app": "web"}}} for n in range(50)]}

# Who asks changes with each request, and what for with most.
PEOPLE_AND_PLACES = """
local n = 0
request = function()
    n = n + 1
    local cookie = { Cookie = "__Host-bailiwick-app=a" .. (2 + n * 7 % PEOPLE), Accept = "text/html,*/*;q=0.8",
                     ["Sec-Fetch-Site"] = "same-origin" }
    if n % 20 == 0 then return wrk.format("DELETE", "/area-" .. n % 40 .. "/page", cookie) end
    if n % 10 == 0 then return wrk.format("POST", "/area-" .. n % 40, cookie, string.rep("a", 500)) end
    if n % 4 == 0 then return wrk.format("GET", "/area-" .. n % 40 .. "/page-" .. n % 3000, cookie) end
    return wrk.format("GET", "/1k?page=" .. n % 50, cookie)
end
"""


class Site(World):
    """The world of the benchmark, with a cluster beside the app."""

    def cluster(self):
        """Something that answers as an API server does, over TLS."""
        port = free_port()
        config = self.write("api.cnf", "[req]\ndistinguished_name = name\n[name]\n[server]\nbasicConstraints = CA:false\n"
                                       "subjectAltName = DNS:localhost\n")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-config", config, "-extensions", "server", "-subj", "/CN=api", "-keyout", self.path("api.key"),
            "-out", self.path("api.crt"))
        self.write("www/pods.json", json.dumps(LISTED))
        self.nginx("cluster", OTHER_CORES, port, f"""
            server {{
                listen 127.0.0.1:{port} ssl; keepalive_requests 100000000; default_type application/json;
                ssl_certificate {self.path("api.crt")}; ssl_certificate_key {self.path("api.key")};
                error_page 405 =200 $uri;
                location / {{ root {self.path("www")}; rewrite ^ /pods.json break; }}
            }}""")
        self.write("kubeconfig", json.dumps({
            "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": f"https://{HOST}:{port}",
                                                    "certificate-authority": self.path("api.crt")}}],
            "users": [{"name": "it", "user": {"token": "the-broker"}}]}))
        return '[[cluster]]\nname = "prod"\nhost = "prod.localhost"\nkubeconfig = "kubeconfig"\n'

    def drive(self, *command):
        """Runs a driver on the other cores."""
        run(*command, preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CORES))


def app(site, port, headers):
    """1 KiB on both versions of HTTP, new connections, 100 MB down and up."""
    shown = [word for header in headers for word in ("-H", header)]
    url = f"https://{HOST}:{port}/"
    site.drive("wrk", "-t1", "-c64", f"-d{SECONDS}s", *shown, url + "1k")
    lua = site.write("people.lua", PEOPLE_AND_PLACES.replace("PEOPLE", str(PEOPLE - 2)))
    site.drive("wrk", "-t1", "-c64", f"-d{SECONDS}s", "-s", lua, url)
    site.drive("h2load", "-t1", "-c8", "-m16", f"-D{SECONDS}", *shown, url + "1k")
    site.drive("wrk", "-t1", "-c16", f"-d{SECONDS}s", "-H", "Connection: close", *shown, url + "1k")
    for _ in range(3):
        site.drive("curl", "-sSfk", "--http1.1", "-o", "/dev/null", *shown, url + "100m")
        site.drive("curl", "-sSfk", "--http1.1", *shown, "-H", "Sec-Fetch-Site: same-origin", "-T", site.path("www/100m"),
                   url + "area-8/put")


def cluster(site, port):
    """A certificate from the portal, and what a controller asks with it."""
    site.sql(f"""
        insert into credential (id, kind, login, person, key_hash, scope, issued_at, not_after)
        select md5('t')::uuid, 'token', md5('l1')::uuid, md5('p1')::uuid, sha256('{TOKEN}'), '{{"kind": "portal"}}', now(),
               now() + interval '1 hour'""")
    key, wish, certificate = site.path("caller.key"), site.path("wish.json"), site.path("caller.crt")
    csr = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
              "-subj", "/CN=caller")
    site.write("wish.json", json.dumps({"csr": csr}))
    portal = f"https://access.localhost:{port}/api/v1/"
    ask = ["curl", "-sSfk", "-H", "Authorization: Bearer " + TOKEN, "-H", "Content-Type: application/json"]
    for _ in range(20):
        run(*ask, portal + "status")
        issued = run(*ask, "--data", "@" + wish, portal + "clusters/prod/certificates")
    with open(certificate, "w") as file:
        file.write(json.loads(issued)["certificate"])
    pods = f"https://prod.localhost:{port}/api/v1/namespaces/team-[1-10]/pods"
    show = ["curl", "-sSk", "--cert", certificate, "--key", key, "-o", "/dev/null"]
    for version in ("--http2", "--http1.1"):
        site.drive(*show, version, "-Z", "--parallel-max", "20", pods + "/web-[1-200]")
        site.drive(*show, version, pods + "?labelSelector=app%3Dweb&limit=[1-20]")
        site.drive(*show, version, "--json", json.dumps(LISTED["items"][0]), pods + "?fieldManager=[1-20]")
        site.drive(*show, version, "-X", "DELETE", pods + "/web-[1-20]")


def auditor(site, config):
    """The log that all of this has left."""
    verify = [site.bailiwick, "audit", "verify", "--database", site.url("bailiwick")]
    for cores in ("0", f"0-{os.cpu_count() - 1}"):
        site.drive("taskset", "-c", cores, *verify)
    bundle = site.path("bundle.jsonl")
    run(site.bailiwick, "audit", "bundle", "--config", config, "--leaf", "0-29999", "--file", bundle)
    run(site.bailiwick, "audit", "verify", "--bundle", bundle)
    for wanted in (["--who", "corp/p7"], ["--what", "POST"], ["--where", "wiki/area-8", "--verdict", "deny"], ["text=Person"]):
        run(site.bailiwick, "audit", "search", "--config", config, "-n", "200", *wanted)


def main():
    with Site(sys.argv[1], None) as site:
        site.certificate()
        site.upstream()
        site.postgres()
        more = site.cluster() + f'[[collector]]\nname = "siem"\nto = "file:{site.path("siem.ndjson")}"\n'
        site.rules("policies", '@id("staff-runs-the-cluster") permit (principal in Group::"staff", action in '
                   'k8s::Action::"admin", resource in k8s::Cluster::"prod") unless { action == k8s::Action::"delete" }; '
                   '@id("staff-has-certificates") permit (principal in Group::"staff", action == Action::"issue", '
                   'resource == k8s::Cluster::"prod"); @id("staff-comes-home") permit (principal in Group::"staff", '
                   'action == Action::"home", resource);')
        site.rules("timely", '@id("not-yet") forbid (principal, action, resource in App::"wiki") when '
                   '{ context.time < datetime("2020-01-01") };')
        broker, port, headers = site.ours("broker", "policies", more=more)
        app(site, port, headers)
        cluster(site, port)
        timely, port, headers = site.ours("timely", "timely")
        site.drive("wrk", "-t1", "-c64", f"-d{SECONDS}s", "-H", headers[0], f"https://{HOST}:{port}/1k")
        auditor(site, site.path("broker.toml"))
        for process in (broker, timely):
            process.terminate()
            if process.wait(60):
                sys.exit("a broker did not end as it should")
        print(site.sql("select size from head order by size desc limit 1"), "entries")


main()
