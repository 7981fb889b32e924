"""The inputs on which networks are compared, and the user's own samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.errors import InputError
from swp_export.verification.cases import (
    CONSTANTS,
    Case,
    in_batches_of,
    make_cases,
    noise_case,
    other_sizes,
)
from swp_export.verification.evaluation_data import read_evaluation_data
from swp_export.verification.samples import read_samples

shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


def test_large_images_are_fewer() -> None:
    """Of each kind of case some are left: noise in a batch, both signs of constants, corners and centre."""
    cases = {case.name.replace("of 3", "of 7"): case.x for case in make_cases((3, 160, 150))}
    assert cases.keys() == {case.name for case in make_cases((3, 8, 8))}
    assert [len(x) for x in cases.values()] == [1, 3, 1, 4, 5, 1, 3, 3]
    assert (cases["constants"].min(), cases["constants"].max()) == (-2, 1.5)
    assert {tuple(place[2:]) for place in np.argwhere(cases["impulses"])} == {
        *((0, 0), (0, 149), (159, 0), (159, 149), (80, 75))
    }


class TestGenerated:
    """Noise, constants and impulses."""

    @given(shape=shapes)
    def test_every_kind_is_there(self, shape: tuple[int, int, int]) -> None:
        """All cases are finite float32 images of the shape, of batch 1 and more, and none is there twice."""
        cases = {case.name: case.x for case in make_cases(shape)}
        assert len(cases) == len(list(make_cases(shape))) == 8
        assert all(x.dtype == np.float32 and x.shape[1:] == shape and np.isfinite(x).all() for x in cases.values())
        assert {len(x) for x in cases.values()} >= {1, 7}
        assert not cases["zeros"].any()
        assert [set(image.ravel().tolist()) for image in cases["constants"]] == [{c} for c in CONSTANTS.tolist()]

    @given(shape=shapes)
    def test_impulses(self, shape: tuple[int, int, int]) -> None:
        """Each impulse image is 1 at one position; corners, edges and the centre are among them."""
        (impulses,) = [case.x for case in make_cases(shape) if case.name == "impulses"]
        assert (impulses.sum(axis=(2, 3)) == 1).all()
        places = {tuple(np.argwhere(image[0])[0].tolist()) for image in impulses}
        assert len(places) == len(impulses)
        _, height, width = shape
        assert {(0, 0), (height - 1, width - 1), (0, width - 1), (height // 2, width // 2)} <= places

    def test_impulses_behind_the_batch(self) -> None:
        """Where channels come last, an impulse is at one height and width, in all channels."""
        (impulses,) = [case.x for case in make_cases((9, 8, 3)) if case.name == "impulses"]
        assert impulses.shape == (9, 9, 8, 3)
        assert (impulses.sum(axis=(1, 2)) == 1).all()
        assert noise_case((9, 8, 3)).name == "noise, 9x8"

    @given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple))
    def test_any_number_of_axes(self, sizes: tuple[int, ...]) -> None:
        """Signals, volumes and rows are made as images are."""
        for case in make_cases(sizes):
            assert case.shape[1:] == sizes
            assert [part.shape for part in in_batches_of(case, 2)] == [(2, *sizes)] * -(-len(case.x) // 2)

    def test_the_same_every_time(self) -> None:
        """A verification can be repeated: the noise is seeded."""
        first, second = (next(iter(make_cases((3, 4, 4)))).x for _ in range(2))
        assert np.array_equal(first, second)
        assert not np.array_equal(first, next(iter(make_cases((3, 4, 4), seed=1))).x)

    def test_other_sizes(self) -> None:
        """Other sizes are odd, not square, smaller and much larger, and never empty."""
        assert other_sizes(32, 32) == [(33, 34), (35, 32), (29, 31), (64, 65)]
        assert all(h > 0 and w > 0 for h, w in other_sizes(1, 1))

    @given(count=st.integers(1, 7), size=st.integers(1, 4))
    def test_batches_of_a_fixed_size(self, count: int, size: int) -> None:
        """Every image is in some batch, in order, and each batch is exactly as large as the model wants."""
        x = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)
        batches = [case.x for case in in_batches_of(Case(name="a", x=x), size)]
        assert all(batch.shape == (size, 1, 1, 1) for batch in batches)
        joined = np.concatenate(batches)
        assert np.array_equal(joined[:count], x)
        assert (joined[count:] == x[-1]).all()


class TestSamples:
    """The user's own .npz."""

    def write(self, folder: Path, **arrays: np.ndarray) -> Path:
        """Write `arrays` as an .npz and return its path."""
        path = folder / "samples.npz"
        np.savez(path, **arrays)
        return path

    def test_images(self, tmp_path: Path) -> None:
        """Images of the network's channels are taken as they are, of any size."""
        images = np.random.default_rng(0).normal(size=(3, 3, 5, 4)).astype(np.float32)
        case = read_samples(self.write(tmp_path, images=images, labels=np.zeros(3)), (3, 8, 8))
        assert np.array_equal(case.x, images)
        assert "samples.npz" in case.name

    @pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.float16])
    def test_one_channel_is_repeated(self, dtype: type, tmp_path: Path) -> None:
        """A grey image becomes one of three equal channels, in float32."""
        images = np.arange(8).reshape(2, 1, 2, 2).astype(dtype)
        case = read_samples(self.write(tmp_path, images=images), (3, 2, 2))
        assert case.x.shape == (2, 3, 2, 2)
        assert case.x.dtype == np.float32
        assert all(np.array_equal(case.x[:, c], images[:, 0]) for c in range(3))

    @pytest.mark.parametrize(
        ("arrays", "says"),
        [
            ({"pictures": np.zeros((1, 3, 2, 2))}, "no array 'images', it has: pictures"),
            ({"images": np.zeros((1, 2, 2, 2))}, r"is \[1, 2, 2, 2\]; the network wants \[N, 3, H, W\]"),
            ({"images": np.zeros((3, 2, 2))}, "the network wants"),
            ({"images": np.zeros((0, 3, 2, 2))}, "the network wants"),
            ({"images": np.zeros((2, 3, 0, 2))}, "the network wants"),
            ({"images": np.full((1, 3, 2, 2), np.nan)}, "NaN or infinite"),
            ({"images": np.full((1, 3, 2, 2), 1e300)}, "NaN or infinite"),
            ({"images": np.full((1, 3, 2, 2), "a")}, "the network wants float32"),
            ({"images": np.zeros((1, 3, 2, 2), np.complex64)}, "the network wants float32"),
            ({"images": np.full((1, 3, 2, 2), None)}, "is no .npz file"),
        ],
    )
    def test_what_does_not_fit(self, arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
        """Other arrays, channels, ranks, dtypes and values that are not finite are refused with what was found."""
        with pytest.raises(InputError, match=says) as caught:
            read_samples(self.write(tmp_path, **arrays), (3, 2, 2))
        assert "samples.npz" in str(caught.value)

    @pytest.mark.parametrize("kind", ["empty", "text", "npy", "truncated", "zip magic", "folder", "missing"])
    def test_what_is_no_npz(self, kind: str, tmp_path: Path) -> None:
        """Any other file, a folder and a missing file are refused with what --data wants."""
        path = tmp_path / "data.npz"
        good = self.write(tmp_path, images=np.zeros((1, 3, 2, 2), np.float32)).read_bytes()
        if kind == "folder":
            path.mkdir()
        elif kind == "npy":
            with path.open("wb") as file:
                np.save(file, np.zeros((1, 3, 2, 2)))
        elif kind != "missing":
            contents = {"empty": b"", "text": b"hello", "truncated": good[:-30], "zip magic": b"PK\x03\x04nothing"}
            path.write_bytes(contents[kind])
        with pytest.raises(InputError, match=r"--data wants"):
            read_samples(path, (3, 2, 2))


def test_cases_of_usual_magnitude() -> None:
    """Noise at the given size is what networks are made for; other magnitudes and sizes are not."""
    cases = {case.name: case for case in make_cases((3, 16, 16))}
    assert [name for name, case in cases.items() if case.is_usual] == ["noise", "noise, batch of 7"]
    assert not noise_case((3, 16, 16)).is_usual
    assert not any(case.is_of_user for case in cases.values())
    assert 0.9 < cases["noise"].x.std() < 1.1
    assert 27 < cases["noise times 30"].x.std() < 33
    assert 900 < cases["noise times 1000"].x.std() < 1100
    assert 0.0009 < cases["noise times 0.001"].x.std() < 0.0011


def test_constants_of_both_signs() -> None:
    """Eight constants of usual magnitude, none of them zero, none like another."""
    assert CONSTANTS.tolist() == [-2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2]


def test_sizes_of_one_position() -> None:
    """The smallest maps there are, of one position, are tried too."""
    assert other_sizes(4, 2) == [(5, 4), (7, 2), (1, 1), (8, 5)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_single_value_that_is_not_finite(value: float, tmp_path: Path) -> None:
    """One such value among good ones is enough to refuse the samples."""
    images = np.zeros((2, 3, 2, 2), np.float32)
    images[1, 2, 0, 1] = value
    np.savez(tmp_path / "samples.npz", images=images)
    with pytest.raises(InputError, match="NaN or infinite"):
        read_samples(tmp_path / "samples.npz", (3, 2, 2))


@pytest.mark.parametrize(("count", "name"), [(64, "samples of a.npz"), (65, "first 64 of 65 samples of a.npz")])
def test_samples_are_the_users(count: int, name: str, tmp_path: Path) -> None:
    """Every output must be decided on the first of them, and where some are left out their name says so."""
    np.savez(tmp_path / "a.npz", images=np.zeros((count, 3, 1, 1), np.float32))
    data = read_evaluation_data(data=tmp_path / "a.npz", input_shape=(3, 8, 8))
    assert data is not None
    case = data.first()
    assert (case.name, len(case.x)) == (name, 64)
    assert case.is_usual
    assert case.is_of_user
