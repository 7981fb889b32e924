"""Fine-tuning keeps what is pruned: skeletons bit for bit, dead stripes and the BatchNorm of dead filters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_training import OPTIONS, assert_equal_states, write_images

from swp_export.checkpoint import read_checkpoint, write_checkpoint
from swp_export.errors import InputError
from swp_export.network.instantiate import Network, instantiate
from swp_export.network.unpruned import unpruned
from swp_export.nn import FilterStripe
from swp_export.pruning.prune import prune
from swp_export.training.train import train

if TYPE_CHECKING:
    from swp_export.training.report import TrainReport

ROOT = Path(__file__).parents[2]
ARCH = OPTIONS["arch"]


def fine_tuned(source: Path, save: Path, images: Path, **options: object) -> TrainReport:
    """Train what `source` holds for an epoch."""
    return train(save=save, data_path=images, fine_tune=source, **OPTIONS | {"epochs": 1} | options)


def network_of(path: Path | str) -> Network:
    """Return the network in a file."""
    return instantiate(read_checkpoint(path), architecture=ARCH)


@pytest.fixture(scope="module")
def source(finished: TrainReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained network in which filters of several layers are dead."""
    checkpoint = read_checkpoint(finished.network)
    for name, skeleton in checkpoint.skeletons.items():
        skeleton[1] = 0
        for leaf in ("weight", "bias"):
            checkpoint.state[f"features.{int(name.removeprefix('features.')) + 1}.{leaf}"][1] = 0
    path = tmp_path_factory.mktemp("source") / "source.pth"
    write_checkpoint(path, checkpoint.state, architecture=ARCH, threshold=0.05, input_shape=(1, 32, 32))
    return path


