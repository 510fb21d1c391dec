"""What a study consists of, checked before anything is computed; everything else is derived from it."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from typing import Any

from skytrigger.applications.registry import application, application_of
from skytrigger.core.application import Application
from skytrigger.core.errors import InputError
from skytrigger.eo.networks import NAMES
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.runs import recipe_of
from skytrigger.measure.meters.protocol import MIN_WINDOW_S
from skytrigger.runtimes.registry import DEFAULT, FRAMEWORK, runtime_of

BASE_SIZE = 32  # the 2019 study's own batch, for which the learning rate is meant
DEVICE = re.compile(r"cpu|cuda(:\d+)?|auto")
TRAINING = "training"  # device of a measurement: where the network was trained
PARTS = ("test", "val", "train")
STATED = ("band_names", "scale", "max_no_data")
TOPICS = ("", "batch-size", "power")


@dataclass(frozen=True)
class Measure:
    """One group of timings.

    Attributes
    ----------
    engines
        As ``runtime:precision``; the first is what the others are compared with. Precisions that need a model file of
        their own get one.
    batch_sizes, streams
        Axes: each pair is a run of its own.
    models
        Networks that are measured; all of the study's where it is empty.
    seconds
        Timed seconds for each engine.
    device
        ``cpu``, ``cuda:0``, or ``training``: where the network was trained.
    energy_seconds
        Loaded power window of each engine (0: none; at least 5, better 30).
    ceilings
        Measure the machine's own ceilings before and after each batch size, for the fraction of them that is reached.
    """

    engines: tuple[str, ...] = (f"{FRAMEWORK}:fp32", f"{DEFAULT}:fp32")
    batch_sizes: tuple[int, ...] = (1, 64)
    seconds: float = 1.0
    threads: int | None = None
    device: str = "cpu"
    models: tuple[str, ...] = ()
    energy_seconds: float = 0.0
    ceilings: bool = True
    streams: tuple[int, ...] = (1,)

    def check(self, networks: tuple[str, ...]) -> None:
        """Raise InputError for what cannot be measured."""
        for name in ("batch_sizes", "streams", "engines"):
            _require_distinct(name, getattr(self, name))
        for name in ("batch_sizes", "streams"):
            if min(getattr(self, name)) < 1:
                raise InputError(f"measure.{name} = {getattr(self, name)}", expected="1 or more")
        for engine in self.engines:
            runtime, _, precision = engine.partition(":")
            if not precision:
                raise InputError(f"engine {engine!r}", expected="RUNTIME:PRECISION")
            known = runtime_of(runtime).precisions
            if precision not in known:
                raise InputError(f"engine {engine!r}", expected=f"{runtime} in {', '.join(known)}")
        _require_known("measure.models", self.models, networks)
        if not 0 < self.seconds <= 3600:
            raise InputError(f"measure.seconds = {self.seconds}", expected="more than 0, at most 3600")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"measure.threads = {self.threads}", expected="1 or more")
        if self.device != TRAINING and not DEVICE.fullmatch(self.device):
            raise InputError(f"measure.device = {self.device!r}", expected=f"cpu, cuda, cuda:N or {TRAINING}")
        if self.energy_seconds and not MIN_WINDOW_S <= self.energy_seconds <= 3600:
            raise InputError(f"measure.energy_seconds = {self.energy_seconds}",
                             expected=f"0, or {MIN_WINDOW_S:g} to 3600 s, better 30 s")  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A place on the study's axes: `facts` are axis -> value, ``rule`` (learning rate kept or scaled), ``scaling``."""

    facts: dict[str, Any] = field(default_factory=dict)
    measured: bool = True

    @property
    def label(self) -> str:
        """For cells: ``batch_size16-kept``; empty for a study without axes."""
        said = (f"{name}{value}" if name != "rule" else str(value) for name, value in self.facts.items())
        return "-".join(re.sub(r"[^\w.]", "", word) for word in said if not word.startswith("scaling"))


@dataclass(frozen=True)
class Sweep:
    """An axis: every training once for each value.

    Attributes
    ----------
    axis
        Entry of the recipe (``batch_size``, ``learning_rate``, ...), or ``device``.
    scaling
        Of ``batch_size`` only: trained a second time with the learning rate scaled. ``sqrt``: times sqrt(size / 32),
        which keeps Adam's noise scale (Malladi et al. 2022); ``linear``: times size / 32, the rule for SGD (Goyal et
        al. 2017).
    measured
        The value whose network is exported and measured; without it every value's is.
    """

    axis: str
    values: tuple[Any, ...]
    scaling: str = ""
    measured: Any = None

    def check(self) -> None:
        """Raise InputError for what is no axis."""
        axes = (*(f.name for f in fields(Recipe) if f.name not in ("model", "seed")), "device")
        _require_known("sweep.axis", (self.axis,), axes)
        _require_distinct("sweep.values", self.values)
        if self.axis == "device" and not all(DEVICE.fullmatch(str(v)) for v in self.values):
            raise InputError(f"sweep.values = {self.values}", expected="cpu, cuda, cuda:N")
        if self.scaling and (self.axis != "batch_size" or self.scaling not in ("sqrt", "linear")):
            raise InputError(f"scaling {self.scaling!r} of {self.axis}", expected="sqrt or linear, of batch_size")
        if self.measured is not None and self.measured not in self.values:
            raise InputError(f"sweep.measured = {self.measured!r}", expected=f"one of {self.values}")

    def places(self) -> list[Variant]:
        """Its values, twice where the learning rate is scaled, too."""
        found = []
        for value in self.values:
            rule = {"rule": "kept"} if self.scaling else {}
            found.append(Variant({self.axis: value, **rule}, self.measured in (None, value)))
            if self.scaling and value != BASE_SIZE:
                found.append(Variant({self.axis: value, "rule": "scaled", "scaling": self.scaling}, False))
        return found


