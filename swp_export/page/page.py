"""The page: one HTML file that needs nothing beside it, from the documents of the commands."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swp_export.atomic import atomic_outputs
from swp_export.errors import InputError, OutputError
from swp_export.page.documents import documents_from, read_documents
from swp_export.page.formats import FORMATS
from swp_export.page.layers import layer_rows, layer_times
from swp_export.page.tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from swp_export.page.documents import Document, Documents

_TEMPLATES = Path(__file__).parent / "templates"
_NEEDED = "the report page needs Jinja2 and Matplotlib, which are not installed: pip install 'swp-export[report]'"


def report(
    documents: Sequence[Path | str],
    *,
    output: Path | str = "report.html",
    figures: Path | str | None = None,
    force: bool = False,
) -> None:
    """Write the page of `documents`, files that hold what commands printed with `--json`.

    Args:
        documents: at least one; the page shows first what the first ones say.
        output: the HTML file to write.
        figures: a folder to write each plot to as well, as SVG and PNG.
        force: overwrite existing files.

    Raises:
        InputError: a file is no such document, or a package that draws is missing.
        OutputError: a file exists or cannot be written; nothing is left half-written.

    """
    read = read_documents(documents)
    if not read.all:
        raise InputError("no document was given; expected files that hold what commands print with --json")
    with atomic_outputs(output, inputs=documents, force=force) as (file,):
        assert file is not None
        page, drawn = _rendered(read)
        if figures is not None:
            _write_figures(Path(figures), drawn, force=force)
        file.write_text(page, encoding="utf-8")


def page_of(contents: Sequence[dict[str, Any]]) -> str:
    """Return the page of reports' `to_json()`.

    Raises:
        InputError: one is none that the page shows, or a package that draws is missing.

    """
    return _rendered(documents_from(contents))[0]


def require_packages() -> None:
    """Raise what is missing for a page, before any work is done that it would show.

    Raises:
        InputError: a package that draws is missing.

    """
    with _packages():
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401, ICN001


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"jinja2", "matplotlib"}:
            raise
        raise InputError(_NEEDED) from error


def _rendered(documents: Documents) -> tuple[str, dict[str, Figure]]:
    """Return the page and its plots."""
    with _packages():
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        from swp_export.page.plots import PLOTS
        from swp_export.page.plots.style import inline_svg, styled

    with styled():
        drawn = {name: figure for name, (_, draw) in PLOTS.items() if (figure := draw(documents)) is not None}
        inline = {name: Markup(inline_svg(figure, name)) for name, figure in drawn.items()}  # noqa: S704 # ours
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def number(document: Document, path: str, format_: str) -> Markup:
        """Return the figure at `path` of `document` for people, with itself and where it comes from beside it."""
        value = document.at(path)
        if value is None:
            return Markup("—")
        shown = FORMATS[format_](value)
        return Markup('<data value="{}" data-from="{}">{}</data>').format(value, document.source(path), shown)

    listing, times = documents.first("prune", "inspect"), layer_times(documents)
    page = environment.get_template("page.html.jinja").render(
        documents=documents,
        facts=_facts,
        formats=FORMATS,
        listing=listing,
        number=number,
        plots={name: (PLOTS[name][0], svg) for name, svg in inline.items() if name != "skeletons"},
        rows=[] if listing is None else layer_rows(listing, times),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),  # noqa: S704
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        tiles=tiles(documents),
        times=times,
        title=_title(documents),
    )
    return page, drawn


def _title(documents: Documents) -> str:
    listing = documents.first("prune", "inspect", "sweep", "tune", "verify", "train", "check")
    if listing is None:
        return str(documents.all[0].content["models"][0]["model"])
    named = (listing.at(key) for key in ("architecture", "source", "file", "model", "network"))
    return str(next((name for name in named if name), listing.command))


def _facts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what stands in `content` as names and texts, whatever is nested in it included."""
    facts: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            facts += [(f"{name} {inner}", text) for inner, text in _facts(value)]
        elif value is not None:
            facts.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return facts


def _write_figures(folder: Path, drawn: Mapping[str, Figure], *, force: bool) -> None:
    from swp_export.page.plots.style import png_of, styled, svg_of

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made a folder: {error.strerror or error}") from error
    names = [folder / f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")]
    with atomic_outputs(*names, inputs=(), force=force) as files, styled():
        contents = (write(figure) for figure in drawn.values() for write in (svg_of, png_of))
        for file, content in zip(files, contents, strict=True):
            assert file is not None
            file.write_bytes(content)
