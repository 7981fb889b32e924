"""A network at any threshold: read and exported once where only stripes differ, again for each where more does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.graph.convolutions import iterate_stripe_convs, kind_of
from swp_export.graph.files.reading import is_onnx, read_model
from swp_export.graph.files.writing import serialized
from swp_export.graph.normalise import normalised
from swp_export.graph.operators.table import weights_of
from swp_export.network.relative_norms import relative_norms
from swp_export.progress import silent
from swp_export.pruning.portable import facts_of
from swp_export.pruning.source import SourceFacts, read_source

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from swp_export.checkpoint import Checkpoint
    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.pruning.recalibration import Recalibration

    Values = npt.NDArray[np.float32]


class SweptNetwork(Protocol):
    """What is swept; it travels between processes."""

    @property
    def facts(self) -> SourceFacts:
        """What is known of the network before any stripe died."""
        ...

    @property
    def unpruned(self) -> bytes:
        """That network, the content of an ONNX file."""
        ...

    @property
    def values(self) -> Values:
        """Those that thresholds apply to, of all layers, sorted."""
        ...

    def at(self, threshold: float) -> tuple[ir.Model, SourceFacts]:
        """Return the dense graph in which stripes of at most `threshold` are zero, and what is known of it."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MaskedNetwork:
    """A checkpoint with Filter Skeletons, unbroken: of its one export the stripes of a threshold are set to zero.

    BatchNorm is folded into the weights by one factor a filter, so a stripe is zero there where it was before.
    """

    facts: SourceFacts
    unpruned: bytes
    magnitudes: dict[str, Values]

    @property
    def values(self) -> Values:
        """All |FilterSkeleton|, sorted."""
        return np.sort(np.concatenate([of_layer.ravel() for of_layer in self.magnitudes.values()]))

    def at(self, threshold: float) -> tuple[ir.Model, SourceFacts]:
        """Zero the stripes `|FilterSkeleton| <= threshold`, compared in float32."""
        model = ir.from_proto(onnx.ModelProto.FromString(self.unpruned))
        for node, conv in iterate_stripe_convs(model.graph):
            weight, magnitudes = node.inputs[1], self.magnitudes.get(conv.name)
            if magnitudes is not None and weight is not None:
                live = magnitudes > np.float32(threshold)
                weight.const_value = ir.tensor(conv.weight * live[:, None].astype(conv.weight.dtype), name=weight.name)
        for value in model.graph.initializers.values():  # one that still lies in the parsed file would keep all of it
            if isinstance(value.const_value, ir.TensorProtoTensor):
                value.const_value = ir.tensor(value.const_value.numpy().copy(), name=value.name)
        return model, dataclasses.replace(self.facts, threshold=threshold)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReadNetwork:
    """Any source that `prune` takes: it is read anew at each threshold."""

    path: Path
    arch: str | None
    input_shape: InputShape | None
    facts: SourceFacts
    unpruned: bytes
    values: Values

    def at(self, threshold: float) -> tuple[ir.Model, SourceFacts]:
        """Read the source at `threshold`."""
        source = read_source(
            self.path, threshold=threshold, arch=self.arch, input_shape=self.input_shape, progress=silent
        )
        return source.dense, source.facts


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RecalibratedNetwork:
    """A checkpoint whose BatchNorm gets new statistics at each threshold; `trained` is it before."""

    path: Path
    arch: str | None
    input_shape: InputShape | None
    trained: MaskedNetwork
    recalibration: Recalibration

    @property
    def facts(self) -> SourceFacts:
        """Of the network as trained."""
        return self.trained.facts

    @property
    def unpruned(self) -> bytes:
        """The network as trained."""
        return self.trained.unpruned

    @property
    def values(self) -> Values:
        """All |FilterSkeleton|, sorted."""
        return self.trained.values

    def at(self, threshold: float) -> tuple[ir.Model, SourceFacts]:
        """Read the checkpoint at `threshold`, estimate and export."""
        source = read_source(
            self.path,
            threshold=threshold,
            arch=self.arch,
            input_shape=self.input_shape,
            progress=silent,
            recalibration=self.recalibration,
        )
        return source.dense, source.facts


def read_network(
    path: Path,
    *,
    arch: str | None,
    input_shape: InputShape | None,
    progress: Progress,
    recalibration: Recalibration | None = None,
) -> SweptNetwork:
    """Read what is to be swept; the arguments are those of `read_source`.

    Raises:
        SwpExportError: it cannot be used, or is broken already.

    """
    checkpoint = None
    values: Values
    if is_onnx(path):
        values = _norms_of_model(path)
    else:
        from swp_export.checkpoint import read_checkpoint
        from swp_export.checkpoint.layouts import PLAIN

        checkpoint = read_checkpoint(path, plain=True)
        if checkpoint.layout is not PLAIN:
            trained = _masked(checkpoint, path, arch, input_shape, progress)
            if recalibration is None:
                return trained
            return RecalibratedNetwork(
                path=path, arch=arch, input_shape=input_shape, trained=trained, recalibration=recalibration
            )
        values = _norms_of_checkpoint(checkpoint)
    # Something has to be dead to be read; the smallest stripes are, at the smallest of the norms.
    smallest = float(values[0]) if values.size else 0.0
    source = read_source(
        path,
        threshold=smallest,
        arch=arch,
        input_shape=input_shape,
        progress=progress,
        recalibration=recalibration,  # which is refused of these
    )
    model, _ = source.unpruned()
    return ReadNetwork(
        path=path,
        arch=arch,
        input_shape=input_shape,
        facts=source.facts,
        unpruned=serialized(model, facts_of(source, None)),
        values=values,
    )


def _masked(
    checkpoint: Checkpoint,
    path: Path,
    arch: str | None,
    input_shape: InputShape | None,
    progress: Progress,
) -> MaskedNetwork:
    magnitudes = {name: values.numpy().copy() for name, values in checkpoint.magnitudes.items()}
    # At threshold 0 dead is what is zero already: that is the network as trained.
    source = read_source(path, threshold=0.0, arch=arch, input_shape=input_shape, progress=progress)
    content = ir.to_proto(source.dense).SerializeToString()
    return MaskedNetwork(facts=source.facts, unpruned=content, magnitudes=magnitudes)


def _norms_of_model(path: Path) -> Values:
    model = normalised(read_model(path).model, str(path))
    norms = [
        relative_norms(conv.weight)
        for node, conv in iterate_stripe_convs(model.graph)
        if (weights := weights_of(node)) is not None and kind_of(node, weights) is None
    ]
    return _sorted(norms)


def _norms_of_checkpoint(checkpoint: Checkpoint) -> Values:
    weights = [tensor for key, tensor in checkpoint.state.items() if key.endswith(".weight") and tensor.ndim == 4]
    return _sorted([relative_norms(weight.float().numpy()) for weight in weights])


def _sorted(norms: list[Values]) -> Values:
    flat = np.concatenate([of_layer.ravel() for of_layer in norms]) if norms else np.empty(0, np.float32)
    below: Values = np.sort(flat[flat < 1])  # at 1 a share would kill whole layers
    return below
