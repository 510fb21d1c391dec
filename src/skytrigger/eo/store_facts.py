"""What a store says about itself: where its tiles came from, what was stated about them, what was assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from skytrigger.eo.shards import Plan
from skytrigger.eo.sources import Listing


def store_facts(
    plan: Plan,
    listing: Listing,
    hashes: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    records: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The ``source`` of a packed dataset, from the records of its shards.

    ``assumptions``: what was assumed -> of how many tiles. ``no_data``: the values that hold nothing, and the tiles
    and pixels (with no data in any band) that have them.
    """
    files = [
        {"name": "/".join(filter(None, (source.path.name, source.inner))), "kind": source.kind, "sha256": digest}
        for source, digest in zip(listing.sources, hashes, strict=True)
    ]
    facts: dict[str, Any] = {
        "kind": "tiles",
        "files": files,
        "skipped": [list(entry) for entry in skipped],
        "ignored_files": listing.ignored,
        **plan.reading.stated(),
    }
    notes: Counter[str] = Counter()
    empty: dict[float, list[int]] = {}
    for record in records:
        notes.update(record["notes"])
        for value, counts in record["no_data"].items():
            seen = empty.setdefault(float(value), [0, 0])
            empty[float(value)] = [a + b for a, b in zip(seen, counts, strict=True)]
    if notes:
        facts["assumptions"] = dict(sorted(notes.items()))
    if empty:
        tiles, pixels = map(sum, zip(*empty.values(), strict=True))
        facts["no_data"] = {
            "values": sorted(empty),
            "tiles": tiles,
            "pixels": pixels,
            "max_share": plan.reading.max_no_data,
        }
    return facts


def no_data_values(source: dict[str, Any]) -> list[float]:
    """Values of pixels that hold nothing, of a dataset's `source`."""
    return [float(value) for value in source.get("no_data", {}).get("values", ())]
