"""Space packets: another tool reads them, and nothing that happens to them goes unseen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.onboard.codecs import TIERS
from skytrigger.onboard.packet_format import APID, COUNTS, ITEM, OVERHEAD, crc16
from skytrigger.onboard.packets import Frame, Item, PacketWriter, bits_of, read, read_pass

pytest.importorskip("spacepackets")
FRAMES = [Frame(f"S{i}", "EPSG:32632", 5e5, 5e6, 640.0, 30, 40, "2024-06-01T10:00:00Z") for i in range(2)]


def items_of(seed: int, count: int = 120) -> list[Item]:
    rng = random.Random(seed)
    places = [(s, r, c) for s in (0, 1) for r in range(30) for c in range(40)]
    start = rng.randrange(len(places) - count)
    found = []
    for s, r, c in places[start : start + count]:
        tier = rng.choice(["class"] * 6 + list(TIERS))
        payload = b"" if tier == "class" else rng.randbytes(rng.choice([0, 11, 700, 5000]))
        found.append(Item(f"S{s}/{r}/{c}", tier, rng.choice(["River", "Forest", "Pasture"]), rng.randrange(256) / 255,
                          1000.0 * s + 0.1 * r, payload))  # fmt: skip
    return found


def write(path: Path, items: list[Item], state: dict[str, int] | None = None, **more) -> dict[str, int]:
    with PacketWriter(path, classes=["Forest"], frames=FRAMES, state=state, packet_bytes=1024, **more) as writer:
        for item in items:
            writer.add(item)
    return writer.state


def same(a: Item, b: Item) -> bool:
    return (
        (a.tile, a.tier, a.class_name, a.payload) == (b.tile, b.tier, b.class_name, b.payload)
        and abs(a.confidence - b.confidence) < 1e-9
        and abs(a.t_sensed_s - b.t_sensed_s) <= 6e-4
    )


def split(content: bytes) -> list[bytes]:
    """The packets of a file by their own lengths: bytes 4 and 5, one less than the data's."""
    packets, at = [], 0
    while at < len(content):
        stop = at + 7 + int.from_bytes(content[at + 4 : at + 6], "big")
        packets.append(content[at:stop])
        at = stop
    return packets


