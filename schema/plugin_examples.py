"""One worked example per plugin: what it is for, and a configuration that does it.

Pages of the plugin reference show them in every client's notation. Secrets are references or say that they are to be replaced.
"""

from dataclasses import dataclass, field
from typing import Final

from schema.base import Document

_AUTHORITY: Final = "0b7c9d52-3a41-4f0c-8a37-5d1be2f6c9e4"


@dataclass(frozen=True, slots=True)
class Example:
    """`purpose`: a sentence; `config`: what of the configuration has to be given."""

    purpose: str
    config: Document = field(default_factory=dict)


EXAMPLES: Final[dict[str, Example]] = {
    "acl": Example(
        "Let consumers of one group through, and do not tell the backend which groups there are.",
        {"allow": ["partners"], "hide_groups_header": True},
    ),
    "acme": Example(
        "Get certificates for two host names, and keep them in Redis.",
        {
            "account_email": "operations@example.com",
            "tos_accepted": True,
            "domains": ["api.example.com", "www.example.com"],
            "storage": "redis",
            "storage_config": {"redis": {"host": "redis.example.com", "port": 6379}},
        },
    ),
    "aws-lambda": Example(
        "Answer with what a function returns, and let it say status and headers.",
        {
            "aws_key": "replace-me",
            "aws_secret": "replace-me",
            "aws_region": "eu-central-1",
            "function_name": "orders",
            "is_proxy_integration": True,
            "forward_request_body": True,
            "forward_request_headers": True,
        },
    ),
    "azure-functions": Example(
        "Answer with what a function returns.",
        {"appname": "orders-app", "functionname": "list-orders", "routeprefix": "api"},
    ),
    "basic-auth": Example(
        "Ask for user name and password, and keep them from the backend.", {"hide_credentials": True, "realm": "orders"}
    ),
    "bot-detection": Example(
        "Turn known bots away, but let one's own monitoring in.",
        {"allow": ["^uptime-check/"], "deny": ["^legacy-crawler"]},
    ),
    "correlation-id": Example(
        "Give each request an id, and tell it to the client, too.",
        {"header_name": "X-Request-Id", "generator": "uuid", "echo_downstream": True},
    ),
    "cors": Example(
        "Let pages of one site call with cookies.",
        {
            "origins": ["https://app.example.com"],
            "methods": ["GET", "POST"],
            "headers": ["Content-Type", "Authorization"],
            "credentials": True,
            "max_age": 3600,
        },
    ),
    "datadog": Example(
        "Send metrics to the agent of the same host.", {"host": "localhost", "port": 8125, "prefix": "gateway"}
    ),
    "file-log": Example(
        "Write a line of JSON per request to a file of the control plane's own.", {"path": "/requests.log"}
    ),
    "grpc-gateway": Example("Let clients call a gRPC service with JSON.", {"proto": "/etc/protos/orders.proto"}),
    "grpc-web": Example(
        "Let pages of one site call a gRPC service.",
        {"proto": "/etc/protos/orders.proto", "allow_origin_header": "https://app.example.com"},
    ),
    "hmac-auth": Example(
        "Accept requests whose date and target are signed, for two minutes.",
        {
            "enforce_headers": ["date", "@request-target"],
            "algorithms": ["hmac-sha256", "hmac-sha512"],
            "clock_skew": 120,
            "validate_request_body": True,
        },
    ),
    "http-log": Example(
        "Send records to a collector, in batches of a hundred or once a second.",
        {
            "http_endpoint": "https://logs.example.com/gateway",
            "method": "POST",
            "queue": {"max_batch_size": 100, "max_coalescing_delay": 1},
        },
    ),
    "ip-restriction": Example(
        "Let two networks in, except for one address.",
        {"allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.9.8.7"], "message": "Not from here"},
    ),
    "jwt": Example(
        "Accept tokens that expire within an hour.",
        {"key_claim_name": "iss", "claims_to_verify": ["exp"], "maximum_expiration": 3600},
    ),
    "key-auth": Example(
        "Ask for a key in a header of your own, and in no other place.",
        {"key_names": ["X-Api-Key"], "key_in_query": False, "hide_credentials": True},
    ),
    "ldap-auth": Example(
        "Check user names and passwords in a directory, over TLS.",
        {
            "ldap_host": "ldap.example.com",
            "ldap_port": 636,
            "ldaps": True,
            "base_dn": "ou=people,dc=example,dc=com",
            "attribute": "uid",
            "header_type": "basic",
        },
    ),
    "loggly": Example(
        "Send records of failures only.",
        {
            "key": "11111111-2222-4333-8444-555555555555",
            "tags": ["gateway"],
            "log_level": "warning",
            "client_errors_severity": "warning",
            "server_errors_severity": "err",
        },
    ),
    "mtls-auth": Example(
        "Find consumers by the common name of their certificates.",
        {"ca_certificates": [_AUTHORITY], "consumer_by": ["username"], "revocation_check_mode": "SKIP"},
    ),
    "oauth2": Example(
        "Give tokens to machines for their own credentials.",
        {
            "enable_client_credentials": True,
            "scopes": ["orders:read", "orders:write"],
            "mandatory_scope": True,
            "token_expiration": 3600,
        },
    ),
    "opentelemetry": Example(
        "Send one trace in ten to a collector.",
        {
            "traces_endpoint": "https://otel.example.com/v1/traces",
            "sampling_rate": 0.1,
            "resource_attributes": {"service.name": "orders-gateway"},
        },
    ),
    "post-function": Example(
        "Set a header of the response.", {"header_filter": ["kong.response.set_header('X-Checked', 'yes')"]}
    ),
    "pre-function": Example(
        "Refuse requests without a tenant.",
        {"access": ["if not kong.request.get_header('X-Tenant') then return kong.response.exit(400) end"]},
    ),
    "prometheus": Example(
        "Count by consumer, and show latencies.",
        {"per_consumer": True, "status_code_metrics": True, "latency_metrics": True, "bandwidth_metrics": True},
    ),
    "proxy-cache": Example(
        "Answer the same question from memory for a minute.",
        {
            "strategy": "memory",
            "cache_ttl": 60,
            "content_type": ["application/json"],
            "vary_headers": ["Accept-Language"],
        },
    ),
    "rate-limiting": Example(
        "Let each consumer ask five times in a minute and a thousand times a day, whichever gateway it asks.",
        {
            "minute": 5,
            "day": 1000,
            "limit_by": "consumer",
            "policy": "redis",
            "redis": {"host": "redis.example.com", "port": 6379, "ssl": True},
        },
    ),
    "redirect": Example(
        "Send clients to another host, to the same path.",
        {"location": "https://www.example.com", "status_code": 308, "keep_incoming_path": True},
    ),
    "request-size-limiting": Example(
        "Accept bodies of two megabytes, if they say how long they are.",
        {"allowed_payload_size": 2, "size_unit": "megabytes", "require_content_length": True},
    ),
    "request-termination": Example("Close for maintenance.", {"status_code": 503, "message": "Back at six"}),
    "request-transformer": Example(
        "Show the backend a secret, so that it accepts only what came through the gateway.",
        {
            "replace": {"headers": ["Authorization:Bearer replace-me"]},
            "add": {"headers": ["Authorization:Bearer replace-me"]},
            "remove": {"querystring": ["debug"]},
        },
    ),
    "request-transformer-advanced": Example(
        "Let known members of orders through, and none else, and take prices out of all their items.",
        {
            "allow": {"body": ["customer", "items"]},
            "remove": {"headers": ["X-Internal"], "body": ["items[*].price"]},
            "dots_in_keys": False,
        },
    ),
    "response-ratelimiting": Example(
        "Let backends say how many videos a response was, of five in a minute.", {"limits": {"videos": {"minute": 5}}}
    ),
    "response-transformer": Example(
        "Take a header of the backend out, and a field of its JSON.",
        {"remove": {"headers": ["X-Powered-By"], "json": ["internal"]}, "add": {"headers": ["X-Served-By:gateway"]}},
    ),
    "response-transformer-advanced": Example(
        "Change what failures look like, and nothing else.",
        {"replace": {"headers": ["Cache-Control:no-store"], "if_status": ["500-599"]}},
    ),
    "session": Example(
        "Remember who has logged in, in a cookie.",
        {
            "secret": "replace-me",
            "cookie_name": "orders",
            "cookie_same_site": "Lax",
            "rolling_timeout": 1800,
        },
    ),
    "standard-webhooks": Example(
        "Accept webhooks that are signed with a shared secret and not older than five minutes.",
        {"secret_v1": "replace-me", "tolerance_second": 300},
    ),
    "statsd": Example(
        "Count requests and their statuses.",
        {
            "host": "statsd.example.com",
            "port": 8125,
            "prefix": "gateway",
            "metrics": [
                {"name": "request_count", "stat_type": "counter", "sample_rate": 1},
                {"name": "status_count", "stat_type": "counter", "sample_rate": 1},
            ],
        },
    ),
    "syslog": Example(
        "Write records to the host's log, failures as errors.",
        {"facility": "local0", "server_errors_severity": "err", "client_errors_severity": "notice"},
    ),
    "tcp-log": Example("Send records over TLS.", {"host": "logs.example.com", "port": 6514, "tls": True}),
    "udp-log": Example("Send records to a collector, one datagram each.", {"host": "logs.example.com", "port": 9999}),
    "zipkin": Example(
        "Send every hundredth trace to a collector.",
        {
            "http_endpoint": "https://zipkin.example.com/api/v2/spans",
            "sample_ratio": 0.01,
            "local_service_name": "gateway",
        },
    ),
}
"""By the plugin's name; ids of entities are made up."""
