"""``holdfast api``: serve the API and the dashboard; and how ``holdfast up`` has them beside its workers."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import socket
import sys
from typing import Annotated

import typer

from holdfast.access import Tokens
from holdfast.app import Holdfast
from holdfast.cli.locate import load_application
from holdfast.cli.options import DatabaseUrl, help_of
from holdfast.cli.screen import screen
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.settings import Settings, load_settings
from holdfast.telemetry import configure_logging
from holdfast.worker import Companion

_FIRST_PORT, _PORTS = 8765, 20
_OPEN_SECONDS = 5.0
_NEEDED = ("fastapi", "uvicorn", "limits", "jwt", "prometheus_client")

commands = typer.Typer()


@commands.command(
    help=help_of(
        "Serve the HTTP API and the dashboard, without a worker.",
        "holdfast api",
        "holdfast api shop.tasks:app --port 8765",
        "HOLDFAST_AUTH=on holdfast api --host 0.0.0.0    # others too, with tokens: holdfast token create",
        more="APP is needed for what only its code knows: the arguments of tasks, its own pages.",
    )
)
def api(
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="module, module:attribute or file.py")] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="address to serve at; default: the setting")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, metavar="N", help="port; default: the setting")] = None,
    database_url: DatabaseUrl = None,
    socket_fd: Annotated[int | None, typer.Option("--socket-fd", hidden=True)] = None,
) -> None:
    """Serve the API and the dashboard."""
    require_packages()
    from holdfast.api import create_api, serve

    flags = {"database_url": database_url, "api_host": host, "api_port": port}
    settings = load_settings(flags)
    where = app or settings.app
    application = load_application(where) if where else Holdfast(settings=settings)
    if where and database_url is not None:
        application.configure(database_url)
    configure_logging(settings.log_level, settings.log_format)
    if socket_fd is not None:
        listening = socket.socket(fileno=socket_fd)
    else:
        listening = listen(settings)
        tell_address(settings, listening)
        if guarded(settings):
            asyncio.run(tell_first_token(settings))
        screen.say("Ctrl-C ends it.")
    made = create_api(application, auth=guarded(settings))
    serve(made, listening, proxies=settings.api_proxies, prefix=settings.api_prefix)


def require_packages() -> None:
    """Raise ``ConfigurationError`` where the packages of the extra are missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the API needs packages that are not installed: {', '.join(missing)}",
            remedy="install them: pip install 'holdfast[api]'",
        )


def guarded(settings: Settings) -> bool:
    """Whether callers must be known. Raises ``ConfigurationError`` for an open door to other machines."""
    if is_loopback(settings.api_host):
        return bool(settings.auth)
    if settings.auth is False:
        raise ConfigurationError(
            f"without authentication only this machine may be served, and {settings.api_host} is open to others",
            remedy="set HOLDFAST_AUTH=on, or leave HOLDFAST_API_HOST at 127.0.0.1",
        )
    return True


def is_loopback(host: str) -> bool:
    """Whether an address reaches no other machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say. Raises ``ConfigurationError`` when the port is taken."""
    host, chosen = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last: OSError | None = None
    for port in [chosen] if chosen is not None else range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        try:
            return socket.create_server((host, port), family=family, backlog=256)
        except OSError as error:
            last = error
    where = str(chosen) if chosen is not None else f"{_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1}"
    raise ConfigurationError(
        f"nothing can be served at {host}, port {where}: {last}", remedy="choose another with HOLDFAST_API_PORT"
    ) from last


def tell_address(settings: Settings, listening: socket.socket) -> None:
    """Say where it is, and who gets in."""
    screen.say(f"{'pages':<8}{address_of(listening)}")
    if guarded(settings):
        screen.say(f"{'access':<8}with a token: holdfast token create NAME --role admin")
        if settings.public_read:
            screen.say(
                f"{'':<8}everybody may read, without arguments, results and messages of errors (HOLDFAST_PUBLIC_READ)"
            )
    else:
        screen.say(f"{'access':<8}everybody on this machine, as admin (HOLDFAST_AUTH=on asks for tokens)")
    if settings.read_only:
        screen.say(f"{'':<8}it only reads (HOLDFAST_READ_ONLY)")
    if settings.api_rate not in (None, "none"):
        where = "in each process" if settings.ratelimit_storage_uri is None else "in all processes together"
        screen.say(f"{'rates':<8}{settings.api_rate} for each caller, counted {where}")


async def tell_first_token(settings: Settings) -> None:
    """Make an admin token where there is none at all, and show it: otherwise nobody could ever sign in."""
    application = Holdfast(settings=settings)
    try:
        await application.open(_OPEN_SECONDS)
        secret = await Tokens(application.database).create_first()
    except HoldfastError as error:
        screen.say(f"{'token':<8}none was made: {error.message}")
        return
    finally:
        await application.close(2.0)
    if secret is not None:
        screen.say(f"{'token':<8}{secret}")
        screen.say(f"{'':<8}for an admin, shown this once; sign in with it and make others")


def address_of(listening: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104  (not bound here)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def companion(where: str, settings: Settings, database_url: str | None) -> tuple[Companion, socket.socket] | None:
    """The API beside the workers of ``up``, on a socket that outlives it; ``None``, and why, where it cannot be."""
    try:
        require_packages()
    except ConfigurationError as error:
        screen.say(f"{'pages':<8}none: {error.message}; {error.remedy}")
        return None
    guarded(settings)
    listening = listen(settings)
    listening.set_inheritable(True)
    tell_address(settings, listening)
    if guarded(settings):
        asyncio.run(tell_first_token(settings))
    command = [sys.executable, "-P", "-m", "holdfast.cli", "api", where, f"--socket-fd={listening.fileno()}"]
    command += [f"--database-url={database_url}"] if database_url else []
    return Companion("api", command, (listening.fileno(),)), listening
