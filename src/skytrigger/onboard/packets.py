"""CCSDS space packets of what is sent: written for a pass, read back with every fault named.

    with PacketWriter(path, state=state) as writer:
        bits = writer.add(Item("T32/12/7", "lossless", "River", 0.93, 120.5, encode(tile, "lossless")))
    state = writer.state
    items, faults = read(path)

An item larger than a packet is sent in segments; classes of neighbouring tiles share packets, two bytes each. Sequence
counts run on from pass to pass: `state` carries them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.onboard.codecs import TIERS
from skytrigger.onboard.packet_format import (
    APID,
    CLASSES_HEAD,
    CONTINUED,
    COUNTS,
    FIRST,
    ITEM,
    LAST,
    OVERHEAD,
    PACKET_BYTES,
    RUN,
    TABLES,
    WHOLE,
    Fault,
    Frame,
    Item,
    frame_json,
    item_body,
    packet,
    percent_byte,
    tables_body,
    time_code,
    time_of,
)
from skytrigger.onboard.packet_reading import Received, read, read_pass

__all__ = ["Fault", "Frame", "Item", "PacketWriter", "Received", "bits_of", "read", "read_pass"]


def bits_of(payload_bytes: int, packet_bytes: int = PACKET_BYTES) -> int:
    """Bits on the link of an item with such a payload (all tiers but ``class``), headers and CRCs included."""
    whole = ITEM.size + payload_bytes
    return 8 * (whole + OVERHEAD * -(-whole // (packet_bytes - OVERHEAD)))


class _Classes:
    """A packet of classes of one scene that is being filled: runs of neighbours in a row."""

    def __init__(self, number: int, scene: int, t_s: float) -> None:
        self.body = bytearray(CLASSES_HEAD.pack(number, scene))
        self.time = time_code(t_s)
        self._t_s = time_of(self.time)  # as the ground will read it
        self._run_at = self._row = self._column = self._tiles = self._after_ms = -1

    def cost(self, row: int, column: int, t_s: float) -> int:
        """Bytes that one more tile takes; 0 where its time does not fit this packet."""
        after_ms = round((t_s - self._t_s) * 1000)
        if not 0 <= after_ms < 65536:
            return 0
        follows = (row, column, after_ms) == (self._row, self._column, self._after_ms)
        return 2 if follows else 2 + RUN.size

    def add(self, row: int, column: int, t_s: float, code: int, confidence: float) -> None:
        if self.cost(row, column, t_s) > 2:
            self._run_at, self._tiles = len(self.body), 0
            self._row, self._after_ms = row, round((t_s - self._t_s) * 1000)
            self.body += RUN.pack(row, column, 0, self._after_ms)
        self._tiles += 1
        self._column = column + 1
        self.body[self._run_at + 4 : self._run_at + 6] = self._tiles.to_bytes(2, "big")
        self.body += bytes([code, percent_byte(confidence)])


class PacketWriter:
    """The packets of one pass; the file is whole or absent.

    Parameters
    ----------
    path
        As ``packets/pass_003.bin``.
    classes
        Names of the model's classes; others are added to the tables as they come.
    frames
        The scenes whose tiles may come; one that is missing here is sent by its name alone, and the ground cannot place
        its tiles without other knowledge.
    state
        What the writer of the pass before left in `state`: sequence counts and the number of the next item.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Iterable[str] = (),
        frames: Iterable[Frame] = (),
        state: dict[str, int] | None = None,
        packet_bytes: int = PACKET_BYTES,
    ) -> None:
        if not 256 <= packet_bytes <= 65542:
            raise InputError(f"packets of {packet_bytes} bytes", expected="256 to 65,542")
        self.path, self._room = Path(path), packet_bytes - OVERHEAD
        self._counts = dict.fromkeys(APID, 0) | {"item": 0} | (state or {})
        self._start = dict(self._counts)
        self._classes = {name: code for code, name in enumerate(classes)}
        self._frames = {frame.scene: frame for frame in frames}
        self._scenes: dict[str, int] = {}
        self._filling: dict[str, _Classes] = {}
        self._bytes = 0
        self._exit = ExitStack()

    def __enter__(self) -> PacketWriter:
        temporary = self._exit.enter_context(atomic_path(self.path))
        self._stream = self._exit.enter_context(open(temporary, "wb"))
        self._tables({"start": self._start, "classes": list(self._classes)})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for name in list(self._filling):
                self._flush(name)
            self._tables(self._closing())
        self._exit.__exit__(kind, error, trace)

    @property
    def state(self) -> dict[str, int]:
        """For the next pass's writer; plain numbers, as JSON takes them."""
        return dict(self._counts)

    @property
    def bits(self) -> int:
        """All that was added, what still waits in half-filled packets included; without the closing tables."""
        waiting = sum(len(c.body) + OVERHEAD for c in self._filling.values())
        return 8 * (self._bytes + waiting)

    @property
    def closing_bits(self) -> int:
        """What the end of the pass adds: the tables once more, in case their first copy is lost."""
        size = len(tables_body(self._closing()))
        return 8 * (size + OVERHEAD * -(-size // self._room))

    def add(self, item: Item) -> int:
        """Send an item.

        Returns
        -------
        int
            Bits on the link that it takes: headers, CRCs, and a scene's or class's first name included.
        """
        if item.tier not in TIERS or (item.tier == "class" and item.payload):
            raise InputError(f"an item of tier {item.tier!r} with {len(item.payload)} bytes",
                             expected=f"one of {', '.join(TIERS)}; classes have no payload")  # fmt: skip
        before = self.bits
        scene, row, column = item.place()
        code, number = self._named(item.class_name, scene)
        if item.tier == "class":
            self._add_class(item, scene, row, column, code)
        else:
            self._emit(item.tier, time_code(item.t_sensed_s), item_body(self._next(), number, item, code))
        return self.bits - before

    def _add_class(self, item: Item, scene: str, row: int, column: int, code: int) -> None:
        filling = self._filling.get(scene)
        cost = filling.cost(row, column, item.t_sensed_s) if filling else 0
        if filling is None or not cost or len(filling.body) + cost > self._room:
            if filling is not None:
                self._flush(scene)
            filling = self._filling[scene] = _Classes(self._next(), self._scenes[scene], item.t_sensed_s)
        filling.add(row, column, max(item.t_sensed_s, time_of(filling.time)), code, item.confidence)

    def _flush(self, scene: str) -> None:
        filling = self._filling.pop(scene)
        self._emit("class", filling.time, bytes(filling.body))

    def _next(self) -> int:
        number = self._counts["item"]
        self._counts["item"] = (number + 1) % (1 << 32)
        return number

    def _named(self, class_name: str, scene: str) -> tuple[int, int]:
        """Codes of a class and a scene, with a table sent for a new one."""
        news: dict[str, Any] = {}
        if class_name not in self._classes:
            if len(self._classes) == 255:
                raise InputError(f"class {class_name!r} is the 256th", expected="at most 255 classes")
            self._classes[class_name] = len(self._classes)
            news["classes"] = list(self._classes)
        if scene not in self._scenes:
            if len(self._scenes) == 65536:
                raise InputError(f"scene {scene!r} is the 65,537th of this pass")
            self._scenes[scene] = len(self._scenes)
            news["scenes"] = {str(self._scenes[scene]): self._scene(scene)}
        if news:
            self._tables(news)
        return self._classes[class_name], self._scenes[scene]

    def _scene(self, scene: str) -> dict[str, Any]:
        frame = self._frames.get(scene)
        return frame_json(frame) if frame else {"scene": scene}

    def _closing(self) -> dict[str, Any]:
        counts = {name: f"{self._counts[name]:05d}" for name in APID}  # of one length whatever comes until then
        scenes = {str(code): self._scene(name) for name, code in self._scenes.items()}
        return {"start": self._start, "end": counts, "classes": list(self._classes), "scenes": scenes}

    def _tables(self, content: dict[str, Any]) -> None:
        self._emit(TABLES, time_code(0), tables_body(content))

    def _emit(self, stream: str, time: bytes, body: bytes) -> None:
        """`body` as one packet, or as segments."""
        chunks = [body[i : i + self._room] for i in range(0, len(body), self._room)]
        for i, chunk in enumerate(chunks):
            flags = WHOLE if len(chunks) == 1 else FIRST if i == 0 else LAST if i == len(chunks) - 1 else CONTINUED
            written = packet(APID[stream], flags, self._counts[stream], time, chunk)
            self._counts[stream] = (self._counts[stream] + 1) % COUNTS
            self._stream.write(written)
            self._bytes += len(written)