def by_tile(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda i: i.tile)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_written_is_read(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("p") / "pass_000.bin"
    items = items_of(seed)
    write(path, items)
    got, faults = read(path)
    assert not faults
    assert len(got) == len(items)
    assert all(same(a, b) for a, b in zip(by_tile(items), by_tile(got), strict=True))
    received = read_pass(path, payloads=False)
    assert received.frames == {f.scene: f for f in FRAMES if any(i.tile.startswith(f.scene) for i in items)}
    assert not any(i.payload for i in received.items)


def test_sizes_are_exact(tmp_path):
    items = items_of(1)
    with PacketWriter(tmp_path / "p.bin", frames=FRAMES, packet_bytes=1024) as writer:
        opening = writer.bits
        added = sum(writer.add(i) for i in items)
        before, closing = writer.bits, writer.closing_bits
    assert opening + added == before
    assert before + closing == 8 * (tmp_path / "p.bin").stat().st_size
    with PacketWriter(tmp_path / "q.bin", frames=FRAMES) as writer:
        writer.add(Item("S0/1/1", "alert", "River", 1.0, 0.0))
        assert writer.add(Item("S0/1/2", "lossless", "River", 1.0, 0.0, bytes(40_000))) == bits_of(40_000)


def test_classes_take_two_bytes_a_tile(tmp_path):
    def bits(count: int) -> int:
        with PacketWriter(tmp_path / "c.bin", frames=FRAMES) as writer:
            return sum(writer.add(Item(f"S0/0/{c}", "class", "River", 0.5, 7.0)) for c in range(count))

    assert bits(3000) - bits(2999) == 16


def test_a_tool_of_another_project_reads_the_files(tmp_path):
    ccsdspy = pytest.importorskip("ccsdspy", reason="ccsdspy reads the files back independently")
    from ccsdspy import utils

    path, items = tmp_path / "pass_000.bin", items_of(2)
    write(path, items)
    assert utils.count_packets(str(path)) == len(split(path.read_bytes()))
    streams = utils.split_by_apid(str(path))
    assert set(streams) <= set(APID.values())
    fields = [ccsdspy.PacketField("seconds", "uint", 32), ccsdspy.PacketField("fraction", "uint", 16),
              ccsdspy.PacketArray(name="data", data_type="uint", bit_length=8, array_shape="expand"),
              ccsdspy.PacketField("crc", "uint", 16)]  # fmt: skip
    first: dict[str, list[int]] = {}
    for apid, stream in streams.items():
        found = ccsdspy.VariableLength(fields).load(stream, include_primary_header=True)
        counts = found["CCSDS_SEQUENCE_COUNT"].tolist()
        assert counts == list(range(len(counts)))
        assert set(found["CCSDS_VERSION_NUMBER"]) == {0}
        assert set(found["CCSDS_SECONDARY_FLAG"]) == {1}
        name = next(n for n, a in APID.items() if a == apid)
        first[name] = [b"".join(map(bytes, [found["data"][i]])) for i, f in
                       enumerate(found["CCSDS_SEQUENCE_FLAG"]) if f in (1, 3)]  # fmt: skip
    for tier in ("alert", "lossless", "lossy", "backlog"):
        sent = [i for i in items if i.tier == tier]
        heads = [ITEM.unpack(b[: ITEM.size]) for b in first.get(tier, [])]
        assert [(h[2], h[3], h[6]) for h in heads] == [(*i.place()[1:], len(i.payload)) for i in sent]


def test_the_checksum_is_the_standards():
    assert crc16(b"123456789") == 0x29B1  # the check value of CRC-16/IBM-3740 in every catalogue
    assert crc16(b"123456789" + b"\x29\xb1") == 0


def one(path: Path, change) -> tuple[list[Item], list, list[Item]]:
    items = items_of(3)
    write(path, items)
    packets = split(path.read_bytes())
    path.write_bytes(b"".join(change(packets)))
    return *read(path), items


def test_a_lost_packet_is_named_with_its_count(tmp_path):
    def change(packets):
        at = next(i for i, p in enumerate(packets) if p[1] == APID["lossless"] and p[2] >> 6 == 3)
        return packets[:at] + packets[at + 1 :]

    got, faults, items = one(tmp_path / "p.bin", change)
    assert [(f.kind, f.stream, f.packets) for f in faults] == [("lost", "lossless", 1)]
    assert len(got) == len(items) - 1


def test_the_first_and_the_last_packet_of_a_stream_are_missed_too(tmp_path):
    def change(packets):
        lossy = [i for i, p in enumerate(packets) if p[1] == APID["lossy"]]
        return [p for i, p in enumerate(packets) if i not in (lossy[0], lossy[-1])]

    _, faults, _ = one(tmp_path / "p.bin", change)
    assert sum(f.packets for f in faults if f.kind == "lost") == 2

    _, faults, _ = one(tmp_path / "q.bin", lambda packets: [p for p in packets if p[1] != APID["class"]])
    assert [(f.kind, f.stream) for f in faults] == [("lost", "class")]


def test_a_doubled_packet_counts_once(tmp_path):
    got, faults, items = one(tmp_path / "p.bin", lambda packets: [p for p in packets for _ in (0, 1)])
    assert len(got) == len(items)
    assert {f.kind for f in faults} == {"doubled"}


def test_packets_out_of_order_are_put_in_order(tmp_path):
    def change(packets):
        rng = random.Random(5)
        middle = packets[1:-1]
        for i in range(0, len(middle) - 6, 6):
            part = middle[i : i + 6]
            rng.shuffle(part)
            middle[i : i + 6] = part
        return [packets[0], *middle, packets[-1]]

    got, faults, items = one(tmp_path / "p.bin", change)
    assert all(same(a, b) for a, b in zip(by_tile(items), by_tile(got), strict=True))
    assert {f.kind for f in faults} == {"reordered"}


def test_a_damaged_length_costs_its_packet_alone(tmp_path):
    def change(packets):
        at = next(i for i, p in enumerate(packets) if p[1] == APID["alert"] and i > 3)
        return [*packets[:at], packets[at][:4] + b"\x00\x40" + packets[at][6:], *packets[at + 1 :]]

    got, faults, items = one(tmp_path / "p.bin", change)
    assert len(items) - 2 < len(got) < len(items)
    assert {f.kind for f in faults} >= {"lost"}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from("xdsf"), st.integers(0, 10**6)), min_size=1, max_size=6)
)
def test_nothing_is_invented_nothing_twice_and_no_loss_is_silent(tmp_path_factory, seed, blows):
    """x: lost, d: doubled, s: swapped with the next, f: a bit flipped."""
    path = tmp_path_factory.mktemp("p") / "p.bin"
    items = items_of(seed, 60)
    write(path, items)
    packets = split(path.read_bytes())
    for kind, number in blows:
        i = number % len(packets)
        if kind == "x":
            packets[i : i + 1] = [b""]
        elif kind == "d":
            packets.insert(i, packets[i])
        elif kind == "s" and i + 1 < len(packets):
            packets[i], packets[i + 1] = packets[i + 1], packets[i]
        elif kind == "f" and packets[i]:
            hit = bytearray(packets[i])
            hit[number % len(hit)] ^= 1 << number % 8
            packets[i] = bytes(hit)
    path.write_bytes(b"".join(packets))
    got, faults = read(path)
    sent = {(i.tile, i.tier): i for i in items}
    assert len({(i.tile, i.tier) for i in got}) == len(got)
    assert all(same(sent[i.tile, i.tier], i) for i in got)
    assert faults or len(got) == len(items)


