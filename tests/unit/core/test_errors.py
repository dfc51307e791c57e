"""The errors themselves."""

from uuid import UUID

import pytest

from core import errors


def test_name_taken_reads_like_the_database() -> None:
    organization = UUID("3f51fa25-310a-421d-bd1a-007f859021a3")

    error = errors.NameTaken("control plane", {"org_id": organization, "name": "cp"})

    assert error.message == "Key (org_id, name)=(3f51fa25-310a-421d-bd1a-007f859021a3, cp) already exists."


def test_public_message_and_internal_context_are_two_things() -> None:
    error = errors.Unauthenticated("revoked")

    assert "revoked" not in error.message
    assert error.context == {"reason": "revoked"}


def test_invalid_input_says_what() -> None:
    assert errors.InvalidInput.of("name", "is taken").violations[0].field == "name"
    with pytest.raises(ValueError, match="at least one"):
        errors.InvalidInput([])


def test_schema_errors_fit_on_a_line() -> None:
    for error in (errors.SchemaTooNew("9", "1"), errors.SchemaOutdated(None, "1"), errors.SettingsError("A", "b")):
        assert "\n" not in str(error)
