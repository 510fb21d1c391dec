"""The one place that knows which applications there are. Commands find theirs by a model's card or a network's name.

Register one's own by `register`, or name it where every command sees it:
``SKYTRIGGER_APPLICATIONS=module:RECORD[,module:RECORD]``.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

VARIABLE = "SKYTRIGGER_APPLICATIONS"
# module and name of each record; imported at first use
BUILT_IN = (
    "skytrigger.eo.application:EUROSAT",
    "skytrigger.hep.doublets.application:DOUBLETS",
    "skytrigger.hep.pid.application:PID",
)
_registered: dict[str, Application] = {}


def applications() -> dict[str, Application]:
    """Name -> record of those built in, named in the environment, and registered.

    >>> list(applications())[:2]
    ['eurosat', 'doublets']
    """
    named = [entry.strip() for entry in os.environ.get(VARIABLE, "").split(",") if entry.strip()]
    for entry in (*BUILT_IN, *named):
        _add(_imported(entry))
    return dict(_registered)


def _imported(entry: str) -> Application:
    module, _, name = entry.partition(":")
    try:
        record = getattr(importlib.import_module(module), name or "APPLICATION")
    except (ImportError, AttributeError) as error:
        raise InputError(f"{VARIABLE} names {entry!r}: {error}", expected="module:RECORD") from error
    if not isinstance(record, Application):
        raise InputError(f"{entry} is a {type(record).__name__}", expected="an Application")
    return record


def register(application: Application) -> None:
    """Make an application known to everything that finds its own by a card or a network's name.

    Raises
    ------
    InputError
        Another one has its name, or a network of the same name that is built otherwise.
    """
    applications()
    _add(application)


def _add(application: Application) -> None:
    known = _registered.get(application.name)
    if known is application:
        return
    if known is not None:
        raise InputError(f"there is an application {application.name!r} already")
    for other in _registered.values():
        for name in set(other.networks) & set(application.networks):
            if other.networks[name] is not application.networks[name]:
                raise InputError(f"{application.name} and {other.name} both have a network {name!r}")
    _registered[application.name] = application


def application(name: str) -> Application:
    """The application called `name`."""
    known = applications()
    if name not in known:
        raise InputError(f"no application called {name!r}", expected=", ".join(known))
    return known[name]


def application_of(model: ModelCard | str) -> Application:
    """The application of a model's card, or the first that has a network of this name.

    Raises
    ------
    InputError
        None has.
    """
    if isinstance(model, ModelCard) and "adopted" in model.notes and "application" in model.notes:
        return application(str(model.notes["application"]))
    network = model if isinstance(model, str) else model.name
    found = [one for one in applications().values() if network in one.networks]
    if isinstance(model, ModelCard):
        found = [one for one in found if model.units.partition("/")[0] in one.units]
    if not found:
        units = "" if isinstance(model, str) else f" on data in {model.units}"
        raise InputError(f"no network called {network!r}{units}", expected=", ".join(names()))
    return found[0]


def build(name: str, channels: int, size: tuple[int, int], outputs: int | tuple[int, ...], **options: Any) -> nn.Module:
    """The untrained network called `name`, of whichever application; see the builders for its options."""
    network: nn.Module = application_of(name).build(name, channels, size, outputs, **options)
    return network


def names() -> tuple[str, ...]:
    """All network names."""
    return tuple(dict.fromkeys(name for one in applications().values() for name in one.networks))


def model_path(given: str | Path) -> Path:
    """`given` as a path; one that does not exist but names a packaged model means that.

    Raises
    ------
    InputError
        There is neither.
    """
    if Path(given).exists():
        return Path(given)
    known = {name: path for one in applications().values() for name, path in one.packaged.items()}
    if (name := str(given).removesuffix(".onnx")) in known:
        return known[name]
    raise InputError(
        f"there is no run folder or model file {str(given)!r}", expected=f"a path, or one of {', '.join(known)}"
    )
