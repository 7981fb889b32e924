"""The layout of rows: every live stripe once, each filter's bias once."""

import numpy as np
from hypothesis import given
from small_models import random_conv, stripe_convs

from swp_export.lowerings.parts.stripe_rows import stripe_rows
from swp_export.stripes import StripeConv


@given(conv=stripe_convs())
def test_every_live_stripe_is_one_row(conv: StripeConv) -> None:
    """Rows are the live stripes, plus one carrier of the bias for each filter that has none."""
    rows = [(f, i, j) for i, j, f in stripe_rows(conv).rows]
    live = {tuple(index) for index in np.argwhere(conv.skeleton.mask).tolist()}
    assert len(rows) == len(set(rows))
    assert live <= set(rows)
    carriers = {f for f, _, _ in set(rows) - live}
    assert carriers == set(np.flatnonzero(conv.skeleton.stripes_per_filter == 0).tolist())


@given(conv=stripe_convs())
def test_every_filter_has_one_bias_row(conv: StripeConv) -> None:
    """The bias of each filter rides on exactly one row, which is that filter's first."""
    layout = stripe_rows(conv)
    rows = layout.rows
    assert sorted(layout.bias_rows()) == list(range(conv.filters))
    for filter_, row in layout.bias_rows().items():
        assert [f for _, _, f in rows].index(filter_) == row


@given(conv=stripe_convs())
def test_planes_hold_taps_of_one_phase(conv: StripeConv) -> None:
    """The taps of a plane are equal modulo the stride, and there are at most as many planes as phases."""
    layout = stripe_rows(conv)
    phases = []
    for plane in layout.planes:
        found = {
            tuple(offset % stride for offset, stride in zip(layout.offsets[i, j], conv.strides, strict=True))
            for i, j, _ in plane.rows
        }
        assert len(found) == 1
        phases += found
    assert len(phases) == len(set(phases)) <= conv.strides[0] * conv.strides[1]


def test_rows_depend_on_the_skeleton_alone() -> None:
    """Two weights with one skeleton have one layout; the lift relies on it."""
    mask = np.random.default_rng(0).random((4, 3, 3)) < 0.4
    layouts = [stripe_rows(random_conv(mask, seed=seed, strides=(2, 1))).rows for seed in (1, 2)]
    assert layouts[0] == layouts[1]
    other = mask.copy()
    other[0, 0, 0] ^= True
    assert stripe_rows(random_conv(other, strides=(2, 1))).rows != layouts[0]


def test_window_of_the_live_taps() -> None:
    """Only what the live taps read is padded: with the centre alone live, a 3x3 layer needs no padding at all."""
    mask = np.zeros((2, 3, 3), bool)
    mask[:, 1, 1] = True
    axes = stripe_rows(random_conv(mask, pads=(1, 1, 1, 1))).axes
    assert [(axis.begin, axis.end, axis.span) for axis in axes] == [(0, 0, 0), (0, 0, 0)]
    mask[0, 0, 2] = True
    axes = stripe_rows(random_conv(mask, pads=(1, 1, 1, 1))).axes
    assert [(axis.begin, axis.end, axis.span) for axis in axes] == [(1, 0, 1), (0, 1, 1)]
