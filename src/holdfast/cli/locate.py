"""From the words after ``--app`` to the application object."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from holdfast.app import Holdfast
from holdfast.errors import ConfigurationError


def load_application(where: str | None) -> Holdfast:
    """Import the module or file and return its Holdfast. Raises ``ConfigurationError`` with what to write instead."""
    if not where:
        raise ConfigurationError(
            "no application is named", remedy="say --app module:attribute or --app file.py, or set HOLDFAST_APP"
        )
    place, _, attribute = where.partition(":")
    _put_first(Path.cwd())
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    return _named(module, attribute, where) if attribute else _only_one(module, place)


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            file = Path(*name.split(".")).with_suffix(".py")
            remedy = (
                f"say --app {file}" if file.exists() else f"run it where {error.name} is found; here is {Path.cwd()}"
            )
            raise ConfigurationError(f"there is no module {name!r}", remedy=remedy) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module of its own name, with its folder importable, as ``python file.py`` would."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}", remedy="name the file that makes the Holdfast object")
    _put_first(path.parent)
    name = path.stem if path.stem not in sys.modules and path.stem.isidentifier() else f"holdfast_app_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _broken(path.name, error) from error
    return module


def _named(module: ModuleType, attribute: str, where: str) -> Holdfast:
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Holdfast):
        return found
    what = "is not there" if found is None else f"is of type {type(found).__name__}, not a Holdfast"
    known = ", ".join(_applications(module)) or "none"
    raise ConfigurationError(f"{where} {what}", remedy=f"applications in that module: {known}")


def _only_one(module: ModuleType, place: str) -> Holdfast:
    found = _applications(module)
    distinct = {id(application): application for application in found.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    if found:
        raise ConfigurationError(
            f"{place} holds {len(distinct)} applications",
            remedy=f"name one: {', '.join(f'{place}:{n}' for n in found)}",
        )
    raise ConfigurationError(f"{place} holds no application", remedy="make one at module level: app = Holdfast()")


def _applications(module: ModuleType) -> dict[str, Holdfast]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Holdfast)}


def _put_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _broken(name: str, error: Exception) -> ConfigurationError:
    frames = traceback.extract_tb(error.__traceback__)
    # The last frame of the application's own, not of the import machinery or of what it imported.
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    at = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError):
        at = f" ({error.filename}, line {error.lineno})"
    return ConfigurationError(
        f"{name} cannot be imported: {type(error).__name__}: {error}{at}",
        remedy=f"python -c 'import {Path(name).stem}' shows the whole traceback",
    )