@pytest.mark.parametrize("content", [b"", b"\x08", bytes(5000), random.Random(1).randbytes(20_000)])
def test_other_files_give_faults_not_errors(tmp_path, content):
    (tmp_path / "p.bin").write_bytes(content)
    got, faults = read(tmp_path / "p.bin")
    assert got == []
    assert bool(faults) == bool(content)


def test_counts_run_on_over_passes_and_beyond_their_14_bits(tmp_path):
    state = write(tmp_path / "a.bin", items_of(7)) | {"lossless": COUNTS - 3, "class": COUNTS - 1}
    items = items_of(8)
    after = write(tmp_path / "b.bin", items, state)
    got, faults = read(tmp_path / "b.bin")
    assert not faults
    assert len(got) == len(items)
    assert after["lossless"] < 1000
    assert after["item"] > state["item"]
    assert set(read_pass(tmp_path / "a.bin").numbers).isdisjoint(read_pass(tmp_path / "b.bin").numbers)


def test_the_same_pass_is_the_same_file_and_a_broken_one_is_none(tmp_path):
    write(tmp_path / "a.bin", items_of(9))
    write(tmp_path / "b.bin", items_of(9))
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    with pytest.raises(InputError), PacketWriter(tmp_path / "c.bin") as writer:
        writer.add(Item("nowhere", "alert", "River", 0.5, 0.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "b.bin"]


def test_a_table_that_is_lost_comes_again_at_the_end(tmp_path):
    def change(packets):
        tables = [i for i, p in enumerate(packets) if p[1] == APID["tables"]]
        return [p for i, p in enumerate(packets) if i not in tables[:-1]]

    got, faults, items = one(tmp_path / "p.bin", change)
    assert len(got) == len(items)
    assert {(f.kind, f.stream) for f in faults} == {("lost", "tables")}
    got, faults, _ = one(tmp_path / "q.bin", lambda packets: [p for p in packets if p[1] != APID["tables"]])
    assert got == []
    assert {f.kind for f in faults} == {"unnamed"}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Item("S0/1", "alert", "River", 0.5, 0.0), "scene/row/column"),
        (Item("S0/1/70000", "alert", "River", 0.5, 0.0), "65,536"),
        (Item("S0/1/1", "best", "River", 0.5, 0.0), "alert, class"),
        (Item("S0/1/1", "class", "River", 0.5, 0.0, b"x"), "no payload"),
        (Item("S0/1/1", "alert", "River", 1.5, 0.0), "0 to 1"),
        (Item("S0/1/1", "alert", "River", 0.5, -1.0), "since the mission's start"),
    ],
)
def test_bad_items_are_named(tmp_path, item, words):
    with pytest.raises(InputError, match=words), PacketWriter(tmp_path / "p.bin") as writer:
        writer.add(item)
    assert not list(tmp_path.iterdir())


def test_overhead_is_what_the_packets_have(tmp_path):
    write(tmp_path / "p.bin", [Item("S0/1/1", "alert", "River", 0.5, 3.5, b"abc")])
    alert = next(p for p in split((tmp_path / "p.bin").read_bytes()) if p[1] == APID["alert"])
    assert len(alert) == OVERHEAD + ITEM.size + 3
    assert alert[6:12] == (3).to_bytes(4, "big") + b"\x80\x00"  # CCSDS unsegmented time: 3.5 s
