"""What layers took, kept between runs, and never for other facts than it was measured for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tunable_models import SHAPE, compact_network, rigged

import swp_export.tuning.cache as cache_module
from swp_export.tuning.cache import LayerCache, default_path
from swp_export.tuning.layer_case import layer_cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.tuning.layer_case import LayerCase
    from swp_export.tuning.model_timer import ModelTimer

TIMER = rigged(lambda _: 1.0)


def on(**changes: Any) -> ModelTimer:
    """Return the timer of another target."""
    return dataclasses.replace(TIMER, target=dataclasses.replace(TIMER.target, **changes))


TIMES = {"dense": 0.5, "shift": 0.25}


def case() -> LayerCase:
    """Return the layer conv1."""
    return layer_cases(compact_network(), (1, *SHAPE))[1]


def with_conv(**changes: object) -> LayerCase:
    """Return the layer conv1 with another convolution."""
    return dataclasses.replace(case(), conv=dataclasses.replace(case().conv, **changes))


def another_skeleton() -> LayerCase:
    """Return the layer with one stripe more, of the same shape."""
    weight = case().conv.weight.copy()
    weight[0, :, *np.argwhere(~case().conv.skeleton.mask[0])[0]] = 1
    return with_conv(weight=weight)


OTHER_CASES: dict[str, Callable[[], LayerCase]] = {
    "skeleton": another_skeleton,
    "shape": lambda: with_conv(weight=case().conv.weight[:, :-1]),
    "filters": lambda: with_conv(weight=case().conv.weight[:-1], bias=case().conv.bias[:-1]),
    "stride": lambda: with_conv(strides=(2, 2)),
    "pads": lambda: with_conv(pads=(0, 0, 0, 0)),
    "dilation": lambda: with_conv(dilations=(2, 2)),
    "input": lambda: dataclasses.replace(case(), input_shape=(1, 12, 16, 16)),
    "order not free": lambda: dataclasses.replace(case(), free=False),
}
OTHER_TIMERS = {
    "device": on(device="openvino"),
    "threads": on(threads=2),
    "batch": on(batch=8),
    "precision": on(precision="int8"),
}


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    """Return an empty one."""
    return LayerCache(tmp_path / "layers.json")


def test_the_same_facts_have_the_same_key(cache: LayerCache) -> None:
    """The name of the layer and the values of its weights decide no time."""
    conv = case().conv
    same = [case(), with_conv(name="another"), with_conv(weight=2 * conv.weight, bias=conv.bias + 1)]
    assert len({cache.key(layer, TIMER) for layer in same}) == 1


@pytest.mark.parametrize("fact", OTHER_CASES)
def test_another_layer_has_another_key(fact: str, cache: LayerCache) -> None:
    """All that decides the work, and where the filters may be ordered."""
    assert cache.key(OTHER_CASES[fact](), TIMER) != cache.key(case(), TIMER)


@pytest.mark.parametrize("fact", OTHER_TIMERS)
def test_another_track_has_another_key(fact: str, cache: LayerCache) -> None:
    """All that decides how it runs."""
    timer: ModelTimer = OTHER_TIMERS[fact]
    assert cache.key(case(), timer) != cache.key(case(), TIMER)


def test_another_runtime_or_program_or_processor_has_another_key(
    cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured before an update is measured again."""
    keys = {cache.key(case(), TIMER)}
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "installed", lambda _: {"onnxruntime": "0.0.1"})
        keys.add(cache.key(case(), TIMER))
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "version", lambda _: "0.0.1")
        keys.add(cache.key(case(), TIMER))
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "read_cpu", lambda: SimpleNamespace(model="Z80", features=None))
        keys.add(cache.key(case(), TIMER))
    assert len(keys) == 4


def test_times_are_kept_between_runs(cache: LayerCache, tmp_path: Path) -> None:
    """In a folder that is made where it is missing."""
    path = tmp_path / "new" / "layers.json"
    first = LayerCache(path)
    first.put("key", TIMES)
    assert not path.exists()
    first.save()
    assert LayerCache(path).get("key") == TIMES
    assert LayerCache(path).get("another") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 100_000])
def test_a_corrupt_file_is_ignored(content: bytes, tmp_path: Path) -> None:
    """It is as if there were none, and the next save replaces it."""
    path = tmp_path / "layers.json"
    path.write_bytes(content)
    found = LayerCache(path)
    assert found.get("key") is None
    found.put("key", TIMES)
    found.save()
    assert LayerCache(path).get("key") == TIMES


@pytest.mark.parametrize("entry", [None, 3, [], {"dense": "fast"}, {"dense": None}, {"dense": -1.0}, {"dense": np.nan}])
def test_a_corrupt_entry_is_ignored(entry: object, tmp_path: Path) -> None:
    """Times are positive numbers, or are measured again."""
    path = tmp_path / "layers.json"
    path.write_text(json.dumps({"key": entry, "good": TIMES}))
    assert LayerCache(path).get("key") is None
    assert LayerCache(path).get("good") == TIMES


def test_a_file_that_cannot_be_read_or_written_is_ignored(tmp_path: Path) -> None:
    """A folder in its place, and a folder that cannot be made."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "layers.json"):
        found = LayerCache(path)
        found.put("key", TIMES)
        found.save()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_default_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below XDG_CACHE_HOME where that is set, else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "swp-export" / "layers.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert default_path() == tmp_path / "home" / ".cache" / "swp-export" / "layers.json"
