"""What `inspect` found as tables."""

import io

import pytest
from rich.console import Console

from swp_export.command_line.inspect_table import inspect_tables
from swp_export.inspection.report import (
    Bin,
    Gap,
    GraphFacts,
    InspectedLayer,
    InspectReport,
    LayerTotals,
    Magnitudes,
    SkeletonValues,
    TensorSpec,
    ThresholdCounts,
)

TAPS = ((0.0, 0.1, 0.0), (0.2, 0.5, 0.2), (0.0, 0.1, 0.0))
LAYER = InspectedLayer(
    name="layer2.0.downsample.0",
    shape=(248, 140, 3, 3),
    filters=248,
    filters_before=512,
    live_filters=240,
    stripes=2232,
    live_stripes=1250,
    live_share_per_tap=TAPS,
    stripes_per_filter=(8, 200, 30, 10, 0, 0, 0, 0, 0, 0),
    filter_shapes=None,
    magnitudes=None,
    lowering="pad-slice-add",
)
UNDECIDED = InspectedLayer(
    **{
        **vars(LAYER),
        "filters_before": None,
        "live_filters": None,
        "live_stripes": None,
        "live_share_per_tap": None,
        "stripes_per_filter": None,
        "magnitudes": Magnitudes(minimum=0.0, median=0.0123, maximum=0.789),
        "lowering": None,
    }
)
VALUES = SkeletonValues(
    count=2232,
    zeros=1200,
    histogram=(Bin(low=0.01, high=0.0316, count=32), Bin(low=0.0316, high=0.1, count=1000)),
    gap=Gap(low=1e-6, high=0.0104, live_stripes=1032),
    thresholds=(ThresholdCounts(threshold=0.03, live_stripes=1000, live_filters=200, dead_layers=3),),
)
GRAPH = GraphFacts(
    opsets={"": 18},
    ir_version=10,
    producer="swp-export 0.1.0",
    nodes=512,
    inputs=(TensorSpec(name="input", dtype="float", shape=("batch", 3, None, 32)),),
    outputs=(TensorSpec(name="output", dtype="float", shape=None),),
)


def report(**changes):
    """Return a report of one layer of an ONNX model, with `changes`."""
    fields = {
        "file": "models/[x]/model.onnx",
        "kind": "onnx",
        "bytes": 1234567,
        "sha256": "0" * 64,
        "architecture": "ResNet56",
        "num_classes": 10,
        "input_shape": (3, 32, 32),
        "recorded_threshold": 0.01,
        "threshold": None,
        "fitting_thresholds": None,
        "parameters": 98765,
        "metadata": {"swp_export.version": "0.1.0"},
        "layers": (LAYER,),
        "totals": LayerTotals(filters=248, live_filters=240, stripes=2232, live_stripes=1250, stripes_before=None),
        "kept": None,
        "values": None,
        "graph": GRAPH,
        "warnings": (),
    }
    return InspectReport(**{**fields, **changes})


def undecided(**changes):
    """Return a report of an unbroken checkpoint without a threshold."""
    totals = LayerTotals(filters=248, live_filters=None, stripes=2232, live_stripes=None, stripes_before=None)
    fields = {"kind": "unbroken", "recorded_threshold": None, "layers": (UNDECIDED,), "totals": totals, "graph": None}
    return report(**{**fields, "values": VALUES, **changes})


