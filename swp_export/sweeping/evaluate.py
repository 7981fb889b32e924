"""What one threshold gives: the model as `prune` would write it, counted, and compared with the unpruned network."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.analysis.counts import count, executed, stored_floats
from swp_export.graph.files.content import model_of
from swp_export.graph.pipeline import compact
from swp_export.progress import silent
from swp_export.pruning.portable import multiple_for, portable_bytes, totals_of
from swp_export.pruning.written_layers import chosen_lowerings, layer_table, unwritten
from swp_export.runtime.session import open_session
from swp_export.sweeping.forms import DEFAULT, FORMS
from swp_export.sweeping.point import SweepPoint
from swp_export.verification.accuracy import accuracy_from, classifier_from_session, have_predictions, predict
from swp_export.verification.cases import noise_case
from swp_export.verification.evaluation_data import read_evaluation_data
from swp_export.verification.inputs import as_taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swp_export.progress import Progress
    from swp_export.runtime.session import Array, Feed, Session
    from swp_export.sweeping.network import SweptNetwork
    from swp_export.verification.accuracy import Accuracy, Predicted


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataNames:
    """What accuracy is measured on, as `read_evaluation_data` takes it."""

    data: str | Path | None = None
    dataset: str | None = None
    data_path: str | Path = "data"


Evaluated = tuple[SweepPoint, dict[str, bytes]]
"""A point, and its model by the name of the form."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """What the unpruned network gives.

    Attributes:
        probe: the input that outputs are compared on.
        outputs: of the unpruned network on it.
        predicted: of the data, None without any, or where it gives no classes.

    """

    probe: Feed
    outputs: Mapping[str, Array]
    predicted: Predicted | None


class Evaluator:
    """Evaluates thresholds of one network, each against what the unpruned one gave once.

    Args:
        network: what is swept.
        names: what accuracy is measured on.
        baseline: what the unpruned network gives, where another process found that out already.
        progress: called with what is being done.

    Raises:
        InputError: the data do not fit the network.

    """

    def __init__(
        self,
        network: SweptNetwork,
        names: DataNames,
        baseline: Baseline | None = None,
        progress: Progress = silent,
    ) -> None:
        self._network = network
        self._progress = progress
        facts = network.facts
        self.data = read_evaluation_data(
            **dataclasses.asdict(names), input_shape=facts.input_shape, metadata=facts.metadata
        )
        self.baseline = baseline or self._found()

    @property
    def error_on(self) -> str:
        """What `error` of the points is measured on."""
        return "one image of noise" if self.data is None else self.data.first().name

    def unpruned(self) -> SweepPoint:
        """Return the unpruned network as a point."""
        facts, content = self._network.facts, self._network.unpruned
        model = model_of(content)
        stripes = sum(int(np.prod(shape)) for shape in facts.skeletons.values())
        return SweepPoint(
            threshold=None,
            live_stripes=stripes,
            stripes=stripes,
            dead_layers=0,
            params=stored_floats(model).total,
            paper_params=facts.params,
            flops=executed(model, facts.input_shape).products,
            paper_flops=facts.flops,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            error=0.0,
            accuracy=self._accuracy(self.baseline.predicted),
        )

    def evaluate(self, threshold: float, forms: Sequence[str] = (DEFAULT,), batch: int = 1) -> Evaluated:
        """Return what `threshold` gives, and the model in each of `forms`, DEFAULT first, for `batch` images per run.

        Raises:
            SwpExportError: nothing is live at it.

        """
        dense, facts = self._network.at(threshold)
        model = compact(dense)
        counts = count(model, facts.input_shape, live_only=True)
        others, choices, contents = unwritten(model), [], {}
        for form in forms:
            choices.append(chosen_lowerings(model, FORMS[form], counts.layer_positions, batch))
            contents[form] = portable_bytes(model, facts, choices[-1], None, multiple_for(FORMS[form], choices[-1]))
        chosen, content = choices[0], contents[forms[0]]
        written = model_of(content)
        work = executed(written, facts.input_shape)
        totals = totals_of(facts, counts, written, work)
        layers = layer_table(facts, [*chosen, *others], counts.layers, work.layers)
        session = open_session(content)
        point = SweepPoint(
            threshold=threshold,
            live_stripes=sum(layer.live_stripes for layer in layers),
            stripes=sum(layer.stripes for layer in layers),
            dead_layers=sum(not layer.live_stripes for layer in layers),
            params=totals.params_after,
            paper_params=totals.paper_params_after,
            flops=totals.flops_after,
            paper_flops=totals.paper_flops_after,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            error=_shift(self.baseline.outputs, session.run_on(self.baseline.probe)),
            accuracy=None if self.baseline.predicted is None else self._accuracy(self._predicted(session)),
        )
        return point, contents

    def _found(self) -> Baseline:
        session, facts = open_session(self._network.unpruned), self._network.facts
        case = noise_case(facts.input_shape, session.inputs) if self.data is None else self.data.first()
        probe = as_taken(case, session.inputs).x
        return Baseline(probe=probe, outputs=session.run_on(probe), predicted=self._predicted(session))

    def _predicted(self, session: Session) -> Predicted | None:
        if self.data is None:
            return None
        classifier = classifier_from_session(session)
        if not have_predictions(self.data, classifier):
            return None
        return predict(self.data, classifier, self._progress)

    def _accuracy(self, after: Predicted | None) -> Accuracy | None:
        if self.data is None or self.baseline.predicted is None or after is None:
            return None
        return accuracy_from(self.data, self.baseline.predicted, after)


def _shift(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> float | None:
    """Return how far the floats among the outputs are apart, by the largest magnitude of each."""
    shifts = [0.0]
    for name, old in before.items():
        new = after[name]
        if old.dtype.kind != "f" or old.shape != new.shape or not old.size:
            continue
        scale = max(float(np.abs(old).max()), float(np.abs(new).max()))
        moved = float(np.abs(old - new).max())
        shifts.append(moved / scale if scale else 0.0)
    return max(shifts) if np.isfinite(shifts).all() else None