@dataclass(frozen=True)
class Spec:
    """A study.

    Attributes
    ----------
    data
        As on the command line: folders, zips, packed stores, files, ``synthetic[:COUNT]``.
    application
        Its name; without it the one that has the first network.
    band_names, scale, max_no_data
        What is stated about the files of tiles, as on the command line.
    split, split_lists, split_seed
        As on the command line; without it the application's own.
    models, seeds
        Every network is trained with every seed; the first seed's run is exported and measured.
    part
        Part of the split that accuracy is reported on; ``val`` and ``train`` are never called test.
    recipe, recipe_of_model
        Overrides of the application's recipes, for all networks and for one.
    measure, sweep
        Groups of timings, and axes of trainings.
    topic
        Section of the page that the records belong to, beyond the usual: ``batch-size``, ``power``.
    """

    title: str
    data: tuple[str, ...]
    application: str = ""
    bands: str = "all"
    split: str = ""
    split_lists: tuple[str, ...] = ()
    split_seed: int = 0
    skip_bad: bool = False
    band_names: tuple[str, ...] = ()
    scale: float | None = None
    max_no_data: float | None = None
    models: tuple[str, ...] = NAMES
    seeds: tuple[int, ...] = (0,)
    part: str = "test"
    device: str = "auto"
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_of_model: dict[str, dict[str, Any]] = field(default_factory=dict)
    measure: tuple[Measure, ...] = (Measure(),)
    sweep: tuple[Sweep, ...] = ()
    topic: str = ""

    @property
    def record(self) -> Application:
        """The application."""
        return application(self.application) if self.application else application_of(self.models[0])

    def variants(self) -> list[Variant]:
        """All places on the axes; one without facts where there are none."""
        found = []
        for places in product(*(sweep.places() for sweep in self.sweep)):
            facts = {name: value for place in places for name, value in place.facts.items()}
            found.append(Variant(facts, all(place.measured for place in places)))
        return found

    def recipe_of(self, model: str, seed: int, variant: Variant | None = None) -> Recipe:
        """The recipe of one training."""
        facts = dict(variant.facts) if variant else {}
        rule, scaling, _ = facts.pop("rule", ""), facts.pop("scaling", ""), facts.pop("device", "")
        changes = {**self.recipe, **self.recipe_of_model.get(model, {}), **facts}
        try:
            recipe = recipe_of(self.record, model, seed=seed, **changes)
        except TypeError as error:
            raise InputError(f"the study's recipe of {model}: {error}") from error
        if rule == "scaled":
            factor = recipe.batch_size / BASE_SIZE
            factor = math.sqrt(factor) if scaling == "sqrt" else factor
            recipe = replace(recipe, learning_rate=recipe.learning_rate * factor)
        return recipe

    def device_of(self, variant: Variant) -> str:
        """Where a training runs."""
        return str(variant.facts.get("device", self.device))

    def check(self) -> Spec:
        """Raise InputError for anything that cannot work, before anything is computed."""
        if not self.data:
            raise InputError("the study names no data", remedy="--data PATH [PATH ...], or the word synthetic")
        for name, values in (("models", self.models), ("seeds", self.seeds)):
            _require_distinct(name, values)
        record = self.record
        networks = tuple(record.networks)
        _require_known("models", self.models, networks)
        _require_known("recipe_of_model", tuple(self.recipe_of_model), networks)
        _require_known("part", (self.part,), PARTS)
        _require_known("topic", (self.topic,), TOPICS)
        _require_known("stated", tuple(self.stated()), record.reading)
        _require_known("split", (self.split,) if self.split else (), record.splits)
        table = len(self.split_lists) == 1 and str(self.split_lists[0]).lower().endswith((".csv", ".tsv"))
        if not table and len(self.split_lists) not in (0, 2, 3):
            raise InputError(
                f"split_lists names {len(self.split_lists)} files", expected="TRAIN VAL [TEST], or one CSV"
            )
        if not DEVICE.fullmatch(self.device):
            raise InputError(f"no device called {self.device!r}", expected="cpu, cuda, cuda:N or auto")
        if len({sweep.axis for sweep in self.sweep}) < len(self.sweep):
            raise InputError("two sweeps have the same axis")
        for one in self.sweep:
            one.check()
        for measure in self.measure:
            measure.check(networks)
        for model, seed, variant in product(self.models, self.seeds, self.variants()):
            self.recipe_of(model, seed, variant)
        return self

    def stated(self) -> dict[str, Any]:
        """What is said about the files, of what was said."""
        return {name: value for name in STATED if (value := getattr(self, name)) not in (None, ())}

    def to_json(self) -> dict[str, Any]:
        """For study.json."""
        return asdict(self)


def _require_distinct(name: str, values: tuple[Any, ...]) -> None:
    if not values or len(set(values)) != len(values):
        raise InputError(f"the study's {name} are empty or repeat: {values}")


def _require_known(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    if unknown := [v for v in values if v not in known]:
        raise InputError(f"{name}: {', '.join(map(repr, unknown))}", expected=", ".join(filter(None, known)))
