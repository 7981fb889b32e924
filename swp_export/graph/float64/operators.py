"""THE table of the operators that are computed in float64: operator -> function of its call.

Every entry holds at every opset from 7 to `NEWEST_OPSET` at which ONNX defines the operator; the scan in
tests/graph/float64/ compares each with ONNX Runtime at every opset at which its definition changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.float64 import (
    activation,
    arithmetic,
    convolution,
    creation,
    indexing,
    normalisation,
    pooling,
    products,
    recurrent,
    reduction,
    resizing,
    sampling,
    shaping,
)
from swp_export.graph.float64.arithmetic import of_many, of_one, of_two
from swp_export.graph.float64.reduction import over_axes

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.float64.call import Call, Result

OLDEST_OPSET = 7
"""The oldest opset that ONNX Runtime promises to run."""
NEWEST_OPSET = 26
"""The newest opset that ONNX Runtime 1.31 runs, and the definitions here were compared at."""

OPERATORS: dict[str, Callable[[Call], Result]] = {
    "Abs": of_one(np.abs),
    "Acos": of_one(np.arccos),
    "Acosh": of_one(np.arccosh),
    "Add": of_two(np.add),
    "And": of_two(np.logical_and),
    "ArgMax": reduction.arg_max,
    "ArgMin": reduction.arg_min,
    "Asin": of_one(np.arcsin),
    "Asinh": of_one(np.arcsinh),
    "Atan": of_one(np.arctan),
    "Atanh": of_one(np.arctanh),
    "AveragePool": pooling.average_pool,
    "BatchNormalization": normalisation.batch_normalization,
    "BitShift": arithmetic.bit_shift,
    "BitwiseAnd": of_two(np.bitwise_and),
    "BitwiseNot": of_one(np.bitwise_not),
    "BitwiseOr": of_two(np.bitwise_or),
    "BitwiseXor": of_two(np.bitwise_xor),
    "Cast": creation.cast,
    "CastLike": creation.cast_like,
    "Ceil": of_one(arithmetic.ceil),
    "Celu": activation.celu,
    "Clip": arithmetic.clip,
    "Compress": indexing.compress,
    "Concat": shaping.concat,
    "Constant": creation.constant,
    "ConstantOfShape": creation.constant_of_shape,
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    "Cos": of_one(np.cos),
    "Cosh": of_one(np.cosh),
    "CumSum": reduction.cumulative_sum,
    "DepthToSpace": shaping.depth_to_space,
    "Div": of_two(arithmetic.divide),
    "Dropout": creation.dropout,
    "Einsum": products.einsum,
    "Elu": activation.elu,
    "Equal": of_two(np.equal),
    "Erf": activation.erf,
    "Exp": of_one(np.exp),
    "Expand": shaping.expand,
    "EyeLike": creation.eye_like,
    "Flatten": shaping.flatten,
    "Floor": of_one(arithmetic.floor),
    "GRU": recurrent.gru,
    "Gather": indexing.gather,
    "GatherElements": indexing.gather_elements,
    "GatherND": indexing.gather_nd,
    "Gelu": activation.gelu,
    "Gemm": products.gemm,
    "GlobalAveragePool": pooling.global_average_pool,
    "GlobalLpPool": pooling.global_lp_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "Greater": of_two(np.greater),
    "GreaterOrEqual": of_two(np.greater_equal),
    "GridSample": sampling.grid_sample,
    "GroupNormalization": normalisation.group_normalization,
    "HardSigmoid": activation.hard_sigmoid,
    "HardSwish": activation.hard_swish,
    "Hardmax": activation.hardmax,
    "Identity": shaping.identity,
    "InstanceNormalization": normalisation.instance_normalization,
    "IsInf": arithmetic.is_inf,
    "IsNaN": of_one(np.isnan),
    "LRN": normalisation.lrn,
    "LSTM": recurrent.lstm,
    "LayerNormalization": normalisation.layer_normalization,
    "LeakyRelu": activation.leaky_relu,
    "Less": of_two(np.less),
    "LessOrEqual": of_two(np.less_equal),
    "Log": of_one(np.log),
    "LogSoftmax": activation.log_softmax,
    "LpNormalization": normalisation.lp_normalization,
    "LpPool": pooling.lp_pool,
    "MatMul": products.matmul,
    "Max": of_many(np.maximum),
    "MaxPool": pooling.max_pool,
    "Mean": arithmetic.mean,
    "MeanVarianceNormalization": normalisation.mean_variance_normalization,
    "Min": of_many(np.minimum),
    "Mish": activation.mish,
    "Mod": arithmetic.mod,
    "Mul": of_two(np.multiply),
    "Neg": of_one(np.negative),
    "NonMaxSuppression": indexing.non_max_suppression,
    "NonZero": indexing.non_zero,
    "Not": of_one(np.logical_not),
    "OneHot": indexing.one_hot,
    "Or": of_two(np.logical_or),
    "PRelu": activation.prelu,
    "Pad": shaping.pad,
    "Pow": of_two(arithmetic.power),
    "RMSNormalization": normalisation.rms_normalization,
    "RNN": recurrent.rnn,
    "Range": creation.range_,
    "Reciprocal": of_one(np.reciprocal),
    "ReduceL1": over_axes(reduction.norm_1),
    "ReduceL2": over_axes(reduction.norm_2),
    "ReduceLogSum": over_axes(reduction.log_sum),
    "ReduceLogSumExp": over_axes(reduction.log_sum_exp),
    "ReduceMax": over_axes(reduction.largest),
    "ReduceMean": over_axes(reduction.mean),
    "ReduceMin": over_axes(reduction.smallest),
    "ReduceProd": over_axes(reduction.product),
    "ReduceSum": over_axes(reduction.total, axes_are_input_since=13),
    "ReduceSumSquare": over_axes(reduction.sum_of_squares),
    "Relu": activation.relu,
    "Reshape": shaping.reshape,
    "Resize": resizing.resize,
    "ReverseSequence": indexing.reverse_sequence,
    "RoiAlign": sampling.roi_align,
    "Round": of_one(np.rint),
    "Scatter": indexing.scatter_elements,
    "ScatterElements": indexing.scatter_elements,
    "ScatterND": indexing.scatter_nd,
    "Selu": activation.selu,
    "Shape": shaping.shape,
    "Shrink": activation.shrink,
    "Sigmoid": activation.sigmoid,
    "Sign": of_one(np.sign),
    "Sin": of_one(np.sin),
    "Sinh": of_one(np.sinh),
    "Size": shaping.size,
    "Slice": shaping.slice_,
    "Softmax": activation.softmax,
    "Softplus": activation.softplus,
    "Softsign": activation.softsign,
    "SpaceToDepth": shaping.space_to_depth,
    "Split": shaping.split,
    "Sqrt": of_one(np.sqrt),
    "Squeeze": shaping.squeeze,
    "Sub": of_two(np.subtract),
    "Sum": of_many(np.add),
    "Swish": activation.swish,
    "Tan": of_one(np.tan),
    "Tanh": of_one(np.tanh),
    "ThresholdedRelu": activation.thresholded_relu,
    "Tile": shaping.tile,
    "TopK": reduction.top_k,
    "Transpose": shaping.transpose,
    "Trilu": indexing.trilu,
    "Unsqueeze": shaping.unsqueeze,
    "Upsample": resizing.upsample,
    "Where": arithmetic.where,
    "Xor": of_two(np.logical_xor),
}

CONTROL_FLOW = ("If", "Loop", "Scan")
"""Operators that run graphs of their own; `execution` holds them."""

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
"""Operators whose output no input determines."""

QUANTISED = (
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)
"""Operators of networks that mean their own rounding: without it they are other networks."""

CHECKS: dict[str, Callable[[Call], None]] = {
    "BatchNormalization": normalisation.refuse_training,
    "Dropout": creation.refuse_training,
    "GRU": recurrent.refuse_settings,
    "GroupNormalization": normalisation.refuse_scale_per_group,
    "LSTM": recurrent.refuse_settings,
    "RNN": recurrent.refuse_settings,
}
"""What can be refused before anything runs: called with those inputs that are constant."""
