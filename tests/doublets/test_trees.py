from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.shape_features import shape_features
from skytrigger.hep.doublets.trees import Trees, _as_onnx


def test_the_onnx_file_decides_as_scikit_learn_does(doublets):
    features = shape_features(doublets.x)
    model = GradientBoostingClassifier(n_estimators=20, max_depth=4, random_state=0).fit(features, doublets.y)
    trees = Trees(_as_onnx(model).SerializeToString())
    logits = trees.logits(doublets.x)
    assert np.all(logits[:, 0] == 0)
    assert logits[:, 1] == pytest.approx(model.decision_function(features), abs=1e-5)


def test_written_and_read_again(doublets, tmp_path):
    trees = Trees.fit(doublets.x[:400], doublets.y[:400], seed=1)
    trees.write(tmp_path / "trees.onnx")
    assert Trees.read(tmp_path / "trees.onnx") == trees == Trees.fit(doublets.x[:400], doublets.y[:400], seed=1)


def test_damaged_files_are_refused(doublets, tmp_path):
    path = tmp_path / "trees.onnx"
    with pytest.raises(InputError, match="cannot read"):
        Trees.read(path)
    path.write_bytes(b"leaves")
    with pytest.raises(InputError, match="not a file of trees"):
        Trees.read(path)
    content = Trees.fit(doublets.x[:200], doublets.y[:200]).content
    path.write_bytes(content.replace(b"inner.pixels", b"inner.puzzle"))
    with pytest.raises(InputError, match="other features"):
        Trees.read(path)
