"""The form of tokens."""

import string

import pytest

from core.iam import tokens


def test_minted_tokens_are_well_formed_and_differ() -> None:
    minted = {tokens.mint() for _ in range(200)}

    assert len(minted) == 200
    assert all(tokens.is_well_formed(token) for token in minted)
    assert {len(token) for token in minted} == {54}
    assert set("".join(token[5:] for token in minted)) == set(string.ascii_letters + string.digits)


def test_every_single_change_is_noticed() -> None:
    token = tokens.mint()

    for position, character in enumerate(token):
        other = "a" if character != "a" else "b"
        assert not tokens.is_well_formed(token[:position] + other + token[position + 1 :]), position


@pytest.mark.parametrize("token", ["", "kpat_", "kpat_" + "x" * 49, "spat_" + "x" * 49, "kpat_" + "é" * 49, "x" * 54])
def test_others_are_not(token: str) -> None:
    assert not tokens.is_well_formed(token)
    valid = tokens.mint()
    assert not tokens.is_well_formed(valid + "\n")
    assert not tokens.is_well_formed(" " + valid)
