"""`sluice limits`: what gateways bound one organization by, where it differs from the installation's settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.configuration import local_settings
from cli.faults import Fault
from core.db.engine import Database
from core.errors import InvalidInput, NotFound
from core.gateways import limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


def run_limits(organization_id: UUID, changes: Mapping[str, Any], *, clear: bool) -> None:
    """Set limits of an organization and print what bounds it then, as JSON.

    Raises: Fault: no such organization, or a bad value. OperatorError: the database or a setting is not as it must be.
    """
    settings = local_settings()
    database = Database(settings.require_database_url(), pool_size=1)
    try:
        with database.system() as session:
            own = limits.change(session, organization_id, changes, clear=clear)
    except NotFound:
        raise Fault(f"there is no organization {organization_id}") from None
    except InvalidInput as error:
        raise Fault("; ".join(f"{item.field}: {item.reason}" for item in error.violations)) from None
    finally:
        database.close()
    effective = limits.with_own(limits.of_installation(settings), own)
    print(json.dumps({"own": own, "effective": effective.model_dump(mode="json")}, indent=2))
