"""A checkpoint's network computes what its file computes, and nothing else passes for it."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from swp_export.architectures import ARCHITECTURES
from swp_export.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from swp_export.errors import ArchitectureError, InputError
from swp_export.network.instantiate import Network, instantiate, reference_name
from swp_export.network.stock_counts import stock_counts
from swp_export.network.unpruned import threshold_error, unpruned
from swp_export.nn import BatchNorm2d, FilterStripe, Linear, convert

MODELS = Path(__file__).parents[2] / "models"
RESNET, VGG = MODELS / "resnet56-fashion-mnist", MODELS / "vgg16-fashion-mnist"
FOLDERS = {"ResNet56": RESNET, "VGG16": VGG}

State = dict[str, torch.Tensor]

# file, threshold, the recorded logits of its own network
FILES = [
    (RESNET / "best.pth.tar", 0.01, "logits_reference"),
    (RESNET / "best.pth.tar", 0.1, "logits_reference_0.1"),
    (RESNET / "best.pth.tar", 0.2, "logits_reference_0.2"),
    (RESNET / "pruned.pth.tar", None, "logits_broken"),
    (RESNET / "pruned_patch1.pth.tar", 0.01, "logits_broken"),
    (RESNET / "pruned_0.1.pth.tar", None, "logits_broken_0.1"),
    (RESNET / "pruned_0.2.pth.tar", None, "logits_broken_0.2"),
    (VGG / "pruned.pth.tar", None, "logits_broken"),
]
FLOAT32_ERROR = 1e-5  # on logits up to 17, where the recorded logits were computed in float32
FLOAT64_ERROR = 1e-9


def images(folder: Path) -> torch.Tensor:
    """Return the samples `[16, 3, 32, 32]` beside a checkpoint."""
    return torch.from_numpy(np.load(folder / "samples.npz")["images"]).repeat(1, 3, 1, 1)


def logits(module: nn.Module, x: torch.Tensor, *, double: bool = False) -> np.ndarray:
    """Return what `module` computes, in float64 if `double`."""
    with torch.no_grad():
        return (copy.deepcopy(module).double()(x.double()) if double else module(x)).numpy()


def furthest(path: Path, module: nn.Module, key: str, *, double: bool, samples: int = 4) -> float:
    """Return the largest difference between what `module` computes and what was recorded beside `path`."""
    recorded = np.load(path.parent / "samples.npz")[key][:samples]
    return float(np.abs(logits(module, images(path.parent)[:samples], double=double) - recorded).max())


def altered(checkpoint: Checkpoint, **state: torch.Tensor | None) -> Checkpoint:
    """Return `checkpoint` with some tensors replaced, or left out where None; `__` in a name stands for a dot."""
    changed = dict(checkpoint.state)
    for name, tensor in state.items():
        changed.pop(name.replace("__", "."))
        if tensor is not None:
            changed[name.replace("__", ".")] = tensor
    return dataclasses.replace(checkpoint, state=changed)


def checkpoint_of(tmp_path: Path, state: State) -> Checkpoint:
    """Return the checkpoint that holds `state`."""
    path = tmp_path / "checkpoint.pth"
    torch.save(dict(state), path)
    return read_checkpoint(path)


class TestRecordedLogits:
    """The files that the method's own code wrote."""

    @pytest.mark.parametrize(("path", "threshold", "key"), FILES)
    def test_every_file_computes_its_recorded_logits(self, path: Path, threshold: float | None, key: str) -> None:
        """In float64 an unbroken file equals its reference to 1e-9; broken ones their own float32 run closely."""
        module = instantiate(read_checkpoint(path), threshold=threshold).module
        tolerance = FLOAT64_ERROR if "reference" in key else FLOAT32_ERROR
        assert furthest(path, module, key, double=True, samples=16) < tolerance
        assert furthest(path, module, key, double=False, samples=16) < FLOAT32_ERROR

    @pytest.mark.parametrize(("path", "threshold"), [(VGG / "pruned.pth.tar", None), (RESNET / "pruned.pth.tar", None)])
    def test_broken_files_are_near_the_reference(self, path: Path, threshold: float | None) -> None:
        """Where no block died, the broken file is the thresholded network, but for its float32 rounding."""
        module = instantiate(read_checkpoint(path), threshold=threshold).module
        assert furthest(path, module, "logits_reference", double=True) < FLOAT32_ERROR

    def test_one_moved_stripe_is_noticed(self) -> None:
        """A skeleton with one stripe moved to another tap of its filter is off by far more than the tolerance."""
        path = VGG / "pruned.pth.tar"
        checkpoint = read_checkpoint(path)
        mask = checkpoint.state["features.14.FilterSkeleton"].clone()
        filter_ = int(torch.nonzero(mask.sum((1, 2)) == 1)[0])
        i, j = torch.nonzero(mask[filter_])[0].tolist()
        mask[filter_, i, j] = False
        mask[filter_, i, (j + 1) % 3] = True
        moved = altered(checkpoint, features__14__FilterSkeleton=mask)
        assert furthest(path, instantiate(moved).module, "logits_broken", double=True) > 100 * FLOAT32_ERROR

    def test_one_swapped_row_is_noticed(self) -> None:
        """Rows in another order are another network."""
        path = RESNET / "pruned.pth.tar"
        checkpoint = read_checkpoint(path)
        rows = checkpoint.state["layer1.0.conv1.weight"].clone()
        rows[[0, 1]] = rows[[1, 0]]
        swapped = altered(checkpoint, layer1__0__conv1__weight=rows)
        assert furthest(path, instantiate(swapped).module, "logits_broken", double=True) > 100 * FLOAT32_ERROR

    def test_unpruned_is_the_network_as_saved(self) -> None:
        """With no threshold applied an unbroken file computes what it did before pruning."""
        path = RESNET / "best.pth.tar"
        module = unpruned(instantiate(read_checkpoint(path), threshold=0.2))
        assert furthest(path, module, "logits_unbroken", double=False) < FLOAT32_ERROR

    @pytest.mark.parametrize(("path", "threshold"), [f[:2] for f in FILES if "broken" in f[2] and "0.2" not in f[2]])
    def test_a_broken_file_fits_into_the_stock_network(self, path: Path, threshold: float | None) -> None:
        """The unpruned network of a broken file has the stock shapes and computes the same, dead blocks included."""
        network = instantiate(read_checkpoint(path), threshold=threshold)
        dense = unpruned(network)
        x = images(path.parent)[:2]
        difference = logits(dense, x, double=True) - logits(network.module, x, double=True)
        assert np.abs(difference).max() < FLOAT64_ERROR
        with torch.device("meta"):
            stock = ARCHITECTURES[network.architecture].constructor(10).state_dict()
        assert {k: t.shape for k, t in dense.state_dict().items()} == {k: t.shape for k, t in stock.items()}

    def test_a_lost_relu_does_not_fit_into_the_stock_network(self) -> None:
        """The blocks that prune() left without their last ReLU are named, and the unbroken file is suggested."""
        network = instantiate(read_checkpoint(RESNET / "pruned_0.2.pth.tar"))
        with pytest.raises(ArchitectureError, match=r"^layer2\.0, layer3\.0 lost the last ReLU.*unbroken checkpoint"):
            unpruned(network)


