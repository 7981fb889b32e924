"""What the scan compares with ONNX Runtime: for each operator, calls of all its settings, with the opsets they fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)
NEWEST = 26


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One call: its inputs (None: left out), attributes and number of outputs, at the opsets `since` to `until`."""

    inputs: tuple[np.ndarray | None, ...]
    attributes: dict[str, Any]
    since: int
    until: int
    outputs: int


def case(
    *inputs: np.ndarray | None, since: int = 7, until: int = NEWEST, outputs: int = 1, **attributes: object
) -> Case:
    """Return a case."""
    arrays = tuple(None if array is None else np.asarray(array) for array in inputs)
    return Case(inputs=arrays, attributes=attributes, since=since, until=until, outputs=outputs)


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Return random float32 of a shape, between two bounds."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def floats(*numbers: float) -> np.ndarray:
    """Return a float32 vector."""
    return np.array(numbers, np.float32)


def ints(*numbers: int) -> np.ndarray:
    """Return an int64 vector."""
    return np.array(numbers, np.int64)


def i32(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    """Return random int32 of a shape."""
    return RNG.integers(low, high, shape, dtype=np.int32)


def i64(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    """Return random int64 of a shape."""
    return RNG.integers(low, high, shape)


def bools(*shape: int) -> np.ndarray:
    """Return random booleans of a shape."""
    return RNG.random(shape) < 0.5


X4 = f(2, 3, 6, 7)
NAN = np.array([0, np.nan, np.inf, -np.inf, 1], np.float32)
DIVISORS = np.array([2, -3, 4, -5], np.int32)
DIVIDENDS = np.array([7, 7, -7, -9], np.int32)


def unary(**bounds: float) -> tuple[Case, ...]:
    """Return cases of an operator of one float input, of several ranks."""
    return (case(f(2, 3, 4, 5, **bounds)), case(f(7, **bounds)), case(f(**bounds)))


def binary(x: np.ndarray | None = None) -> tuple[Case, ...]:
    """Return cases of an arithmetic operator of two inputs that are broadcast."""
    x = f(2, 3, 4, 5, low=0.5) if x is None else x
    return (
        case(x, f(3, 1, 1, low=0.5)),
        case(f(5, low=0.5), x),
        case(x, f(low=0.5)),
        case(DIVIDENDS, DIVISORS),
        case(np.array([-(2**62), 2**62 + 1, 5], np.int64), np.array([3, 2, -2], np.int64)),
    )


def compared(since_int: int = 7) -> tuple[Case, ...]:
    """Return cases of a comparison."""
    x = f(2, 3, 4)
    return (case(x, x[:, ::-1].copy()), case(x, f(1)), case(i32(3, 4, low=-2, high=2), i32(4, low=-2), since=since_int))


LOGIC = (case(bools(2, 3), bools(2, 3)), case(bools(2, 3), bools(3)))
VARIADIC = (
    case(f(2, 3, 4)),
    case(f(2, 3, 4), f(2, 3, 4)),
    case(f(2, 3, 4), f(4), f(3, 1), since=8),
)
EXTREME = (*VARIADIC, case(i32(3, 4), i32(3, 4), since=12), case(i64(3, 4), i64(4), since=12))
BITS = (case(i32(3, 4), i32(3, 4)), case(i64(3, 4), i64(4)))
GEOMETRIES: tuple[dict[str, Any], ...] = (
    {},
    {"strides": [2, 3]},
    {"pads": [1, 0, 2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID", "strides": [1, 2]},
)

CONV = (
    *(case(X4, f(4, 3, 3, 2), f(4), **g) for g in GEOMETRIES),
    case(X4, f(4, 3, 2, 2), dilations=[2, 3], pads=[1, 1, 1, 1]),
    case(f(1, 6, 5, 5), f(4, 3, 3, 3), group=2),
    case(f(1, 6, 5, 5), f(6, 1, 3, 3), f(6), group=6, pads=[1, 1, 1, 1]),
    case(f(1, 3, 5, 5), f(6, 1, 3, 3), group=3, strides=[2, 2]),
    case(f(1, 6, 9), f(4, 3, 3), f(4), group=2, strides=[2], pads=[1, 2]),
    case(f(1, 2, 9), f(3, 2, 4), auto_pad="SAME_LOWER", strides=[2]),
    case(f(1, 2, 4, 5, 6), f(3, 2, 2, 3, 2), f(3), strides=[1, 2, 1], pads=[1, 0, 1, 0, 1, 1]),
    case(f(1, 2, 4, 5, 6), f(3, 2, 2, 2, 2), auto_pad="SAME_UPPER", strides=[2, 2, 2]),
    case(f(1, 4, 4, 5, 6), f(4, 1, 2, 2, 2), group=4, dilations=[1, 2, 2]),
)
CONV_TRANSPOSE = (
    *(case(X4, f(3, 4, 3, 2), f(4), **g) for g in GEOMETRIES),
    case(X4, f(3, 2, 3, 3), strides=[2, 2], output_padding=[1, 1], pads=[1, 1, 1, 1]),
    case(X4, f(3, 2, 3, 3), strides=[2, 2], output_shape=[13, 14]),
    case(X4, f(3, 2, 3, 3), strides=[2, 2], output_shape=[12, 14], auto_pad="SAME_UPPER"),
    case(X4, f(3, 2, 3, 3), strides=[2, 2], output_shape=[12, 14], auto_pad="SAME_LOWER"),
    case(X4, f(3, 2, 2, 2), dilations=[2, 3]),
    case(f(1, 6, 4, 4), f(6, 2, 3, 3), f(6), group=3, strides=[2, 2]),
    case(f(1, 4, 4, 4), f(4, 1, 3, 3), group=4),
    case(f(1, 4, 7), f(4, 3, 3), f(6), group=2, strides=[2], pads=[1, 0]),
    case(f(1, 2, 3, 4, 5), f(2, 3, 2, 2, 2), strides=[2, 1, 2], output_padding=[1, 0, 0]),
)
POOL_2D: tuple[dict[str, Any], ...] = (
    *({"kernel_shape": [3, 2], **g} for g in GEOMETRIES if "pads" not in g),
    {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "strides": [2, 1]},
)
CEIL_2D: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [2, 3], "ceil_mode": 1, "pads": [1, 0, 1, 1]},
    {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1, "auto_pad": "VALID"},
)
DILATED: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [2, 3], "dilations": [3, 2]},
    {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1], "strides": [2, 1]},
    {"kernel_shape": [2, 2], "dilations": [3, 2], "ceil_mode": 1, "strides": [2, 2]},
)
OTHER_RANKS: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
    (f(2, 3, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    (f(1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "pads": [0, 1, 1, 1, 0, 0]}),
)
MAX_POOL = (
    *(case(X4, **g) for g in POOL_2D),
    *(case(x, **g) for x, g in OTHER_RANKS),
    *(case(x, since=8, outputs=2, **g) for x, g in OTHER_RANKS),
    *(case(X4, since=8, outputs=2, **g) for g in POOL_2D),
    case(X4, since=8, outputs=2, storage_order=1, kernel_shape=[2, 2]),
    *(case(X4, since=10, **g) for g in (*CEIL_2D, *DILATED)),
    case(f(1, 2, 2, 2), since=10, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    *(case(X4, since=10, outputs=2, **g) for g in (*CEIL_2D, *DILATED)),
    case(i32(1, 2, 5, 5).astype(np.int8), since=12, kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
    case(i32(1, 2, 5, 5, low=0).astype(np.uint8), since=12, kernel_shape=[2, 2], strides=[2, 2]),
)
AVERAGE_POOL = tuple(
    made
    for include in (0, 1)
    for made in (
        *(case(X4, count_include_pad=include, **g) for g in POOL_2D),
        *(case(x, count_include_pad=include, **g) for x, g in OTHER_RANKS),
        *(case(X4, since=10, count_include_pad=include, **g) for g in CEIL_2D),
        *(case(X4, since=19, count_include_pad=include, **g) for g in DILATED),
    )
)
LP_POOL = (
    *(case(X4, p=p, **g) for p in (1, 2, 3) for g in POOL_2D),
    *(case(x, **g) for x, g in OTHER_RANKS),
    *(case(X4, since=18, **g) for g in (*CEIL_2D, *DILATED)),
)
MAPS = (case(X4), case(f(2, 3, 5)), case(f(1, 2, 3, 4, 2)))


def normalised(x: np.ndarray, **attributes: object) -> Case:
    """Return a BatchNormalization of `x`."""
    c = x.shape[1]
    since, until = (7, 8) if "spatial" in attributes else (7, NEWEST)
    return case(x, f(c), f(c), f(c), f(c, low=0.5), since=since, until=until, **attributes)


BATCH_NORMALIZATION = (
    normalised(X4),
    normalised(X4, epsilon=0.1),
    normalised(X4, momentum=0.5),
    normalised(f(4, 3)),
    normalised(f(2, 3, 5)),
    normalised(f(1, 2, 3, 4, 2)),
    normalised(X4, spatial=1),
    case(X4, *(f(3, 6, 7) for _ in range(3)), f(3, 6, 7, low=0.5), until=8, spatial=0),
)
SOFTMAX = (
    case(X4),
    case(f(4, 9)),
    case(100 * f(2, 5)),
    *(case(X4, axis=axis) for axis in (0, 1, 2, 3)),
    *(case(X4, since=11, axis=axis) for axis in (-1, -2, -4)),
    case(f(5), axis=0),
)


def reduced(*extra: Case, axes_are_input_since: int = 18, low: float = -2.0) -> tuple[Case, ...]:
    """Return cases of a Reduce operator."""
    x, late = f(2, 3, 4, 5, low=low), axes_are_input_since
    return (
        case(x),
        case(x, keepdims=0),
        case(x, since=late, noop_with_empty_axes=0),
        *(
            made
            for axes in ([1], [2, 3], [0, 3])
            for keep in (0, 1)
            for made in (
                case(x, until=late - 1, axes=axes, keepdims=keep),
                case(x, ints(*axes), since=late, keepdims=keep),
            )
        ),
        case(x, since=11, until=late - 1, axes=[-1, -2]),
        case(x, ints(-1, -3), since=late),
        case(i32(2, 3, 4, low=1), until=late - 1, axes=[1]),
        case(i32(2, 3, 4, low=1), ints(1), since=late),
        case(x, ints(), since=late),
        *extra,
    )


def unreduced(axes_are_input_since: int = 18) -> tuple[Case, ...]:
    """Return cases in which no axes mean none."""
    return tuple(case(f(2, 3), *axes, since=axes_are_input_since, noop_with_empty_axes=1) for axes in ((), (ints(),)))


ARG = (
    case(X4),
    case(X4, axis=2, keepdims=0),
    case(X4, since=11, axis=-1),
    case(floats(1, 3, 3, 0, 0)),
    case(floats(1, 3, 3, 0, 0), since=12, select_last_index=1),
    case(i32(3, 7), axis=1),
)
SCALES = floats(1, 1, 2, 1.5)
RESIZE_10 = tuple(
    case(f(1, 2, 4, 6), scales, since=10, until=10, mode=mode)
    for mode in ("nearest", "linear")
    for scales in (SCALES, floats(1, 1, 0.5, 0.6), floats(1, 1, 1, 3), floats(1, 1, 2, 0.5))
)
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
FACTORS = (floats(1, 1, 2, 1.5), floats(1, 1, 0.5, 0.6), floats(1, 1, 0.25, 3), floats(1, 1, 0.7, 2.3))


def resized(x: np.ndarray, scales: np.ndarray, since: int = 11, **attributes: object) -> Case:
    """Return a Resize by scales."""
    return case(x, floats(), scales, since=since, **attributes)


def sized(x: np.ndarray, *sizes: int, **attributes: object) -> tuple[Case, ...]:
    """Return Resizes to sizes: before opset 13 roi and scales are empty, from it on they are left out."""
    return (
        case(x, floats(), floats(), ints(*sizes), since=11, until=12, **attributes),
        case(x, None, None, ints(*sizes), since=13, **attributes),
    )


IMAGE = f(1, 2, 4, 10)
CROP = floats(0, 0, 0.1, 0.2, 1, 1, 0.8, 1.2)
RESIZE = (
    *RESIZE_10,
    *(
        resized(IMAGE, scales, mode="nearest", coordinate_transformation_mode=c, nearest_mode=n)
        for scales in FACTORS
        for c in COORDINATES
        for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    *(
        resized(IMAGE, scales, mode=mode, coordinate_transformation_mode=c)
        for scales in FACTORS
        for c in COORDINATES
        for mode in ("linear", "cubic")
    ),
    *(
        resized(IMAGE, scales, since=19, mode=mode, coordinate_transformation_mode="half_pixel_symmetric")
        for scales in FACTORS
        for mode in ("nearest", "linear", "cubic")
    ),
    *(
        resized(IMAGE, scales, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=exclude)
        for scales in FACTORS
        for exclude in (0, 1)
    ),
    resized(IMAGE, SCALES, mode="nearest", coordinate_transformation_mode="tf_half_pixel_for_nn"),
    *(
        case(
            IMAGE,
            CROP,
            SCALES,
            since=11,
            mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize",
            extrapolation_value=9.0,
        )
        for mode in ("nearest", "linear", "cubic")
    ),
    *(
        made
        for sizes in ((1, 2, 7, 5), (1, 2, 1, 20), (1, 2, 3, 3))
        for c in COORDINATES
        for mode in ("nearest", "linear", "cubic")
        for made in sized(IMAGE, *sizes, mode=mode, coordinate_transformation_mode=c)
    ),
    *(  # ties that float32 misses by a rounding
        made
        for nearest in ("round_prefer_floor", "round_prefer_ceil")
        for coordinates, before, after in (("asymmetric", 7, 4), ("asymmetric", 23, 14), ("half_pixel", 14, 19))
        for made in sized(
            f(1, 1, before), 1, 1, after, nearest_mode=nearest, coordinate_transformation_mode=coordinates
        )
    ),
    resized(f(1, 2, 3, 4, 5), floats(1, 1, 2, 2, 1.5), mode="linear"),
    resized(f(1, 2, 3, 4, 5), floats(1, 1, 2, 0.5, 1.5), mode="nearest"),
    resized(f(4, 6), floats(1.5, 2), mode="linear"),
    resized(f(1, 2, 6), floats(1, 1, 2), mode="nearest"),
    *(
        case(IMAGE, None, floats(*scales), since=18, mode=mode, antialias=1, coordinate_transformation_mode=c)
        for scales in ((1, 1, 0.5, 0.6), (1, 1, 0.3, 0.25), (1, 1, 2, 0.7))
        for mode in ("linear", "cubic")
        for c in COORDINATES
    ),
    case(IMAGE, None, floats(1, 1, 0.5, 0.6), since=18, mode="cubic", antialias=1, exclude_outside=1),
    case(IMAGE, None, floats(0.5, 2), since=18, mode="linear", axes=[2, 3]),
    case(IMAGE, None, floats(2, 0.5), since=18, mode="nearest", axes=[3, 2]),
    *(
        case(IMAGE, None, None, ints(7, 8), since=18, mode=mode, axes=[2, 3], keep_aspect_ratio_policy=policy)
        for mode in ("nearest", "linear")
        for policy in ("stretch", "not_larger", "not_smaller")
    ),
)
UPSAMPLE = (
    *(case(IMAGE, until=8, mode=mode, scales=[1.0, 1.0, 2.0, 1.5]) for mode in ("nearest", "linear")),
    *(case(IMAGE, SCALES, since=9, until=9, mode=mode) for mode in ("nearest", "linear")),
    case(f(1, 2, 3, 4, 5), floats(1, 1, 2, 2, 3), since=9, until=9, mode="nearest"),
)
GRID_SAMPLE = (
    *(
        case(
            f(2, 3, 5, 6),
            f(2, 4, 3, 2, low=-1.4, high=1.4),
            since=first,
            until=last,
            mode=mode,
            padding_mode=padding,
            align_corners=aligned,
        )
        for first, last, modes in (
            (16, 19, ("bilinear", "nearest", "bicubic")),
            (20, NEWEST, ("linear", "nearest", "cubic")),
        )
        for mode in modes
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    case(f(1, 2, 5, 6), f(1, 4, 3, 2), since=16),
    *(
        case(f(1, 2, 3, 4, 5), f(1, 2, 3, 2, 3, low=-1.3, high=1.3), since=20, mode=mode, padding_mode=padding)
        for mode in ("linear", "nearest")
        for padding in ("zeros", "border", "reflection")
    ),
)
REGIONS = np.array([[0.5, 1, 5, 6], [0, 0, 9, 3], [2, 2, 2.4, 2.6], [-3, -2, 20, 12]], np.float32)
ROI_ALIGN = tuple(
    case(f(2, 3, 8, 10), REGIONS, ints(0, 1, 1, 0), since=10, output_height=3, output_width=2, **extra)
    for extra in (
        {"sampling_ratio": 2},
        {"sampling_ratio": 0},
        {"sampling_ratio": 3, "spatial_scale": 0.5},
    )
) + tuple(
    case(
        f(2, 3, 8, 10),
        REGIONS,
        ints(0, 1, 1, 0),
        since=16,
        output_height=2,
        output_width=2,
        sampling_ratio=2,
        coordinate_transformation_mode=mode,
    )
    for mode in ("half_pixel", "output_half_pixel")
)


def recurrent(gates: int, states: int, **attributes: object) -> Case:
    """Return a case of LSTM, GRU or RNN: 5 steps of 3 sequences of 4 numbers, 2 hidden ones; all outputs."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    options: dict[str, Any] = dict(attributes)
    inputs: list[np.ndarray | None] = [f(5, 3, 4), f(directions, gates * 2, 4), f(directions, gates * 2, 2)]
    inputs.append(f(directions, gates * 4) if options.pop("biased", True) else None)
    inputs.append(np.array([5, 2, 3], np.int32) if options.pop("lengths", False) else None)
    if options.pop("initial", False):
        inputs += [f(directions, 3, 2) for _ in range(states)]
    if options.pop("peepholes", False):
        inputs += [None] * (7 - len(inputs))
        inputs.append(f(directions, 6))
    return case(*inputs, outputs=1 + states, hidden_size=2, **options)


def recurrents(gates: int, states: int, *extra: Case) -> tuple[Case, ...]:
    """Return the cases that LSTM, GRU and RNN have in common."""
    return (
        *(
            recurrent(gates, states, direction=direction, initial=initial, lengths=lengths)
            for direction in ("forward", "reverse", "bidirectional")
            for initial in (False, True)
            for lengths in (False, True)
        ),
        recurrent(gates, states, biased=False),
        recurrent(gates, states, clip=0.3),
        *extra,
    )


CASES: dict[str, tuple[Case, ...]] = {
    "Abs": (*unary(), case(i32(4))),
    "Add": binary(),
    "And": LOGIC,
    "ArgMax": ARG,
    "ArgMin": ARG,
    "AveragePool": AVERAGE_POOL,
    "BatchNormalization": BATCH_NORMALIZATION,
    "BitShift": tuple(
        case(np.array([1, 6, 200], np.uint8), np.array([1, 2, 3], np.uint8), direction=d) for d in ("LEFT", "RIGHT")
    ),
    "BitwiseAnd": BITS,
    "BitwiseNot": (case(i32(3, 4)),),
    "BitwiseOr": BITS,
    "BitwiseXor": BITS,
    "Cast": (
        *(case(np.array([-2.7, -0.5, 0, 0.5, 2.7], np.float32), to=to) for to in (1, 6, 7, 9, 11)),
        *(case(floats(0, 0.6, 3.9), to=to) for to in (2, 3, 4, 5)),
        case(i32(5), to=1),
        case(bools(5), to=1),
        case(i64(5), to=9),
        case(np.array([300, -1, 2**40], np.int64), to=6),
        case(np.array([0.5, 1.25], np.float16), to=1),
        case(floats(0.5, 1.25), to=10),
    ),
    "CastLike": (case(floats(-2.7, 2.7), ints(1)), case(i32(4), floats(1))),
    "Celu": (*unary(), case(f(4), alpha=0.3)),
    "Clip": (
        case(f(3, 4)),
        case(f(3, 4), until=10, min=-0.5, max=0.7),
        case(f(3, 4), until=10, max=0.7),
        case(f(3, 4), np.float32(-0.5), np.float32(0.7), since=11),
        case(f(3, 4), None, np.float32(0.7), since=11),
        case(f(3, 4), np.float32(0.7), np.float32(-0.5), since=11),
        case(i32(9), np.int32(-3), np.int32(4), since=12),
    ),
    "Col2Im": (
        case(f(1, 10, 5), ints(5, 5), ints(1, 5)),
        case(f(2, 8, 12), ints(4, 5), ints(2, 2)),
        case(f(1, 8, 9), ints(5, 5), ints(2, 2), dilations=[2, 2]),
        case(f(1, 4, 8), ints(5, 5), ints(2, 2), strides=[2, 1], pads=[0, 0, 0, 0]),
        case(f(1, 4, 30), ints(4, 4), ints(2, 1), pads=[1, 1, 1, 1]),
    ),
    "Compress": (
        case(f(3, 4), np.array([True, False, True]), axis=0),
        case(f(3, 4), np.array([False, True]), axis=1),
        case(f(3, 4), np.array([False, True, False, False, True])),
        case(f(3, 4), np.array([True, False, True]), since=11, axis=-2),
    ),
    "Concat": (
        case(f(2, 3, 4), f(2, 1, 4), axis=1),
        case(f(2, 3), axis=0),
        case(i32(2, 3), i32(2, 2), i32(2, 1), since=11, axis=-1),
    ),
    "Constant": (
        case(value=f(2, 3)),
        case(value=i64(3)),
        case(value=np.array([0.5], np.float16)),
        case(since=12, value_float=0.1),
        case(since=12, value_floats=[0.1, 0.2]),
        case(since=12, value_int=3),
        case(since=12, value_ints=[3, 4]),
    ),
    "ConstantOfShape": (
        case(ints(2, 3)),
        case(ints(4), value=floats(0.3)),
        case(ints(2, 2), value=ints(7)),
        case(ints(), value=floats(0.3)),
    ),
    "Conv": CONV,
    "ConvTranspose": CONV_TRANSPOSE,
    "CumSum": tuple(
        case(x, np.array(axis, np.int64), exclusive=exclusive, reverse=reverse)
        for x in (f(3, 4, 2), i32(3, 4, 2))
        for axis in (0, 1, -1)
        for exclusive in (0, 1)
        for reverse in (0, 1)
    ),
    "DepthToSpace": (
        case(f(2, 12, 2, 3), blocksize=2),
        *(case(f(1, 18, 2, 2), since=11, blocksize=3, mode=mode) for mode in ("DCR", "CRD")),
    ),
    "Div": binary(),
    "Dropout": (
        case(f(3, 4), outputs=1),
        case(f(3, 4), until=11, ratio=0.7),
        case(f(3, 4), outputs=2),
        case(f(3, 4), np.float32(0.7), np.array(False), since=12, outputs=2),
        case(f(3, 4), np.float32(0.0), np.array(True), since=12),
        case(f(3, 4), np.float32(0.7), since=12),
    ),
    "Einsum": (
        case(f(3, 4), f(4, 5), equation="ij,jk->ik"),
        case(f(2, 3, 4), f(2, 4, 5), equation="bij, bjk -> bik"),
        case(f(2, 3, 4), equation="...ij->...ji"),
        case(f(3, 3), equation="ii->i"),
        case(f(3), f(4), equation="i,j"),
    ),
    "Elu": (*unary(), case(f(4), alpha=0.3)),
    "Equal": (
        case(i32(3, 4, low=-2, high=2), i32(4, low=-2, high=2)),
        case(bools(5), bools(5)),
        case(floats(1, 2, 3), floats(1, 0, 3), since=11),
    ),
    "Expand": (case(f(3, 1), ints(2, 3, 4)), case(f(3, 4), ints(1)), case(f(2, 1, 1), ints(1, 3, 4))),
    "EyeLike": (
        case(f(3, 4)),
        case(f(3, 4), k=1),
        case(f(4, 3), k=-1, dtype=7),
        case(i32(3, 3)),
        case(i32(3, 3), dtype=1),
    ),
    "Flatten": (
        case(f(2, 3, 4)),
        *(case(f(2, 3, 4), axis=axis) for axis in (0, 1, 2, 3)),
        case(f(2, 3, 4), since=11, axis=-1),
    ),
    "GRU": recurrents(
        3,
        1,
        recurrent(3, 1, linear_before_reset=1),
        recurrent(3, 1, linear_before_reset=1, direction="bidirectional", lengths=True),
        recurrent(3, 1, activations=["Tanh", "Sigmoid"]),
    ),
    "Gather": (
        case(f(3, 4), ints(0, 2)),
        case(f(3, 4), np.array([[0, 3], [1, 1]], np.int32), axis=1),
        case(f(3, 4), np.array(1)),
        case(f(3, 4), ints(-1, 0), since=11, axis=-1),
        case(i64(5), ints(3)),
    ),
    "GatherElements": (case(f(3, 4), i64(3, 4, low=-3, high=3)), case(f(3, 4), i64(3, 2, low=-4, high=4), axis=1)),
    "GatherND": (
        case(f(3, 4, 2), np.array([[0, 1], [2, -1]])),
        case(f(3, 4, 2), np.array([[1], [2]])),
        case(f(2, 3, 4), np.array([[1], [2]]), since=12, batch_dims=1),
    ),
    "Gelu": (*unary(), case(f(9), approximate="tanh"), case(f(9), approximate="none")),
    "Gemm": (
        case(f(3, 4), f(4, 5), f(5)),
        case(f(4, 3), f(5, 4), f(3, 1), transA=1, transB=1),
        case(f(3, 4), f(4, 5), f(3, 5), alpha=0.3, beta=-0.7),
        case(f(3, 4), f(4, 5), f(), transB=0),
        case(f(3, 4), f(4, 5), since=11),
    ),
    "GlobalAveragePool": MAPS,
    "GlobalLpPool": (*MAPS, case(X4, p=1), case(X4, p=3)),
    "GlobalMaxPool": MAPS,
    "Greater": compared(9),
    "GreaterOrEqual": compared(),
    "GridSample": GRID_SAMPLE,
    "GroupNormalization": (
        case(f(2, 6, 3, 3), f(6), f(6), since=21, num_groups=2),
        case(f(2, 6, 5), f(6), f(6), since=21, num_groups=3, epsilon=0.1),
    ),
    "HardSigmoid": (*unary(low=-4, high=4), case(f(9), alpha=0.5, beta=0.1)),
    "Hardmax": SOFTMAX,
    "Identity": (case(f(3)), case(i32(3))),
    "InstanceNormalization": (
        case(X4, f(3), f(3)),
        case(f(2, 3, 5), f(3), f(3), epsilon=0.1),
        case(f(2, 3, 2, 3, 4), f(3), f(3)),
    ),
    "IsInf": (case(NAN), case(NAN, detect_positive=0), case(NAN, detect_negative=0)),
    "IsNaN": (case(NAN),),
    "LRN": (
        *(case(f(2, 9, 3, 4), size=size) for size in (1, 3, 5)),
        case(f(2, 3, 4, 4), size=5, alpha=0.5, beta=0.5, bias=2.0),
    ),
    "LSTM": recurrents(
        4,
        2,
        recurrent(4, 2, initial=True, peepholes=True),
        recurrent(4, 2, direction="bidirectional", peepholes=True, lengths=True),
        recurrent(4, 2, input_forget=1),
        recurrent(4, 2, activations=["Sigmoid", "Relu", "Softsign"]),
    ),
    "LayerNormalization": (
        case(X4, f(7), f(7)),
        case(X4, f(7)),
        case(X4, f(6, 7), f(6, 7), axis=2, epsilon=0.1),
        case(X4, f(3, 6, 7), f(3, 6, 7), axis=1, outputs=3),
        case(X4, f(7), axis=-1, outputs=2),
    ),
    "LeakyRelu": (*unary(), case(f(9), alpha=0.3)),
    "Less": compared(9),
    "LessOrEqual": compared(),
    "LogSoftmax": SOFTMAX,
    "LpNormalization": (
        case(X4),
        case(X4, axis=1, p=1),
        case(f(4, 5), axis=0, p=2),
        case(np.zeros((2, 3), np.float32)),
    ),
    "LpPool": LP_POOL,
    "MatMul": (
        case(f(3, 4), f(4, 5)),
        case(f(2, 1, 3, 4), f(5, 4, 2)),
        case(f(4), f(4, 5)),
        case(f(3, 4), f(4)),
        case(f(4), f(4)),
        case(i32(3, 4), i32(4, 5), since=9),
    ),
    "Max": EXTREME,
    "MaxPool": MAX_POOL,
    "MaxUnpool": (
        case(f(1, 2, 2, 3), np.arange(12).reshape(1, 2, 2, 3) * 4 + 1, kernel_shape=[2, 2], strides=[2, 2]),
        case(f(1, 1, 2, 2), np.array([[[[0, 2], [5, 8]]]]), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        case(f(1, 1, 3), np.array([[[0, 3, 4]]]), kernel_shape=[2], strides=[2]),
    ),
    "Mean": VARIADIC,
    "MeanVarianceNormalization": (case(X4), case(X4, axes=[0, 2, 3]), case(X4, axes=[2, 3])),
    "Min": EXTREME,
    "Mod": (
        case(DIVIDENDS, DIVISORS),
        case(DIVIDENDS, DIVISORS, fmod=1),
        case(i64(3, 4), ints(3, -2, 5, 7)),
        case(f(3, 4), f(4, low=0.5), fmod=1),
    ),
    "Mul": binary(),
    "Neg": (*unary(), case(i32(4))),
    "NonMaxSuppression": tuple(
        case(f(2, 20, 4, low=0, high=1), f(2, 3, 20, low=0, high=1), *limits, since=first, center_point_box=center)
        for first in (10,)
        for center in (0, 1)
        for limits in (
            (ints(3),),
            (ints(20), floats(0.4)),
            (ints(20), floats(0.3), floats(0.2)),
            (),
        )
    ),
    "NonZero": (case(i32(3, 4, low=-1, high=2)), case(bools(5)), case(floats(0, 1, 0, 2))),
    "Not": (case(bools(5)),),
    "OneHot": (
        case(ints(0, 2, 1), np.array(3), floats(0.5, 2)),
        case(np.array([[0, 9], [1, 3]]), ints(4), floats(0, 1), axis=1),
        case(ints(-1, -3, 2), np.array(3), ints(0, 1), since=11, axis=0),
        case(floats(0, 2), np.array(3.0, np.float32), floats(0, 1)),
    ),
    "Or": LOGIC,
    "PRelu": (case(X4, f(3, 1, 1)), case(X4, f(1)), case(X4, f(2, 3, 6, 7)), case(f(4, 5), f(5))),
    "Pad": (
        *(case(X4, until=10, mode=mode, pads=[0, 0, 1, 2, 0, 0, 2, 1]) for mode in ("constant", "reflect", "edge")),
        case(X4, until=10, pads=[0, 1, 1, 2, 0, 0, 2, 1], value=0.3),
        case(X4, until=10, pads=[0, 0, -1, 2, 0, 0, 2, -3]),
        *(case(X4, ints(0, 0, 1, 2, 0, 0, 2, 1), since=11, mode=mode) for mode in ("constant", "reflect", "edge")),
        case(X4, ints(0, 0, 1, 2, 0, 0, 2, 1), np.float32(0.3), since=11),
        case(X4, ints(0, 0, -1, 2, 0, 0, 2, -3), np.float32(0.3), since=11),
        *(case(X4, ints(0, 0, -1, 2, 0, 0, 2, -3), since=11, mode=mode) for mode in ("reflect", "edge")),
        case(i64(3, 4), ints(1, 0, 0, 1), np.array(7), since=13),
        case(X4, ints(1, 2, 2, 1), np.float32(0.3), ints(2, -1), since=18),
        case(X4, ints(0, 0, 1, 2, 0, 0, 2, 1), since=19, mode="wrap"),
        case(f(5), ints(2, 3), mode="reflect", since=11),
    ),
    "Pow": (
        case(f(3, 4, low=0.1), f(4)),
        case(f(3, 4), np.float32(2)),
        case(f(3, 4), np.array(3, np.int64), since=12),
        case(i32(5, low=1), i32(5, low=0, high=4), since=12),
        case(i64(4), f(1, low=2, high=2), since=12),
    ),
    "RMSNormalization": (case(X4, f(7)), case(X4, f(6, 7), axis=2, epsilon=0.1)),
    "RNN": recurrents(1, 1, recurrent(1, 1, activations=["Relu"]), recurrent(1, 1, activations=["Sigmoid"])),
    "Range": (
        case(np.float32(0), np.float32(3), np.float32(0.5)),
        case(np.float32(1), np.float32(-2), np.float32(-0.7)),
        case(np.array(0), np.array(7), np.array(2)),
        case(np.array(5, np.int32), np.array(1, np.int32), np.array(-2, np.int32)),
        case(np.array(5), np.array(5), np.array(1)),
    ),
    "ReduceL1": reduced(*unreduced()),
    "ReduceL2": reduced(*unreduced()),
    "ReduceLogSum": reduced(*unreduced(), low=0.1),
    "ReduceLogSumExp": reduced(*unreduced()),
    "ReduceMax": reduced(*unreduced(), case(bools(3, 4), ints(1), since=20)),
    "ReduceMean": reduced(*unreduced()),
    "ReduceMin": reduced(*unreduced(), case(bools(3, 4), ints(1), since=20)),
    "ReduceProd": reduced(*unreduced()),
    "ReduceSum": reduced(*unreduced(13), axes_are_input_since=13),
    "ReduceSumSquare": reduced(*unreduced()),
    "Relu": (*unary(), case(i32(5), since=14)),
    "Reshape": (
        case(f(2, 3, 4), ints(6, 4)),
        case(f(2, 3, 4), ints(0, -1)),
        case(f(2, 3, 4), ints(-1)),
        case(f(0, 3), ints(3, 0), since=14, allowzero=1),
    ),
    "Resize": RESIZE,
    "ReverseSequence": (
        case(f(4, 3, 2), ints(1, 4, 2)),
        case(f(3, 4, 2), ints(1, 4, 2), time_axis=1, batch_axis=0),
    ),
    "RoiAlign": ROI_ALIGN,
    "Round": (*unary(), case(floats(0.5, 1.5, 2.5, -0.5, -1.5))),
    "Scatter": (case(f(3, 4), np.array([[0, 2, 1, 0]]), f(1, 4), until=10),),
    "ScatterElements": (
        case(f(3, 4), np.array([[0, 2, 1, 0]]), f(1, 4)),
        case(f(3, 4), np.array([[0, -1], [1, 2], [3, 0]]), f(3, 2), axis=1),
        *(
            case(f(3, 4), np.array([[0, 2], [2, 2]]), f(2, 2), since=first, reduction=reduction)
            for first, reduction in ((16, "add"), (16, "mul"), (18, "max"), (18, "min"))
        ),
    ),
    "ScatterND": (
        case(f(4, 3), np.array([[1], [3]]), f(2, 3)),
        case(f(4, 3), np.array([[1, 2], [3, -1]]), f(2)),
        *(
            case(f(4, 3), np.array([[1], [1]]), f(2, 3), since=first, reduction=reduction)
            for first, reduction in ((16, "add"), (16, "mul"), (18, "max"), (18, "min"))
        ),
    ),
    "Selu": (*unary(), case(f(9), alpha=1.1, gamma=0.9)),
    "Shape": (case(X4), case(X4, since=15, start=1), case(X4, since=15, start=-3, end=-1), case(X4, since=15, end=9)),
    "Shrink": (*unary(), case(f(9), bias=0.2, lambd=0.7)),
    "Sign": (case(floats(-2, 0, 3)), case(i32(5))),
    "Size": (case(X4),),
    "Slice": (
        case(X4, until=9, starts=[1, -3], ends=[2, 99], axes=[1, 3]),
        case(X4, until=9, starts=[0, 1], ends=[1, -1]),
        case(X4, ints(1, -3), ints(2, 99), ints(1, 3), since=10),
        case(X4, ints(0, 1), ints(1, -1), since=10),
        case(X4, ints(5, -1), ints(0, -99), ints(2, 3), ints(-2, -1), since=10),
        case(X4, ints(0, 1), ints(2**62, 2**62), ints(-2, -1), ints(2, 3), since=10),
        case(
            X4,
            np.array([9], np.int32),
            np.array([-(2**31)], np.int32),
            np.array([3], np.int32),
            np.array([-2], np.int32),
            since=10,
        ),
        case(X4, ints(4), ints(2), ints(2), since=10),
        case(X4, ints(-9, 9), ints(-99, 2), ints(2, 3), ints(-1, -2), since=10),
    ),
    "Softmax": SOFTMAX,
    "SpaceToDepth": (case(f(2, 3, 4, 6), blocksize=2),),
    "Split": (
        case(X4, until=12, outputs=3, axis=1),
        case(X4, until=12, outputs=2, axis=2, split=[4, 2]),
        case(X4, since=11, until=12, outputs=2, axis=-1, split=[3, 4]),
        case(f(4, 3), until=17, outputs=2),
        case(X4, ints(4, 2), since=13, outputs=2, axis=2),
        case(X4, since=13, until=17, outputs=3, axis=1),
        case(X4, since=18, outputs=3, axis=-1, num_outputs=3),
        case(X4, since=18, outputs=3, axis=1, num_outputs=3),
    ),
    "Squeeze": (
        case(f(1, 3, 1, 4)),
        case(f(1, 3, 1, 4), until=12, axes=[2]),
        case(f(1, 3, 1, 4), since=11, until=12, axes=[-2]),
        case(f(1, 3, 1, 4), ints(0, -2), since=13),
    ),
    "Sub": binary(),
    "Sum": VARIADIC,
    "Swish": (*unary(), case(f(9), alpha=0.5)),
    "ThresholdedRelu": (*unary(), case(f(9), alpha=0.3)),
    "Tile": (case(f(2, 3), ints(2, 3)), case(f(2, 1, 3), ints(1, 4, 1))),
    "TopK": (
        case(f(3, 8), until=9, outputs=2, k=3),
        case(f(3, 8), until=9, outputs=2, k=2, axis=0),
        case(f(3, 8), ints(3), since=10, outputs=2),
        case(f(3, 8), ints(2), since=10, outputs=2, axis=0),
        case(f(3, 8), ints(3), since=11, outputs=2, largest=0),
        case(floats(1, 2, 2, 1, 3), ints(4), since=11, outputs=2, axis=-1),
        case(i64(3, 8), ints(3), since=11, outputs=2),
    ),
    "Transpose": (case(f(2, 3, 4)), case(f(2, 3, 4), perm=[1, 2, 0])),
    "Trilu": (
        case(f(3, 4)),
        case(f(2, 3, 4), np.array(1), upper=0),
        case(f(3, 4), np.array(-1), upper=1),
    ),
    "Unsqueeze": (
        case(f(3, 4), until=12, axes=[0, 2]),
        case(f(3, 4), since=11, until=12, axes=[-1]),
        case(f(3, 4), ints(0, -1), since=13),
    ),
    "Upsample": UPSAMPLE,
    "Where": (case(bools(3, 4), f(3, 4), f(4)), case(bools(4), i64(4), i64(4))),
    "Xor": LOGIC,
}
"""Operator -> its cases; each must have one at every opset at which its definition changed."""
