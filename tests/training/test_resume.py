"""A training that is interrupted ends as one that was not, and no run is overwritten unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_training import OPTIONS, assert_equal_states
from torch import nn

from swp_export.checkpoint import read_checkpoint, read_training, write_checkpoint
from swp_export.errors import CheckpointError, OutputError
from swp_export.network.instantiate import instantiate
from swp_export.nn import FilterStripe
from swp_export.training.log import read_log
from swp_export.training.train import train

if TYPE_CHECKING:
    from swp_export.progress import Progress
    from swp_export.training.report import TrainReport


class Interruption(Exception):  # noqa: N818 - nothing is wrong
    """Stands for what ends a process."""


def interrupt_at(message: str) -> Progress:
    """Return a `progress` that raises when it is told `message`."""

    def progress(told: str, _done: float | None = None, /) -> None:
        if told == message:
            raise Interruption

    return progress


def records(report: TrainReport) -> list[dict[str, Any]]:
    """Return the records of the epochs, without the time they took."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in report.log.epochs]


def assert_same_end(report: TrainReport, finished: TrainReport) -> None:
    """Assert that weights, skeletons, statistics and the log are those of `finished`, bit for bit."""
    assert_equal_states(Path(report.network), Path(finished.network))
    assert records(report) == records(finished)
    assert list(read_log(report.log.file).epochs) == list(report.log.epochs)


