"""An application's logging, built here as it builds it: imported, or by dictConfig."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging.config
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from agentmonitor_logging._transport import _innermost

from .findings import Finding, ok, problem


class NotBuiltError(Exception):
    """Say why logging could not be built, and what to do about it."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


def imported(app: str) -> Iterator[Finding]:
    """Import the module of *app*, and call its function if it names one."""
    module, _, function = app.partition(":")
    try:
        with _as_application(module):
            found = _module(module)
            if function:
                _attribute(found, function)()
    except NotBuiltError as error:
        yield problem("app", error.text, error.hint)
    except SystemExit as error:
        text = f"{app} has ended the program (exit code {error.code!r})"
        yield problem("app", text, _MAIN_HINT)
    except Exception as error:
        yield _failed("app", app, error)
    else:
        yield ok("app", f"{app} is imported")


def configured(
    config: str, look: Callable[[Mapping[str, Any]], object]
) -> Iterator[Finding]:
    """Hand *config*, a file or module:NAME, to dictConfig; *look* at it before."""
    try:
        with _as_application(config):
            found = _config_from(config)
            look(found)
            logging.config.dictConfig(dict(found))
    except NotBuiltError as error:
        yield problem("config", error.text, error.hint)
    except Exception as error:
        yield _failed("config", config, error)
    else:
        yield ok("config", f"{config} is taken by dictConfig")


def _config_from(config: str) -> Mapping[str, Any]:
    """Return the dict that *config* names; raise `NotBuiltError`."""
    suffix = Path(config).suffix.lower()
    if suffix in _READERS:
        found = _READERS[suffix](Path(config))
    elif ":" in config:
        module, _, name = config.partition(":")
        found = _attribute(_module(module), name)
    else:
        hint = "give a .json or .toml file, or package.module:NAME"
        raise NotBuiltError(f"{config} is neither a file nor a dict", hint)
    if not isinstance(found, Mapping):
        hint = "give what your program gives to logging.config.dictConfig"
        raise NotBuiltError(f"{config} is a {type(found).__name__}, no dict", hint)
    return found


_MAIN_HINT = "put what starts it below `if __name__ == '__main__':`"


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        hint = "run this where your program runs: its directory, its environment"
        raise NotBuiltError(f"there is no module {error.name}", hint) from error


def _attribute(module: Any, name: str) -> Any:
    try:
        found = module
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        hint = "give the name as it is in that module"
        raise NotBuiltError(f"{module.__name__} has no {name}", hint) from error
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or error
        hint = "give the path of the file that your program reads"
        raise NotBuiltError(f"{path} cannot be read: {said}", hint) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise NotBuiltError(f"{path} is no JSON: {error}", "mend it there") from error


def _toml(path: Path) -> Any:
    text = _read(path)
    try:
        reader: Any = importlib.import_module(
            "tomllib" if sys.version_info >= (3, 11) else "tomli"
        )
    except ModuleNotFoundError as error:
        hint = "pip install tomli, or give package.module:NAME"
        raise NotBuiltError("TOML is read from Python 3.11 on", hint) from error
    try:
        return reader.loads(text)
    except ValueError as error:
        raise NotBuiltError(f"{path} is no TOML: {error}", "mend it there") from error


_READERS = {".json": _json, ".toml": _toml}


def _failed(step: str, name: str, error: Exception) -> Finding:
    """Say what went wrong first: dictConfig wraps it."""
    cause = _innermost(error)
    text = f"{name}: {type(cause).__name__}: {cause}"
    if cause is not error:
        text = f"{name}: {error}: {type(cause).__name__}: {cause}"
    hint = "run your program once by itself: it must start without this error"
    return problem(step, text, hint)


@contextlib.contextmanager
def _as_application(name: str) -> Iterator[None]:
    """Have the block run as in a program of its own, whose output is not ours."""
    arguments, sys.argv = sys.argv, [name]
    if str(Path.cwd()) not in sys.path:
        # The script of an installed command does not look there.
        sys.path.insert(0, str(Path.cwd()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.argv = arguments
