"""`sluice bootstrap`: prints what was made as KEY=VALUE lines, for people and for `sluice up`."""

from __future__ import annotations

from cli.configuration import local_settings
from cli.up.environment_file import render
from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.iam.bootstrap import bootstrap
from core.iam.passwords import Passwords
from core.iam.recovery import renew_credentials


def run_bootstrap(*, renew: bool) -> None:
    """Make the first organization unless there is one.

    With `renew`, and when there is one, its administrator gets new credentials. Secrets are printed only when they
    were made just now.
    Raises: OperatorError: the database or a setting is not as it must be.
    """
    settings = local_settings()
    keyring = KeyRing(settings.require_master_key())
    passwords, clock = Passwords(), SystemClock()
    database = Database(settings.require_database_url(), pool_size=1)
    try:
        made = bootstrap(database, keyring, passwords, clock)
        if renew and not made.created:
            made = renew_credentials(database, keyring, passwords, clock) or made
    finally:
        database.close()
    values = {"SLUICE_ORG_ID": str(made.organization_id), "SLUICE_ADMIN_EMAIL": made.admin_email}
    if made.password is not None:
        values["SLUICE_ADMIN_PASSWORD"] = made.password.get_secret_value()
    if made.token is not None:
        values["SLUICE_PAT"] = made.token.get_secret_value()
    print(render(values), end="", flush=True)
