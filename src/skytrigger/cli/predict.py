"""skytrigger predict"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from skytrigger.cli.outcome import Outcome
from skytrigger.runtimes.registry import DEFAULT


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_reading_arguments

    parser.add_argument(
        "model", metavar="RUN|MODEL.onnx", help="or a packaged one, e.g. eurosat_ms (skytrigger models)"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="PATH",
        help="folders, zips or tars of tiles, in any folders: none is taken for a class; packed stores",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="a table: .parquet or .csv")
    parser.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    add_reading_arguments(parser)
    parser.add_argument("--runtime", default=DEFAULT, help="engine for a model file")
    parser.add_argument("--precision", help="default: fp32 for a run, the file's own for a model file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import application_of, model_path
    from skytrigger.cli.data_options import notes_of, stated
    from skytrigger.core.errors import InputError
    from skytrigger.learn.evaluate import card_of
    from skytrigger.learn.unlabelled import WRITERS, predict, table_of, write_table

    out = Path(args.out)
    if out.suffix.lower() not in WRITERS:
        raise InputError(f"--out {out}", expected=f"a file that ends in {' or '.join(WRITERS)}")
    model = model_path(args.model)
    card = card_of(model)
    application = application_of(card)
    more = stated(args, application)
    if "labels" in application.reading:  # where folders are classes: not here
        more |= {"labels": False, "bands": ",".join(card.channels)}
    dataset = application.load(
        args.data, skip_bad=args.skip_bad, channels=len(card.channels), seed=card.seed, **({"bands": "all"} | more)
    )
    found, facts = predict(
        application,
        model,
        dataset,
        runtime=args.runtime,
        precision=args.precision,
        device=args.device,
        threads=args.threads,
    )
    table = table_of(found)
    write_table(out, table, facts)
    counts = {name: dict(Counter(table[name]).most_common()) for name in table if name.startswith("class")}
    skipped = dataset.source.get("skipped", [])
    lines = [f"{out}: {len(found.ids):,} images, {len(skipped)} left out"]
    for names in counts.values():
        lines += [f"  {name:22} {count:7,}" for name, count in names.items()]
    lines += notes_of(facts)
    data = {**facts, "images": len(found.ids), "predicted": counts, "out": str(out), "columns": list(table)}
    return Outcome(data, "\n".join(lines))
