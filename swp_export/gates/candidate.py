"""A model at its gates: each thing that several gates need is found once, when the first of them asks."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from swp_export.benchmark.benchmark import bench
from swp_export.errors import InputError
from swp_export.graph.analysis.counts import executed, stored_floats
from swp_export.graph.files.external_data import files_of
from swp_export.graph.files.reading import read_model
from swp_export.graph.input_shape import fitted_input_shape
from swp_export.progress import under
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target
from swp_export.verification.accuracy import Accuracy, accuracy_from, classifier_from_session, predict
from swp_export.verification.evaluation_data import read_evaluation_data
from swp_export.verification.report import VerificationReport
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.benchmark.report import BenchReport
    from swp_export.gates.gates import Gates
    from swp_export.graph.files.reading import OnnxFile
    from swp_export.progress import Progress
    from swp_export.verification.accuracy import Predicted
    from swp_export.verification.evaluation_data import EvaluationData
    from swp_export.verification.quantised import QuantisedReport


class Candidate:
    """The model that `gates` are about; every property raises a SwpExportError where it cannot be found."""

    def __init__(self, gates: Gates, progress: Progress) -> None:
        self.gates = gates
        self._progress = under(progress, gates.name)
        self._target = Target(device=gates.device or "cpu", threads=gates.threads)

    @functools.cached_property
    def file(self) -> OnnxFile:
        """The model as it was read."""
        return read_model(self.gates.model)

    @functools.cached_property
    def bytes(self) -> int:
        """Size of the file and of those beside it that hold its weights."""
        _ = self.file  # it says what is wrong with them
        return sum(path.stat().st_size for path in files_of(self.gates.model))

    @functools.cached_property
    def params(self) -> int:
        """Numbers that the file stores."""
        return stored_floats(self.file.model).total

    @functools.cached_property
    def flops(self) -> int:
        """FLOPs of the multiply-adds that it executes per image, as `prune` counts them."""
        shape = fitted_input_shape(self.file.model, self.gates.input_shape, str(self.gates.model))
        return executed(self.file.model, shape).products

    @functools.cached_property
    def verification(self) -> VerificationReport | QuantisedReport:
        """The comparison with what it must be equivalent to."""
        gates = self.gates
        assert gates.against is not None
        return verify(
            gates.model,
            against=gates.against,
            threshold=gates.threshold,
            arch=gates.arch,
            input_shape=gates.input_shape,
            data=gates.data,
            dataset=gates.dataset,
            data_path=gates.data_path or "data",
            atol=gates.atol,
            rtol=gates.rtol,
            device=self._target.device,
            progress=self._progress,
        )

    @functools.cached_property
    def accuracy(self) -> Accuracy:
        """What it gets right, compared with the baseline, or without one with what it must be equivalent to."""
        gates = self.gates
        found = self._verified_accuracy() if gates.baseline is None and gates.against is not None else self._measured()
        if found is None or found.after is None:
            raise InputError(
                f"{gates.data or gates.dataset} has no labels; expected an array 'labels' [N], the numbers of the "
                "classes, beside the images"
            )
        return found

    @functools.cached_property
    def benchmark(self) -> BenchReport:
        """How fast it is, beside the baseline if there is one."""
        gates = self.gates
        return bench(
            [gates.model],
            baseline=gates.baseline,
            device=self._target.device,
            threads=gates.threads,
            batch=gates.batch,
            input_shape=gates.input_shape,
            seconds=gates.seconds,
            progress=self._progress,
        )

    def _verified_accuracy(self) -> Accuracy | None:
        report = self.verification
        if isinstance(report, VerificationReport):
            return report.accuracy
        made = report.predictions
        return Accuracy(
            data=str(self.gates.data or self.gates.dataset),
            samples=made.images,
            predictions=made.images,
            right_before=made.right_before,
            right_after=made.right_after,
            changed=made.changed,
        )

    def _measured(self) -> Accuracy:
        gates = self.gates
        data = read_evaluation_data(
            data=gates.data,
            dataset=gates.dataset,
            data_path=gates.data_path or "data",
            input_shape=fitted_input_shape(self.file.model, gates.input_shape, str(gates.model)),
            metadata=self.file.model.metadata_props,
        )
        assert data is not None
        after = self._predicted(gates.model, data)
        return accuracy_from(data, after if gates.baseline is None else self._predicted(gates.baseline, data), after)

    def _predicted(self, model: Path, data: EvaluationData) -> Predicted:
        return predict(data, classifier_from_session(open_session(model, self._target)), self._progress)
