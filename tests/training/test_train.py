"""What a training leaves behind, and every mistake in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_training import OPTIONS, tensors
from torch import nn

from swp_export.checkpoint import read_checkpoint
from swp_export.errors import ArchitectureError, DeviceError, InputError, OutputError, SwpExportError, TrainingError
from swp_export.network.instantiate import instantiate
from swp_export.nn import FilterStripe
from swp_export.pruning.prune import prune
from swp_export.training.epoch import _loaded
from swp_export.training.log import read_log
from swp_export.training.train import train

if TYPE_CHECKING:
    from swp_export.training.report import TrainReport


class TestFinished:
    """A training of three epochs in which stripes die."""

    def test_dead_is_exactly_zero_and_live_beyond_the_threshold(self, finished: TrainReport) -> None:
        """No skeleton ends between the two, and stripes of both kinds are there."""
        skeletons = read_checkpoint(finished.network).skeletons
        values = torch.cat([skeleton.flatten() for skeleton in skeletons.values()])
        assert ((values == 0) | (values.abs() > 0.05)).all()
        assert 0.1 < float((values == 0).float().mean()) < 0.9

    def test_pruning_changes_no_logit(self, finished: TrainReport) -> None:
        """Thresholded, at the recorded threshold, the network computes the very same."""
        checkpoint = read_checkpoint(finished.network)
        pruned = instantiate(checkpoint, architecture=finished.architecture)
        assert pruned.threshold == 0.05
        trained = pruned.module
        x = torch.randn(4, *pruned.input_shape)
        with torch.no_grad():
            expected = trained(x)
            trained.load_state_dict(checkpoint.state)  # before: what `instantiate` thresholded
            assert torch.equal(trained(x), expected)

    def test_the_file_says_what_it_is(self, finished: TrainReport) -> None:
        """Architecture, threshold, shape, classes and normalisation are in it, as in the run's checkpoint."""
        for name in ("network.pth", "checkpoint.pth"):
            checkpoint = read_checkpoint(Path(finished.network).with_name(name))
            assert (checkpoint.architecture, checkpoint.threshold) == ("tiny_training:spread", 0.05)
            assert checkpoint.input_shape == (1, 32, 32)
            assert checkpoint.metadata["normalisation"] == {"mean": [0.286], "std": [0.353]}
            names = checkpoint.metadata["class_names"]
            assert isinstance(names, list)
            assert names[0] == "T-shirt/top"
            assert checkpoint.layout.name == "unbroken"

    @pytest.mark.parametrize("name", ["network.pth", "checkpoint.pth"])
    def test_it_is_pruned_and_verified(self, finished: TrainReport, name: str, tmp_path: Path) -> None:
        """`prune` needs nothing but the file, and the trust in a user's own network."""
        source = Path(finished.network).with_name(name)
        report = prune(source, arch="tiny_training:spread", output=tmp_path / "model.onnx")
        assert report.verification is not None
        assert report.verification.equivalent
        live = finished.log.epochs[-1]["live_stripes"]
        assert {layer.name: layer.live_stripes for layer in report.layers if layer.live_stripes}.items() <= live.items()

    def test_the_log_has_a_line_per_epoch(self, finished: TrainReport) -> None:
        """Each is a JSON document with the same keys; fewer and fewer stripes live, and the loss falls."""
        lines = Path(finished.log.file).read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert [record["epoch"] for record in records] == [1, 2, 3]
        for record in records:
            assert list(record) == [
                "epoch",
                "lr",
                "loss",
                "accuracy",
                "test_loss",
                "test_accuracy",
                "live_stripes",
                "seconds",
            ]
            assert record["live_stripes"].keys() == finished.stripes.keys()
            assert record["test_accuracy"] * 33 / 100 == pytest.approx(round(record["test_accuracy"] * 33 / 100))
        live = [sum(record["live_stripes"].values()) for record in records]
        assert sum(finished.stripes.values()) > live[0] > live[1] > live[2]
        assert records == list(finished.log.epochs) == list(read_log(finished.log.file).epochs)

    def test_the_live_stripes_of_the_log_are_those_of_the_file(self, finished: TrainReport) -> None:
        """The last record counts what is not zero in the network's skeletons."""
        skeletons = read_checkpoint(finished.network).skeletons
        counted = {name: int((skeleton != 0).sum()) for name, skeleton in skeletons.items()}
        assert counted == finished.log.epochs[-1]["live_stripes"]

    def test_nothing_else_is_left(self, finished: TrainReport) -> None:
        """Three files, no temporary one."""
        assert sorted(path.name for path in Path(finished.network).parent.iterdir()) == [
            "checkpoint.pth",
            "log.jsonl",
            "network.pth",
        ]

    def test_the_report(self, finished: TrainReport) -> None:
        """One line says what came of it; the JSON document has it all."""
        assert finished.summary().startswith(f"{finished.network}: ")
        assert json.loads(json.dumps(finished.to_json()))["log"]["epochs"] == list(finished.log.epochs)


@pytest.mark.parametrize(
    ("epochs", "rates"), [(1, [0.05]), (2, [0.05, 0.005]), (4, [0.05, 0.05, 0.005, 0.0005]), (3, [0.05, 0.05, 0.005])]
)
def test_the_rate_falls_after_half_and_three_quarters(
    images: Path, tmp_path: Path, epochs: int, rates: list[float]
) -> None:
    """An epoch's rate is lower from the first one that begins at or after these parts of all epochs."""
    report = train(
        save=tmp_path / "run", data_path=images, **OPTIONS | {"epochs": epochs, "arch": "tiny_training:plain"}
    )
    assert [record["lr"] for record in report.log.epochs] == pytest.approx(rates)


