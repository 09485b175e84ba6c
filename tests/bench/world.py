"""What the benchmark runs: servers of its own on loopback, each pinned to its core, all stopped with the script.

Core 0 is for the proxy under test and nothing else; the drivers, the upstream and Postgres share the others. Nothing here
touches a process that it did not start."""

import base64
import glob
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HOST = "localhost"
COOKIE = "bench-" + "0" * 37
PROXY_CORE = {0}
OTHER_CORES = set(range(1, os.cpu_count() or 2)) or {0}
RULES, PEOPLE, GROUPS = 200, 2000, 200


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class World:
    """A folder, and the processes that live in it."""

    def __init__(self, bailiwick, envoy):
        self.bailiwick, self.envoy = bailiwick, envoy
        self.folder = tempfile.mkdtemp(prefix="bailiwick-bench.")
        os.chmod(self.folder, 0o755)
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.terminate()
        for process in reversed(self.started):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def start(self, name, command, cores, port, **more):
        """Starts a server and waits until something listens on `port`."""
        log = open(self.path(name + ".log"), "wb")
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            **more,
        )
        self.started.append(process)
        for _ in range(600):
            if process.poll() is not None:
                break
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        sys.exit(f"{name} did not start:\n" + open(self.path(name + ".log")).read()[-3000:])

    # ---- what everybody stands on ----

    def certificate(self):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:access.localhost",
            "-keyout", self.path("tls.key"), "-out", self.path("tls.crt"))
        os.chmod(self.path("tls.key"), 0o600)

    def upstream(self):
        """nginx, from memory: 1 KiB, and 100 MB."""
        os.makedirs(self.path("www"))
        for name, size in (("1k", 1024), ("100m", 100_000_000)):
            with open(self.path("www/" + name), "wb") as file:
                file.write(os.urandom(size))
        os.chmod(self.path("www"), 0o755)
        self.upstream_port = free_port()
        self.nginx("upstream", OTHER_CORES, self.upstream_port, f"""
            server {{
                listen 127.0.0.1:{self.upstream_port};
                keepalive_requests 100000000;
                open_file_cache max=10 inactive=1h;
                location / {{ root {self.path("www")}; }}
                location /area-8/ {{ root {self.path("www")}; dav_methods PUT; create_full_put_path on; }}
            }}""")

    def nginx(self, name, cores, port, servers):
        user = "user root;" if os.getuid() == 0 else ""
        config = self.write(name + "/nginx.conf", f"""
            {user} daemon off; master_process off; worker_processes 1; pid {self.path(name)}/pid;
            error_log {self.path(name)}/error.log warn;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 1h; client_max_body_size 0;
                client_body_temp_path {self.path(name)}/body; proxy_temp_path {self.path(name)}/proxy;
                fastcgi_temp_path {self.path(name)}/f; uwsgi_temp_path {self.path(name)}/u; scgi_temp_path {self.path(name)}/s;
                {servers}
            }}""")
        return self.start(name, ["nginx", "-c", config, "-e", self.path(name + "/error.log")], cores, port)

    # ---- the limit: a TLS reverse proxy that asks nothing ----

    def plain(self):
        port = free_port()
        process = self.nginx("plain", PROXY_CORE, port, f"""
            upstream app {{ server 127.0.0.1:{self.upstream_port}; keepalive 128; keepalive_requests 100000000; }}
            server {{
                listen 127.0.0.1:{port} ssl http2;
                ssl_certificate {self.path("tls.crt")}; ssl_certificate_key {self.path("tls.key")};
                ssl_protocols TLSv1.3; ssl_session_cache off; keepalive_requests 100000000;
                location / {{
                    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_set_header Host $host;
                }}
            }}""")
        return process, port, []

    # ---- what users pick: Envoy with a JWT check and rules ----

    def token(self):
        """An ES256 JWT and the key set that it is checked with."""
        def b64(raw):
            return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

        key = self.path("jwt.key")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        der = subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-outform", "DER"], capture_output=True).stdout
        x, y = der[-64:-32], der[-32:]
        jwks = {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": b64(x), "y": b64(y)}]}
        now = int(time.time())
        claims = {"iss": "https://idp.example", "aud": "wiki", "sub": "p1", "groups": ["staff"],
                  "iat": now, "exp": now + 86400}
        head = {"alg": "ES256", "typ": "JWT", "kid": "k"}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        sign = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), capture_output=True)
        raw, at, ints = sign.stdout, 2, []
        for _ in range(2):
            length = raw[at + 1]
            ints.append(raw[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0"))
            at += 2 + length
        return signed + "." + b64(b"".join(ints)), jwks

    def jwt_and_rules(self):
        token, jwks = self.token()
        port = free_port()
        member = {"metadata": {"filter": "envoy.filters.http.jwt_authn",
                               "path": [{"key": "claims"}, {"key": "groups"}],
                               "value": {"list_match": {"one_of": {"string_match": {"exact": "staff"}}}}}}
        get = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
        rules = {f"r{n}": {"permissions": [{"and_rules": {"rules": [
                    get, {"url_path": {"path": {"prefix": "/" if n == 4 else f"/area-{n}"}}}]}}],
                    "principals": [member]} for n in range(5)}
        kind = "type.googleapis.com/envoy.extensions."

        def filter_of(name, message, **config):
            return {"name": name, "typed_config": {"@type": kind + message, **config}}

        jwt = filter_of("envoy.filters.http.jwt_authn", "filters.http.jwt_authn.v3.JwtAuthentication",
                        providers={"idp": {"issuer": "https://idp.example", "audiences": ["wiki"],
                                           "payload_in_metadata": "claims", "jwt_cache_config": {"jwt_cache_size": 100},
                                           "local_jwks": {"inline_string": json.dumps(jwks)}}},
                        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}])
        rbac = filter_of("envoy.filters.http.rbac", "filters.http.rbac.v3.RBAC",
                         rules={"action": "ALLOW", "policies": rules})
        router = filter_of("envoy.filters.http.router", "filters.http.router.v3.Router")
        log = filter_of("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog",
                        path=self.path("envoy-access.log"))
        manager = filter_of(
            "envoy.filters.network.http_connection_manager",
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="bench", access_log=[log], http_filters=[jwt, rbac, router],
            route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]}]})
        tls = {"common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}, "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": self.path("tls.crt")},
                                  "private_key": {"filename": self.path("tls.key")}}]}}

        def address(of):
            return {"socket_address": {"address": "127.0.0.1", "port_value": of}}

        config = {"static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{
                "transport_socket": filter_of("envoy.transport_sockets.tls",
                                              "transport_sockets.tls.v3.DownstreamTlsContext", **tls),
                "filters": [manager]}]}],
            "clusters": [{"name": "app", "type": "STATIC", "load_assignment": {
                "cluster_name": "app", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": address(self.upstream_port)}}]}]}}]}}
        path = self.write("envoy.json", json.dumps(config))
        command = [self.envoy, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        return self.start("envoy", command, PROXY_CORE, port), port, ["Authorization: Bearer " + token]

    # ---- ours ----

    def postgres(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda at: int(at.split("/")[-2]))
        programs = programs[-1] if programs else os.path.dirname(shutil.which("initdb"))
        other = {}
        os.makedirs(self.path("pg"))
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.path("pg"), account.pw_uid, account.pw_gid)
        data = self.path("pg/data")
        run(programs + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
            cwd="/", **other)
        self.pg_port = free_port()
        self.start("postgres", [programs + "/postgres", "-D", data, "-p", str(self.pg_port), "-k", self.path("pg"),
                                "-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "synchronous_commit=on",
                                "-c", "max_connections=100", "-c", "shared_buffers=256MB", "-c", "timezone=UTC"],
                   OTHER_CORES, self.pg_port, cwd="/", **other)
        for _ in range(200):
            ready = subprocess.run(["psql", "-q", self.url("postgres"), "-c", "create database bailiwick"],
                                   capture_output=True, text=True)
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        sys.exit(ready.stderr)

    def url(self, database, role="postgres"):
        return f"postgres://{role}@127.0.0.1:{self.pg_port}/{database}?sslmode=disable"

    def sql(self, statements):
        return run("psql", "-q", "-At", "-v", "ON_ERROR_STOP=1", self.url("bailiwick"), "-c", statements).strip()

    def rules(self, folder, extra=""):
        """Some match the request that is measured, most are for other groups, paths and actions."""
        text = []
        for n in range(RULES - 4):
            if n % 5:
                text.append(f'@id("area-{n}-is-for-team-{n}") permit (principal in Group::"team-{n % GROUPS}", action in '
                            f'Action::"{"read" if n % 2 else "write"}", resource in Path::"wiki/area-{n}") when '
                            f'{{ context.assurance == "passkey" && principal.provider == "corp" }};')
            else:
                text.append(f'@id("area-{n}-is-closed") forbid (principal, action in Action::"write", resource in '
                            f'Path::"wiki/area-{n}") unless {{ principal in Group::"team-0" }};')
        text.append('@id("staff-reads") permit (principal in Group::"staff", action in Action::"read", resource in '
                    'App::"wiki") when { context.assurance == "passkey" };')
        text.append('@id("no-robots") forbid (principal, action, resource in App::"wiki") when '
                    '{ principal.subject like "robot-*" };')
        text.append('@id("nothing-from-outside") forbid (principal, action, resource) when '
                    '{ context.address.isMulticast() };')
        text.append(extra or '@id("streams-are-for-team-1") forbid (principal, action == Action::"GET", resource in App::"wiki") when '
                    '{ context.upgrade } unless { principal in Group::"team-1" };')
        self.write(folder + "/rules.cedar", "\n".join(text))

    def people(self):
        """Two thousand, each with a live login; the first one's browser is ours."""
        self.sql(f"""
            alter role bailiwick_broker login;
            insert into person (id, issuer, subject, provider, name, user_handle, first_seen_at, enrolled_at)
            select md5('p' || n)::uuid, 'https://idp.example', 'p' || n, 'corp', 'Person ' || n, md5('h' || n)::uuid,
                   now(), now() from generate_series(1, {PEOPLE}) n;
            insert into login (id, person, level, assured_at, groups, address, agent, started_at, active_at, expires_at)
            select md5('l' || n)::uuid, md5('p' || n)::uuid, 'passkey', now(),
                   array['staff', 'team-' || n % {GROUPS}, 'team-' || (n + 7) % {GROUPS}], '127.0.0.1', 'bench', now(),
                   now(), now() + interval '12 hours' from generate_series(1, {PEOPLE}) n;
            insert into app_session (id, id_hash, login, app, created_at)
            select md5('a' || n)::uuid, case n when 1 then '\\x{hashlib.sha256(COOKIE.encode()).hexdigest()}'::bytea
                   else sha256(('a' || n)::bytea) end, md5('l' || n)::uuid, 'wiki', now()
              from generate_series(1, {PEOPLE}) n;
            analyze""")

    def ours(self, name, folder, binary=None, more=""):
        port = free_port()
        config = self.write(name + ".toml", f"""
[portal]
url = "https://access.localhost:{port}"
[listener]
https = "127.0.0.1:{port}"
status = "127.0.0.1:0"
certificate_file = "tls.crt"
key_file = "tls.key"
[database]
url = "{self.url("bailiwick", "bailiwick_broker")}"
[audit]
origin = "bench/audit"
[keys]
wrapping_key_file = "wrapping.key"
[[provider]]
name = "corp"
issuer = "https://idp.example"
client_id = "bench"
[policy]
folder = "{folder}"
entities = "entities.json"
[[app]]
name = "wiki"
host = "localhost:{port}"
upstream = "http://127.0.0.1:{self.upstream_port}"
{more}""")
        if not os.path.exists(self.path("wrapping.key")):
            groups = [{"uid": {"type": "Group", "id": f"team-{n}"}, "parents": [{"type": "Group", "id": "teams"}]}
                      for n in range(GROUPS)]
            self.write("entities.json", json.dumps(groups))
            run(self.bailiwick, "migrate", "--config", config, "--url", self.url("bailiwick"))
            self.people()
            run(self.bailiwick, "key", "init", "--config", config)
        command = [binary or self.bailiwick, "serve", "--config", config, "--log", "warn", "--log-format", "text"]
        process = self.start(name, command, PROXY_CORE, port)
        return process, port, ["Cookie: __Host-bailiwick-app=" + COOKIE]
