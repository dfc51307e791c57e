"""The command line: help everywhere, errors in one line, imports as small as the process."""

import subprocess
import sys

import pytest

from cli import main
from cli.faults import Fault

COMMANDS = [
    [],
    ["up"],
    ["api"],
    ["worker"],
    ["beat"],
    ["gateway"],
    ["migrate"],
    ["bootstrap"],
    ["limits"],
    ["openapi"],
    ["doctor"],
    ["demo"],
    ["demo", "backend"],
    ["node"],
    ["node", "issue"],
]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command, "--help") == 0
    assert capsys.readouterr().out.startswith("Usage: sluice")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["nonsense"], "No such command 'nonsense'"),
        (["api", "--tls-key", "x"], "give --tls-certificate and --tls-key"),
        (["demo", "backend", "--port", "x"], "--port"),
        (["demo", "backend", "--secret", "a b"], "printable ASCII"),
        (["node", "issue"], "Missing"),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sluice: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLUICE_PORT_OFFSET", "many")
    assert run(monkeypatch, "up") == 2
    error = capsys.readouterr().err
    assert error.startswith("sluice: setting SLUICE_PORT_OFFSET: ")
    assert error.count("\n") == 1


def test_an_unexpected_error_is_one_line_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> bool:
        raise ZeroDivisionError("of all\nthings")

    monkeypatch.setattr("cli.doctor.examine", broken)
    assert run(monkeypatch, "doctor") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run(monkeypatch, "--traceback", "doctor") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_never_spans_lines() -> None:
    assert str(Fault("one\n  two")) == "one two"


def test_a_gateway_loads_nothing_of_the_control_plane() -> None:
    program = (
        "import sys\n"
        "import cli.main, gateway_runtime.main\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'core', 'api', 'workers', 'migrations', 'sqlalchemy', 'celery', 'fastapi'}))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