class TestNetwork:
    """What a Network says of itself."""

    @pytest.mark.parametrize(("path", "threshold"), [f[:2] for f in FILES])
    def test_it_knows_its_architecture_and_shapes(self, path: Path, threshold: float | None) -> None:
        """Architecture, classes and input shape follow from the keys, without any option."""
        network = instantiate(read_checkpoint(path), threshold=threshold)
        assert FOLDERS[network.architecture] == path.parent
        assert (network.num_classes, network.input_shape) == (10, (3, 32, 32))
        assert network.threshold == threshold

    def test_dead_stripes_are_exactly_zero(self) -> None:
        """Dead values of the skeleton are 0, live ones untouched, the product is left to the forward pass."""
        checkpoint = read_checkpoint(RESNET / "best.pth.tar")
        network = instantiate(checkpoint, threshold=0.01)
        for name, skeleton in network.skeletons.items():
            saved = checkpoint.state[f"{name}.FilterSkeleton"]
            layer = network.module.get_submodule(name)
            assert isinstance(layer, FilterStripe)
            assert np.array_equal(skeleton.mask, (saved.abs() > 0.01).numpy())
            assert torch.equal(layer.FilterSkeleton, torch.where(torch.from_numpy(skeleton.mask), saved, 0.0))
            assert torch.equal(layer.weight, checkpoint.state[f"{name}.weight"])
        assert torch.equal(
            network.module.get_parameter("layer2.0.downsample.0.FilterSkeleton"),
            checkpoint.state["layer2.0.downsample.0.FilterSkeleton"],
        )

    def test_it_only_infers(self) -> None:
        """The module is in eval mode, float32, on the CPU and without gradients, widths included."""
        module = instantiate(read_checkpoint(VGG / "pruned.pth.tar")).module
        assert not any(layer.training for layer in module.modules())
        assert {(p.dtype, p.device.type, p.requires_grad) for p in module.parameters()} == {
            (torch.float32, "cpu", False)
        }
        for layer in module.modules():
            if isinstance(layer, FilterStripe):
                assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels)

    def test_skeletons_are_those_of_striped_layers(self) -> None:
        """The 55 convolutions with 3x3 kernels have a skeleton, the 1x1 shortcuts do not."""
        network = instantiate(read_checkpoint(RESNET / "pruned_patch1.pth.tar"), threshold=0.01)
        assert len(network.skeletons) == 55
        assert {skeleton.kernel for skeleton in network.skeletons.values()} == {(3, 3)}

    @pytest.mark.parametrize(("threshold", "layers"), [(0.1, 22), (0.2, 47)])
    def test_a_destroyed_network_is_mentioned(self, threshold: float, layers: int) -> None:
        """One sentence says how many layers are dead, where the gap lies that the threshold passed, and what to do."""
        network = instantiate(read_checkpoint(RESNET / "best.pth.tar"), threshold=threshold)
        (warning,) = network.warnings
        assert warning.startswith(f"the network was probably destroyed: {layers} of 55 layers have no live stripe")
        assert "layer1.5.conv2" in warning or threshold == 0.2
        assert "widest gap of the values, 4.77e-07 to 0.0104, and cuts" in warning
        assert f"`swp-export inspect {RESNET / 'best.pth.tar'}`" in warning

    def test_a_threshold_beyond_the_gap_is_mentioned(self) -> None:
        """No layer is dead yet, but stripes are cut that training kept."""
        (warning,) = instantiate(read_checkpoint(RESNET / "best.pth.tar"), threshold=0.011).warnings
        assert "no live stripe" not in warning
        assert "the threshold 0.011 lies beyond the widest gap" in warning

    @pytest.mark.parametrize("threshold", [1e-9, 1e-6, 0.0103, 0.01])
    def test_a_threshold_up_to_the_gap_is_fine(self, threshold: float) -> None:
        """Nothing that training kept is cut, so nothing is said."""
        assert instantiate(read_checkpoint(RESNET / "best.pth.tar"), threshold=threshold).warnings == ()

    def test_what_the_threshold_alone_changes(self) -> None:
        """At the threshold of the training next to nothing, far beyond it everything; a broken file has forgotten."""
        checkpoint = read_checkpoint(RESNET / "best.pth.tar")
        near, far = (threshold_error(instantiate(checkpoint, threshold=t)) for t in (0.01, 0.1))
        assert near is not None
        assert far is not None
        assert 0 < near < 1e-5
        assert 0.1 < far <= 2
        assert threshold_error(instantiate(checkpoint, threshold=0)) == 0
        assert threshold_error(instantiate(read_checkpoint(RESNET / "pruned.pth.tar"))) is None

    def test_what_a_model_is_compared_with(self) -> None:
        """The words say that values were set to zero, which; a broken file is taken as it computes."""
        whole, broken = RESNET / "best.pth.tar", RESNET / "pruned_patch1.pth.tar"
        name = reference_name(instantiate(read_checkpoint(whole), threshold=0.01))
        assert name == f"{whole} with every |FilterSkeleton| <= 0.01 set to zero"
        assert reference_name(instantiate(read_checkpoint(broken), threshold=0.01)) == f"{broken} as it computes"

    def test_replaced_blocks_are_mentioned(self) -> None:
        """A broken file that lost blocks says which, and what went with them."""
        (warning,) = instantiate(read_checkpoint(RESNET / "pruned_0.1.pth.tar")).warnings
        assert warning.startswith("16 residual blocks (layer1.5, layer1.7, ")
        assert "last ReLU" in warning
        assert "probably destroyed" in warning


