"""An INT8 classifier of the package as a run folder again: a float teacher that takes crops, a start for others.

    python benchmarks/unpack_classifier.py eurosat_rgb --data TILES ... --out teacher

`skytrigger train --start eurosat_rgb` does that by itself; a folder is for teachers that take crops, and gets the
lists of images that the file's card does not keep. See `learn.unpack`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from skytrigger.applications.registry import build, model_path
from skytrigger.core.progress import say
from skytrigger.core.seen import NOTE, Seen, hashes_of
from skytrigger.core.split import split_by
from skytrigger.core.split_files import read_list
from skytrigger.eo.load import load
from skytrigger.learn.batches import Batches
from skytrigger.learn.evaluate import align
from skytrigger.learn.predict import answers
from skytrigger.learn.run_folder import RunFolder, save_tensors
from skytrigger.learn.unpack import network_of_file, settle
from skytrigger.model.file import read_model
from skytrigger.model.quantise import stratified
from skytrigger.runtimes.open import open_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True, help="those it was trained with: its card gets them")
    parser.add_argument("--also", nargs=2, type=Path, metavar=("TRAIN", "VAL"), help="lists of what it started from")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    model = read_model(model_path(args.model))
    card = model.card
    dataset = align(load(args.data), card)
    split = split_by(dataset, args.split_lists)
    network, _ = network_of_file(model.path, build)
    batches = Batches(dataset, card.mean, card.std, torch.device("cpu"))
    rows = stratified(split.train, dataset.y, args.images)
    settle(network, batches.images(rows))
    (mine,) = answers(network, batches, split.val)
    session = open_session(model, "onnxruntime", "int8", 64, 1)
    theirs = np.concatenate([session.run(dataset.x[split.val[i : i + 64]].astype(np.float32))
                             for i in range(0, len(split.val), 64)])  # fmt: skip
    same = float((mine.argmax(1) == theirs.argmax(1)).mean())
    say(f"the same class for {100 * same:.2f} % of {len(split.val)} validation images")
    notes = {k: v for k, v in card.notes.items() if k not in ("calibration", "test")}
    seen = Seen.of(dataset, split)
    if args.also:
        seen = seen.joined(Seen(*(np.unique(hashes_of(read_list(file)[0], "")) for file in args.also)))
    notes[NOTE] = notes.get(NOTE) or seen.note()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(args.out)
    save_tensors(folder.weights, network.state_dict(), {})
    folder.write_card(replace(card, precision="fp32", notes=notes))


if __name__ == "__main__":
    main()
