"""The command line. Commands import what they need when they run, so each process carries only its own parts."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  # typer reads annotations when it runs
from typing import Annotated
from uuid import UUID  # noqa: TC003  # as above

import typer

from cli.faults import Fault

app = typer.Typer(
    name="sluice",
    help="Sluice: API gateways as a service that you run yourself.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
demo_app = typer.Typer(help="Small things to try Sluice with.", rich_markup_mode=None)
node_app = typer.Typer(help="Gateway nodes and their certificates.", rich_markup_mode=None)
app.add_typer(demo_app, name="demo")
app.add_typer(node_app, name="node")

_show_traceback = False


@app.callback()
def options(
    *,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an unexpected error came from.")] = False,
) -> None:
    global _show_traceback  # noqa: PLW0603  # read by run(), outside of any command
    _show_traceback = traceback


@app.command()
def up() -> None:
    """Run the whole of Sluice on this machine, in the foreground; Ctrl-C ends all of it."""
    from cli.up.command import run_up

    run_up()


@app.command()
def api(
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM) for the HTTPS port.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    *,
    development_tls: Annotated[
        bool, typer.Option("--development-tls", help="Serve HTTPS with a certificate of the state directory's own CA.")
    ] = False,
) -> None:
    """Serve the REST API and the console; over HTTPS too when there is a certificate."""
    from cli.api_server import serve

    if (tls_certificate is None) != (tls_key is None) or (development_tls and tls_key is not None):
        raise Fault("give --tls-certificate and --tls-key, or --development-tls, or none of them", exit_code=2)
    own = None if tls_certificate is None or tls_key is None else (tls_certificate, tls_key)
    serve(own, development_tls=development_tls)


@app.command()
def worker() -> None:
    """Run the tasks: provision gateways, dispatch the outbox."""
    from cli.configuration import local_settings
    from workers.app import run_worker

    raise typer.Exit(run_worker(local_settings()))


@app.command()
def beat() -> None:
    """Wake the periodic sweeps; one is enough, more do no harm."""
    from cli.configuration import local_settings
    from workers.app import run_beat

    raise typer.Exit(run_beat(local_settings()))


@app.command()
def gateway(
    spec: Annotated[
        Path | None,
        typer.Option(help="The gateway's settings as a JSON file; without it, from SLUICE_GATEWAY_* variables."),
    ] = None,
) -> None:
    """Run one gateway: the agent that follows the control plane, and the engine that carries the traffic."""
    from gateway_runtime.main import run as run_gateway

    raise typer.Exit(run_gateway(spec))


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema; safe to repeat."""
    from cli.configuration import local_settings
    from migrations.runner import upgrade

    print(f"the database is at revision {upgrade(local_settings().require_database_url())}")


@app.command()
def bootstrap(
    *,
    renew: Annotated[
        bool, typer.Option("--renew", help="When it was made before: new password and token for its administrator.")
    ] = False,
) -> None:
    """Make the first organization, its administrator and a token; prints them once, as KEY=VALUE lines."""
    from cli.bootstrapping import run_bootstrap

    run_bootstrap(renew=renew)


@app.command()
def limits(
    organization: Annotated[UUID, typer.Argument(help="The organization's id.")],
    *,
    allow_upstream: Annotated[
        str | None,
        typer.Option(help="Private networks that its upstreams may be in: CIDR, comma separated; '' for none."),
    ] = None,
    max_requests_per_second: Annotated[int | None, typer.Option(help="Requests per second on one runtime.")] = None,
    max_concurrent_requests: Annotated[int | None, typer.Option(help="Requests at once on one runtime.")] = None,
    max_connections: Annotated[int | None, typer.Option(help="Client connections at once on one runtime.")] = None,
    max_body_bytes: Annotated[int | None, typer.Option(help="Largest request body.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take back what was set before.")] = False,
) -> None:
    """Set what gateways bound one organization by, instead of the settings; without options: show it."""
    from cli.limits import run_limits

    numbers = {
        "max_requests_per_second": max_requests_per_second,
        "max_concurrent_requests": max_concurrent_requests,
        "max_connections": max_connections,
        "max_body_bytes": max_body_bytes,
    }
    changes: dict[str, object] = {name: value for name, value in numbers.items() if value is not None}
    if allow_upstream is not None:
        changes["allow_upstream"] = [part.strip() for part in allow_upstream.split(",") if part.strip()]
    run_limits(organization, changes, clear=clear)