def text_of(found, width=100, encoding="utf-8"):
    """Return what a console without a terminal shows."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width)
    for table in inspect_tables(found):
        console.print(table)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_the_facts_are_shown():
    """Sizes, names and specs; brackets are not taken for markup."""
    shown = text_of(report())
    for expected in (
        "models/[x]/model.onnx",
        "1,234,567 bytes",
        "0" * 64,
        "3 x 32 x 32",
        "0.01, recorded",
        "1,250 of 2,232 live (56.0 %)",
        "input float[batch, 3, ?, 32]",
        "swp-export 0.1.0",
    ):
        assert expected in shown


@pytest.mark.parametrize("width", [100, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_layer_is_one_line(width, encoding):
    """Even with long names and every column that a model has."""
    lines = [line.rstrip() for line in text_of(report(), width, encoding).splitlines()]
    (row,) = [line for line in lines if line.startswith(LAYER.name)]
    picture = ("·▂· ▃█▃ ·▂·", "▁█▁▁······") if encoding == "utf-8" else (".-. =@= .-.", ":@::......")
    for expected in ("3x3", "240/248", "512", "1250/2232", "56.0", *picture, "pad-slice-add"):
        assert expected in row
    assert max(map(len, lines)) <= width


def test_columns_without_content_are_left_out():
    """A checkpoint has no lowering, a model no |FS|, and an undecided file nothing live."""
    assert "|FS|" not in text_of(report())
    assert "Was: filters before pruning" in text_of(report())
    shown = text_of(undecided())
    assert not any(heading in shown for heading in ("Lowering", "Was", "Taps"))
    assert "0.012" in shown
    assert "0.79" in shown


def test_an_undecided_file_shows_where_a_threshold_would_cut():
    """Counts with their shares, the histogram, and the gap as a suggestion only."""
    shown = text_of(undecided())
    row = next(line for line in shown.splitlines() if line.split()[:1] == ["0.03"])
    assert row.split() == ["0.03", "1,000", "44.8", "200", "80.6", "3"]
    assert "█" * 40 in shown
    assert "exactly 0" in shown
    assert "between 1e-06 and 0.0104" in shown
    assert "only" in shown


def test_no_gap_is_said_too():
    """Silence would leave open whether one was looked for."""
    values = SkeletonValues(**{**vars(VALUES), "gap": None})
    assert "No gap" in text_of(undecided(values=values))


def test_a_decided_checkpoint_keeps_the_histogram_alone():
    """No thresholds, no gap: the choice is made."""
    shown = text_of(undecided(threshold=0.02, values=SkeletonValues(**{**vars(VALUES), "thresholds": ()})))
    assert "exactly 0" in shown
    assert "What would live" not in shown
    assert "gap" not in shown


def test_broken_files_name_what_they_were():
    """The share of the stock network's stripes, and the thresholds that its rows allow."""
    totals = LayerTotals(filters=248, live_filters=240, stripes=2232, live_stripes=1250, stripes_before=12500)
    shown = text_of(report(totals=totals, recorded_threshold=None, fitting_thresholds=(1e-7, 0.0103)))
    assert "10.0 % of the 12,500 of ResNet56" in shown
    assert "from 1e-07 to below 0.0103" in shown


def test_warnings_are_shown_and_long_metadata_is_cut():
    """A thousand class names are of no use here."""
    found = report(warnings=("conv [1] is dead",), metadata={"class_names": ["name"] * 1000, "m": {"mean": [0.5]}})
    shown = text_of(found)
    assert "Warning: conv [1] is dead" in shown
    assert "mean 0.5" in shown
    assert shown.count("name,") < 50


def test_large_kernels_are_explained():
    """The legend says what a picture of a 7x7 kernel shows."""
    large = InspectedLayer(
        **{
            **vars(LAYER),
            "shape": (8, 3, 7, 7),
            "live_share_per_tap": ((0.5,) * 7,) * 7,
            "stripes_per_filter": (1,) * 50,
        }
    )
    shown = " ".join(text_of(report(layers=(large,))).split())
    assert "███ ███ ███" in shown
    assert "larger than 3x3" in shown
    assert "larger than 3x3" not in text_of(report())


def test_a_model_without_convolutions_has_no_table_of_layers():
    """Only its facts."""
    totals = LayerTotals(filters=0, live_filters=0, stripes=0, live_stripes=0, stripes_before=None)
    assert len(inspect_tables(report(layers=(), totals=totals))) == 1
