"""A model and its reference are run on inputs that both take."""

import numpy as np
import pytest

from swp_export.errors import InputError
from swp_export.runtime.session import TensorSpec
from swp_export.verification.cases import Case, make_cases
from swp_export.verification.inputs import as_taken, shared_dtype


def spec(dtype: str) -> TensorSpec:
    """Return an input `[N, 3, 5, 5]` of that type."""
    return TensorSpec(name="x", shape=("N", 3, 5, 5), dtype=np.dtype(dtype))


@pytest.mark.parametrize(("dtype", "middle", "brightest"), [("uint8", 128, 255), ("int8", 0, 127)])
def test_bytes_are_pixels(dtype: str, middle: int, brightest: int) -> None:
    """Each case is what its name says: a grey image, points on it, noise around it, black and white noise."""
    cases = {case.name: case.x for case in make_cases((3, 5, 5), inputs=[spec(dtype)])}
    assert all(x.dtype == dtype for x in cases.values())
    assert (cases["zeros"] == middle).all()
    assert (cases["noise times 0.001"] == middle).all()
    assert [len(np.unique(x)) for x in cases["constants"]] == [1] * 8
    assert all(np.count_nonzero(x != middle) == 3 for x in cases["impulses"])
    assert len(np.unique(cases["noise, batch of 7"])) > 100
    assert cases["noise times 1000"].max() == brightest


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [("float32", "float32", "float32"), ("float64", "float16", "float16"), ("float16", "int64", "int64")],
)
def test_shared_dtype(one: str, other: str, shared: str) -> None:
    """Integers go before floats, the narrower before the wider."""
    assert shared_dtype(np.dtype(one), np.dtype(other)) == shared_dtype(np.dtype(other), np.dtype(one)) == shared


def test_samples_that_a_type_cannot_hold() -> None:
    """Floats are rounded; what is beyond the largest number of the type is refused, so are fractions for integers."""
    case = Case(name="samples", x=np.full((1, 1, 1, 1), 70000.25, np.float32))
    assert as_taken(case, [spec("float64")]).x.dtype == np.float64
    with pytest.raises(InputError, match=r"samples: .* float16, expected numbers from -65504 to 65504; found 70000.2"):
        as_taken(case, [spec("float16")])
    with pytest.raises(InputError, match="whole numbers"):
        as_taken(case, [spec("int32")])
