"""Sections of the page of a search: engines, verdicts, how INT8 came about, stage by stage."""

from __future__ import annotations

from typing import Any

from skytrigger.report.content import (
    NOTHING,
    Block,
    Code,
    Prose,
    Section,
    Table,
    Value,
    estimate,
    interval_of,
    number,
    words,
)

VERDICT_TONES = {"holds": "good", "below": "bad"}


def engine_words(row: dict[str, Any], layout: dict[str, Any]) -> str:
    """Runtime, precision, threads, streams and the batch of each, and the tiles' type where it is not float32."""
    kind = layout.get("input_type", "float32")
    tiles = "" if kind == "float32" else f", {kind} tiles"
    return (
        f"{row['runtime']} {row['precision']}, threads {layout['threads']}, streams {layout['streams']}, "
        f"batch {layout['batch_size']}{tiles}"
    )


def short_name(row: dict[str, Any]) -> str:
    return f"{row['name'].rsplit('_', 1)[0]} {row['precision']}"


def change_value(row: dict[str, Any]) -> Value:
    """Points of change with the verdict as its tone."""
    change = interval_of(row["change"])
    span = f"{100 * change.low:+.2f} to {100 * change.high:+.2f}; {row['verdict']}"
    return Value(f"{100 * change.estimate:+.2f}", change.estimate, span, VERDICT_TONES.get(row["verdict"], ""))


def joules(row: dict[str, Any]) -> Value:
    """Energy where it was measured."""
    return (
        NOTHING
        if row.get("joules_per_image") is None
        else number(row["joules_per_image"], "{:.3g}", row["joules_label"])
    )


def ratio_section(found: dict[str, Any]) -> Section:
    """Paired speed-ups."""
    rows = [[words(r["against"]), words(r["run"]), estimate(interval_of(r["times"]), "{:.2f}", 1, "x"),
             words(r["verdict"]), words("; ".join(r["reasons"]))] for r in found["ratios"]]  # fmt: skip
    if not rows:
        told = (
            "Nothing: the chosen engine is the given network's own fastest, and there was no other to set it against."
        )
        return Section("ratios", "How much faster", [Prose(told)])
    note = "How many times less time the chosen engine takes, within one run of counterbalanced blocks."
    head = ("against", "run", "times faster", "verdict", "remarks")
    return Section("ratios", "How much faster", [Table(head, rows, note)])


def candidates_section(found: dict[str, Any]) -> Section:
    """Everything that was judged, the refused too."""
    metric, rows = found["problem"]["metric"], []
    seen = set()
    for row in found["engines"]:
        key = (row["file"], row["runtime"], row["precision"])
        if key in seen:
            continue
        seen.add(key)
        engine = words(f"{row['runtime']} {row['precision']}")
        operations = row.get("multiply_adds", found["given"]["multiply_adds"])
        seen_channels = str(len(row["channels"])) if "channels" in row else "all"
        shape = [number(operations, "{:,.0f}"), Value(seen_channels), words(row.get("origin"))]
        if "unavailable" in row:
            rows.append(
                [words(row["name"]), engine, *shape, NOTHING, NOTHING, Value(row["unavailable"], None, "", "mute")]
            )
            continue
        verdict = Value(row["verdict"], row["verdict"], "", VERDICT_TONES.get(row["verdict"], ""))
        rows.append([words(row["name"]), engine, *shape, estimate(interval_of(row[metric]), "{:.2f}", 100),
                     change_value(row), verdict])  # fmt: skip
    head = ("network", "engine", "multiply-adds", "channels", "origin", f"validation {metric}", "change", "verdict")
    note = f"All on the same {found['problem']['images']['val']} validation images, answered by the engine itself."
    return Section("candidates", "What was judged", [Table(head, rows, note)])


def quantisation_section(found: dict[str, Any]) -> Section:
    """How each INT8 file came about."""
    rows = []
    for name, done in found["quantisation"].items():
        for tried in done["tried"]:
            kept = tried["file"] == done["file"]
            rows.append([words(name), words(tried["method"]), number(len(tried["float_nodes"]), "{:d}"),
                         change_value(tried), Value("kept" if kept else "", "a" if kept else "b")])  # fmt: skip
    if not rows:
        return Section("int8", "INT8", [Prose("Not asked for.")])
    head = ("network", "ranges by", "layers left in float32", "change to the given network", "")
    note = (
        "Ranges from training images only, stratified by class; the method was chosen on validation images. Float "
        "layers and quantisation-aware tuning are tried where the float32 network holds the floor and INT8 does not."
    )
    proof = f"The chosen engine runs in {found['winner']['engine']['precision_run']}."
    if found["winner"]["kernels"]:
        ran = ", ".join(f"{count} {kind}" for kind, count in found["winner"]["kernels"].items())
        proof += f" Kernels for one batch, as it told while running: {ran}."
    return Section("int8", "INT8", [Table(head, rows, note), Prose(proof)])


def search_section(found: dict[str, Any]) -> Section:
    """Stage by stage, who went on."""
    blocks: list[Block] = []
    for stage in found["search"]:
        kept = stage.get("kept")
        rows = [
            [words(n["name"]), number(n["multiply_adds"], "{:,.0f}"), number(n["parameters"], "{:,.0f}"),
             number(n["untrained_ms_per_image"], "{:.4f}"),
             number(100 * n["value"], "{:.2f}") if stage["stage"] != "timed untrained" else NOTHING,
             Value("" if kept is None else "yes" if n["name"] in kept else "no")]
            for n in stage["networks"]
        ]  # fmt: skip
        head = ("network", "multiply-adds", "parameters", "ms/image, one thread", "validation", "goes on")
        note = f"{stage['stage']}: {len(rows)} network{'' if len(rows) == 1 else 's'}."
        if "distil" in stage:
            note += " The teacher goes on teaching." if stage["distil"] else " Students learn from the labels alone."
        blocks.append(Table(head, rows, note))
    return Section("search", "The search", blocks)


def data_section(found: dict[str, Any]) -> Section:
    """What was judged on."""
    problem = found["problem"]
    images = problem["images"]
    facts = [
        ("training images", f"{images['train']:,}: weights, ranges of INT8, which bands are tried"),
        ("validation images", f"{images['val']:,}: the floor and every choice (teacher, networks, INT8, engine)"),
        ("test images", f"{images['test']:,}: " + ("read once, after the choice" if images["test"] else "none")),
        ("teachers", ", ".join(problem["teachers"]) or "the given network"),
        ("split", problem["split"]), ("channels", ", ".join(problem["channels"])), ("units", problem["units"]),
        ("classes", ", ".join(problem["classes"])), ("data hash", problem["data_hash"]),
    ]  # fmt: skip
    return Section("data", "Data", [Table(("fact", "value"), [[Value(k), Value(str(v))] for k, v in facts])])


def reproduce_section(found: dict[str, Any]) -> Section:
    """How to run and check the winner."""
    evaluate = "skytrigger evaluate best.onnx --data ... --out DIR"
    return Section(
        "use", "Use it", [Code(f"{evaluate}\nskytrigger bench best.onnx {found['given']['file']} --out DIR")]
    )
