"""Certificates of an installation."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509

from cli.faults import Fault
from cli.up.certificates import Authority

NAMES = ["localhost", "*.api.localhost", "127.0.0.1"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    found = Authority(tmp_path / "ca.pem", tmp_path / "ca.key")
    found.ensure("Test CA")
    return found


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_an_authority_is_made_once_and_its_key_is_private(authority: Authority) -> None:
    before = authority.certificate_file.read_bytes()
    authority.ensure("Another name")
    assert authority.certificate_file.read_bytes() == before
    assert stat.S_IMODE(authority.key_file.stat().st_mode) == 0o600
    constraints = load(authority.certificate_file).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca


def test_a_server_certificate_names_what_was_asked(authority: Authority, tmp_path: Path) -> None:
    authority.ensure_server(tmp_path / "api.pem", tmp_path / "api.key", NAMES)
    leaf = load(tmp_path / "api.pem")
    leaf.verify_directly_issued_by(load(authority.certificate_file))
    alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == NAMES[:2]
    assert [str(item) for item in alternatives.get_values_for_type(x509.IPAddress)] == NAMES[2:]
    assert leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) < dt.timedelta(days=398)
    assert len(x509.load_pem_x509_certificates((tmp_path / "api.pem").read_bytes())) == 2


def test_it_is_kept_until_names_or_authority_change(authority: Authority, tmp_path: Path) -> None:
    files = tmp_path / "api.pem", tmp_path / "api.key"
    authority.ensure_server(*files, NAMES)
    first = files[0].read_bytes()
    authority.ensure_server(*files, NAMES)
    assert files[0].read_bytes() == first
    authority.ensure_server(*files, [*NAMES, "global.example.test"])
    second = files[0].read_bytes()
    assert second != first
    authority.certificate_file.unlink()
    authority.key_file.unlink()
    authority.ensure("New CA")
    authority.ensure_server(*files, [*NAMES, "global.example.test"])
    assert files[0].read_bytes() != second


def test_a_torn_certificate_is_replaced(authority: Authority, tmp_path: Path) -> None:
    files = tmp_path / "api.pem", tmp_path / "api.key"
    authority.ensure_server(*files, NAMES)
    files[0].write_text("nonsense")
    authority.ensure_server(*files, NAMES)
    load(files[0]).verify_directly_issued_by(load(authority.certificate_file))


def test_half_an_authority_is_not_replaced(authority: Authority) -> None:
    authority.key_file.unlink()
    with pytest.raises(Fault, match=r"ca\.key is missing while its certificate is there"):
        authority.ensure("Test CA")
    assert authority.certificate_file.exists()


def test_an_interrupted_first_start_is_finished(authority: Authority, tmp_path: Path) -> None:
    """The key is written first: killed after that, the next start must go on from there."""
    key = authority.key_file.read_bytes()
    authority.certificate_file.unlink()

    authority.ensure("Test CA")

    assert authority.key_file.read_bytes() == key
    authority.ensure_server(tmp_path / "api.pem", tmp_path / "api.key", NAMES)
    load(tmp_path / "api.pem").verify_directly_issued_by(load(authority.certificate_file))


def test_an_unusable_key_is_one_line(authority: Authority) -> None:
    authority.certificate_file.unlink()
    authority.key_file.write_text("torn")
    with pytest.raises(Fault, match=r"ca\.key is not usable"):
        authority.ensure("Test CA")
