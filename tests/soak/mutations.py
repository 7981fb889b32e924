"""Damaged and malicious files, made from sound ones: bytes, zip archives, pickles, protobuf messages, JSON, arrays."""

from __future__ import annotations

import copy
import io
import json
import pickletools
import re
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    Rng = np.random.Generator
    Mutate = Callable[[bytes, Rng], bytes]

NAMES = (
    "", "\x1b[31mred\x1b[0m", "a\nb", "\r", "\x00", "x" * 5000, "../../up", "/etc/passwd", "[bold]no[/bold]", "\u202e",
    "%s%n", "input", "con\tv",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2,
    3,
    7,
    255,
    65535,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    -(2**31),
    -(2**62),
    10**6,
    10**9,
    20_000,
)
BOMB = 300 << 20
"""Zeros that compress to a thousandth."""


def bytes_changed(data: bytes, rng: Rng) -> bytes:
    """Flip bits, cut, insert, repeat, overwrite."""
    array = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if not array:
            break
        _change_bytes(array, rng)
    return bytes(array)


def _change_bytes(array: bytearray, rng: Rng) -> None:
    start = int(rng.integers(len(array)) if rng.random() < 0.5 else rng.integers(min(len(array), 512)))
    length = int(rng.choice([1, 2, 4, 8, 64, 1024]))
    match int(rng.integers(8)):
        case 0 | 1:
            for _ in range(int(rng.choice([1, 1, 8]))):
                array[int(rng.integers(len(array)))] ^= 1 << int(rng.integers(8))
        case 2:
            del array[start:]
        case 3:
            del array[start : start + length]
        case 4:
            array[start:start] = rng.bytes(length)
        case 5:
            array[start:start] = array[start : start + length]
        case 6:
            array[start : start + length] = rng.choice([b"\x00", b"\xff", b"\x7f"]) * min(length, len(array) - start)
        case 7:
            width = int(rng.choice([2, 4, 8]))
            value = int(rng.choice(NUMBERS)) % (1 << 8 * width)
            array[start : start + width] = value.to_bytes(width, "little")


