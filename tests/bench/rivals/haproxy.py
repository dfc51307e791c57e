"""HAProxy; consumers in a map, counters in a stick table."""

from __future__ import annotations

from tests.bench.processes import BenchError
from tests.bench.rivals.job import KEY_HEADER, KEYS, LIMIT, PREFIX, SECRET, Ends, Job, Proxy, consumer, key, program


def _command(ends: Ends, job: Job) -> list[str]:
    binary = program("haproxy")
    if binary is None:
        raise BenchError("haproxy vanished")
    tls = f" ssl crt {ends.certificate} alpn http/1.1 ssl-min-ver TLSv1.3" if job.tls else ""
    rules: list[str] = []
    table = ""
    if job.authenticate:
        known = ends.place / "keys.map"
        known.write_text("".join(f"{key(number)} {consumer(number)}\n" for number in range(KEYS)))
        rules += [
            f"http-request set-var(txn.consumer) req.hdr({KEY_HEADER}),map({known})",
            "http-request deny deny_status 401 unless { var(txn.consumer) -m found }",
            "http-request track-sc0 var(txn.consumer) table counters",
            f"http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {LIMIT} }}",
            "http-request set-header X-Consumer-Username %[var(txn.consumer)]",
            f"http-response set-header X-RateLimit-Limit-Minute {LIMIT}",
            f"http-response set-header X-RateLimit-Remaining-Minute %[sc_http_req_rate(0),neg,add({LIMIT})]",
        ]
        table = "backend counters\n  stick-table type string len 32 size 10k expire 2m store http_req_rate(60s)\n"
    if job.inject:
        rules.append(f'http-request set-header Authorization "{SECRET}"')
    lines = "\n  ".join(rules)
    configuration = ends.place / "haproxy.cfg"
    configuration.write_text(f"""
global
  nbthread 1
  maxconn 4096
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
{table}
frontend front
  bind 127.0.0.1:{ends.port}{tls}
  {lines}
  use_backend back if {{ path_beg {PREFIX}/ }}
backend back
  http-request set-path %[path,regsub(^{PREFIX},)]
  server one 127.0.0.1:{ends.backend_port} pool-max-conn 256
""")
    return [binary, "-db", "-q", "-f", str(configuration)]


def _missing(_job: Job) -> str | None:
    return None if program("haproxy") else "haproxy is not installed (make bench-tools)"


PROXY = Proxy("haproxy", _missing, _command)
