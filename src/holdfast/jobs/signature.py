"""A task's signature as the contract of its arguments: checked before anything is inserted, restored before it runs."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typing_extensions
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from holdfast.errors import ArgumentsInvalid, ConfigurationError
from holdfast.jobs.storable import why_unstorable

# Called through a name, because type checkers know only the literal form of the functional syntax.
_make_typed_dict: Callable[[str, dict[str, Any]], Any] = typing_extensions.TypedDict  # type: ignore[assignment]
_CONFIG = ConfigDict(extra="forbid", ser_json_inf_nan="constants", arbitrary_types_allowed=False)


class Signature:
    """The named parameters of a handler, without the leading ``job`` one.

    ``dump`` turns a call's arguments into JSON text, ``load`` turns it back into keyword arguments of declared types.
    """

    def __init__(self, handler: Callable[..., Any], task: str, context_type: type) -> None:
        self._task = task
        hints = _hints(handler, task)
        parameters = list(inspect.signature(handler).parameters.values())
        self.wants_job = bool(parameters) and hints.get(parameters[0].name) is context_type
        self._names: list[str] = []
        fields: dict[str, Any] = {}
        for parameter in parameters[1:] if self.wants_job else parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ConfigurationError(
                    f"task {task!r}: parameter {parameter} cannot be stored by name",
                    remedy="give every parameter a name; take one dict or list for an open set",
                )
            self._names.append(parameter.name)
            hint = hints.get(parameter.name, Any)
            if hint is context_type:
                raise ConfigurationError(
                    f"task {task!r}: the parameter {parameter.name!r} is the running job, and does not come first",
                    remedy=f"put `{parameter.name}: {context_type.__name__}` before the others",
                )
            optional = parameter.default is not parameter.empty
            fields[parameter.name] = typing.NotRequired[hint] if optional else hint
        self._hints = {name: hints.get(name, Any) for name in self._names}
        self._keyword_only = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        shape: Any = _make_typed_dict(f"{task}_arguments", fields)
        shape.__pydantic_config__ = _CONFIG
        try:
            self._adapter: TypeAdapter[Mapping[str, Any]] = TypeAdapter(shape)
        except PydanticSchemaGenerationError as error:
            raise ConfigurationError(
                f"task {task!r}: {error}".splitlines()[0],
                remedy="use plain types, dataclasses or pydantic models for parameters",
            ) from error

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in order, without the leading ``job``."""
        return tuple(self._names)

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """The JSON text of a call's arguments. Raises ``ArgumentsInvalid`` when they do not fit."""
        try:
            values = self._adapter.validate_python(self._by_name(args, kwargs))
            text = self._adapter.dump_json(values).decode()
            # A null is None, or a NaN where the type is Any, which pydantic would lose in silence: look at both ways.
            other = (
                to_json(values, inf_nan_mode="constants", serialize_unknown=True).decode() if "null" in text else text
            )
        except ValidationError as error:
            raise ArgumentsInvalid(self._describe(error), remedy=f"the task takes ({self.describe()})") from None
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise ArgumentsInvalid(f"arguments of {self._task!r} cannot be stored as JSON: {error}") from None
        if reason := why_unstorable(text) or why_unstorable(other):
            raise ArgumentsInvalid(
                f"arguments of {self._task!r} hold {reason}",
                remedy="leave it out, or encode binary data (base64) first",
            )
        return text

    def dump_some(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """JSON values of some of the arguments, as ``dump`` stores them. Raises ``ArgumentsInvalid`` as it does."""
        shape: Any = _make_typed_dict(
            f"{self._task}_some_arguments", {name: typing.NotRequired[hint] for name, hint in self._hints.items()}
        )
        shape.__pydantic_config__ = _CONFIG
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
        try:
            values: dict[str, Any] = adapter.dump_python(adapter.validate_python(kwargs), mode="json")
        except ValidationError as error:
            raise ArgumentsInvalid(self._describe(error), remedy=f"the task takes ({self.describe()})") from None
        return values

    def load(self, text: str) -> dict[str, Any]:
        """Keyword arguments for the handler. Raises ``ArgumentsInvalid``: the job was enqueued past the check."""
        try:
            return self._adapter.validate_json(text)  # type: ignore[return-value]  # a TypedDict is a dict
        except ValidationError as error:
            raise ArgumentsInvalid(self._describe(error), remedy=f"the task takes ({self.describe()})") from None

    def by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """A call's arguments, each under its name. Raises ``ArgumentsInvalid``."""
        return self._by_name(args, kwargs)

    def describe(self) -> str:
        """The parameters as a reader of an error would write them."""
        fields = typing.get_type_hints(self._adapter._type, include_extras=False)  # noqa: SLF001
        return ", ".join(f"{name}: {_type_name(fields[name])}" for name in self._names)

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        if not args:
            return kwargs
        positional = [name for name in self._names if name not in self._keyword_only]
        if len(args) > len(positional):
            raise ArgumentsInvalid(
                f"{self._task!r} takes {len(positional)} positional arguments, {len(args)} were given",
                remedy=f"the task takes ({self.describe()})",
            )
        named = dict(zip(positional, args, strict=False))
        twice = named.keys() & kwargs.keys()
        if twice:
            raise ArgumentsInvalid(f"{self._task!r} was given {', '.join(sorted(twice))} twice, by place and by name")
        return {**named, **kwargs}

    def _describe(self, error: ValidationError) -> str:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {_plain(problem)}"
            for problem in error.errors(include_url=False, include_context=False)[:5]
        )
        return f"arguments of {self._task!r} do not fit: {problems}"


def _hints(handler: Callable[..., Any], task: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"task {task!r}: an annotation names something unknown: {error}",
            remedy="import the type where the module is loaded, not only under TYPE_CHECKING",
        ) from error


def _plain(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        return "is not a parameter"
    return f"{problem['msg']} (got {problem['input']!r:.80})"


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
