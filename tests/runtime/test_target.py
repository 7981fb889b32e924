"""Where and how a model runs."""

import pytest

from swp_export.errors import InputError
from swp_export.runtime.target import CPU, Target


@pytest.mark.parametrize(
    ("device", "kind", "ordinal"),
    [("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:1", "cuda", 1), ("openvino", "openvino", 0)],
)
def test_a_device_has_a_kind_and_a_number(device, kind, ordinal):
    """The number of a GPU stands behind a colon, and is 0 where none does."""
    target = Target(device=device)
    assert (target.kind, target.ordinal) == (kind, ordinal)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:", "cuda:x", "cuda:-1", "", "openvino:GPU"])
def test_what_is_no_device_is_refused(device):
    """The message names what there is."""
    with pytest.raises(InputError, match="expected cpu, cuda, cuda:1 or openvino"):
        Target(device=device)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_options_of_cuda_are_refused_elsewhere(device):
    """What would do nothing is no option."""
    with pytest.raises(InputError, match="--tf32 and --cuda-graph would do nothing on device"):
        Target(device=device, tf32=True, cuda_graph=True)
    assert Target(device="cuda", tf32=True, cuda_graph=True).to_json()["tf32"] is True
    assert "tf32" not in Target(device=device).to_json()


@pytest.mark.parametrize("numbers", [{"threads": 0}, {"batch": 0}])
def test_threads_and_batch_are_at_least_one(numbers):
    """None is a defect of the caller."""
    with pytest.raises(ValueError, match="at least 1"):
        Target(**numbers)


def test_what_is_tuned_is_verified_where_float32_is_float32():
    """Forms for OpenVINO are verified by it, those for CUDA on the CPU."""
    assert Target(device="openvino", threads=2).verified_on == Target(device="openvino")
    assert Target(device="cuda:1", tf32=True).verified_on == CPU
