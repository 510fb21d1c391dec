"""What `gpu_teacher.py` left as run folders, that every command takes: weights, card, history.

    python benchmarks/card_students.py FOLDER --stage students --members k4-a r4-a --data RGB.zip ... \
        --split-lists lists/rgb_train.txt lists/rgb_val.txt ../split/test.txt --out RUNS
    python benchmarks/card_students.py FOLDER --stage ms_students --members k4-a-both --data MS.zip ... \
        --split-lists lists/ms_train.txt lists/ms_val.txt ../split/test.txt \
        --also lists/rgb_train.txt lists/rgb_val.txt --out RUNS

FOLDER holds ``records.tar`` and ``students_*.tar``, or is the WORK of `cpu_teacher.py`. The cards keep hashes of all
tiles that the network, its start and its teachers have seen: those of the lists, and of ``--also`` for what it started
from and was taught by.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load

from skytrigger import __version__
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.files import write_text
from skytrigger.core.progress import say
from skytrigger.core.seen import NOTE, Seen, hashes_of
from skytrigger.core.split import split_by
from skytrigger.core.split_files import read_list
from skytrigger.eo.load import load as load_tiles
from skytrigger.learn.run_folder import RunFolder, save_tensors


def content(folder: Path, name: str) -> bytes:
    """A file of the folder, or of one of the archives in it."""
    if (folder / name).is_file():
        return (folder / name).read_bytes()
    for archive in sorted(folder.glob("*.tar")):
        with tarfile.open(archive) as tar:
            if name in tar.getnames() and (held := tar.extractfile(name)):
                return held.read()
    raise SystemExit(f"{folder}: no archive holds {name}")


def history(facts: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """A line for each epoch, as `skytrigger train` writes it; seconds are those of the whole group."""
    lines = []
    for line in facts["history"]:
        loss, accuracy = line["train"][member]
        new = {"epoch": line["epoch"], "train_loss": loss, "train_accuracy": accuracy, "seconds": line["seconds"]}
        val = line.get("judged", {}).get(member, {}).get("val")
        lines.append(new | ({"val_loss": val["loss"], "val_accuracy": val["accuracy"]} if val else {}))
    return lines


def card(facts: dict[str, Any], member: str, dataset: Dataset, split: Split, also: list[Path] | None) -> ModelCard:
    """The card of one member of a stage."""
    made, seen = facts["members"][member], Seen.of(dataset, split)
    if also:
        seen = seen.joined(Seen(*(np.unique(hashes_of(read_list(file)[0], "")) for file in also)))
    plan = facts["plan"] | {"epochs": facts["epochs"]}
    device = "gpu" if facts["graphs"] else "cpu"
    training = {"script": f"benchmarks/{device}_teacher.py", "stage": facts["stage"], "member": member, **plan,
                "looks": facts["looks"][made["looks"]], "taught": made["taught"]}  # fmt: skip
    notes = {"source": dataset.source, "training_precision": "bf16", "device": device, "training": training,
             NOTE: seen.note()}  # fmt: skip
    return ModelCard(
        name="student", channels=dataset.channels, classes=dataset.classes, size=(64, 64), mean=tuple(facts["mean"]),
        std=tuple(facts["std"]), units=dataset.units, data_hash=dataset.selection_hash(dataset.channels),
        split=dict(split.facts), seed=0, options=made["options"], notes=notes, heads=dataset.heads,
        versions={"skytrigger": __version__, "torch": torch.__version__, "numpy": np.__version__},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--members", nargs="+", required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True)
    parser.add_argument("--also", nargs=2, type=Path, metavar=("TRAIN", "VAL"))
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    facts = json.load(io.BytesIO(content(args.folder, f"{args.stage}.json")))
    dataset = load_tiles(args.data)
    split = split_by(dataset, args.split_lists)
    for member in args.members:
        run = RunFolder(args.out / member)
        run.path.mkdir(parents=True, exist_ok=True)
        weights = load(content(args.folder, f"{args.stage}/{member}.safetensors"))
        save_tensors(run.weights, weights, {})
        run.write_card(card(facts, member, dataset, split, args.also))
        write_text(run.history_file, "".join(json.dumps(line) + "\n" for line in history(facts, member)))
        say(f"{run.path}: {facts['members'][member]['figures']}")


if __name__ == "__main__":
    main()
