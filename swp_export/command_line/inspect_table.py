"""What `inspect` found as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from swp_export.command_line.drawing import bar, heat, spark
from swp_export.command_line.kept_lines import kept_lines
from swp_export.command_line.table import new_table
from swp_export.figures import readable
from swp_export.graph.metadata import OURS
from swp_export.network.widest_gap import round_number_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from swp_export.graph.metadata import InputShape
    from swp_export.inspection.report import (
        Gap,
        InspectedLayer,
        InspectReport,
        LayerTotals,
        SkeletonValues,
        TensorSpec,
        ThresholdCounts,
    )

_BAR = 40
_LONGEST = 160
_DRAWN = ("Taps", "Per filter", "Lowering")
_OPTIONAL = ("Was", "Per filter", "Lowering")
_KINDS = {
    "unbroken": "checkpoint, unbroken: dense weights and float skeletons",
    "broken": "checkpoint, broken: its live stripes alone",
    "broken-float": "checkpoint, broken, with float skeletons",
    "onnx": "ONNX model",
}
_WAS = "Was: filters before pruning, as far as the file tells. "
_TAPS = "Taps: live stripes at each kernel position, row by row, against the fullest; a dot is none."
_PER_FILTER = " Per filter: how many filters have 0, 1, 2, ... live stripes."
_LARGE = " Kernels larger than 3x3: a third of each axis, and the counts from 1 on in nine groups."


def inspect_tables(report: InspectReport) -> list[RenderableType]:
    """Return `report` as facts, warnings, layers, and what the Filter Skeletons' values say, where the file has them.

    Fits into 80 columns; pictures are drawn in ASCII where the console's encoding is not a Unicode one.
    """
    tables: list[RenderableType] = [_facts(report)]
    tables += [Text(f"Warning: {warning}", style="yellow") for warning in report.warnings]
    if report.layers:
        tables.append(_layer_table(report.layers, _headings(report)[0]))
    if report.kept:
        pruned = any(layer.lowering for layer in report.layers)
        tables.append(Text("\n".join(kept_lines(report.kept, verb="stay" if pruned else "would stay"))))
    if report.values is not None:
        if report.values.thresholds:
            tables.append(_threshold_table(report.values.thresholds, report.totals))
        tables.append(_histogram_table(report.values, _headings(report)[1]))
        if report.values.thresholds or report.kind == "onnx":
            tables.append(_gap(report.values.gap))
    return [tables[0], *(Padding(table, (1, 0, 0, 0), expand=False) for table in tables[1:])]


def _facts(report: InspectReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title=escape(report.file), title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _fact_rows(report).items():
        if value is not None:
            table.add_row(escape(name), escape(value))
    return table


def _fact_rows(report: InspectReport) -> dict[str, str | None]:
    graph = report.graph
    rows = {
        "Kind": _KINDS[report.kind],
        "Size": f"{report.bytes:,} bytes",
        "SHA-256": report.sha256,
        "Architecture": report.architecture or "unknown",
        "Classes": None if report.num_classes is None else str(report.num_classes),
        "Input": _input_shape(report.input_shape),
        "Threshold": _threshold(report),
        "Parameters": f"{report.parameters:,}",
        "Filters": _filters(report),
        "Stripes": _stripes(report),
    }
    if graph is not None:
        rows |= {
            "Opset": ", ".join(f"{domain} {v}".strip() for domain, v in graph.opsets.items()),
            "Producer": graph.producer,
            "Nodes": f"{graph.nodes:,}",
            "Inputs": "; ".join(map(_spec, graph.inputs)),
            "Outputs": "; ".join(map(_spec, graph.outputs)),
        }
    recorded = {_heading(key): _recorded(value) for key, value in report.metadata.items()}
    return rows | {key: value for key, value in recorded.items() if key not in rows}


def _input_shape(shape: InputShape | None) -> str | None:
    if isinstance(shape, Mapping):
        return "; ".join(f"{name} {_input_shape(sizes)}" for name, sizes in shape.items())
    return None if shape is None else " x ".join(map(str, shape))


def _threshold(report: InspectReport) -> str | None:
    if report.threshold is not None:
        return f"{report.threshold:g}{', recorded' if report.threshold == report.recorded_threshold else ''}"
    if report.recorded_threshold is not None:
        return f"{report.recorded_threshold:g}, recorded"
    if report.fitting_thresholds is not None:
        low, high = report.fitting_thresholds
        return f"not recorded; by its rows it was broken at one from {low:.6g} to below {high:.6g}"
    return "none yet: nothing has decided which stripes are live" if report.values is not None else None


def _filters(report: InspectReport) -> str:
    totals = report.totals
    if totals.live_filters is None:
        return f"{totals.filters:,}"
    return f"{totals.live_filters:,} of {totals.filters:,} live"


def _stripes(report: InspectReport) -> str:
    totals = report.totals
    if totals.live_stripes is None:
        return f"{totals.stripes:,}"
    text = f"{totals.live_stripes:,} of {totals.stripes:,} live ({_percent(totals.live_stripes, totals.stripes)} %)"
    if totals.stripes_before is None:
        return text
    share = _percent(totals.live_stripes, totals.stripes_before)
    return f"{text}; {share} % of the {totals.stripes_before:,} of {report.architecture}"


def _spec(spec: TensorSpec) -> str:
    shape = "" if spec.shape is None else f"[{', '.join('?' if d is None else str(d) for d in spec.shape)}]"
    return f"{spec.name} {spec.dtype or ''}{shape}"


def _heading(key: str) -> str:
    return key.removeprefix(OURS).replace("_", " ").capitalize()


def _recorded(value: object) -> str:
    """Spell a value of a file's metadata; nobody reads a thousand class names here."""
    if isinstance(value, Mapping):
        text = "; ".join(f"{key} {_recorded(part)}" for key, part in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(map(_recorded, value))
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def _layer_table(layers: Sequence[InspectedLayer], magnitude: str) -> Table:
    """Return one line per layer, with the columns in which any layer has something to say."""
    decided = all(layer.live_stripes is not None for layer in layers)
    before = any(layer.filters_before is not None for layer in layers)
    striped = any(layer.magnitudes is not None for layer in layers)
    columns: list[tuple[str, bool, Callable[[InspectedLayer], RenderableType]]] = [
        ("Size", True, lambda layer: "x".join(map(str, layer.shape[2:]))),
        ("Filters", True, lambda layer: _of(layer.live_filters, layer.filters)),
        ("Was", before, lambda layer: str(layer.filters_before or "")),
        ("Stripes", True, lambda layer: _of(layer.live_stripes, layer.stripes)),
        ("%", decided, lambda layer: _percent(layer.live_stripes, layer.stripes)),
        ("Taps", decided, lambda layer: heat(layer.live_share_per_tap) if layer.live_share_per_tap else ""),
        ("Per filter", decided, lambda layer: spark(layer.stripes_per_filter) if layer.stripes_per_filter else ""),
        (f"{magnitude}\nmedian", striped, lambda layer: readable(layer.magnitudes.median) if layer.magnitudes else ""),
        ("\nmax", striped, lambda layer: readable(layer.magnitudes.maximum) if layer.magnitudes else ""),
        ("Lowering", any(layer.lowering for layer in layers), lambda layer: escape(layer.lowering or "")),
    ]
    shown = [(heading, cell) for heading, has_any, cell in columns if has_any]
    signs = {
        heading: ("?" if heading in _OPTIONAL else "") + ("" if heading in _DRAWN else ">") for heading, _ in shown
    }
    table = new_table("Layers", "~Layer", *(signs[heading] + heading for heading, _ in shown))
    for column in table.columns[1:]:
        column.no_wrap = True
    for layer in layers:
        table.add_row(escape(layer.name), *(cell(layer) for _, cell in shown))
    if decided:
        large = any(max(layer.shape[2:]) > 3 for layer in layers)
        table.caption = f"{_WAS if before else ''}{_TAPS}{_PER_FILTER}{_LARGE if large else ''}"
    return table


def _threshold_table(thresholds: Sequence[ThresholdCounts], totals: LayerTotals) -> Table:
    headings = (">Threshold", ">Stripes", ">%", ">Filters", ">%", ">Layers without any")
    table = new_table("What would live at a threshold", *headings)
    for counts in thresholds:
        table.add_row(
            f"{counts.threshold:g}",
            f"{counts.live_stripes:,}",
            _percent(counts.live_stripes, totals.stripes),
            f"{counts.live_filters:,}",
            _percent(counts.live_filters, totals.filters),
            str(counts.dead_layers),
        )
    return table


def _headings(report: InspectReport) -> tuple[str, str]:
    """Return what the values are that a threshold applies to, short and long."""
    if report.kind == "onnx":
        return "Norm", "Stripe norms, by the largest of their layer"
    return "|FS|", "|FilterSkeleton| over all layers"


def _histogram_table(values: SkeletonValues, title: str) -> Table:
    table = new_table(title, ">From", ">To below", ">Stripes", "")
    table.add_row("exactly 0", "", f"{values.zeros:,}")
    largest = max((part.count for part in values.histogram), default=0)
    for part in values.histogram:
        table.add_row(
            f"{part.low:.2g}", f"{part.high:.2g}", f"{part.count:,}", bar(part.count, largest, _BAR) if largest else ""
        )
    return table


def _gap(gap: Gap | None) -> Text:
    if gap is None:
        return Text("No gap between the values is wide enough to suggest a threshold.")
    return Text(
        f"The widest gap lies between {gap.low:.4g} and {gap.high:.4g}: any threshold in it, such as --threshold "
        f"{round_number_in((gap.low, gap.high)):g}, keeps {gap.live_stripes:,} stripes. It only suggests one; the "
        "accuracy decides."
    )


def _of(live: int | None, count: int) -> str:
    return str(count) if live is None else f"{live}/{count}"


def _percent(part: int | None, whole: int) -> str:
    return "" if part is None else f"{100 * part / max(1, whole):.1f}"