def test_mixed_precision_on_the_cpu(images: Path, tmp_path: Path) -> None:
    """It computes in bfloat16, other numbers than without, and stays finite; parameters stay float32."""
    reports = [
        train(save=tmp_path / str(amp), data_path=images, **OPTIONS | {"epochs": 2, "amp": amp})
        for amp in (False, True)
    ]
    losses = [report.log.epochs[-1]["loss"] for report in reports]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    for key, tensor in tensors(tmp_path / "True" / "network.pth").items():
        assert tensor.dtype == (torch.int64 if key.endswith("num_batches_tracked") else torch.float32)


def test_workers_load_the_same_images(images: Path, tmp_path: Path) -> None:
    """Where augmentation changes nothing, the processes that load images do not either."""
    options = OPTIONS | {"epochs": 1, "arch": "tiny_training:plain"}
    reports = [train(save=tmp_path / str(n), data_path=images, workers=n, **options) for n in (0, 1)]
    assert reports[0].log.epochs[0]["loss"] == reports[1].log.epochs[0]["loss"]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read(tmp_path: Path, workers: int) -> None:
    """One line names it, also where another process loads it."""
    for part in ("train", "val"):
        (tmp_path / part / "cat").mkdir(parents=True)
        (tmp_path / part / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^[^\n]*0\.png is no image that can be read: [^\n]*; repair or remove it$"):
        train(
            save=tmp_path / "run",
            **OPTIONS
            | {"dataset": "imagefolder", "data_path": tmp_path, "workers": workers, "arch": "tiny_training:plain"},
        )


def test_more_images_to_a_batch_than_there_are(images: Path, tmp_path: Path) -> None:
    """They are one batch."""
    options = OPTIONS | {"epochs": 1, "batch_size": 1000, "arch": "tiny_training:plain"}
    assert len(train(save=tmp_path / "run", data_path=images, **options).log.epochs) == 1


def test_a_loading_process_that_ends() -> None:
    """Killed by the system, it is named with what to do."""

    def batches() -> Any:
        yield torch.zeros(1), torch.zeros(1)
        raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")

    with pytest.raises(TrainingError, match=r"a process that loads images ended: .*Killed.*; .*pass fewer --workers"):
        list(_loaded(batches()))


def five_outputs() -> nn.Module:
    """Return a network for other data."""
    from tiny_training import plain

    return plain(5)


def one_pixel(num_classes: int) -> nn.Module:
    """Return a network that normalises over the batch alone."""
    return nn.Sequential(
        FilterStripe(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, num_classes)
    )


def ordinary(num_classes: int) -> nn.Module:
    """Return a network without a convolution that could carry a skeleton."""
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


class TestMistakes:
    """Each is one line, and nothing is left behind."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"arch": None}, InputError, r"which network is to be trained\? Name it with --arch"),
            ({"arch": "VGG12"}, ArchitectureError, r"no architecture 'VGG12'"),
            ({"arch": f"{__name__}:five_outputs"}, InputError, r"five_outputs returns \[1, 5\].*expected \[1, 10\]"),
            ({"arch": f"{__name__}:ordinary"}, ArchitectureError, r"has no convolution for a Filter Skeleton"),
            ({"sr": -1.0}, InputError, r"must not be negative"),
            ({"lr": 1e20}, TrainingError, r"training diverged: the loss is .*; lower --lr"),
            (
                {"threshold": 1.0},
                TrainingError,
                r"no stripe is left after epoch 1: sr 0\.2 and threshold 1 are too strong",
            ),
            (
                {"arch": f"{__name__}:one_pixel", "batch_size": 63},  # of 64
                TrainingError,
                r"a batch of one image is too small for this network's BatchNorm; choose a --batch-size above 1",
            ),
            ({"dataset": "mnist"}, InputError, r"no data set 'mnist'"),
            ({"data_path": "nowhere"}, InputError, r"fashion-mnist is not in nowhere"),
        ],
    )
    def test_each_is_named(
        self, images: Path, tmp_path: Path, options: dict[str, Any], error: type[SwpExportError], message: str
    ) -> None:
        """The error says what was found and what to do; no file appears."""
        with pytest.raises(error, match=message) as caught:
            train(save=tmp_path / "run", **{"data_path": images} | OPTIONS | options)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.rglob("*.*"))

    def test_a_run_that_kills_everything_later_keeps_what_it_had(self, images: Path, tmp_path: Path) -> None:
        """The checkpoint before the last stripe died stays, and no network appears."""
        with pytest.raises(TrainingError, match=r"no stripe is left after epoch 2"):
            train(save=tmp_path / "run", data_path=images, **OPTIONS | {"sr": 1.5, "arch": "VGG11x0.05"})
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pth", "log.jsonl"]
        assert len(read_log(tmp_path / "run" / "log.jsonl").epochs) == 1

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_cuda_that_is_not_there(self, images: Path, tmp_path: Path) -> None:
        """Training never falls back to another device."""
        with pytest.raises(DeviceError, match=r"torch finds no CUDA device; .*--device cpu"):
            train(save=tmp_path / "run", data_path=images, device="cuda", **OPTIONS)

    def test_half_of_torchruns_environment(self, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A WORLD_SIZE alone is no launch of several processes."""
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(InputError, match=r"^WORLD_SIZE is set, but the rest of torchrun's environment is not: "):
            train(save=tmp_path / "run", data_path=images, **OPTIONS)

    def test_a_folder_that_cannot_be_made(self, images: Path, tmp_path: Path) -> None:
        """A file stands in its place."""
        (tmp_path / "run").write_text("mine")
        with pytest.raises(OutputError, match=r"cannot write to the folder .*run: File exists"):
            train(save=tmp_path / "run", data_path=images, **OPTIONS)
