"""What is done to ONNX graphs: checked model files, export, folding, INT8, parity, operations.

>>> from skytrigger.applications.registry import model_path
>>> from skytrigger.model import count_work, read_model
>>> file = read_model(model_path("doublets"))
>>> file.card.channels, [head.names for head in file.card.heads]
(('inner', 'outer'), [('fake', 'true')])
>>> count_work(file.graph(), batch_size=2).operations == 2 * count_work(file.graph()).operations
True
"""

from skytrigger.core.faces import face

_NAMES = {
    "ModelFile": "file", "count_work": "operations", "export_onnx": "export",
    "parity_of_heads": "parity", "read_model": "file", "require_parity": "parity",
    "with_normalisation": "export", "write_model": "export",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