@pytest.fixture(scope="module")
def tuned(source: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    """Return the report of its fine-tuning; the threshold that is given is not the one in the file, which counts."""
    return fine_tuned(source, tmp_path_factory.mktemp("tuned"), images, threshold=0.9)


class TestFromAnUnbrokenFile:
    """The skeleton's values are kept, not only which are dead."""

    def test_the_skeletons_are_unchanged(self, source: Path, tuned: TrainReport) -> None:
        """Bit for bit, in the checkpoint; the network, broken, has them in its weights."""
        before = read_checkpoint(source).skeletons
        after = read_checkpoint(Path(tuned.network).with_name("checkpoint.pth"))
        assert after.layout.name == "unbroken"
        for name, skeleton in after.skeletons.items():
            assert torch.equal(skeleton, before[name]), name
        masks = read_checkpoint(tuned.network).skeletons
        for name, mask in masks.items():
            assert mask.dtype == torch.bool
            assert torch.equal(mask, before[name] != 0), name

    def test_the_weights_are_trained(self, source: Path, tuned: TrainReport) -> None:
        """Those of live stripes, in every layer."""
        before, after = network_of(source).module, network_of(tuned.network).module
        x = torch.randn(2, 1, 32, 32)
        assert not torch.allclose(before(x), after(x))
        state = read_checkpoint(Path(tuned.network).with_name("checkpoint.pth")).state
        for key, tensor in read_checkpoint(source).state.items():
            if key.endswith("weight"):
                assert not torch.equal(tensor, state[key]), key

    def test_dead_filters_stay_silent(self, tuned: TrainReport) -> None:
        """Gamma and beta of filter 1, which is dead in every layer, are zero after training too."""
        checkpoint = read_checkpoint(tuned.network)
        for name, mask in checkpoint.skeletons.items():
            norm = f"features.{int(name.removeprefix('features.')) + 1}"
            silent = ~mask.any(dim=2).any(dim=1)
            assert silent[1]
            assert torch.equal(checkpoint.state[f"{norm}.weight"] == 0, silent)
            assert torch.equal(checkpoint.state[f"{norm}.bias"] == 0, silent)

    def test_the_report_counts_what_stayed(self, source: Path, tuned: TrainReport) -> None:
        """All epochs have the live stripes of the file; the threshold is the file's."""
        live = {name: int((skeleton != 0).sum()) for name, skeleton in read_checkpoint(source).skeletons.items()}
        assert tuned.log.epochs[0]["live_stripes"] == live
        assert tuned.threshold == read_checkpoint(tuned.network).threshold == 0.05

    def test_the_broken_network_computes_what_the_checkpoint_does(self, tuned: TrainReport) -> None:
        """Breaking moves the skeleton into the weights and changes nothing else."""
        broken, checkpoint = network_of(tuned.network), network_of(Path(tuned.network).with_name("checkpoint.pth"))
        assert broken.checkpoint.layout.name == "broken"
        x = torch.randn(2, 1, 32, 32)
        torch.testing.assert_close(broken.module(x), checkpoint.module(x))

    def test_it_is_pruned_and_verified(self, tuned: TrainReport, tmp_path: Path) -> None:
        """As any other file."""
        report = prune(tuned.network, arch=ARCH, output=tmp_path / "model.onnx")
        assert report.verification is not None
        assert report.verification.equivalent

    def test_a_threshold_prunes_what_says_none(
        self, source: Path, images: Path, tmp_path: Path, tuned: TrainReport
    ) -> None:
        """A plain state dict is pruned at the threshold that is given, and stays so."""
        torch.save(dict(read_checkpoint(source).state), tmp_path / "plain.pth")
        report = fine_tuned(tmp_path / "plain.pth", tmp_path / "run", images, threshold=0.5)
        assert report.threshold == 0.5
        for name, skeleton in read_checkpoint(tmp_path / "run" / "checkpoint.pth").skeletons.items():
            before = read_checkpoint(source).skeletons[name]
            assert torch.equal(skeleton, before * (before.abs() > 0.5))
        assert sum(report.log.epochs[0]["live_stripes"].values()) < sum(tuned.log.epochs[0]["live_stripes"].values())


class TestFromABrokenFile:
    """Its masks are its skeletons."""

    def test_from_our_own(self, tuned: TrainReport, images: Path, tmp_path: Path) -> None:
        """A fine-tuned network can be fine-tuned on, whatever threshold is given; the masks stay."""
        report = fine_tuned(Path(tuned.network), tmp_path / "run", images, threshold=7.0)
        before, after = read_checkpoint(tuned.network), read_checkpoint(report.network)
        assert before.skeletons.keys() == after.skeletons.keys()
        for name, mask in after.skeletons.items():
            assert torch.equal(mask, before.skeletons[name])
        assert not torch.equal(before.state["features.0.weight"], after.state["features.0.weight"])
        assert network_of(tmp_path / "run" / "checkpoint.pth").threshold == 0

    def test_resumed(self, tuned: TrainReport, images: Path, tmp_path: Path) -> None:
        """An interrupted fine-tuning ends as one that was not."""
        whole = fine_tuned(Path(tuned.network), tmp_path / "whole", images, epochs=2)

        def progress(told: str, _done: float | None = None, /) -> None:
            if told == "epoch 2 of 2: 50%":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fine_tuned(Path(tuned.network), tmp_path / "parts", images, epochs=2, progress=progress)
        resumed = fine_tuned(Path(tuned.network), tmp_path / "parts", images, epochs=2, resume=True)
        assert_equal_states(Path(resumed.network), Path(whole.network))

    def test_from_the_methods_own(self, tmp_path: Path) -> None:
        """A ResNet56 of three input channels, in which 16 dead blocks were replaced by their shortcut."""
        source = ROOT / "models" / "resnet56-fashion-mnist" / "pruned_0.1.pth.tar"
        images = write_images(tmp_path / "images", train=8, test=2)
        report = fine_tuned(source, tmp_path / "run", images, arch=None, batch_size=4, lr=0.001)
        assert report.architecture == "ResNet56"
        before = instantiate(read_checkpoint(source))
        files = {name: read_checkpoint(tmp_path / "run" / name) for name in ("network.pth", "checkpoint.pth")}
        assert files["network.pth"].layout.name == "broken"
        assert files["checkpoint.pth"].layout.name == "unbroken"
        x = torch.randn(1, 3, 32, 32)
        outputs = []
        for checkpoint in files.values():
            network = instantiate(checkpoint)
            assert network.input_shape == (3, 32, 32)
            assert "16 residual blocks" in network.warnings[0]
            for name, skeleton in network.skeletons.items():
                assert (skeleton.mask == before.skeletons[name].mask).all()
            outputs.append(network.module(x))
        torch.testing.assert_close(outputs[0], outputs[1])
        assert not torch.allclose(outputs[0], before.module(x))
        torch.testing.assert_close(unpruned(instantiate(files["checkpoint.pth"]))(x), outputs[0])
        assert not any(isinstance(layer, FilterStripe) and layer.broken for layer in before.module.modules())


def test_another_number_of_classes(finished: TrainReport, images: Path, tmp_path: Path) -> None:
    """A network for other data is refused before anything is written."""
    state = read_checkpoint(finished.network).state
    state["classifier.weight"], state["classifier.bias"] = state["classifier.weight"][:7], state["classifier.bias"][:7]
    write_checkpoint(tmp_path / "seven.pth", state, threshold=0.05)
    with pytest.raises(InputError, match=r"returns \[1, 7\] for one image, expected \[1, 10\]"):
        fine_tuned(tmp_path / "seven.pth", tmp_path / "run", images)
    assert not (tmp_path / "run").exists()
