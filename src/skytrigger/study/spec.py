"""What a study consists of: a TOML file, checked, from which everything else is derived."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.eo.networks import NAMES
from skytrigger.learn.recipe import Recipe
from skytrigger.measure.meters.protocol import MIN_WINDOW_S
from skytrigger.runtimes.registry import RUNTIMES

PRESETS = ("quick", "eurosat")


@dataclass(frozen=True)
class Measure:
    """One group of timings.

    Attributes
    ----------
    engines
        As ``runtime:precision``; the first is what the others are compared with.
    models
        Networks that are measured; all of the study's where it is empty.
    seconds
        Timed seconds for each engine.
    energy_seconds
        Loaded power window of each engine (0: none; at least 5, better 30).
    ceilings
        Measure the machine's own ceilings before and after each batch size, for the fraction of them that is reached.
    """

    engines: tuple[str, ...] = ("torch:fp32", "onnxruntime:fp32")
    batch_sizes: tuple[int, ...] = (1, 64)
    seconds: float = 1.0
    threads: int | None = None
    device: str = "cpu"
    models: tuple[str, ...] = ()
    energy_seconds: float = 0.0
    ceilings: bool = True

    def check(self) -> None:
        """Raise InputError for what cannot be measured."""
        _require_distinct("batch_sizes", self.batch_sizes)
        _require_distinct("engines", self.engines)
        for engine in self.engines:
            runtime, _, precision = engine.partition(":")
            if runtime not in RUNTIMES or not precision:
                known = ", ".join(RUNTIMES)
                raise InputError(f"engine {engine!r}", expected=f"RUNTIME:PRECISION, runtime one of {known}")
        if not self.seconds > 0:
            raise InputError(f"measure.seconds = {self.seconds}", expected="more than 0")
        if self.energy_seconds and not self.energy_seconds >= MIN_WINDOW_S:
            raise InputError(
                f"measure.energy_seconds = {self.energy_seconds}", expected=f"0, or {MIN_WINDOW_S:g} or more"
            )


def _require_distinct(name: str, values: tuple[Any, ...]) -> None:
    if not values or len(set(values)) != len(values):
        raise InputError(f"the study's {name} are empty or repeat: {values}")


@dataclass(frozen=True)
class Spec:
    """A study.

    Attributes
    ----------
    data
        As on the command line: folders, zips, packed stores, ``synthetic[:COUNT]``.
    split, split_lists, split_seed
        As on the command line.
    models, seeds
        Every network is trained with every seed; the first seed's run is exported and measured.
    part
        Part of the split that accuracy is reported on; ``val`` and ``train`` are never called test.
    recipe, recipe_of_model
        Overrides of `learn.recipe.Recipe`'s defaults, for all networks and for one.
    """

    title: str
    data: tuple[str, ...]
    bands: str = "all"
    split: str = "random"
    split_lists: tuple[str, ...] = ()
    split_seed: int = 0
    skip_bad: bool = False
    models: tuple[str, ...] = NAMES
    seeds: tuple[int, ...] = (0,)
    part: str = "test"
    device: str = "auto"
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_of_model: dict[str, dict[str, Any]] = field(default_factory=dict)
    measure: tuple[Measure, ...] = (Measure(),)

    def recipe_of(self, model: str, seed: int) -> Recipe:
        """The recipe of one training."""
        try:
            return Recipe(model=model, seed=seed, **{**self.recipe, **self.recipe_of_model.get(model, {})})
        except TypeError as error:
            raise InputError(f"the study's recipe: {error}") from error

    def check(self) -> Spec:
        """Raise InputError for anything that cannot work, before anything is computed."""
        if not self.data:
            raise InputError("the study names no data", remedy="--data PATH [PATH ...], or the word synthetic")
        for name, values in (("models", self.models), ("seeds", self.seeds)):
            _require_distinct(name, values)
        if self.part not in ("test", "val", "train"):
            raise InputError(f"part {self.part!r}", expected="test, val or train")
        if unknown := sorted(set(self.recipe_of_model) - set(NAMES)):
            raise InputError(f"recipe_of_model names unknown networks {unknown}", expected=", ".join(NAMES))
        for measure in self.measure:
            measure.check()
        for model in self.models:
            self.recipe_of(model, self.seeds[0])
        return self

    def to_json(self) -> dict[str, Any]:
        """For study.json."""
        return asdict(self)


def load_spec(name: str, **changes: Any) -> Spec:
    """A preset by name or a TOML file, with `changes` (None = as it is) on top."""
    if name in PRESETS:
        text = resources.files("skytrigger.study").joinpath(f"presets/{name}.toml").read_text()
    elif name.endswith(".toml"):
        try:
            text = Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the study {name}: {error}") from error
    else:
        raise InputError(f"no preset called {name!r}", expected=f"{', '.join(PRESETS)} or a .toml file")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}") from error
    spec = _from_dict(raw, name)
    if (seconds := changes.pop("seconds", None)) is not None:
        spec = replace(spec, measure=tuple(replace(m, seconds=seconds) for m in spec.measure))
    if (epochs := changes.pop("epochs", None)) is not None:
        spec = replace(spec, recipe={**spec.recipe, "epochs": epochs}, recipe_of_model={})
    return replace(spec, **{k: v for k, v in changes.items() if v is not None}).check()


def _from_dict(raw: dict[str, Any], where: str) -> Spec:
    measures = raw.get("measure", [{}])
    if not isinstance(measures, list) or not all(isinstance(m, dict) for m in measures):
        raise InputError(f"{where}: measure is not a list of tables", expected="[[measure]]")
    groups = tuple(_filled(Measure, table, where) for table in measures)
    spec: Spec = _filled(Spec, {**raw, "measure": groups}, where)
    return spec


def _filled(kind: Any, table: dict[str, Any], where: str) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(table) - known):
        raise InputError(f"{where}: unknown entries {unknown}", expected=", ".join(sorted(known)))
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error
