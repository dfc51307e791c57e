"""nginx, plain and with Lua."""

from __future__ import annotations

from pathlib import Path

from tests.bench.processes import BenchError
from tests.bench.rivals.job import (
    HOST,
    KEY_HEADER,
    KEYS,
    LIMIT,
    PREFIX,
    SECRET,
    Ends,
    Job,
    Proxy,
    consumer,
    key,
    program,
)

_LUA_MODULES = (
    Path("/usr/lib/nginx/modules/ndk_http_module.so"),
    Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"),
)


def _configure(ends: Ends, job: Job, *, top: str = "", http: str = "", location: str) -> list[str]:
    binary = program("nginx")
    if binary is None:
        raise BenchError("nginx vanished")
    listen, tls = f"127.0.0.1:{ends.port} backlog=4096", ""
    if job.tls:
        listen += " ssl"
        tls = f"""
    ssl_certificate {ends.certificate};
    ssl_certificate_key {ends.certificate};
    ssl_protocols TLSv1.3;"""
    configuration = ends.place / "nginx.conf"
    configuration.write_text(f"""
{top}
worker_processes 1;
daemon off;
pid {ends.place}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {ends.place}/body;
  proxy_temp_path {ends.place}/proxy;
  fastcgi_temp_path {ends.place}/fastcgi;
  uwsgi_temp_path {ends.place}/uwsgi;
  scgi_temp_path {ends.place}/scgi;
  {http}
  upstream backend {{
    server 127.0.0.1:{ends.backend_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {listen};
    server_name {HOST};{tls}
    {location}
  }}
}}
""")
    return [binary, "-p", str(ends.place), "-c", str(configuration), "-e", "stderr"]


def _plain(ends: Ends, job: Job) -> list[str]:
    inject = f'proxy_set_header Authorization "{SECRET}";' if job.inject else ""
    location = f"""
    location {PREFIX}/ {{
      proxy_pass http://backend/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      {inject}
    }}"""
    return _configure(ends, job, location=location)


def _with_lua(ends: Ends, job: Job) -> list[str]:
    http = access = ""
    if job.authenticate:
        known = ", ".join(f'["{key(number)}"] = "{consumer(number)}"' for number in range(KEYS))
        http = f"""
  lua_shared_dict counters 10m;
  init_by_lua_block {{ consumers = {{ {known} }} }}"""
        access = f"""
        local consumer = consumers[ngx.var.http_{KEY_HEADER}]
        if not consumer then
          return ngx.exit(401)
        end
        ngx.req.set_header("X-Consumer-Username", consumer)
        local minute = math.floor(ngx.now() / 60)
        local count = ngx.shared.counters:incr(consumer .. ":" .. minute, 1, 0, 120)
        ngx.header["X-RateLimit-Limit-Minute"] = {LIMIT}
        ngx.header["X-RateLimit-Remaining-Minute"] = math.max(0, {LIMIT} - count)
        if count > {LIMIT} then
          return ngx.exit(429)
        end"""
    inject = f'ngx.req.set_header("Authorization", "{SECRET}")' if job.inject else ""
    location = f"""
    location / {{
      access_by_lua_block {{
        local uri = ngx.var.uri
        if string.sub(uri, 1, {len(PREFIX) + 1}) ~= "{PREFIX}/" then
          return ngx.exit(404)
        end
        ngx.req.set_uri(string.sub(uri, {len(PREFIX) + 1})){access}
        {inject}
      }}
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}"""
    top = "\n".join(f"load_module {module};" for module in _LUA_MODULES)
    return _configure(ends, job, top=top, http=http, location=location)


def _missing(job: Job) -> str | None:
    if program("nginx") is None:
        return "nginx is not installed (make bench-tools)"
    return "finds no consumers without Lua" if job.authenticate else None


def _lua_missing(_job: Job) -> str | None:
    if program("nginx") is None:
        return "nginx is not installed (make bench-tools)"
    found = all(module.is_file() for module in _LUA_MODULES)
    return None if found else "libnginx-mod-http-lua is not installed (make bench-tools)"


PLAIN = Proxy("nginx", _missing, _plain)
WITH_LUA = Proxy("nginx+lua", _lua_missing, _with_lua)
