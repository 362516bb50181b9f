"""One typed settings object, and the one place that reads the environment.

Every setting may come from four sources; the first that has it wins:

    command-line flag  >  environment HOLDFAST_*  >  file holdfast.toml  >  default

A variable ``HOLDFAST_*`` or a key of the file that no setting bears is an error with a suggestion, because a misspelt
setting that is silently ignored is found at night. Rooms below this floor are handed values and never look here.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from holdfast.errors import ConfigurationError

__all__ = ["FILE_NAME", "Settings", "load_settings", "redacted"]

FILE_NAME: Final = "holdfast.toml"
_PREFIX: Final = "HOLDFAST_"
# Switches of Holdfast's own test suite; a process started by a test inherits them and must not mind.
_TEST_PREFIX: Final = "HOLDFAST_TEST_"
# Read by the build (hatch_build.py); whoever exports it to install Holdfast must be able to start it.
_BUILD_SWITCHES: Final = ("HOLDFAST_SKIP_UI",)
# Names that platforms set by themselves, understood as well; ours wins over theirs.
_PLATFORM_NAMES: Final = {
    "database_url": "DATABASE_URL",
    "database_direct_url": "DATABASE_DIRECT_URL",
    "drain_summary": "GITHUB_STEP_SUMMARY",
    "ratelimit_storage_uri": "RATELIMIT_STORAGE_URI",
}
# Those that may be mounted: X_FILE names the file that holds the value.
_SECRETS: Final = ("database_url", "database_direct_url", "ratelimit_storage_uri")
_SCHEMES: Final = ("postgresql", "postgres")
_PROJECT_MARKS: Final = (FILE_NAME, "pyproject.toml", ".git")


def _split_commas(value: object) -> object:
    """``mail, exports`` from the environment or a flag is the list that the file would write."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _auto_is_none(value: object) -> object:
    return None if value == "auto" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Color = Literal["red", "orange", "yellow", "green", "blue", "purple", "gray"]


