"""The OpenAPI document of the REST API, made without a database."""

from __future__ import annotations

import base64
import json

# The application wants a key and a database before it can say what it offers; it uses neither for that.
_PLACEHOLDERS = {"SLUICE_MASTER_KEY": base64.b64encode(bytes(32)).decode(), "SLUICE_DATABASE_URL": "postgresql://"}


def render() -> str:
    """The document as stable, diffable JSON."""
    from api.app import create_app
    from core.db.engine import Database
    from core.settings import load_settings

    settings = load_settings(_PLACEHOLDERS)
    app = create_app(settings, Database(settings.require_database_url()))
    return json.dumps(app.openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