def zip_changed(data: bytes, rng: Rng) -> bytes:
    """Change a member of a zip archive, its name or its compression, or leave it out."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    index = int(rng.integers(len(members)))
    pickles = [n for n, (name, _) in enumerate(members) if name.endswith((".pkl", ".npy"))]
    if pickles and rng.random() < 0.6:
        index = pickles[int(rng.integers(len(pickles)))]
    name, content = members[index]
    kind = int(rng.integers(40))
    if kind == 0:
        members[index] = (name, bytes(BOMB))
    elif kind < 3:
        del members[index]
    elif kind < 5:
        members.append(members[index])
    elif kind < 7:
        members[index] = (str(rng.choice([n for n in NAMES if "\x00" not in n and n])), content)
    elif name.endswith(".npy"):
        members[index] = (name, npy_changed(content, rng))
    elif name.endswith(".pkl") and kind < 30:
        members[index] = (name, pickle_changed(content, rng))
    else:
        members[index] = (name, bytes_changed(content, rng))
    target = io.BytesIO()
    way = zipfile.ZIP_DEFLATED if kind == 0 or rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", way) as archive:
        for member, value in members:
            info = zipfile.ZipInfo(member)
            info.compress_type = way
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a member that is there twice
                archive.writestr(info, value)
    return bytes_changed(target.getvalue(), rng) if rng.random() < 0.1 else target.getvalue()


def pickle_changed(data: bytes, rng: Rng) -> bytes:
    """Change numbers, names or opcodes of a pickle; the widths of what is written stay right."""
    try:
        codes = list(pickletools.genops(data))
    except ValueError:
        return bytes_changed(data, rng)
    ends = [position for _, _, position in codes[1:]] + [len(data)]
    spans = [(code, argument, start, end) for (code, argument, start), end in zip(codes, ends, strict=True)]
    numbers = [span for span in spans if span[0].name in {"BININT", "BININT1", "BININT2", "LONG1"}]
    texts = [span for span in spans if span[0].name == "BINUNICODE"]
    kind = int(rng.integers(6))
    if kind < 3 and numbers:
        _, _, start, end = numbers[int(rng.integers(len(numbers)))]
        value = int(rng.choice(NUMBERS))
        size = value.bit_length() // 8 + 1
        new = b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        return data[:start] + new + data[end:]
    if kind == 3 and texts:
        _, _, start, end = texts[int(rng.integers(len(texts)))]
        text = str(rng.choice(NAMES)).encode()
        return data[:start] + b"X" + len(text).to_bytes(4, "little") + text + data[end:]
    if kind == 4:
        kinds = [b"HalfStorage", b"DoubleStorage", b"ByteStorage", b"BoolStorage", b"QInt8Storage", b"LongStorage"]
        return data.replace(b"FloatStorage", kinds[int(rng.integers(len(kinds)))], int(rng.choice([-1, 1])))
    _, _, start, end = spans[int(rng.integers(len(spans)))]
    match int(rng.integers(3)):
        case 0:
            return data[:start] + data[end:]
        case 1:
            return data[:end] + data[start:end] + data[end:]
        case _:
            codes_only = b"(.0124:FGIJKLMNPQRSTUVXabcdeghijlopqrstu}\x80\x81\x85\x86\x87\x88\x89\x8a\x94]"
            return data[:start] + bytes([codes_only[int(rng.integers(len(codes_only)))]]) + data[start + 1 :]


def state_changed(data: bytes, rng: Rng) -> bytes:
    """Put an object that does not belong there into a checkpoint, written by torch.save."""
    import torch

    content = torch.load(io.BytesIO(data), weights_only=True)
    state = content.get("state_dict", content)
    key = list(state)[int(rng.integers(len(state)))]
    tensor = state[key]
    odd: list[Callable[[], Any]] = [
        lambda: tensor.to(torch.float8_e4m3fn),
        lambda: tensor.float().to_sparse(),
        lambda: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        lambda: torch.empty(tensor.shape, device="meta"),
        lambda: tensor.to(torch.complex64),
        lambda: tensor.to(torch.int64),
        tensor.bool,
        tensor.half,
        lambda: tensor.double() * 1e300,
        lambda: tensor.float() * float("nan"),
        lambda: torch.zeros(()),
        lambda: torch.zeros(0),
        lambda: torch.zeros(1).expand(10**5, 10**5),
        lambda: torch.zeros(1).expand(*[3] * 40) if rng.random() < 0.3 else torch.zeros([1] * 40),
        lambda: tensor.reshape(-1),
        lambda: tensor[:1],
        lambda: tensor.t() if tensor.ndim == 2 else tensor.transpose(0, -1),
        lambda: None,
        lambda: "text",
        lambda: 10**30,
        lambda: [tensor],
        lambda: {"a": state},
        lambda: torch.Size([1, 2]),
    ]
    where = int(rng.integers(10))
    value = odd[int(rng.integers(len(odd)))]()
    if where == 0:
        state[str(rng.choice(NAMES))] = value
    elif where == 1:
        state[str(rng.choice(NAMES)) + ".FilterSkeleton"] = torch.ones(4, 3, 3)
    elif where == 2 and content is not state:
        field = str(rng.choice([field for field in content if field != "state_dict"]))
        content[field] = _odd_json(rng) if rng.random() < 0.7 else value
    elif where == 3:
        del state[key]
    elif where == 4:
        state[key] = state
    elif where == 5:
        for _ in range(int(rng.choice([2, 50, 500]))):
            content = {str(rng.choice(["state_dict", "model", "x"])): content}
    elif where == 6:
        content = odd[int(rng.integers(len(odd)))]()
    else:
        state[key] = value
    target = io.BytesIO()
    torch.save(content, target, _use_new_zipfile_serialization=bool(rng.random() < 0.7))
    return target.getvalue()


def checkpoint_changed(data: bytes, rng: Rng) -> bytes:
    """Change a checkpoint of torch.save in any of these ways."""
    draw = rng.random()
    if draw < 0.25:
        return bytes_changed(data, rng)
    if draw < 0.6:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch says which kinds of tensors are young or old
                return state_changed(data, rng)
        except (RuntimeError, ValueError, TypeError, NotImplementedError, RecursionError, IndexError):
            return bytes_changed(data, rng)  # torch does not make this object
    return zip_changed(data, rng) if data.startswith(b"PK") else pickle_changed(data, rng)


def safetensors_changed(data: bytes, rng: Rng) -> bytes:
    """Change the JSON header of a safetensors file, or its bytes."""
    if rng.random() < 0.3:
        return bytes_changed(data, rng)
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    changed = json_changed(header, rng)
    stated = len(changed) if rng.random() < 0.85 else int(rng.choice(NUMBERS)) % 2**64
    return stated.to_bytes(8, "little") + changed + body


def _odd_json(rng: Rng) -> Any:
    odd: list[Any] = [
        None, True, False, -1, 0, 1, 1.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, 10**9, 2**31, 2**63, "",
        "text", *NAMES[:6], [], {}, [[]], [None], {"a": None}, "9" * 400, [1] * 1000, "1e999", "-0", "nan",
    ]  # fmt: skip
    return odd[int(rng.integers(len(odd)))]


def json_changed(data: bytes, rng: Rng) -> bytes:  # noqa: C901 - a list of ways
    """Change a value, a key or the nesting of a JSON document, or its bytes."""
    draw = rng.random()
    if draw < 0.2:
        return bytes_changed(data, rng)
    if draw < 0.25:
        depth = int(rng.choice([500, 5000, 100_000]))
        return b"[" * depth + b"]" * depth
    if draw < 0.28:
        return data.replace(b"1", b"1" * int(rng.choice([400, 5000])), 1)
    document = json.loads(data)
    holder: Any = document
    key: Any = None
    while isinstance(holder, dict | list) and holder:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[int(rng.integers(len(keys)))]
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.3:
            break
        holder = holder[key]
    if not isinstance(holder, dict | list) or not holder:
        return json.dumps(_odd_json(rng)).encode()
    match int(rng.integers(6)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[str(rng.choice(NAMES))] = holder.pop(key)
        case 2 if isinstance(holder, dict):
            holder[str(rng.choice(NAMES))] = _odd_json(rng)
        case 3:
            holder[key] = copy.deepcopy(document)
        case _:
            holder[key] = _odd_json(rng)
    return json.dumps(document).encode()


def lines_changed(data: bytes, rng: Rng) -> bytes:
    """Change one line of JSON among several."""
    lines = data.splitlines()
    index = int(rng.integers(len(lines)))
    if rng.random() < 0.2:
        return bytes_changed(data, rng)
    lines[index] = json_changed(lines[index], rng)
    return b"\n".join(lines) + b"\n"


def npy_changed(data: bytes, rng: Rng) -> bytes:
    """Change the header of a .npy member, or its bytes."""
    if rng.random() < 0.3 or not data.startswith(b"\x93NUMPY"):
        return bytes_changed(data, rng)
    length = int.from_bytes(data[8:10], "little")
    body = data[10 + length :]
    dtype = str(
        rng.choice(["<f4", "<f8", "|O", "<f2", ">f4", "<c8", "|b1", "<U5", "<i8", "|V1000000000", "<m8[ns]", "no"])
    )
    sizes = [int(n) for n in rng.choice([0, 1, 3, 32, 10**5, 10**9, 2**62, -1], size=rng.integers(0, 7))]
    shape = "(" + "".join(f"{n}," for n in sizes) + ")" if rng.random() < 0.7 else "(2, 3, 32, 32)"
    nested = "(" * int(rng.choice([1, 300, 3000]))
    header = f"{{'descr': {dtype!r}, 'fortran_order': {rng.choice(['True', 'False', '3'])}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        header = nested
    encoded = header.encode() + b"\n"
    version = bytes([int(rng.choice([1, 1, 1, 2, 3, 9])), 0])
    return b"\x93NUMPY" + version + len(encoded).to_bytes(2, "little") + encoded + body


def npz_changed(data: bytes, rng: Rng) -> bytes:
    """Change an archive of arrays."""
    if rng.random() < 0.15:
        target = io.BytesIO()
        odd: list[Any] = [
            np.zeros((1, 3, 2, 2), object), np.array("text"), np.zeros((0, 3, 32, 32)), np.zeros((2, 3, 0, 4)),
            np.full((1, 3, 32, 32), np.nan), np.zeros((1, 3, 32, 32), complex), np.zeros((1, 3, 32, 32), "<M8[s]"),
            np.ones((2, 1, 5, 5), np.uint8), np.full((1, 3, 32, 32), 1e300), np.zeros((1, 3, 1, 1), "S3"),
            np.zeros(1, [("a", "<f4")]), np.ones((1, 3, 400, 400), np.float16),
        ]  # fmt: skip
        np.savez_compressed(target, **{str(rng.choice(["images", "image"])): odd[int(rng.integers(len(odd)))]})
        return target.getvalue()
    return bytes_changed(data, rng) if rng.random() < 0.3 else zip_changed(data, rng)


def onnx_changed(data: bytes, rng: Rng) -> bytes:
    """Change fields of an ONNX model, one to three of them, or its bytes."""
    draw = rng.random()
    if draw < 0.2:
        return bytes_changed(data, rng)
    if draw < 0.21:
        return _nested(int(rng.choice([30, 300, 20_000])))
    model = onnx.ModelProto.FromString(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        edits = list(EDITS)
        edits[int(rng.integers(len(edits)))](model, rng)
    content: bytes = model.SerializeToString()
    if draw < 0.24:  # a name that is not UTF-8
        names = [node.name.encode() for node in model.graph.node if len(node.name) > 3]
        if names:
            name = names[int(rng.integers(len(names)))]
            content = content.replace(name, b"\xff\xfe" + name[2:])
    return content


def _nested(depth: int) -> bytes:
    """Return a model whose graph lies so deep in the attribute of a node of a graph, deeper than onnx would write."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2, *length, size]) + content

    graph = field(2, b"innermost")
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    return b"\x08\x08" + field(8, b"\x0a\x00\x10\x11") + field(7, graph)