class TestArchitectures:
    """Names and factories, and files that contradict them."""

    def test_without_recorded_names_the_depth_is_asked_for(self, tmp_path: Path) -> None:
        """A file that lost its last blocks and the record of them fits several depths; --arch settles it."""
        original = read_checkpoint(RESNET / "pruned_0.1.pth.tar")
        save_file(original.state, tmp_path / "pruned.safetensors")
        checkpoint = read_checkpoint(tmp_path / "pruned.safetensors")
        with pytest.raises(ArchitectureError, match=r"^ResNet44, ResNet56, ResNet110 fit.*--arch"):
            instantiate(checkpoint)
        x = images(RESNET)
        found = logits(instantiate(checkpoint, architecture="resnet56").module, x)
        assert np.array_equal(found, logits(instantiate(original).module, x))

    def test_recorded_names_contradict_another_depth(self) -> None:
        """Blocks that the file never had are missing, not dead."""
        with pytest.raises(
            ArchitectureError, match=r"not a ResNet110: \d+ keys are missing \(layer1\.9\.conv1\.weight"
        ):
            instantiate(read_checkpoint(RESNET / "pruned.pth.tar"), architecture="ResNet110")

    def test_a_block_without_keys_is_no_dead_block(self) -> None:
        """A file that records a block's convolutions lacks their keys: it is damaged, not pruned."""
        original = read_checkpoint(RESNET / "best.pth.tar")
        assert "layer1.3.conv1" in original.modules
        state = {key: tensor for key, tensor in original.state.items() if not key.startswith("layer1.3.")}
        with pytest.raises(ArchitectureError, match=r"keys are missing \(layer1\.3\.conv1\.weight"):
            instantiate(dataclasses.replace(original, state=state), architecture="ResNet56", threshold=0.01)

    def test_missing_and_unexpected_keys_are_named(self) -> None:
        """The first few of both, and what to do."""
        checkpoint = read_checkpoint(VGG / "pruned.pth.tar")
        changed = altered(checkpoint, features__40__weight=None, features__40__FilterSkeleton=None)
        changed.state["extra"] = torch.zeros(1)
        with pytest.raises(ArchitectureError, match=r"missing \(features\.40\.weight.*unexpected \(extra\).*--arch"):
            instantiate(changed, architecture="VGG16")

    def test_a_missing_skeleton_is_a_missing_key(self) -> None:
        """A 3x3 layer of the method's networks without its skeleton is no ordinary convolution."""
        checkpoint = altered(read_checkpoint(RESNET / "best.pth.tar"), layer1__0__conv1__FilterSkeleton=None)
        with pytest.raises(ArchitectureError, match=r"missing \(layer1\.0\.conv1\.FilterSkeleton\)"):
            instantiate(checkpoint, threshold=0.01)

    def test_batch_counters_may_be_absent(self) -> None:
        """`num_batches_tracked` is nothing that inference needs."""
        checkpoint = read_checkpoint(VGG / "pruned.pth.tar")
        state = {k: t for k, t in checkpoint.state.items() if not k.endswith("num_batches_tracked")}
        assert instantiate(dataclasses.replace(checkpoint, state=state)).num_classes == 10

    def test_widths_that_contradict_each_other_name_the_layer(self) -> None:
        """The layer and both channel counts."""
        checkpoint = read_checkpoint(VGG / "pruned.pth.tar")
        rows = checkpoint.state["features.3.weight"]
        narrow = altered(checkpoint, features__3__weight=rows[:, :-2])
        with pytest.raises(ArchitectureError, match=r"features\.3 takes 29 channels but is given 31"):
            instantiate(narrow)

    def test_a_residual_sum_that_does_not_fit_is_located(self) -> None:
        """Branch and shortcut of different widths are reported after the layer before their sum."""
        state = dict(read_checkpoint(RESNET / "best.pth.tar").state)
        state["layer1.3.conv2.weight"] = state["layer1.3.conv2.weight"][:9]
        state["layer1.3.conv2.FilterSkeleton"] = state["layer1.3.conv2.FilterSkeleton"][:9]
        state |= {k: t[:9] for k, t in state.items() if k.startswith("layer1.3.bn2.") and t.ndim}
        checkpoint = dataclasses.replace(read_checkpoint(RESNET / "best.pth.tar"), state=state)
        with pytest.raises(ArchitectureError, match=r"after layer1\.3\.bn2 .*\b16\b.*\b9\b"):
            instantiate(checkpoint, threshold=0.01)

    def test_tensors_of_one_layer_that_differ_are_refused(self) -> None:
        """A BatchNorm whose mean is shorter than its gamma is a damaged file."""
        checkpoint = read_checkpoint(VGG / "pruned.pth.tar")
        mean = checkpoint.state["features.1.running_mean"][:-1]
        with pytest.raises(ArchitectureError, match=r"tensors of features\.1 differ.*running_mean': 30"):
            instantiate(altered(checkpoint, features__1__running_mean=mean))

    def test_another_kernel_is_refused(self) -> None:
        """Widths are free, kernels are the architecture's."""
        checkpoint = read_checkpoint(RESNET / "best.pth.tar")
        weight, skeleton = torch.ones(16, 3, 5, 5), torch.ones(16, 5, 5)
        with pytest.raises(ArchitectureError, match=r"conv1\.weight is \[16, 3, 5, 5\], expected \[16, 3, 3, 3\]"):
            instantiate(altered(checkpoint, conv1__weight=weight, conv1__FilterSkeleton=skeleton), threshold=0.01)

    def test_a_recorded_factory_runs_on_request_only(self, tmp_path: Path) -> None:
        """A file cannot make this program import and call what it names."""
        state = read_checkpoint(VGG / "pruned.pth.tar").state
        write_checkpoint(tmp_path / "own.pth", state, architecture="os:getcwd")
        with pytest.raises(ArchitectureError, match="run only on request; give --arch os:getcwd if you trust it"):
            instantiate(read_checkpoint(tmp_path / "own.pth"))

    def test_an_input_shape_with_other_channels_is_refused(self) -> None:
        """The first convolution says how many channels there are."""
        with pytest.raises(InputError, match=r"takes 3 channels, but the input shape is \[1, 32, 32\]"):
            instantiate(read_checkpoint(VGG / "pruned.pth.tar"), input_shape=(1, 32, 32))

    def test_an_input_of_another_size_is_refused_by_the_layer(self) -> None:
        """A VGG's classifier fixes the size of its input."""
        with pytest.raises(ArchitectureError, match=r"classifier takes \d+ channels but is given.*--input-shape"):
            instantiate(read_checkpoint(VGG / "pruned.pth.tar"), input_shape=(3, 64, 64))

    def test_a_resnet_takes_any_size(self) -> None:
        """Where nothing depends on the size, the requested one is taken."""
        network = instantiate(read_checkpoint(RESNET / "pruned.pth.tar"), input_shape=(3, 48, 40))
        assert network.input_shape == (3, 48, 40)


