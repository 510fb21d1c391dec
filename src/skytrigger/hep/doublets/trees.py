"""The baseline that every network is shown beside: gradient-boosted trees on cluster-shape features.

Fitted with scikit-learn, kept as an ONNX tree ensemble: a file from anybody can be read without unpickling.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import write_bytes
from skytrigger.core.seeds import derive
from skytrigger.hep.doublets.shape_features import feature_names, shape_features
from skytrigger.model.checks import refuse_large, refuse_outside

if TYPE_CHECKING:
    import onnx

FEATURES_KEY = "skytrigger.features"
LIMIT_BYTES = 1 << 26


@dataclass(frozen=True)
class Trees:
    """Fitted trees: `content` is the ONNX file."""

    content: bytes

    @staticmethod
    def fit(x: NDArray[Any], y: NDArray[np.int64], seed: int = 0) -> Trees:
        """Fit to two-pad charges (n, 2, h, w) and labels. Settings were chosen by cross-validation inside the
        training and validation parts of the CMS file."""
        ensemble = require("sklearn.ensemble", why="the boosted-trees baseline")
        model = ensemble.GradientBoostingClassifier(
            n_estimators=200,
            learning_rate=0.04,
            max_depth=5,
            subsample=0.5,
            max_features=0.3,
            min_samples_leaf=30,
            random_state=derive(seed, "trees") % 2**32,
        )
        model.fit(shape_features(x), y)
        return Trees(_as_onnx(model).SerializeToString(deterministic=True))

    @staticmethod
    def read(path: str | Path) -> Trees:
        """Read a file written by `write`.

        Raises
        ------
        InputError
            Missing, damaged, or trees on other features.
        """
        import onnx

        path = Path(path)
        try:
            if path.stat().st_size > LIMIT_BYTES:
                raise InputError(f"{path} has {path.stat().st_size} bytes", expected=f"at most {LIMIT_BYTES}")
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the trees {path}: {error.strerror}") from error
        try:
            model = onnx.load_model_from_string(content)
            refuse_outside(model, path, len(content))
            onnx.checker.check_model(model)
            refuse_large(model, path)
            features = {p.key: p.value for p in model.metadata_props}[FEATURES_KEY]
        except InputError:
            raise
        except Exception as error:  # protobuf and the checker raise types of their own
            raise InputError(f"{path} is not a file of trees: {str(error)[:200]}") from error
        if features != json.dumps(feature_names()):
            raise InputError(f"{path} holds trees on other features", remedy="train again")
        return Trees(content)

    def write(self, path: str | Path) -> None:
        """Write whole or not at all."""
        write_bytes(path, self.content)

    def logits(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """(n, 2) float32: 0 and the log odds of ``true``."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        margin = session.run(None, {"features": shape_features(x)})[0]
        return np.concatenate([np.zeros_like(margin), margin], axis=1).astype(np.float32)


def _as_onnx(model: Any) -> onnx.ModelProto:
    """TreeEnsembleRegressor of a fitted binary GradientBoostingClassifier, from its public tree arrays."""
    from onnx import TensorProto, helper

    keys = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {key: [] for key in keys}
    targets: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "weights")}
    for number, tree in enumerate(t.tree_ for t in model.estimators_[:, 0]):
        leaf = tree.children_left < 0
        nodes["treeids"] += [number] * tree.node_count
        nodes["nodeids"] += range(tree.node_count)
        nodes["featureids"] += np.where(leaf, 0, tree.feature).tolist()
        nodes["modes"] += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
        nodes["values"] += np.where(leaf, 0.0, _below(tree.threshold)).tolist()
        nodes["truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
        nodes["falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
        ends = np.flatnonzero(leaf)
        targets["treeids"] += [number] * len(ends)
        targets["nodeids"] += ends.tolist()
        targets["weights"] += (model.learning_rate * tree.value[ends, 0, 0]).tolist()
    prior = float(np.log(model.init_.class_prior_[1] / model.init_.class_prior_[0]))
    attributes: dict[str, Any] = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in targets.items()}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["margin"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[prior],
        target_ids=[0] * len(targets["treeids"]),
        **attributes,
    )
    names = feature_names()
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(names)])],
        [helper.make_tensor_value_info("margin", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    result = helper.make_model(graph, opset_imports=opsets, producer_name="skytrigger", ir_version=9)
    helper.set_model_props(result, {FEATURES_KEY: json.dumps(names)})
    return result


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest float32 <= each threshold: for float32 features the same decisions."""
    rounded = threshold.astype(np.float32)
    down: NDArray[np.float32] = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return down