class TestResumed:
    """Bit for bit, on the CPU."""

    def test_interrupted_in_every_epoch(self, images: Path, tmp_path: Path, finished: TrainReport) -> None:
        """Each interruption costs the epoch it falls into; the checkpoint in between can be used as it is."""
        for epoch in (1, 2, 3):
            with pytest.raises(Interruption):
                train(
                    save=tmp_path,
                    data_path=images,
                    resume=True,
                    progress=interrupt_at(f"epoch {epoch} of 3: 50%"),
                    **OPTIONS,
                )
            assert not (tmp_path / "network.pth").exists()
            assert (tmp_path / "checkpoint.pth").exists() == (epoch > 1)
            if epoch > 1:
                assert len(read_log(tmp_path / "log.jsonl").epochs) == epoch - 1
                checkpoint = read_checkpoint(tmp_path / "checkpoint.pth")
                assert instantiate(checkpoint, architecture=OPTIONS["arch"]).threshold == 0.05
        assert_same_end(train(save=tmp_path, data_path=images, resume=True, **OPTIONS), finished)

    def test_killed(self, images: Path, tmp_path: Path, finished: TrainReport) -> None:
        """SIGKILL leaves no chance to clean up; one epoch at most is lost."""
        script = (
            "import os, signal, torch; from swp_export import train; torch.set_num_threads(1);"
            f"train(save={str(tmp_path)!r}, data_path={str(images)!r}, **{OPTIONS!r},"
            "progress=lambda told, _: told == 'epoch 3 of 3: 75%' and os.kill(os.getpid(), signal.SIGKILL))"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False, env=environment()).returncode == -9
        assert len(read_log(tmp_path / "log.jsonl").epochs) == 2
        report = train(save=tmp_path, data_path=images, resume=True, **OPTIONS)
        assert_same_end(report, finished)

    def test_killed_between_the_files(
        self, images: Path, tmp_path: Path, finished: TrainReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What ends after the last checkpoint and before its log and the network leaves both to the resumed run."""

        def end(*_: object) -> None:
            if len(read_training(tmp_path / "checkpoint.pth")[1]["log"]) == 3:
                raise Interruption

        monkeypatch.setattr("swp_export.training.run_folder.RunFolder.write_log", end)
        with pytest.raises(Interruption):
            train(save=tmp_path, data_path=images, **OPTIONS)
        monkeypatch.undo()
        assert_same_end(train(save=tmp_path, data_path=images, resume=True, **OPTIONS), finished)

    def test_finished_already(self, images: Path, tmp_path: Path, finished: TrainReport) -> None:
        """Resuming again trains nothing."""
        for name in ("checkpoint.pth", "log.jsonl", "network.pth"):
            (tmp_path / name).write_bytes(Path(finished.network).with_name(name).read_bytes())
        progress: list[str] = []
        report = train(
            save=tmp_path, data_path=images, resume=True, progress=lambda told, _: progress.append(told), **OPTIONS
        )
        assert not progress
        assert report.log.epochs == finished.log.epochs
        assert_same_end(report, finished)


def environment() -> dict[str, str]:
    """Return this process's environment, where the subprocess finds what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class TestRefused:
    """No run is overwritten, or gone on with, unasked."""

    @pytest.fixture
    def run(self, tmp_path: Path, finished: TrainReport) -> Path:
        """Return a copy of the finished run's folder."""
        for name in ("checkpoint.pth", "log.jsonl", "network.pth"):
            (tmp_path / name).write_bytes(Path(finished.network).with_name(name).read_bytes())
        return tmp_path

    @staticmethod
    def contents(run: Path) -> dict[str, bytes]:
        """Return the bytes of each file."""
        return {path.name: path.read_bytes() for path in run.iterdir()}

    def test_a_folder_with_a_run(self, images: Path, run: Path) -> None:
        """Neither resume nor force was given; all stays as it was."""
        before = self.contents(run)
        with pytest.raises(OutputError, match=r"holds a run already; pass --resume to go on with it, --force to begin"):
            train(save=run, data_path=images, **OPTIONS)
        assert self.contents(run) == before

    @pytest.mark.parametrize(("resume", "advice"), [(False, "pass --resume"), (True, "no checkpoint.pth to go on")])
    def test_a_folder_with_a_network_alone(self, images: Path, run: Path, resume: bool, advice: str) -> None:
        """A trained network is as dear as its checkpoint, which may have been deleted since."""
        (run / "checkpoint.pth").unlink()
        before = self.contents(run)
        with pytest.raises(OutputError, match=f"holds a run already; {advice}.*--force to begin anew"):
            train(save=run, data_path=images, resume=resume, **OPTIONS)
        assert self.contents(run) == before

    def test_force_begins_anew(self, images: Path, run: Path, finished: TrainReport) -> None:
        """Nothing of the old run is left, not even before the first epoch has ended."""
        with pytest.raises(Interruption):
            train(save=run, data_path=images, force=True, progress=interrupt_at("epoch 1 of 3: 50%"), **OPTIONS)
        assert not self.contents(run)
        assert_same_end(train(save=run, data_path=images, resume=True, force=True, **OPTIONS), finished)

    @pytest.mark.parametrize(
        ("options", "changed"),
        [
            ({"lr": 0.1}, r"lr was 0\.05, now 0\.1"),
            ({"sr": 0.3, "epochs": 4}, r"sr was 0\.2, now 0\.3; epochs was 3, now 4"),
            ({"threshold": 0.01}, r"threshold was 0\.05, now 0\.01"),
            ({"arch": "VGG11x0.05"}, r"arch was tiny_training:spread, now VGG11x0\.05"),
            ({"seed": 1, "amp": True}, r"seed was 0, now 1; amp was False, now True"),
        ],
    )
    def test_other_settings(self, images: Path, run: Path, options: dict[str, Any], changed: str) -> None:
        """One line says which, before and now."""
        before = self.contents(run)
        message = (
            rf"checkpoint\.pth was begun with other settings \({changed}\); resume with the same ones, or train in"
        )
        with pytest.raises(CheckpointError, match=message) as caught:
            train(save=run, data_path=images, resume=True, **OPTIONS | options)
        assert "\n" not in str(caught.value)
        assert self.contents(run) == before

    @pytest.mark.parametrize(
        ("content", "message"),
        [(0.5, "truncated, damaged"), (0, r"is empty \(0 bytes\)"), (b"text", "not a checkpoint")],
    )
    def test_a_damaged_checkpoint(self, images: Path, run: Path, content: float | bytes, message: str) -> None:
        """The message names the file."""
        file = run / "checkpoint.pth"
        whole = file.read_bytes()
        file.write_bytes(content if isinstance(content, bytes) else whole[: int(content * len(whole))])
        with pytest.raises(CheckpointError, match=message) as caught:
            train(save=run, data_path=images, resume=True, **OPTIONS)
        assert str(caught.value).startswith(str(file))

    def test_a_checkpoint_that_no_training_wrote(self, images: Path, run: Path) -> None:
        """A trained network has no state to go on from."""
        file = run / "checkpoint.pth"
        file.write_bytes((run / "network.pth").read_bytes())
        with pytest.raises(CheckpointError, match=r"checkpoint\.pth: it records no training that could be resumed"):
            train(save=run, data_path=images, resume=True, **OPTIONS)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"settings": None},
            {"settings": {}},
            {"optimizer": {}},
            {"optimizer": [1]},
            {"schedule": None},
            {"log": 3},
            {"log": [1]},
            {"log": [{"epoch": 1}]},
        ],
    )
    def test_a_record_that_train_did_not_write(self, images: Path, run: Path, wrong: dict[str, Any]) -> None:
        """Whatever part of it is something else."""
        self.refused(images, run, wrong)

    def test_a_momentum_of_another_shape(self, images: Path, run: Path) -> None:
        """It is found before the first step."""
        _, training = read_training(run / "checkpoint.pth")
        training["optimizer"]["state"][0]["momentum_buffer"] = torch.ones(3)
        self.refused(images, run, training)

    @staticmethod
    def refused(images: Path, run: Path, wrong: dict[str, Any]) -> None:
        """Assert that a record with these parts is not gone on with."""
        state, training = read_training(run / "checkpoint.pth")
        write_checkpoint(run / "checkpoint.pth", state, training=training | wrong, force=True)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pth (is damaged: it|was begun)") as caught:
            train(save=run, data_path=images, resume=True, **OPTIONS)
        assert "\n" not in str(caught.value)

    def test_a_network_that_changed_meanwhile(self, images: Path, run: Path) -> None:
        """The user's own code makes another network now."""
        state, training = read_training(run / "checkpoint.pth")
        del state["classifier.bias"]
        write_checkpoint(run / "checkpoint.pth", state, training=training, force=True)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pth does not fit tiny_training:spread any more"):
            train(save=run, data_path=images, resume=True, **OPTIONS)


class TestReadTraining:
    """`read_training` gives back what `write_checkpoint` was given."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        """Keys as they were written, tensors, containers and plain values."""
        state = nn.Sequential(FilterStripe(3, 4, 3)).state_dict()
        training = {"log": [{"epoch": 1}], "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}}
        write_checkpoint(tmp_path / "checkpoint.pth", state, training=training)
        read, back = read_training(tmp_path / "checkpoint.pth")
        assert read.keys() == state.keys()
        assert back["log"] == [{"epoch": 1}]
        assert torch.equal(back["optimizer"]["state"][0]["momentum_buffer"], torch.ones(2))
        assert read_checkpoint(tmp_path / "checkpoint.pth").modules == {"", "0"}

    @pytest.mark.parametrize("content", [{"training": {}}, [1], {"state_dict": {}}])
    def test_another_file(self, tmp_path: Path, content: object) -> None:
        """Only the self-describing layout records a training."""
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match=r"other\.pth: it records no training that could be resumed"):
            read_training(tmp_path / "other.pth")
