"""What the throughput study measures: which combinations make sense where."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from skytrigger.core.errors import InputError
from skytrigger.runtimes.input_type import INPUT_TYPES, check_input_type
from skytrigger.runtimes.registry import DEFAULT
from skytrigger.runtimes.spec import EngineSpec

BATCHES = (1, 16, 64, 256, 1000, 6000, 30_000)
STREAMS = (1, 2, 4, 5, 8)
IMAGES = 30_000
TRANSFERS = ("with", "without")
MEMORY = ("pageable", "page-locked")
RESIDENT = "device"  # where the images lie that are not transferred
BEFORE = {"input_type": "float32", "transfers": "with", "memory": "pageable"}  # of records that do not say
SECONDS, SECONDS_ON_A_GPU = 3.0, 30.0


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes
    ----------
    spec
        The engine. Its threads are those of one stream: on a CPU the cores shared among the streams, at least one; on
        a GPU one.
    transfers
        ``with``: images come from the host and logits go back to it inside the clock; ``without``: the images are
        on the device before.
    memory
        The images': ``pageable`` or ``page-locked``; ``device`` without transfers.
    """

    spec: EngineSpec
    transfers: str = "with"
    memory: str = "pageable"


@dataclass(frozen=True)
class Plan:
    """What to measure: `images` per visit, or as many whole batches as start within `seconds`.

    Attributes
    ----------
    seconds
        None: 3 on a CPU; 30 on a GPU, where that cuts nothing short but the slowest runtime's single images.
    transfers, memory
        Some of `TRANSFERS` and `MEMORY`; None: all on a GPU, ``with`` and ``pageable`` on a CPU, which has no others.
    input_type
        None: on a GPU the type that the data is stored in, where the runtime takes it (fewer bytes move), else
        float32; on a CPU float32.
    """

    runtimes: tuple[str, ...] = (DEFAULT,)
    batches: tuple[int, ...] = BATCHES
    streams: tuple[int, ...] = STREAMS
    images: int = IMAGES
    seconds: float | None = None
    rounds: int = 3
    device: str = "cpu"
    transfers: tuple[str, ...] | None = None
    memory: tuple[str, ...] | None = None
    input_type: str | None = None

    def __post_init__(self) -> None:
        numbers = {"images": self.images, "rounds": self.rounds, "seconds": self.limit_s}
        numbers |= {"batch size": min(self.batches, default=0), "streams": min(self.streams, default=0)}
        for name, value in numbers.items():
            if not value > 0:
                raise InputError(f"{name} = {value}", expected="more than 0")
        for name, asked, known in (("transfers", self.transfers, TRANSFERS), ("memory", self.memory, MEMORY)):
            if asked is not None and (not asked or set(asked) - set(known)):
                raise InputError(f"{name} {','.join(asked)!r}", expected=f"some of {', '.join(known)}")
            only = [word for word in asked or () if word != known[0]]
            if only and not self.on_gpu:
                raise InputError(
                    f"{name} {only[0]!r} on device {self.device!r}: only a GPU has memory of its own",
                    expected=known[0],
                    remedy="--device cuda",
                )
        if self.input_type is not None:
            check_input_type(self.input_type)

    @property
    def on_gpu(self) -> bool:
        """Whether there is a device with memory of its own."""
        return self.device.startswith("cuda")

    @property
    def limit_s(self) -> float:
        """Seconds after which a visit starts no other batch."""
        return self.seconds if self.seconds is not None else SECONDS_ON_A_GPU if self.on_gpu else SECONDS

    def ways(self) -> list[tuple[str, str]]:
        """(transfers, memory) of the cells: without transfers the host's memory plays no part."""
        transfers = self.transfers or (TRANSFERS if self.on_gpu else TRANSFERS[:1])
        memory = self.memory or (MEMORY if self.on_gpu else MEMORY[:1])
        found = [("with", m) for m in MEMORY if m in memory] if "with" in transfers else []
        return found + ([("without", RESIDENT)] if "without" in transfers else [])

    def input_types(self, stored: str) -> tuple[str, ...]:
        """Those to try in turn, for data of the type `stored`.

        Raises
        ------
        InputError
            A type that cannot hold the data.
        """
        if self.input_type is None:
            small = self.on_gpu and stored in INPUT_TYPES and stored != "float32"
            return (stored, "float32") if small else ("float32",)
        if self.input_type not in ("float32", stored):
            raise InputError(f"input type {self.input_type!r} for data in {stored}", expected=f"float32 or {stored}")
        return (self.input_type,)

    def cells(self, precision: str, cores: int) -> list[Cell]:
        """All combinations in which every stream has a batch; `input_type` is still the default."""
        return [
            Cell(
                EngineSpec("", runtime, precision, batch, self._threads(cores, streams), streams, self.device),
                transfers, memory,
            )
            for runtime, batch, streams, (transfers, memory) in itertools.product(
                self.runtimes, self.batches, self.streams, self.ways()
            )
            if batch <= self.images and streams <= max(1, self.images // batch)
        ]  # fmt: skip

    def _threads(self, cores: int, streams: int) -> int:
        return 1 if self.on_gpu else max(1, cores // streams)
