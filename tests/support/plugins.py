"""The least that a configuration of each plugin has to say, and what clients make of it with the schemas they are served."""

from typing import Any

from schema.base import Document

ID = "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"

LEAST: dict[str, Document] = {
    "acl": {"allow": ["friends"]},
    "acme": {"account_email": "somebody@example.test"},
    "aws-lambda": {"aws_key": "key", "aws_secret": "secret", "aws_region": "eu-central-1", "function_name": "f"},
    "azure-functions": {"appname": "app", "functionname": "function"},
    "basic-auth": {},
    "bot-detection": {},
    "correlation-id": {},
    "cors": {},
    "datadog": {},
    "file-log": {"path": "/tmp/log"},
    "grpc-gateway": {},
    "grpc-web": {},
    "hmac-auth": {},
    "http-log": {"http_endpoint": "http://log.test"},
    "ip-restriction": {"deny": ["10.0.0.0/8"]},
    "jwt": {},
    "key-auth": {},
    "ldap-auth": {"ldap_host": "ldap.test", "base_dn": "dc=test", "attribute": "uid"},
    "loggly": {"key": "token"},
    "mtls-auth": {"ca_certificates": [ID]},
    "oauth2": {"enable_client_credentials": True},
    "opentelemetry": {"traces_endpoint": "http://otel.test"},
    "post-function": {"log": ["return 1"]},
    "pre-function": {"access": ["return 1"]},
    "prometheus": {},
    "proxy-cache": {"strategy": "memory"},
    "rate-limiting": {"minute": 5},
    "redirect": {"location": "https://elsewhere.test"},
    "request-size-limiting": {},
    "request-termination": {},
    "request-transformer": {},
    "request-transformer-advanced": {},
    "response-ratelimiting": {"limits": {"video": {"minute": 5}}},
    "response-transformer": {},
    "response-transformer-advanced": {},
    "session": {},
    "standard-webhooks": {"secret_v1": "secret"},
    "statsd": {},
    "syslog": {},
    "tcp-log": {"host": "log.test", "port": 9000},
    "udp-log": {"host": "log.test", "port": 9000},
    "zipkin": {},
}


def filled(record: Document, given: Document) -> Document:
    """A record as a client completes it: as decK does, from the notation that the control plane serves.

    Fields that are made up on writing, and those that `given` does not have a default for, come out as None. Values of a
    map are complete as they are.
    """
    result = dict(given)
    for name, field in fields_of(record):
        value = given.get(name)
        if field["type"] == "record" and (value is not None or field.get("required")):
            result[name] = filled(field, value or {})
        elif field["type"] in {"array", "set"} and field["elements"]["type"] == "record" and value:
            result[name] = [filled(field["elements"], item) for item in value]
        elif value is None:
            result[name] = field.get("default")
    return result


def fields_of(record: Document) -> list[tuple[str, Any]]:
    """The fields of a record in that notation."""
    return [(name, field) for entry in record["fields"] for name, field in entry.items()]


def config_of(schema: Document) -> Document:
    """The record `config` of a plugin's schema."""
    return next(field for name, field in fields_of(schema) if name == "config")


def without_aliases(record: Document, config: Document) -> Document:
    """A configuration as it is read, without the old names in it."""
    old = {name for entry in record.get("shorthand_fields", ()) for name in entry}
    result = {name: value for name, value in config.items() if name not in old}
    for name, field in fields_of(record):
        if field["type"] == "record" and result.get(name) is not None:
            result[name] = without_aliases(field, result[name])
    return result