class Settings(BaseModel):
    """Everything an operator can choose. Durations and sizes carry their unit in the name."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    database_url: str | None = Field(
        default=None,
        repr=False,
        description="PostgreSQL of the application; may be a transaction-mode pooler; absent: the embedded server",
    )
    database_direct_url: str | None = Field(
        default=None, repr=False, description="the same database past the pooler, for LISTEN and migrations"
    )
    pooled: Annotated[bool | None, BeforeValidator(_auto_is_none)] = Field(
        default=None, description="whether database_url is a transaction-mode pooler; auto: find out"
    )
    data_dir: Path = Field(default=Path(".holdfast"), description="folder of the embedded server, beside the project")
    app: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description='import path of the application\'s Holdfast, "module:attribute"',
    )
    queues: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=("default",), min_length=1, description="queues a worker serves; comma-separated outside the file"
    )
    concurrency: PositiveInt = Field(default=20, description="jobs that one worker process runs at a time")
    shutdown_soft_seconds: NonNegativeFloat = Field(
        default=20.0, description="seconds that running jobs get to finish before they are cancelled"
    )
    shutdown_hard_seconds: NonNegativeFloat = Field(
        default=25.0, description="seconds after which the process exits whatever still runs"
    )
    silence_seconds: PositiveFloat = Field(
        default=60.0, description="seconds without a beat after which a worker with a direct session is dead"
    )
    silence_pooled_seconds: PositiveFloat = Field(
        default=15.0, description="seconds without a beat after which a worker without a direct session is dead"
    )
    session_grace_seconds: PositiveFloat = Field(
        default=1.0, description="seconds that a worker has to come back after its direct session ended"
    )
    max_losses: PositiveInt = Field(
        default=3, description="times that a job may take its worker down before it fails for good"
    )
    prefetch_seconds: NonNegativeFloat = Field(
        default=0.05, description="seconds of work that a worker claims ahead, by measured duration"
    )
    max_prefetch: NonNegativeInt = Field(default=1000, description="jobs claimed ahead at most")
    flush_seconds: NonNegativeFloat = Field(
        default=0.003, description="seconds that results wait for each other before they are written together"
    )
    poll_max_seconds: PositiveFloat = Field(
        default=1.0, description="longest pause in seconds between two looks at an idle queue"
    )
    retention_days: PositiveInt = Field(default=30, description="days that finished jobs are kept")
    partition_days: PositiveInt = Field(
        default=7, le=366, description="days of history in one partition; chosen when the schema is made"
    )
    event_max_bytes: PositiveInt = Field(
        default=1_000_000, description="largest data and metadata of an event in bytes, as JSON"
    )
    job_log_level: Annotated[Literal["debug", "info", "warning", "error", "off"], BeforeValidator(_lower)] = Field(
        default="info",
        description="quietest log line of a job that is kept: debug, info, warning, error or off",
    )
    job_log_days: PositiveInt = Field(default=7, description="days that log lines of jobs are kept")
    result_max_bytes: PositiveInt = Field(default=1_000_000, description="largest result in bytes, as JSON")
    thread_grace_seconds: NonNegativeFloat = Field(
        default=5.0, description="seconds that a cancelled thread has to stop by itself before it is interrupted"
    )
    dask_address: str | None = Field(default=None, description='scheduler for tasks with executor="dask"')
    aws_batch_queue: str | None = Field(default=None, description='job queue for tasks with executor="aws-batch"')
    aws_batch_definition: str | None = Field(default=None, description="job definition whose container runs them")
    aws_batch_store: str | None = Field(
        default=None, pattern=r"^s3://[^/]+(/.*)?$", description="S3 folder for their calls and results"
    )
    api_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that the API and the dashboard are served at"
    )
    api_port: Annotated[int | None, BeforeValidator(_auto_is_none)] = Field(
        default=None, ge=1, le=65535, description="port of the API and the dashboard; auto: 8765, or the next free one"
    )
    api_origins: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=(), description="other sites whose pages may use the API, for example https://ops.example.org"
    )
    auth: Annotated[bool | None, BeforeValidator(_auto_is_none)] = Field(
        default=None, description="whether callers of the API must be known; auto: unless only this machine is served"
    )
    public_read: bool = Field(
        default=False,
        description="whether everybody may read without a token; arguments, results and messages of errors are hidden",
    )
    oidc_issuer: str | None = Field(
        default=None, pattern=r"^https?://", description="OIDC issuer whose bearer tokens are accepted"
    )
    oidc_audience: str | None = Field(default=None, description="audience that its tokens must name")
    oidc_jwks_url: str | None = Field(
        default=None, pattern=r"^https?://", description="where its keys are; none: as its discovery document says"
    )
    oidc_roles_claim: str = Field(
        default="roles", min_length=1, description="claim with roles or groups; dots lead into it: realm_access.roles"
    )
    oidc_roles: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=(), description="what its words mean here: platform=admin,support=operator; none: roles by their names"
    )
    session_idle_seconds: PositiveFloat = Field(
        default=43_200.0, description="seconds after which a browser that was not used is signed out"
    )
    session_longest_seconds: PositiveFloat = Field(
        default=604_800.0, description="seconds after which a browser is signed out whatever it does"
    )
    audit_days: PositiveInt = Field(default=365, description="days that rows of the audit are kept")
    api_rate: str | None = Field(
        default="1200/minute", description="requests that one caller may send; none: as many as they like"
    )
    sign_in_rate: str | None = Field(
        default="10/minute", description="wrong credentials that one address may show; none: as many as it likes"
    )
    ratelimit_storage_uri: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^(memory|rediss?)://",
        description="where rates are counted: redis://HOST/0 for several API processes; also RATELIMIT_STORAGE_URI; "
        "none: in each process",
    )
    api_proxies: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=(), description="addresses of reverse proxies whose X-Forwarded-For and -Proto are believed"
    )
    api_prefix: str = Field(
        default="",
        pattern=r"^(/[\w.~-]+)*$",
        max_length=200,
        description="path below which a proxy shows the API and the dashboard, and which it takes off: /ops",
    )
    health_max_lag: NonNegativeInt = Field(
        default=5_000, description="events that a projection may be behind before /health?lag=1 says unhealthy"
    )
    read_only: bool = Field(default=False, description="whether the API refuses everything that changes something")
    app_version: Annotated[str | None, Field(max_length=100)] = Field(
        default=None, description="version of your code: where another one starts to work, charts have a line"
    )
    environment_name: str | None = Field(
        default=None, max_length=40, description="what the dashboard calls this installation"
    )
    environment_color: Annotated[Color | None, BeforeValidator(_lower)] = Field(
        default=None, description="colour of that name: red, orange, yellow, green, blue, purple or gray"
    )
    drain_summary: Path | None = Field(
        default=None, description="file that a drain appends its Markdown summary to; also GITHUB_STEP_SUMMARY"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="quietest level that is written: debug, info, warning or error"
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="text for people or json for machines"
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _is_postgresql(cls, url: str | None) -> str | None:
        if url is None or urlsplit(url).scheme in _SCHEMES:
            return url
        # The value itself is never repeated: it holds a password.
        scheme = urlsplit(url).scheme
        raise ValueError("must begin with postgresql://" + (f", not {scheme}://" if scheme else ""))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.shutdown_hard_seconds < self.shutdown_soft_seconds:
            raise ValueError("shutdown_hard_seconds must not be less than shutdown_soft_seconds")
        if self.database_direct_url and not self.database_url:
            raise ValueError("database_direct_url is set, but database_url is not")
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("oidc_issuer is set, but oidc_audience is not: tokens for others would be accepted")
        return self

    def origin_of(self, name: str) -> str:
        """Where a setting was taken from: a flag, a variable, a line of the file, or ``default``."""
        return self._origins.get(name, "default")

    def shown(self) -> dict[str, str]:
        """Every setting as text for people; passwords are masked."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: _as_text(redacted(value) if "_ur" in name else value) for name, value in values.items()}


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings of this process: flags that are not None, then the environment, the file and the defaults.

    ``holdfast.toml`` and a relative ``data_dir`` belong to the project around ``directory`` (the current one), so that
    two terminals in different folders of a project agree.
    """
    project = _project_of((directory or Path.cwd()).resolve())
    layers = (
        _from_file(project / FILE_NAME),
        _from_environment(os.environ if environ is None else environ),
        {
            name: (value, f"flag --{name.replace('_', '-')}")
            for name, value in (flags or {}).items()
            if value is not None
        },
    )
    merged: dict[str, tuple[Any, str]] = {}
    for layer in layers:
        merged |= layer
    try:
        settings = Settings(**{name: value for name, (value, _) in merged.items()})
    except ValidationError as error:
        raise _explained(error, {name: source for name, (_, source) in merged.items()}) from None
    settings._origins = {name: source for name, (_, source) in merged.items()}  # noqa: SLF001  (of its own module)
    return settings.model_copy(update={"data_dir": project / settings.data_dir.expanduser()})


def redacted(url: str | None) -> str | None:
    """The URL with its password masked, for banners and logs."""
    if url is None:
        return None
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    # A password may also stand in the query; nothing of it is worth showing.
    query = "…" if parts.query else ""
    return parts._replace(netloc=f"{user}{':***' if colon else ''}{at}{place}", query=query).geturl()


def _project_of(directory: Path) -> Path:
    """The nearest folder upwards that looks like a project's root; without one, the folder itself."""
    folders = (directory, *directory.parents)
    return next((folder for folder in folders if any((folder / mark).exists() for mark in _PROJECT_MARKS)), directory)