def users_network(num_classes: int = 10) -> nn.Module:
    """Return a small network with a bias, an even kernel and a 1x1 layer."""
    return nn.Sequential(
        OrderedDict(
            conv1=FilterStripe(1, 6, (2, 3), bias=True),
            bn1=BatchNorm2d(6),
            relu=nn.ReLU(),
            conv2=FilterStripe(6, 5, 1),
            conv3=FilterStripe(5, 4, 3, stride=2),
            bn3=BatchNorm2d(4),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=Linear(4, num_classes),
        )
    )


FACTORY = f"{__name__}:users_network"


@pytest.fixture
def users_state() -> State:
    """Return a state dict of `users_network` with three classes and values on both sides of 0.01."""
    torch.manual_seed(0)
    module = users_network(3)
    for layer in module.modules():
        if isinstance(layer, FilterStripe):
            layer.FilterSkeleton.data.uniform_(-0.02, 0.02)
        if isinstance(layer, BatchNorm2d):
            nn.init.normal_(layer.bias)
    return dict(module.state_dict())


class TestFactories:
    """Networks that users bring."""

    def test_a_factory_s_network_is_thresholded_like_ours(self, tmp_path: Path, users_state: State) -> None:
        """A factory gives the structure, the file the widths, the classes and the weights."""
        network = instantiate(
            checkpoint_of(tmp_path, users_state), threshold=0.01, architecture=FACTORY, input_shape=(1, 9, 8)
        )
        assert (network.num_classes, network.architecture, list(network.skeletons)) == (3, FACTORY, ["conv1", "conv3"])
        expected = users_network(3).eval()
        for name in ("conv1", "conv3"):
            values = users_state[f"{name}.FilterSkeleton"]
            users_state[f"{name}.FilterSkeleton"] = torch.where(values.abs() > 0.01, values, 0.0)
        expected.load_state_dict(users_state)
        x = torch.randn(2, 1, 9, 8)
        assert np.array_equal(logits(network.module, x), logits(expected, x))

    def test_its_input_shape_must_be_given(self, tmp_path: Path, users_state: State) -> None:
        """Nothing says what size a user's network is made for."""
        with pytest.raises(InputError, match=r"input shape of .*users_network is not known; give --input-shape"):
            instantiate(checkpoint_of(tmp_path, users_state), threshold=0.01, architecture=FACTORY)

    @pytest.mark.parametrize("rows", [True, False])
    def test_a_mask_on_a_1x1_layer_is_honoured(self, tmp_path: Path, users_state: State, rows: bool) -> None:
        """A bool skeleton `[N, 1, 1]` masks its layer, broken into rows or not; a float one only scales."""
        mask = torch.tensor([True, False, True, False, False])[:, None, None]
        weight = users_state["conv2.weight"]
        users_state["conv2.FilterSkeleton"] = mask
        users_state["conv2.weight"] = weight[mask[:, 0, 0]] if rows else weight
        network = self.network(tmp_path, users_state)
        assert np.array_equal(network.skeletons["conv2"].mask, mask.numpy())
        users_state["conv2.weight"] = weight * mask[..., None]
        users_state["conv2.FilterSkeleton"] = torch.ones(5, 1, 1)
        x = torch.randn(2, 1, 9, 8)
        expected = self.network(tmp_path, users_state)
        assert np.array_equal(logits(network.module, x), logits(expected.module, x))
        assert np.array_equal(logits(unpruned(network), x), logits(unpruned(expected), x))

    def test_a_layer_that_lost_every_filter_is_one_channel_of_zeros(self, tmp_path: Path, users_state: State) -> None:
        """A width of zero, which prune() can leave behind, computes as a dead channel does."""
        state = {k: t for k, t in users_state.items() if not k.startswith(("conv1.", "bn1.", "conv2.", "conv3."))}
        empty = torch.zeros(0)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"bn1.{name}"] = empty
        state |= {"conv1.weight": torch.zeros(0, 1, 1, 1), "conv1.bias": empty}
        state["conv1.FilterSkeleton"] = torch.zeros(0, 2, 3, dtype=torch.bool)
        state |= {"conv2.weight": torch.zeros(5, 0, 1, 1), "conv2.FilterSkeleton": torch.ones(5, 1, 1)}
        mask = torch.ones(4, 3, 3, dtype=torch.bool)
        state |= {"conv3.weight": torch.randn(36, 5, 1, 1), "conv3.FilterSkeleton": mask}
        network = instantiate(checkpoint_of(tmp_path, state), architecture=FACTORY, input_shape=(1, 9, 8))
        assert network.module.get_submodule("conv1").get_parameter("weight").shape == (1, 1, 2, 3)
        assert "1 of 2 layers have no live stripe (conv1)" in network.warnings[0]
        bn, fc = network.module.get_submodule("bn3"), network.module.get_submodule("fc")
        assert isinstance(bn, nn.BatchNorm2d)
        mean, variance = bn.running_mean, bn.running_var
        assert mean is not None
        assert variance is not None
        with torch.no_grad():
            constant = fc(bn.bias - bn.weight * mean / (variance + bn.eps).sqrt())
        out = torch.from_numpy(logits(network.module, torch.randn(2, 1, 9, 8)))
        torch.testing.assert_close(out, constant.expand(2, 3))

    @staticmethod
    def network(tmp_path: Path, state: State) -> Network:
        """Return the network of `state` at threshold 0.01."""
        return instantiate(checkpoint_of(tmp_path, state), threshold=0.01, architecture=FACTORY, input_shape=(1, 9, 8))