@app.command()
def openapi(
    output: Annotated[
        Path | None,
        typer.Option(help="Write one document per area into this directory instead of all to the terminal."),
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when the files are not up to date.")
    ] = False,
    accept: Annotated[str, typer.Option(help="Why it is right this time that something breaks clients.")] = "",
) -> None:
    """Print or write the REST API's OpenAPI documents; what breaks clients is refused."""
    from cli.openapi_document import emit

    emit(output, check=check, accept=accept)


@app.command()
def settings(
    output: Annotated[Path | None, typer.Option(help="Write here instead of to the terminal.")] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when the file is not up to date.")
    ] = False,
) -> None:
    """Print all settings, their defaults and what they mean."""
    from cli.generated import emit
    from cli.settings_reference import render

    emit(render(), output, check=check)


@app.command()
def plugins(
    output: Annotated[Path, typer.Option(help="Folder of the pages.")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail when a page is not up to date.")] = False,
) -> None:
    """Write the reference of plugins, a page each."""
    from cli.generated import emit_all
    from cli.plugin_pages import render

    emit_all(render(), output, check=check)


@app.command()
def doctor() -> None:
    """Check this machine and this installation, one line each; fails when something is wrong."""
    from cli.doctor import examine

    raise typer.Exit(0 if examine() else 1)


@demo_app.command()
def backend(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 9090,
    secret: Annotated[
        str | None, typer.Option(help="The bearer token it demands; made up and printed when not given.")
    ] = None,
    *,
    everybody: Annotated[bool, typer.Option("--open", help="Answer everybody.")] = False,
) -> None:
    """A backend that answers 200 with JSON when `Authorization: Bearer <secret>` came along, else 401."""
    import secrets

    from cli.demo import serve
    from cli.faults import Fault

    if everybody and secret is not None:
        raise Fault("--open and --secret exclude each other", exit_code=2)
    serve(host, port, None if everybody else secret if secret is not None else secrets.token_urlsafe(12))


@node_app.command()
def issue(
    regions: Annotated[list[str], typer.Argument(help="Regions that get a node each.")],
    directory: Annotated[
        Path, typer.Option(help="A folder per region is made here: node.pem, node.key, gateway.json.")
    ],
    days: Annotated[int, typer.Option(min=1, max=397, help="How long a certificate is valid.")] = 90,
) -> None:
    """Issue node certificates for gateways that others start; repeat it to renew those that have aged."""
    from cli.nodes import issue_nodes

    issue_nodes(regions, directory, days)


def run() -> None:
    """Entry point: every expected error is one line on stderr and a non-zero exit."""
    try:
        code = app(prog_name="sluice", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the outermost frame
        sys.exit(_report(error))
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return 130
    if isinstance(error, Fault):
        return _say(str(error), error.exit_code)
    if isinstance(error, typer.TyperException):
        return _say(error.format_message(), error.exit_code)
    if _is_operators(error):
        return _say(str(error), 2 if type(error).__name__ in {"SettingsError", "SpecError"} else 1)
    if _show_traceback:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return _say(f"unexpected {type(error).__name__}: {error} (`sluice --traceback …` shows where)", 1)


def _is_operators(error: BaseException) -> bool:
    """Whether it is an error whose message is meant for the operator. Looks only at modules the command has loaded."""
    kinds = (
        ("core.errors", "SluiceError"),
        ("gateway_runtime.spec", "SpecError"),
        ("gateway_runtime.identity", "IdentityError"),
    )
    return any(
        module in sys.modules and isinstance(error, getattr(sys.modules[module], name)) for module, name in kinds
    )


def _say(message: str, code: int) -> int:
    print("sluice: " + " ".join(message.split()), file=sys.stderr)
    return code
