"""An ONNX graph as a torch module: the model file alone runs on the framework, eagerly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import onnx
from onnx import numpy_helper

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require

if TYPE_CHECKING:
    from torch import nn

Attributes = dict[str, Any]
Apply = Callable[..., Any]


def module_of(model: onnx.ModelProto, outputs: Sequence[str] = ()) -> nn.Module:
    """Torch module with the graph's weights as buffers: (n, c, h, w) float32 -> a tuple of `outputs` (default: all).

    Raises
    ------
    UnavailableError
        An operator that is not in the table below.
    """
    torch = require("torch", why="runtime torch")
    operators = operator_table(torch)
    unknown = sorted({n.op_type for n in model.graph.node} - operators.keys())
    if unknown:
        raise UnavailableError(f"runtime torch cannot run the operators {unknown}", remedy="--runtime onnxruntime")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    steps: list[tuple[Apply, Attributes, list[str], str]] = []
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            steps.append((operators[node.op_type], attributes, list(node.input), node.output[0]))

    sources, results = [i.name for i in model.graph.input], tuple(outputs or (o.name for o in model.graph.output))

    class OnnxModule(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.buffer_of: dict[str, str] = {}
            self.shape_of: dict[str, list[int] | int] = {}
            for number, (name, array) in enumerate(constants.items()):
                if array.dtype.kind == "i" and array.ndim <= 1 and array.dtype.itemsize == 8:
                    self.shape_of[name] = array.tolist()  # shapes, axes and places, never weights
                else:
                    self.buffer_of[name] = f"weight_{number}"
                    self.register_buffer(f"weight_{number}", torch.from_numpy(array.copy()))

        def forward(self, *tiles: Any) -> Any:
            values: dict[str, Any] = {**dict(zip(sources, tiles, strict=True)), "": None}
            values |= self.shape_of
            for name, buffer in self.buffer_of.items():
                values[name] = getattr(self, buffer)
            for apply, attributes, inputs, output in steps:
                values[output] = apply(attributes, *[values[i] for i in inputs])
            return tuple(values[name] for name in results)

    module: nn.Module = OnnxModule()
    return module


def operator_table(torch: Any) -> dict[str, Apply]:
    """ONNX operator -> function of (attributes, *inputs); one line each where it can be one."""
    f = torch.nn.functional
    dtypes = {1: torch.float32, 10: torch.float16, 16: torch.bfloat16, 7: torch.int64, 6: torch.int32}
    return {
        "Constant": lambda a: None,
        "Identity": lambda a, x: x,
        "Dropout": lambda a, x, *_: x,
        "Add": lambda a, x, y: x + y,
        "Sub": lambda a, x, y: x - y,
        "Mul": lambda a, x, y: x * (torch.tensor(y) if isinstance(y, list) else y),
        "Div": lambda a, x, y: x / y,
        "Relu": lambda a, x: torch.relu(x),
        "Sigmoid": lambda a, x: torch.sigmoid(x),
        "HardSwish": lambda a, x: f.hardswish(x),
        "Clip": lambda a, x, low=None, high=None: torch.clamp(x, low, high),
        "Cast": lambda a, x: x.to(dtypes[a["to"]]),
        "Conv": lambda a, x, w, b=None: _convolve(f, a, x, w, b),
        "MaxPool": lambda a, x: _pool(f.max_pool2d, a, x),
        "AveragePool": lambda a, x: _pool(f.avg_pool2d, a, x),
        "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
        "ReduceMean": lambda a, x, axes=None: x.mean(axes or a.get("axes"), keepdim=bool(a.get("keepdims", 1))),
        "BatchNormalization": lambda a, x, scale, bias, mean, var: f.batch_norm(
            x, mean, var, scale, bias, False, 0.0, a.get("epsilon", 1e-5)
        ),
        "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
        "Reshape": lambda a, x, shape: x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(shape)]),
        "Squeeze": lambda a, x, axes: x.squeeze(tuple(axes)),
        "Transpose": lambda a, x: x.permute(a["perm"]),
        "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
        "MatMul": lambda a, x, y: x @ y,
        "Gemm": lambda a, x, w, b=None: _gemm(f, a, x, w, b),
        "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
        "Sin": lambda a, x: torch.sin(x),
        "Cos": lambda a, x: torch.cos(x),
        "Sinh": lambda a, x: torch.sinh(x),
        "Log": lambda a, x: torch.log(x),
        "Sqrt": lambda a, x: torch.sqrt(x),
        "Reciprocal": lambda a, x: torch.reciprocal(x),
        "Greater": lambda a, x, y: x > y,
        "GreaterOrEqual": lambda a, x, y: x >= y,
        "Max": lambda a, *xs: functools.reduce(torch.maximum, xs),
        "ReduceSum": lambda a, x, axes=None: x.sum(axes, keepdim=bool(a.get("keepdims", 1))),
        "Gather": lambda a, x, place: _gather(torch, a, x, place),
        "Slice": _slice,
        "Unsqueeze": lambda a, x, axes: functools.reduce(torch.unsqueeze, sorted(axes), x),
    }


def _gather(torch: Any, a: Attributes, x: Any, place: list[int] | int) -> Any:
    axis = a.get("axis", 0)
    if isinstance(place, int):
        return x.select(axis, place)
    places = place if isinstance(place, torch.Tensor) else torch.tensor(place)
    return x.index_select(axis, places.reshape(-1)).squeeze(axis) if places.dim() == 0 else x.index_select(axis, places)


def _slice(a: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    axes = range(len(starts)) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        if step < 1:
            raise UnavailableError(f"runtime torch cannot slice by steps of {step}")
        places = [slice(None)] * x.dim()
        places[axis] = slice(start, min(end, x.shape[axis]), step)
        x = x[tuple(places)]
    return x


def _symmetric(attributes: Attributes) -> tuple[int, ...]:
    pads = attributes.get("pads", [0, 0, 0, 0])
    half = len(pads) // 2
    if pads[:half] != pads[half:] or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise UnavailableError(f"runtime torch cannot pad asymmetrically {pads}")
    return tuple(pads[:half])


def _convolve(f: Any, a: Attributes, x: Any, w: Any, b: Any) -> Any:
    ones = [1] * (w.dim() - 2)
    stride, dilation = a.get("strides", ones), a.get("dilations", ones)
    convolve = f.conv1d if w.dim() == 3 else f.conv2d
    return convolve(
        x, w, b, tuple(stride), _symmetric({"pads": [0] * 2 * len(ones), **a}), tuple(dilation), a.get("group", 1)
    )


def _pool(pool: Any, a: Attributes, x: Any) -> Any:
    return pool(x, tuple(a["kernel_shape"]), tuple(a.get("strides", [1, 1])), _symmetric(a))


def _gemm(f: Any, a: Attributes, x: Any, w: Any, b: Any) -> Any:
    if a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0 or a.get("transA", 0):
        raise UnavailableError("runtime torch runs Gemm with alpha = beta = 1 and no transA only")
    return f.linear(x, w if a.get("transB", 0) else w.t(), b)