def _from_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", remedy="correct the file or remove it") from error
    for name in content:
        if name not in Settings.model_fields:
            raise _unknown(f"{path} has the key {name!r}, which is no setting", name, Settings.model_fields)
    return {name: (value, f"{name} in {path}") for name, value in content.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Values of the environment; an empty variable counts as absent, as compose files leave them behind."""
    ours = {_PREFIX + name.upper(): name for name in Settings.model_fields}
    files = {f"{_PREFIX}{name.upper()}_FILE": name for name in _SECRETS}
    known = {*ours, *files, *_BUILD_SWITCHES}
    for variable in environ:
        if variable.startswith(_PREFIX) and variable not in known and not variable.startswith(_TEST_PREFIX):
            raise _unknown(f"the environment has {variable}, which is no setting", variable, [*ours, *files])
    found: dict[str, tuple[Any, str]] = {}
    for name, variable in _PLATFORM_NAMES.items():
        if value := _variable_or_file(environ, variable, file_allowed=name in _SECRETS):
            found[name] = value
    for variable, name in ours.items():
        if value := _variable_or_file(environ, variable, file_allowed=name in _SECRETS):
            found[name] = value
    return found


def _variable_or_file(
    environ: Mapping[str, str], variable: str, *, file_allowed: bool = True
) -> tuple[str, str] | None:
    """The value of ``variable``, or the content of the file that ``variable_FILE`` names (a mounted secret)."""
    value, file = environ.get(variable), environ.get(f"{variable}_FILE") if file_allowed else None
    if value and file:
        raise ConfigurationError(f"both {variable} and {variable}_FILE are set", remedy="keep one of them")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip(), f"{variable}_FILE"
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{variable}_FILE names a file that cannot be read: {error}",
                remedy="mount the secret there, readable by this user",
            ) from error
    return (value, variable) if value else None


def _unknown(problem: str, name: str, known: Iterable[str]) -> ConfigurationError:
    close = difflib.get_close_matches(name, list(known), n=1)
    return ConfigurationError(problem, remedy=f"did you mean {close[0]}?" if close else "remove it or correct its name")


def _explained(error: ValidationError, sources: Mapping[str, str]) -> ConfigurationError:
    """Every problem on a line of its own, with the source that caused it; values stay out, they may be secret."""
    lines = []
    unknown: str | None = None
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        unknown = name if problem["type"] == "extra_forbidden" else unknown
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{sources.get(name, name)}: {text}" if name else text)
    if unknown:
        return _unknown("; ".join(lines), unknown, Settings.model_fields)
    return ConfigurationError("; ".join(lines), remedy="correct the setting")


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "auto" if value is None else str(value)