def convolutional_head(num_classes: int = 7) -> nn.Module:
    """Return a network whose last layer is a 1x1 convolution: maps of logits, no fully connected layer."""
    return nn.Sequential(
        OrderedDict(conv=FilterStripe(1, 6, 3), bn=BatchNorm2d(6), relu=nn.ReLU(), head=nn.Conv2d(6, num_classes, 1))
    )


def sequence() -> nn.Module:
    """Return a network with an output `[N, C, L]`."""
    return nn.Sequential(OrderedDict(conv=FilterStripe(1, 6, 3), flat=nn.Flatten(2)))


class TestNetworksWithoutFullyConnectedLayers:
    """Any module will do: the number of classes matters only to factories that ask for it."""

    def test_maps_of_logits(self, tmp_path: Path) -> None:
        """A segmentation network takes over its file's widths; the unpruned one has them too."""
        torch.manual_seed(0)
        expected = convolutional_head(3).eval()
        network = instantiate(
            checkpoint_of(tmp_path, dict(expected.state_dict())),
            threshold=0.01,
            architecture=f"{__name__}:convolutional_head",
            input_shape=(1, 9, 8),
        )
        x = torch.randn(2, 1, 9, 8)
        assert network.num_classes == 3
        assert logits(network.module, x).shape == (2, 3, 9, 8)
        assert np.array_equal(logits(network.module, x), logits(expected, x))
        assert np.array_equal(logits(unpruned(network), x), logits(expected, x))

    def test_an_output_of_another_rank_has_no_classes(self, tmp_path: Path) -> None:
        """The number is None, and the stock network is built and counted without it."""
        network = instantiate(
            checkpoint_of(tmp_path, dict(sequence().state_dict())),
            threshold=0.01,
            architecture=f"{__name__}:sequence",
            input_shape=(1, 9, 8),
        )
        assert network.num_classes is None
        assert stock_counts(network.architecture, None, (1, 9, 8)).params == 54
        assert unpruned(network)(torch.zeros(2, 1, 9, 8)).shape == (2, 6, 72)

    def test_a_known_network_needs_its_classes(self, tmp_path: Path) -> None:
        """A file without a fully connected layer is none of the networks that we know."""
        state = dict(convolutional_head(3).state_dict())
        with pytest.raises(ArchitectureError, match=r"no fully connected layer to tell VGG16's.*--arch"):
            instantiate(checkpoint_of(tmp_path, state), threshold=0.01, architecture="VGG16")


