"""Single faults, as a defect of the program or a spoiled file would leave them in an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    Rng = np.random.Generator
    Plant = Callable[["Site"], "str | None"]

WEIGHED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ACTIVATIONS = (
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Clip", "HardSigmoid", "HardSwish",
    "Softmax", "LogSoftmax", "LRN",
)  # fmt: skip
MANY_TRIES = 200


class Site:
    """A model that a fault is planted in, in place."""

    def __init__(self, model: onnx.ModelProto, rng: Rng) -> None:
        self.graph, self.rng = model.graph, rng
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
        self.stored = {tensor.name: tensor for tensor in self.graph.initializer}

    def pick(self, *ops: str) -> onnx.NodeProto | None:
        """Return a random node of one of `ops`."""
        found = [node for node in self.graph.node if node.op_type in ops]
        return found[self.rng.integers(len(found))] if found else None

    def array(self, name: str) -> np.ndarray | None:
        """Return a copy of what is stored as `name`, None where it is computed."""
        return onnx.numpy_helper.to_array(self.stored[name]).copy() if name in self.stored else None

    def store(self, name: str, array: np.ndarray) -> None:
        """Put `array` in the place of what is stored as `name`."""
        self.stored[name].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))

    def weight(self, *ops: str) -> tuple[onnx.NodeProto, str, np.ndarray] | None:
        """Return a random node of `ops`, the name of its stored weight, and that weight, if it has one."""
        node = self.pick(*(ops or WEIGHED))
        if node is None:
            return None
        for name in (*node.input[1:2], *node.input[:1]):
            array = self.array(name)
            if array is not None and array.dtype == np.float32 and array.any():
                return node, name, array
        return None


def plant(content: bytes, seed: int) -> tuple[bytes, str]:
    """Return `content` with one random fault, and what it is: its kind, a colon, and where."""
    rng = np.random.default_rng([seed, 2])
    kinds = list(KINDS)
    for _ in range(MANY_TRIES):
        model = onnx.ModelProto.FromString(content)
        kind = kinds[rng.integers(len(kinds))]
        where = KINDS[kind](Site(model, rng))
        if where is None:
            continue
        spoiled = model.SerializeToString(deterministic=True)
        if spoiled != content:
            return spoiled, f"{kind}: {where}"
    raise ValueError("no kind of fault can be planted in this model")


def _place(array: np.ndarray, rng: Rng) -> tuple[int, ...]:
    """Return the index of a random element that is not zero."""
    places = np.argwhere(array)
    return tuple(int(i) for i in places[rng.integers(len(places))])


def _weight_changed(site: Site) -> str | None:
    found = site.weight()
    if found is None:
        return None
    node, name, array = found
    place = _place(array, site.rng)
    array[place] *= site.rng.choice([0.0, 0.5, 0.9, 1.1, 2.0])
    site.store(name, array)
    return f"{node.name} {name}{list(place)}"


def _sign_flipped(site: Site) -> str | None:
    found = site.weight()
    if found is None:
        return None
    node, name, array = found
    place = _place(array, site.rng)
    part: Any = place if site.rng.random() < 0.5 else place[0]
    array[part] *= -1
    site.store(name, array)
    return f"{node.name} {name}[{part}]"


def _tensor_scaled(site: Site) -> str | None:
    found = site.weight()
    if found is None:
        return None
    node, name, array = found
    site.store(name, array * np.float32(site.rng.choice([0.95, 1.01])))
    return f"{node.name} {name}"


def _weight_added(site: Site) -> str | None:
    found = site.weight()
    if found is None:
        return None
    node, name, array = found
    places = np.argwhere(array == 0)
    if not len(places):
        return None
    place = tuple(places[site.rng.integers(len(places))])
    array[place] = np.abs(array).max() * 0.3
    site.store(name, array)
    return f"{node.name} {name}{[int(i) for i in place]}, a dead one"


def _swapped(array: np.ndarray, axis: int, rng: Rng) -> str | None:
    if array.shape[axis] < 2:
        return None
    i, j = rng.choice(array.shape[axis], 2, replace=False)
    index: list[Any] = [slice(None)] * array.ndim
    index[axis] = [i, j]
    other = list(index)
    other[axis] = [j, i]
    array[tuple(index)] = array[tuple(other)]
    return f"{i} and {j} of axis {axis}"


def _channels_swapped(site: Site) -> str | None:
    found = site.weight()
    if found is None:
        return None
    node, name, array = found
    where = _swapped(array, int(site.rng.integers(2)), site.rng)
    if where is None:
        return None
    site.store(name, array)
    return f"{node.name} {name} {where}"


def _stripe_moved(site: Site) -> str | None:
    found = site.weight("Conv")
    if found is None or found[2].ndim != 4 or found[2][0, 0].size == 1:
        return None
    node, name, array = found
    kernel = array.shape[2:]
    o, _, i, j = _place(array, site.rng)
    places = [(a, b) for a in range(kernel[0]) for b in range(kernel[1]) if (a, b) != (i, j)]
    a, b = places[site.rng.integers(len(places))]
    array[o, :, [i, a], [j, b]] = array[o, :, [a, i], [b, j]]
    site.store(name, array)
    return f"{node.name} {name}[{o}] from {(i, j)} to {(a, b)}"


def _kernel_turned(site: Site) -> str | None:
    found = site.weight("Conv", "ConvTranspose")
    if found is None or found[2].ndim != 4 or found[2][0, 0].size == 1:
        return None
    node, name, array = found
    axis = int(site.rng.integers(2, 4))
    site.store(name, np.roll(array, 1, axis) if site.rng.random() < 0.5 else np.flip(array, axis))
    return f"{node.name} {name} along axis {axis}"


def _bias_off(site: Site) -> str | None:
    node = site.pick("Conv", "ConvTranspose", "Gemm", "Add", "Sub", "Sum")
    if node is None:
        return None
    names = node.input[2:3] if node.op_type in WEIGHED else node.input
    for name in names:
        array = site.array(name)
        if array is not None and array.dtype == np.float32 and array.size:
            place = int(site.rng.integers(array.size))
            scale = max(0.1, float(np.abs(array).max()))
            array.reshape(-1)[place] += np.float32(site.rng.choice([-0.1, 0.01, 0.1, 1.0]) * scale)
            site.store(name, array)
            return f"{node.name} {name}[{place}]"
    return None


def _bias_dropped(site: Site) -> str | None:
    node = site.pick("Conv", "ConvTranspose", "Gemm")
    if node is None or len(node.input) < 3:
        return None
    name = node.input.pop()
    return f"{node.name} loses {name}"


def _set(node: onnx.NodeProto, key: str, value: object) -> None:
    for attribute in list(node.attribute):
        if attribute.name == key:
            node.attribute.remove(attribute)
    node.attribute.append(onnx.helper.make_attribute(key, value))


def _get(node: onnx.NodeProto, key: str, default: Any) -> Any:
    found = [onnx.helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == key]
    return found[0] if found else default


def _pads_changed(site: Site) -> str | None:
    node = site.pick("Conv", "MaxPool", "AveragePool")
    if node is None or _get(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None
    pads = list(_get(node, "pads", [0, 0, 0, 0]))
    axis, rank = int(site.rng.integers(len(pads) // 2)), len(pads) // 2
    moved = int(site.rng.choice([-1, 1]))
    begin, end = pads[axis] + moved, pads[axis + rank] - moved  # the size stays
    if begin < 0 or end < 0:
        return None
    pads[axis], pads[axis + rank] = begin, end
    _set(node, "pads", pads)
    return f"{node.name} {pads}"


def _auto_pad_changed(site: Site) -> str | None:
    nodes = [n for n in site.graph.node if _get(n, "auto_pad", b"") in {b"SAME_UPPER", b"SAME_LOWER"}]
    if not nodes:
        return None
    node = nodes[site.rng.integers(len(nodes))]
    other = "SAME_LOWER" if _get(node, "auto_pad", b"") == b"SAME_UPPER" else "SAME_UPPER"
    _set(node, "auto_pad", other)
    return f"{node.name} {other}"


def _geometry_changed(site: Site) -> str | None:
    node = site.pick("Conv", "MaxPool", "AveragePool")
    if node is None:
        return None
    key = str(site.rng.choice(["strides", "dilations"]))
    if key == "dilations" and node.op_type == "AveragePool":
        return None
    values = list(_get(node, key, [1, 1]))
    axis = int(site.rng.integers(len(values)))
    values[axis] = 1 if values[axis] > 1 else 2
    _set(node, key, values)
    if key == "dilations" and node.op_type == "Conv" and _get(node, "auto_pad", b"NOTSET") == b"NOTSET":
        weight = site.array(node.input[1])
        if weight is not None and weight.ndim == len(values) + 2:  # pads that keep the size
            pads, reach = list(_get(node, "pads", [0] * 2 * len(values))), weight.shape[2 + axis] - 1
            more = (values[axis] - (1 if values[axis] == 2 else 2)) * reach
            pads[axis] = max(0, pads[axis] + more // 2)
            pads[axis + len(values)] = max(0, pads[axis + len(values)] + more - more // 2)
            _set(node, "pads", pads)
    return f"{node.name} {key} {values}"


def _bypass(site: Site, node: onnx.NodeProto, source: str) -> None:
    """Let whoever reads `node` read `source`; as an Identity, so that outputs keep their names."""
    del node.input[:]
    node.input.append(source)
    node.op_type = "Identity"
    del node.attribute[:]


def _activation_removed(site: Site) -> str | None:
    node = site.pick(*ACTIVATIONS)
    if node is None:
        return None
    where = f"{node.op_type} {node.name}"
    _bypass(site, node, node.input[0])
    return where


def _activation_added(site: Site) -> str | None:
    node = site.pick("Conv", "BatchNormalization", "Add", "Concat", "Gemm")
    if node is None:
        return None
    index = list(site.graph.node).index(node)
    inner = f"{node.output[0]}_before"
    added = onnx.helper.make_node(str(site.rng.choice(["Relu", "LeakyRelu"])), [inner], [node.output[0]])
    node.output[0] = inner
    site.graph.node.insert(index + 1, added)
    return f"{added.op_type} after {node.name}"


def _activation_replaced(site: Site) -> str | None:
    node = site.pick("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "HardSigmoid", "HardSwish")
    if node is None:
        return None
    others = [op for op in ("Relu", "LeakyRelu", "Elu", "Softplus", "Sigmoid", "Tanh") if op != node.op_type]
    where = f"{node.op_type} {node.name}"
    node.op_type = others[site.rng.integers(len(others))]
    del node.attribute[:]
    return f"{where} by {node.op_type}"


def _limit_changed(site: Site) -> str | None:
    node = site.pick("LeakyRelu", "Elu", "HardSigmoid", "PRelu", "Clip", "Selu")
    if node is None:
        return None
    if node.op_type in {"PRelu", "Clip"} and len(node.input) > 1:
        name = node.input[-1]
        array = site.array(name)
        if array is None:
            return None
        place = int(site.rng.integers(array.size))
        array.reshape(-1)[place] += np.float32(0.1)
        site.store(name, array)
        return f"{node.op_type} {node.name} {name}[{place}]"
    key = "max" if node.op_type == "Clip" else "alpha"
    default = {"LeakyRelu": 0.01, "Elu": 1.0, "HardSigmoid": 0.2, "Selu": 1.673, "Clip": 6.0}[node.op_type]
    _set(node, key, float(_get(node, key, default)) * 1.1)
    return f"{node.op_type} {node.name} {key}"


def _slice_off(site: Site) -> str | None:
    node = site.pick("Slice")
    if node is None:
        return None
    step = int(site.rng.choice([-1, 1]))
    if site.opset < 10:
        starts, ends = list(_get(node, "starts", [])), list(_get(node, "ends", []))
        _set(node, "starts", [start + step for start in starts])
        _set(node, "ends", [end + step for end in ends])
        return f"{node.name} by {step}"
    moved = False
    both = site.rng.random() < 0.6
    for name in node.input[1:3] if both else node.input[2:3]:
        array = site.array(name)
        if array is None:
            return None
        axis = int(site.rng.integers(array.size))
        far = np.abs(array) > 10**9
        shifted = np.where(far, array, array + step) if both else array
        if not both:
            shifted = array.copy()
            if not far.reshape(-1)[axis]:
                shifted.reshape(-1)[axis] += step
        fresh = f"{name}_of_{node.output[0]}"  # another Slice may share it
        site.graph.initializer.append(onnx.numpy_helper.from_array(shifted.astype(np.int64), fresh))
        node.input[list(node.input).index(name)] = fresh
        moved = moved or bool((shifted != array).any())
    return f"{node.name} by {step}, {'starts and ends' if both else 'one end'}" if moved else None


def _indices_permuted(site: Site) -> str | None:
    node = site.pick("Gather")
    array = None if node is None else site.array(node.input[1])
    if node is None or array is None or array.ndim != 1:
        return None
    where = _swapped(array, 0, site.rng)
    if where is None:
        return None
    site.store(node.input[1], array)
    return f"{node.name} {where}"


def _operands_swapped(site: Site) -> str | None:
    node = site.pick("Sub", "Div", "Concat", "MatMul", "Pow")
    if node is None or len(node.input) < 2:
        return None
    i, j = site.rng.choice(len(node.input), 2, replace=False)
    node.input[i], node.input[j] = node.input[j], node.input[i]
    return f"{node.op_type} {node.name} {i} and {j}"


def _outputs_swapped(site: Site) -> str | None:
    node = site.pick("Split")
    if node is None or len(node.output) < 2:
        return None
    i, j = site.rng.choice(len(node.output), 2, replace=False)
    node.output[i], node.output[j] = node.output[j], node.output[i]
    return f"{node.name} {i} and {j}"


def _edge_moved(site: Site) -> str | None:
    """Let a node read another value, one that is computed before it."""
    index = int(site.rng.integers(1, len(site.graph.node))) if len(site.graph.node) > 1 else 0
    node = site.graph.node[index]
    made = [name for before in site.graph.node[:index] for name in before.output]
    places = [place for place, name in enumerate(node.input) if name in made]
    if not places or len(made) < 2:
        return None
    place = places[site.rng.integers(len(places))]
    other = made[site.rng.integers(len(made))]
    if other == node.input[place]:
        return None
    before = node.input[place]
    node.input[place] = other
    return f"{node.op_type} {node.name} reads {other} instead of {before}"


def _branch_lost(site: Site) -> str | None:
    node = site.pick("Add", "Sum", "Mul", "Sub")
    if node is None or any(name in site.stored for name in node.input):
        return None
    kept = node.input[site.rng.integers(len(node.input))]
    where = f"{node.op_type} {node.name} keeps {kept}"
    _bypass(site, node, kept)
    return where


def _operator_mistaken(site: Site) -> str | None:
    others = {
        "Add": "Sub", "Sub": "Add", "Mul": "Add", "MaxPool": "AveragePool", "AveragePool": "MaxPool", "Max": "Min",
        "GlobalAveragePool": "GlobalMaxPool", "GlobalMaxPool": "GlobalAveragePool", "Softmax": "LogSoftmax",
        "ReduceMean": "ReduceSum" if site.opset < 13 or site.opset >= 18 else "ReduceMax",
    }  # fmt: skip
    node = site.pick(*others)
    if node is None:
        return None
    where, node.op_type = f"{node.op_type} {node.name}", others[node.op_type]
    if node.op_type in {"AveragePool", "MaxPool"}:
        for attribute in list(node.attribute):
            if attribute.name in {"count_include_pad", "dilations", "storage_order"}:
                node.attribute.remove(attribute)
    return f"{where} by {node.op_type}"


def _epsilon_changed(site: Site) -> str | None:
    node = site.pick("BatchNormalization", "InstanceNormalization")
    if node is None:
        return None
    epsilon = float(_get(node, "epsilon", 1e-5))
    _set(node, "epsilon", epsilon * float(site.rng.choice([0.01, 10, 100])))
    return f"{node.name} from {epsilon:g}"


def _statistics_changed(site: Site) -> str | None:
    node = site.pick("BatchNormalization")
    if node is None:
        return None
    name = node.input[int(site.rng.integers(1, 5))]
    array = site.array(name)
    if array is None:
        return None
    place = int(site.rng.integers(array.size))
    array[place] = array[place] * np.float32(1.1) + np.float32(1e-3)
    site.store(name, array)
    return f"{node.name} {name}[{place}]"


def _statistics_swapped(site: Site) -> str | None:
    node = site.pick("BatchNormalization")
    if node is None:
        return None
    name = node.input[int(site.rng.integers(1, 5))]
    array = site.array(name)
    where = None if array is None else _swapped(array, 0, site.rng)
    if array is None or where is None:
        return None
    site.store(name, array)
    return f"{node.name} {name} {where}"


def _response_changed(site: Site) -> str | None:
    node = site.pick("LRN")
    if node is None:
        return None
    key, value = [("alpha", 1.2), ("beta", 1.1), ("bias", 1.1), ("size", 0)][site.rng.integers(4)]
    if key == "size":
        _set(node, "size", int(_get(node, "size", 3)) + 2)
    else:
        _set(node, key, float(_get(node, key, {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}[key])) * value)
    return f"{node.name} {key}"


def _pooling_changed(site: Site) -> str | None:
    node = site.pick("MaxPool", "AveragePool")
    if node is None:
        return None
    if node.op_type == "AveragePool" and any(_get(node, "pads", [0])):
        _set(node, "count_include_pad", 1 - int(_get(node, "count_include_pad", 0)))
        return f"{node.name} count_include_pad"
    if site.opset < 10:
        return None
    _set(node, "ceil_mode", 1 - int(_get(node, "ceil_mode", 0)))
    return f"{node.name} ceil_mode"


def _axis_changed(site: Site) -> str | None:
    node = site.pick("Softmax", "LogSoftmax", "Concat")
    if node is None:
        return None
    axis = int(site.rng.choice([a for a in (0, 1, 2, 3) if a != _get(node, "axis", 1)]))
    _set(node, "axis", axis)
    return f"{node.op_type} {node.name} {axis}"


def _border_changed(site: Site) -> str | None:
    node = site.pick("Pad")
    if node is None:
        return None
    mode = _get(node, "mode", b"constant").decode()
    if mode != "constant":
        _set(node, "mode", "edge" if mode == "reflect" else "reflect")
        return f"{node.name} {mode}"
    if site.opset < 11:
        _set(node, "value", float(_get(node, "value", 0.0)) + 0.5)
        return f"{node.name} value"
    pads = site.array(node.input[1])
    if pads is None or pads.size % 2:
        return None
    place = int(site.rng.integers(pads.size // 2))
    pads[place], pads[place + pads.size // 2] = pads[place] + 1, pads[place + pads.size // 2] - 1
    if pads.min() < 0:
        return None
    site.store(node.input[1], pads)
    return f"{node.name} pads {pads.tolist()}"


def _resize_changed(site: Site) -> str | None:
    node = site.pick("Resize", "Upsample")
    if node is None:
        return None
    if site.opset < 11 or site.rng.random() < 0.4:
        mode = "linear" if _get(node, "mode", b"nearest") == b"nearest" else "nearest"
        _set(node, "mode", mode)
        return f"{node.name} {mode}"
    way = _get(node, "coordinate_transformation_mode", b"half_pixel").decode()
    others = [other for other in ("half_pixel", "align_corners", "asymmetric") if other != way]
    _set(node, "coordinate_transformation_mode", others[site.rng.integers(len(others))])
    return f"{node.name} instead of {way}"


def _sizes_changed(site: Site) -> str | None:
    """Move a border between two parts of a Split."""
    node = site.pick("Split")
    if node is None or len(node.output) < 2:
        return None
    if site.opset < 13:
        sizes = list(_get(node, "split", []))
    else:
        array = site.array(node.input[1]) if len(node.input) > 1 else None
        sizes = [] if array is None else array.tolist()
    if len(sizes) < 2 or sizes[0] < 2:
        return None
    sizes[0], sizes[1] = sizes[0] - 1, sizes[1] + 1
    if site.opset < 13:
        _set(node, "split", sizes)
    else:
        site.store(node.input[1], np.array(sizes))
    return f"{node.name} {sizes}"


def _gemm_changed(site: Site) -> str | None:
    node = site.pick("Gemm")
    if node is None:
        return None
    key = str(site.rng.choice(["alpha", "beta", "transB"]))
    if key == "transB":
        _set(node, key, 1 - int(_get(node, key, 0)))
    else:
        _set(node, key, float(_get(node, key, 1.0)) * 1.05)
    return f"{node.name} {key}"


def _constant_changed(site: Site) -> str | None:
    """Change a constant of an element-wise operator: a scale, a shift, a divisor."""
    node = site.pick("Mul", "Div", "Add", "Sub", "Pow", "Where", "Max", "Min")
    if node is None:
        return None
    for name in node.input:
        array = site.array(name)
        if array is not None and array.dtype == np.float32 and array.any():
            place = _place(array, site.rng)
            array[place] *= np.float32(1.1)
            site.store(name, array)
            return f"{node.op_type} {node.name} {name}{list(place)}"
    return None


KINDS: dict[str, Plant] = {
    "weight changed": _weight_changed,
    "sign flipped": _sign_flipped,
    "tensor scaled": _tensor_scaled,
    "dead weight alive": _weight_added,
    "channels swapped": _channels_swapped,
    "stripe moved": _stripe_moved,
    "kernel turned": _kernel_turned,
    "bias off": _bias_off,
    "bias dropped": _bias_dropped,
    "pads changed": _pads_changed,
    "auto_pad changed": _auto_pad_changed,
    "geometry changed": _geometry_changed,
    "activation removed": _activation_removed,
    "activation added": _activation_added,
    "activation replaced": _activation_replaced,
    "limit changed": _limit_changed,
    "slice off": _slice_off,
    "indices permuted": _indices_permuted,
    "operands swapped": _operands_swapped,
    "outputs swapped": _outputs_swapped,
    "edge moved": _edge_moved,
    "branch lost": _branch_lost,
    "operator mistaken": _operator_mistaken,
    "epsilon changed": _epsilon_changed,
    "statistics changed": _statistics_changed,
    "statistics swapped": _statistics_swapped,
    "response changed": _response_changed,
    "pooling changed": _pooling_changed,
    "axis changed": _axis_changed,
    "border changed": _border_changed,
    "resize changed": _resize_changed,
    "sizes changed": _sizes_changed,
    "gemm changed": _gemm_changed,
    "constant changed": _constant_changed,
}
