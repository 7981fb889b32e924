"""Every layout is read, nothing else is, and every refusal says what to do."""

from __future__ import annotations

import argparse
import fractions
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from small_checkpoints import refusal, saved, small_state
from torch import nn

from swp_export.checkpoint import Checkpoint, read_checkpoint
from swp_export.errors import CheckpointError

MODELS = Path(__file__).parents[2] / "models"
RESNET, VGG = MODELS / "resnet56-fashion-mnist", MODELS / "vgg16-fashion-mnist"


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        (RESNET / "best.pth.tar", "unbroken"),
        (RESNET / "pruned.pth.tar", "broken"),
        (RESNET / "pruned_0.2.pth.tar", "broken"),
        (RESNET / "pruned_patch1.pth.tar", "broken-float"),
        (VGG / "pruned.pth.tar", "broken"),
    ],
)
def test_the_method_s_files_are_read(path: Path, layout: str) -> None:
    """Each file of the method's own code has its layout, its digest, and nothing that it does not say."""
    checkpoint = read_checkpoint(path)
    assert checkpoint.layout.name == layout
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (checkpoint.architecture, checkpoint.threshold, checkpoint.input_shape) == (None, None, None)


def test_module_names_outlive_dead_blocks() -> None:
    """The record inside a torch file names `layer3.8`, of which no key is left."""
    checkpoint = read_checkpoint(RESNET / "pruned_0.2.pth.tar")
    assert "layer3.8" in checkpoint.modules
    assert not any(key.startswith("layer3.8") for key in checkpoint.state)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net", "ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_wrappers_and_prefixes_are_removed(tmp_path: Path, prefix: str, wrapper: str | None, legacy: bool) -> None:
    """`{"state_dict": …}`, `{"model": …}`, `module.` and torch's old file format hide the same state dict."""
    state = small_state()
    content: dict[str, Any] = {prefix + key: tensor for key, tensor in state.items()}
    if wrapper:
        content = {"epoch": 3, wrapper: content, "optimizer": {"lr": 0.1}}
        content |= {"accuracy": np.float64(0.5), "losses": np.ones(3), "settings": argparse.Namespace(lr=0.1)}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(path).state
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_several_state_dicts_are_not_chosen_from(tmp_path: Path) -> None:
    """A model and its average in one file: the message says which keys there are, and how to take one."""
    message = refusal(saved(tmp_path, {"model": small_state(), "ema": small_state()}))
    assert "'model' and 'ema'" in message
    assert "torch.save(torch.load('...')['model'], 'weights.pth')" in message


def test_counters_are_no_part_of_the_network(tmp_path: Path) -> None:
    """What AveragedModel and thop count goes; a key of that name without the rest of AveragedModel stays."""
    state = small_state()
    averaged = {f"module.{key}": tensor for key, tensor in state.items()} | {"n_averaged": torch.tensor(3)}
    counted = averaged | {"total_ops": torch.zeros(1), "module.conv.total_params": torch.zeros(1)}
    assert read_checkpoint(saved(tmp_path, counted)).state.keys() == state.keys()
    assert "n_averaged" in read_checkpoint(saved(tmp_path, state | {"n_averaged": torch.tensor(3)})).state