class TestImageNet:
    """State dicts of torchvision's networks into which FilterStripe was swapped."""

    @pytest.fixture
    def state(self) -> State:
        """Return a ResNet18's state dict with every skeleton."""
        torch.manual_seed(0)
        return dict(ARCHITECTURES["ResNet18"].constructor(4).state_dict())

    @pytest.mark.parametrize(
        ("dropped", "plain"),
        [
            (r"nothing", []),
            (r".*downsample.*", []),
            (r".*downsample.*|conv1\..*", ["conv1"]),
        ],
    )
    def test_it_loads_with_and_without_skeletons(
        self, tmp_path: Path, state: State, dropped: str, plain: list[str]
    ) -> None:
        """A layer without a skeleton is an ordinary convolution; a larger one than 1x1 is mentioned."""
        kept = {k: t for k, t in state.items() if not (k.endswith("FilterSkeleton") and re.fullmatch(dropped, k))}
        network = instantiate(checkpoint_of(tmp_path, kept), threshold=0.5, input_shape=(3, 64, 64))
        assert network.architecture == "ResNet18"
        assert [warning.split()[0] for warning in network.warnings] == plain
        expected = ARCHITECTURES["ResNet18"].constructor(4).eval()
        expected.load_state_dict(state)
        x = torch.randn(1, 3, 64, 64)
        assert np.array_equal(logits(network.module, x), logits(expected, x))


def test_the_plain_factory_of_a_converted_network_will_do(tmp_path: Path) -> None:
    """A network that `convert` gave its skeletons is built by the factory that it had before."""
    trained = convert(plain_network())
    network = instantiate(
        checkpoint_of(tmp_path, trained.state_dict()),
        threshold=0.01,
        architecture=f"{__name__}:plain_network",
        input_shape=(3, 8, 8),
    )
    assert list(network.skeletons) == ["0"]
    x = torch.randn(2, 3, 8, 8)
    assert np.array_equal(logits(network.module, x), logits(trained.eval(), x))


def plain_network() -> nn.Module:
    """Return a network without any Filter Skeleton."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
