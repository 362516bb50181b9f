"""``holdfast token``: credentials for the API and the dashboard."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.text import Text

from holdfast.access import Permission, Role, Token, Tokens
from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import ago, screen, table
from holdfast.cli.whoever import who
from holdfast.errors import ConfigurationError
from holdfast.jobs import seconds_of

tokens = typer.Typer(name="token", no_args_is_help=True, help="Create, list, revoke: who may use the API.")


@tokens.command(
    help=help_of(
        "Make a token; its secret is shown once.",
        "holdfast token create ada --role admin",
        "holdfast token create shop --role producer --queues mail,exports --expires 90d",
        "holdfast token create ci --permission jobs:read --permission jobs:retry --out ci.token",
        more=f"Roles: {', '.join(Role)}. With --out the secret goes to a file that only you can read.",
    )
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the person or the program that will use it")],
    role: Annotated[Role | None, typer.Option("--role", help="what it permits")] = None,
    permission: Annotated[
        list[Permission] | None, typer.Option("--permission", metavar="NOUN:VERB", help="a permission beside the role")
    ] = None,
    queues: Annotated[
        str | None, typer.Option("--queues", metavar="A,B", help="the only queues that it may see and touch")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="DURATION", help="for example 90d")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="write the secret there")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token."""
    names = None if queues is None else [part.strip() for part in queues.split(",") if part.strip()]
    seconds = None if expires is None else seconds_of(expires)

    doing = Act("token.create", "token", after={"name": name})

    async def work(rooms: Rooms) -> tuple[int, str]:
        token_id, secret = await Tokens(rooms.database).create(
            name, by=who(), role=role, permissions=permission or (), queues=names, expires_in_seconds=seconds
        )
        doing.names = [str(token_id)]
        return token_id, secret

    # The file first: a token whose secret could not be kept would be there for nobody.
    with nullcontext() if out is None else secret_file(out) as file:
        token_id, secret = act(database_url, doing, work)
        if file is not None:
            file.write(f"{secret}\n")
    if as_json:
        screen.json({"id": str(token_id), "name": name, "secret": None if out else secret})
    elif out is not None:
        screen.say(f"token {token_id} for {name}; its secret is in {out}")
    else:
        screen.say(f"token {token_id} for {name}; its secret is shown this once:")
        screen.write(secret)


@tokens.command(name="list", help=help_of("Every token, the newest first.", "holdfast token list"))
def list_tokens(
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="tokens at most")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List tokens."""

    async def work(app: Holdfast) -> Sequence[Token]:
        return await Tokens(app.database).list(limit=limit)

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
        return
    if not found:
        screen.say("no tokens; make one: holdfast token create NAME --role admin")
        return
    lines = table("ID", "NAME", "PERMITS", "QUEUES", "STANDING", "EXPIRES", "LAST USED", right=("ID",))
    for token in found:
        lines.add_row(
            str(token.id),
            Text(token.name),
            " ".join(filter(None, (token.role, *token.permissions))),
            Text("all" if token.queues is None else ", ".join(token.queues)),
            Text(token.standing, style="" if token.standing == "good" else "red"),
            ago(token.expires_at) or "never",
            ago(token.used_at) or "never",
        )
    screen.out.print(lines)


@tokens.command(
    help=help_of("Let a token, and every session that it opened, open nothing more.", "holdfast token revoke 4")
)
def revoke(
    token_id: Annotated[int, typer.Argument(metavar="ID", help="id of the token")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token."""
    doing = Act("token.revoke", "token", [str(token_id)])

    async def work(rooms: Rooms) -> str:
        name = await Tokens(rooms.database).revoke(token_id, by=who())
        doing.after = {"name": name}
        return name

    name = act(database_url, doing, work)
    if as_json:
        screen.json({"id": str(token_id), "name": name, "standing": "revoked"})
    else:
        screen.say(f"token {token_id} of {name} is revoked")


@contextmanager
def secret_file(path: Path) -> Iterator[TextIO]:
    """A new file that only its owner can read, for a secret; gone again if there will be none.

    Raises ``ConfigurationError`` where none can be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already", remedy="name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", remedy="name another file") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
