"""Importing a domain's modules; errors in them are reported with file and line.

Belongs here: importing what a domain's author wrote. Does not belong here: what is declared there (`domain`).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import traceback
from collections.abc import Iterator
from types import ModuleType

from assay.errors import AssayError, ContractError

_HINT = "Correct that module."
_SAYS_WHERE = re.compile(r".+\.\w+:\d+: ")


class NoSuchModule(AssayError):
    """There is no module of this name; any other mistake raises a `ContractError`."""


def import_module(name: str) -> ModuleType:
    """Import a module of a domain.

    Args:
        name: Its full name, as in `payments.contracts`.

    Raises:
        NoSuchModule: There is no such module.
        ContractError: It is not valid Python, fails on import, or declares something wrongly; the message gives file and line.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise NoSuchModule(f"{name!r} is not a valid module name")
    try:
        return importlib.import_module(name)
    except ContractError as error:
        place = _place(name, error)
        if place is None or _SAYS_WHERE.match(error.message):
            raise
        raise ContractError(f"{place}: {error.message}", hint=error.hint) from error
    except AssayError:
        raise
    except SyntaxError as error:
        said = f"{error.filename or name}:{error.lineno or 1}: not valid Python: {error.msg}"
        raise ContractError(said, hint=_HINT) from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise NoSuchModule(str(error)) from error
        raise _failed(name, error) from error
    except Exception as error:
        raise _failed(name, error) from error


def modules_of(package: str) -> Iterator[ModuleType]:
    """Import a package and each of its modules.

    Args:
        package: Its full name.

    Raises:
        NoSuchModule: There is no such package.
        ContractError: It, or one of its modules, cannot be imported.
    """
    root = import_module(package)
    yield root
    for found in pkgutil.iter_modules(getattr(root, "__path__", [])):
        yield import_module(f"{package}.{found.name}")


def _failed(name: str, error: Exception) -> ContractError:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ContractError(f"{_place(name, error) or name}: {said}", hint=_HINT)


def _place(name: str, error: Exception) -> str | None:
    """The last line of the domain's own code in the traceback, rather than one deep in a library."""
    package = name.split(".")[0]
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).split(".")[0] == package
    ]
    return own[-1] if own else None