def test_other_ways_to_save_a_network_are_named(tmp_path: Path) -> None:
    """A TorchScript file, an ONNX model and a pointer of Git LFS are told apart, with what to do."""
    path = tmp_path / "network.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for entry in ("network/data.pkl", "network/code/__torch__.py", "network/constants.pkl"):
            archive.writestr(entry, b"")
    message = refusal(path)
    assert "a TorchScript file, expected a checkpoint" in message
    assert f"torch.jit.load('{path}')" in message
    path.write_bytes(b"\x08\x08\x12\x00")
    assert "an ONNX model, expected a checkpoint; rename it so that it ends in .onnx" in refusal(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(path)


def test_a_longer_name_is_suggested(tmp_path: Path) -> None:
    """Of a name that was cut short, or is misspelled, the file that is there is named."""
    (tmp_path / "best.pth.tar").touch()
    for wrong in ("best.pth", "bset.pth.tar"):
        assert refusal(tmp_path / wrong).endswith(f"did you mean {tmp_path / 'best.pth.tar'}?")


def test_safetensors_are_read(tmp_path: Path) -> None:
    """A safetensors file is read, by its content if the suffix says nothing."""
    state = small_state(broken=True)
    for name in ("weights.safetensors", "weights.bin"):
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / name)
        checkpoint = read_checkpoint(tmp_path / name)
        assert checkpoint.layout.name == "broken"
        assert checkpoint.state.keys() == state.keys()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path without a file."""
    assert "does not exist" in refusal(tmp_path / "nothing.pth")


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    """A folder instead of the file in it."""
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a checkpoint: it starts with b'\\x89PNG"),
        (b"A checkpoint is a file.\n", "not a checkpoint: it starts with b'A checkp'"),
        (b"PK\x03\x04" + bytes(64), "truncated, damaged or no checkpoint"),
        (b"\x80\x02}q\x00.", "truncated, damaged or no checkpoint"),
        (b"\x80\x02", "truncated, damaged or no checkpoint"),
        (b"\xff\xff\x00\x00\x00\x00\x00\x00{}", "truncated, damaged or no checkpoint"),
    ],
)
def test_other_files_are_not_checkpoints(tmp_path: Path, content: bytes, complaint: str) -> None:
    """Empty, foreign and broken files are told apart."""
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    assert complaint in refusal(path)


def test_a_zip_of_arrays_is_not_a_checkpoint() -> None:
    """An .npz file is a zip archive as a checkpoint is, and is refused all the same."""
    assert "no checkpoint" in refusal(RESNET / "samples.npz")


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True), legacy=st.booleans())
def test_a_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, share: float, legacy: bool) -> None:
    """Wherever a file is cut off it is a CheckpointError, never another exception and never a network."""
    tmp_path = tmp_path_factory.mktemp("truncated")
    path = saved(tmp_path, small_state(), _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "copy or download" in refusal(path) or "empty" in refusal(path) or "starts with" in refusal(path)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), legacy=st.booleans())
def test_a_damaged_file_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, legacy: bool
) -> None:
    """Wrong bytes give a CheckpointError or a checkpoint, never another exception."""
    tmp_path = tmp_path_factory.mktemp("damaged")
    path = saved(tmp_path, small_state(), _use_new_zipfile_serialization=not legacy)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert isinstance(read_checkpoint(path), Checkpoint)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both ends are right


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_needs_code_is_refused_by_name(tmp_path: Path, legacy: bool) -> None:
    """The global that the file asks for is named, and not run."""
    content = {"state_dict": small_state(), "args": fractions.Fraction(1, 3)}
    message = refusal(saved(tmp_path, content, _use_new_zipfile_serialization=not legacy))
    assert "needs code to load (fractions.Fraction)" in message
    assert "torch.save(model.state_dict()" in message


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickled_module_is_refused(tmp_path: Path, legacy: bool) -> None:
    """A whole module is recognised, and the error says what to save instead."""
    message = refusal(saved(tmp_path, nn.Sequential(nn.Conv2d(3, 4, 3)), _use_new_zipfile_serialization=not legacy))
    assert "a whole pickled module" in message
    assert "torch.save(model.state_dict()" in message


def test_a_state_dict_without_skeletons_is_refused(tmp_path: Path) -> None:
    """An ordinary network is not one trained with Filter Skeletons."""
    assert "none of its 2 entries is a FilterSkeleton" in refusal(saved(tmp_path, nn.Conv2d(3, 4, 3).state_dict()))


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"state_dict": [1]}])
def test_other_content_is_refused(tmp_path: Path, content: object) -> None:
    """A torch file that holds no state dict."""
    assert "expected a state dict" in refusal(saved(tmp_path, content))


def test_a_value_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    """A state dict of tensors only."""
    assert "'epoch' is a int, expected a state dict of tensors" in refusal(saved(tmp_path, {"epoch": 3}))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_located(tmp_path: Path, value: float) -> None:
    """NaN and infinity are refused with the key that holds them."""
    state = small_state()
    state["bn.running_var"][1] = value
    assert "bn.running_var has 1 of 4 values that are NaN or infinite" in refusal(saved(tmp_path, state))


def test_values_beyond_float32_are_located(tmp_path: Path) -> None:
    """A network is computed in float32, so what that cannot hold is infinite."""
    state = small_state()
    state["conv.FilterSkeleton"] = state["conv.FilterSkeleton"].double() * 1e300
    assert "infinite in float32" in refusal(saved(tmp_path, state))