def _any(items: Any, rng: Rng) -> Any:
    return items[int(rng.integers(len(items)))] if len(items) else None


def _tensor(model: onnx.ModelProto, rng: Rng) -> None:  # noqa: C901 - a list of edits
    tensor = _any(model.graph.initializer, rng)
    if tensor is None:
        return
    match int(rng.integers(9)):
        case 0:
            if tensor.dims:
                tensor.dims[int(rng.integers(len(tensor.dims)))] = int(rng.choice(NUMBERS))
        case 1:
            tensor.dims.append(int(rng.choice(NUMBERS)))
        case 2:
            del tensor.dims[:]
        case 3:
            tensor.data_type = int(rng.choice([0, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 17, 21, 22, 23, 24, 99, -1]))
        case 4:
            tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
        case 5:
            tensor.name = str(rng.choice(NAMES))
        case 6:
            tensor.raw_data = np.full(
                max(1, len(tensor.raw_data) // 4), rng.choice([np.nan, np.inf, 1e38]), "<f4"
            ).tobytes()
        case 7:
            tensor.float_data.extend([1.0] * int(rng.choice([1, 1000])))
        case 8:
            model.graph.initializer.add().CopyFrom(tensor)


def _node(model: onnx.ModelProto, rng: Rng) -> None:  # noqa: C901 - a list of edits
    node = _any(model.graph.node, rng)
    if node is None:
        return
    match int(rng.integers(9)):
        case 0:
            node.op_type = str(
                rng.choice(["Conv", "Relu", "Loop", "Scan", "Gemm", "NonZero", "RandomNormal", "Expand", "Reshape",
                            "ConstantOfShape", "Range", "Tile", "Nothing", "SequenceEmpty", "If", *NAMES[:3]])
            )  # fmt: skip
        case 1:
            node.domain = str(rng.choice(["ai.onnx", "com.microsoft", "ai.onnx.ml", *NAMES[:4]]))
        case 2:
            if node.input:
                del node.input[int(rng.integers(len(node.input)))]
        case 3:
            if node.input:
                names = [name for other in model.graph.node for name in (*other.output, *other.input)] + list(NAMES[:3])
                node.input[int(rng.integers(len(node.input)))] = str(rng.choice(names))
        case 4:
            node.output[0] = str(rng.choice([*[n for other in model.graph.node for n in other.output], *NAMES[:4]]))
        case 5:
            node.name = str(rng.choice(NAMES))
        case 6:
            model.graph.node.remove(node)
        case 7:
            model.graph.node.add().CopyFrom(node)
        case 8:
            node.input.extend(list(node.input) * int(rng.choice([1, 50])))


def _attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _any([node for node in model.graph.node if node.attribute], rng)
    if node is None:
        return
    attribute = _any(node.attribute, rng)
    match int(rng.integers(7)):
        case 0 | 1:
            if attribute.ints:
                attribute.ints[int(rng.integers(len(attribute.ints)))] = int(rng.choice(NUMBERS))
            else:
                attribute.i = int(rng.choice(NUMBERS))
        case 2:
            attribute.ints.extend([1] * int(rng.choice([1, 100])))
        case 3:
            attribute.type = int(rng.integers(0, 15))
        case 4:
            node.attribute.remove(attribute)
        case 5:
            attribute.name = str(rng.choice(["auto_pad", "axis", "perm", "group", "to", *NAMES[:3]]))
        case 6:
            attribute.f = float(rng.choice([np.nan, np.inf, -1, 1e38]))


def _facts(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = [node for node in model.graph.node if node.metadata_props]
    props = _any(nodes, rng).metadata_props if nodes and rng.random() < 0.6 else model.metadata_props
    entry = _any(props, rng) if len(props) and rng.random() < 0.8 else props.add(key="swp_export.input_shape", value="")
    values = [
        *NAMES,
        *map(str, NUMBERS),
        "3,32,32",
        "3,100000,100000",
        "1e9",
        "nan",
        "-1",
        "1,1",
        "[1]",
        entry.value * 50,
    ]
    match int(rng.integers(6)):
        case 0:
            keys = ["swp_export.block", "swp_export.threshold", "swp_export.filters", "swp_export.layer", *NAMES[:3]]
            entry.key = str(rng.choice(keys))
        case 1:
            entry.value = bytes_changed(entry.value.encode(), rng).decode("utf-8", "ignore")
        case 2:
            props.remove(entry)
        case 3:
            runs = list(re.finditer(r"\d+", entry.value))
            if runs:
                run = runs[int(rng.integers(len(runs)))]
                entry.value = f"{entry.value[: run.start()]}{rng.choice(NUMBERS)}{entry.value[run.end() :]}"
        case _:
            entry.value = str(rng.choice(values))


def _head(model: onnx.ModelProto, rng: Rng) -> None:
    match int(rng.integers(7)):
        case 0:
            model.ir_version = int(rng.choice([0, 1, 3, 4, 99, 2**40, -1]))
        case 1:
            if model.opset_import:
                model.opset_import[0].version = int(rng.choice([0, 1, 5, 6, 7, 8, 9, 12, 13, 99, 2**40, -1]))
        case 2:
            model.opset_import.add(domain=str(rng.choice(["", "ai.onnx", "x", *NAMES[:2]])), version=1)
        case 3:
            model.ClearField("opset_import")
        case 4:
            model.graph.name = str(rng.choice(NAMES))
        case 5:
            model.producer_name = str(rng.choice(NAMES))
        case 6:
            model.ClearField("graph") if rng.random() < 0.2 else model.graph.ClearField("initializer")


def _value(model: onnx.ModelProto, rng: Rng) -> None:
    value = _any([*model.graph.input, *model.graph.output], rng)
    if value is None:
        return
    dims = value.type.tensor_type.shape.dim
    match int(rng.integers(7)):
        case 0 | 1:
            if len(dims):
                _any(dims, rng).dim_value = int(rng.choice(NUMBERS))
        case 2:
            value.type.tensor_type.elem_type = int(rng.choice([0, 2, 7, 8, 9, 10, 11, 14, 16, 99]))
        case 3:
            value.name = str(rng.choice(NAMES))
        case 4:
            (model.graph.input if rng.random() < 0.5 else model.graph.output).add().CopyFrom(value)
        case 5:
            value.ClearField("type")
        case 6:
            if len(dims):
                _any(dims, rng).dim_param = str(rng.choice(NAMES))
            else:
                dims.add(dim_value=int(rng.choice(NUMBERS)))


def _structure(model: onnx.ModelProto, rng: Rng) -> None:  # noqa: C901 - a list of edits
    """Nest: subgraphs, local functions that call one another, sparse initializers, annotations."""
    first = model.graph.node[0].output[0] if model.graph.node else "x"
    match int(rng.integers(5)):
        case 0:
            inner = onnx.helper.make_graph([], "inner", [], [])
            for _ in range(int(rng.choice([1, 10, 25]))):
                node = onnx.helper.make_node(
                    "If", [first], ["y"], then_branch=inner, else_branch=onnx.helper.make_graph([], "e", [], [])
                )
                inner = onnx.helper.make_graph([node], "inner", [], [])
            model.graph.node.extend(inner.node)
        case 1:
            depth, imports = (
                int(rng.choice([1, 4, 12])),
                [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("f", 1)],
            )
            for level in range(depth):
                name = f"f{level + 1}" if level + 1 < depth else "Relu"
                domain = "f" if level + 1 < depth else ""
                nodes, last = [], "a"
                for number in range(4):
                    nodes.append(onnx.helper.make_node(name, [last], [f"b{number}"], domain=domain))
                    last = f"b{number}"
                model.functions.append(onnx.helper.make_function("f", f"f{level}", ["a"], [last], nodes, imports))
            model.opset_import.add(domain="f", version=1)
            node = _any(model.graph.node, rng)
            if node is not None and len(node.input) == 1:
                node.op_type, node.domain = "f0", "f"
                del node.attribute[:]
        case 2:
            values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "sparse")
            indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "indices")
            sparse = onnx.helper.make_sparse_tensor(values, indices, [int(rng.choice([1, 10**9]))])
            model.graph.sparse_initializer.append(sparse)
        case 3:
            function = onnx.helper.make_function(
                "f", "Self", ["a"], ["b"], [onnx.helper.make_node("Self", ["a"], ["b"], domain="f")],
                [onnx.helper.make_opsetid("f", 1)],
            )  # fmt: skip
            model.functions.append(function)
            model.opset_import.add(domain="f", version=1)
            node = _any(model.graph.node, rng)
            if node is not None and len(node.input) == 1:
                node.op_type, node.domain = "Self", "f"
                del node.attribute[:]
        case 4:
            shape = onnx.helper.make_tensor("huge", 7, [2], [int(rng.choice(NUMBERS)), int(rng.choice(NUMBERS))])
            model.graph.initializer.append(shape)
            node = onnx.helper.make_node("ConstantOfShape", ["huge"], ["huge_out"])
            model.graph.node.insert(0, node)
            if len(model.graph.node) > 1 and rng.random() < 0.5:
                target = _any(model.graph.node[1:], rng)
                if target.input:
                    target.input[0] = "huge_out"


def _external(model: onnx.ModelProto, rng: Rng) -> None:
    """Keep a tensor in another file, or say that it is there."""
    tensor = _any(model.graph.initializer, rng)
    if tensor is None:
        return
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    places = [
        "weights.data",
        "../weights.data",
        "/etc/passwd",
        "missing.data",
        ".",
        "",
        "changed.onnx",
        "/dev/zero",
        *NAMES[:6],
    ]
    tensor.external_data.add(key="location", value=str(rng.choice(places)))
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            tensor.external_data.add(key=key, value=str(rng.choice([*map(str, NUMBERS), "", "x", "1e3"])))
    if rng.random() < 0.5:
        tensor.ClearField("raw_data")


EDITS: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    _tensor, _tensor, _tensor, _node, _node, _attribute, _attribute, _attribute, _facts, _facts, _head, _value, _value,
    _structure, _external,
)  # fmt: skip
