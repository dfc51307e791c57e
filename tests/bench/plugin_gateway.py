"""`python -m tests.bench.plugin_gateway PORT BACKEND_PORT LOGS CREDENTIALS`: the engine with a route for each plugin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import UUID

from schema.credentials import key_hash
from schema.declarative import load
from tests.bench.gateway import CREDENTIAL_KEY, serve, snapshot
from tests.bench.plugin_jobs import configuration


def with_credentials(document: bytes, most: int) -> bytes:
    """The same with keys that nobody presents, up to so many in all.

    Spliced into the text: a million of them as objects would take gigabytes and minutes.
    """
    head, mark, tail = document.partition(b'"keyauth_credentials":[')
    present = json.loads(document)["entities"]["keyauth_credentials"]
    consumer = json.dumps(present[0]["consumer"])
    rows = (
        f'{{"id":"{UUID(int=number)}","consumer":{consumer},'
        f'"key_hash":"{key_hash(CREDENTIAL_KEY, f"nobody-{number}")}","expires_at":null}},'
        for number in range(len(present), most)
    )
    return head + mark + "".join(rows).encode() + tail


def main(port: int, backend_port: int, logs: Path, credentials: int) -> int:
    loaded = load(configuration(backend_port))
    if loaded.errors:
        raise SystemExit(str(loaded.errors))
    document = with_credentials(snapshot(loaded.for_gateways(CREDENTIAL_KEY)), credentials)
    serve(port, document, logs=logs)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
