"""The Rust engine, typed: all that crosses the border.

Configuration goes in and reports come out as JSON bytes, a few times per change; no request ever crosses. Every call releases
the interpreter and may come from any thread.
"""

from gateway_runtime import _engine
from gateway_runtime.reports import EngineFault


class Engine:
    """The gateway engine of one process: listeners, threads and the tenants that they serve."""

    def __init__(self, options: bytes) -> None:
        """Prepare an engine that does not listen yet; configuration can be applied before `start`.

        Args:
            options: JSON object with `listeners` (list of `{"address": "127.0.0.1:8000", "tls": false}`, with `"protocol":
                "stream"` for routes of `tcp`, `tls` and `tls_passthrough`, `public_port`, `proxy_protocol`), `threads` (0 = one per core), `default_certificate` (`{"cert": PEM, "key": PEM}`; null makes a self-signed one), `version`, and optional
                `limits`: `max_head_bytes`, `max_buffered_bytes`, `max_connections` and `max_upstream_connections` (0 = half of the
                process's descriptors), and in milliseconds `idle_timeout_ms`, `head_timeout_ms`, `body_timeout_ms`,
                `write_timeout_ms`, `handshake_timeout_ms`, `upstream_ping_ms`, `upstream_pong_ms`; `min_body_rate` is in bytes per second, averaged over
                `body_timeout_ms` (0 = any). Optional `dns`: `nameservers` (`["ip:port"]`) and `search` (domains), both the system's
                if left out; in seconds `stale_ttl`, `not_found_ttl` and `error_ttl`; `timeout_ms`; `hosts_file` and
                `resolv_conf` (paths).

        Raises: ValueError: unreadable options, an unknown member, or a bad certificate.
        """
        self._engine = _engine.Engine(options)

    def start(self) -> list[str]:
        """Bind every listener in every thread and serve.

        Returns: the bound addresses (`host:port`) in the order of the listeners; port 0 has become a real one.
        Raises: OSError: an address cannot be bound; nothing runs then.
        """
        return self._engine.start()

    def apply(self, update: bytes) -> bytes:
        """Apply a snapshot or delta (`schema/snapshot.py`), all or nothing; requests in flight keep what they began with.

        Returns: JSON `{"control_plane_id", "version", "accepted", "errors": [{"code"?, "entity", "id", "name", "field",
            "message"}]}`. Code `version-gap`: the delta does not start at the version held.
        Raises: EngineFault: a panic; what ran before still runs.
        """
        try:
            return self._engine.apply(update)
        except BaseException as error:
            # A panic is no Exception in Python: left alone it would end the agent, and the gateway with all its tenants.
            if type(error).__name__ != "PanicException":
                raise
            raise EngineFault("the engine failed on this configuration") from None

    def remove(self, control_plane_id: str) -> bool:
        """Forget a control plane: its hosts answer 404 from now on. Returns whether it was there."""
        return self._engine.remove(control_plane_id)

    def versions(self) -> bytes:
        """JSON object: control plane id to the version that runs."""
        return self._engine.versions()

    def stats(self) -> bytes:
        """Counters since the start as JSON: those of the process at the top, those of each control plane below `tenants`."""
        return self._engine.stats()

    def health(self) -> bytes:
        """Health of all targets as JSON: control plane id to upstream id to `{"name", "health", "weight", "targets"}`.

        `weight` is `{"total", "available", "unavailable"}`; `targets` maps target id to `{"target", "health", "weight",
        "addresses"}`, each address being `{"ip", "port", "weight", "health", "counters"}` with the counters `successes`,
        `http_failures`, `tcp_failures` and `timeouts`. `health` is one of HEALTHCHECKS_OFF, HEALTHY, UNHEALTHY, DNS_ERROR.
        """
        return self._engine.health()

    def metrics(self, control_plane_id: str) -> str | None:
        """Figures of the plugin `prometheus` of one control plane, in Prometheus' text format; None if there is no such one."""
        return self._engine.metrics(control_plane_id)

    def set_target_health(self, order: bytes) -> bool:
        """Take a target for healthy or not, until a check of its upstream finds otherwise.

        Args:
            order: JSON object with `control_plane_id`, `upstream` (id or name), `target` (id or `host:port`), `healthy` (bool) and,
                to mean one address of the target only, `address` (`ip:port`).

        Returns: whether this gateway has such a target.
        Raises: ValueError: unreadable order.
        """
        return self._engine.set_target_health(order)

    def advance_clock(self, seconds: float) -> None:
        """Move the engine's clock forward, for conformance tests. Socket timeouts do not follow it.

        Raises: ValueError: negative, not finite, or more than a billion.
        """
        self._engine.advance_clock(seconds)

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let requests in flight end for so long, cut the rest, and join the threads. May be called again.

        Raises: ValueError: negative, not finite, or more than a billion.
        """
        self._engine.stop(grace_seconds)
