"""Which dead filters stay, and why, in a few lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from swp_export.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.analysis.kept_channels import Kept

_MOST_REASONS = 5
_MOST_LAYERS = 2
_LONGEST_NAME = 40


def kept_lines(kept: Sequence[Kept], *, verb: str = "stay") -> list[str]:
    """Return the reasons of `kept`, the most frequent first, each with its layers; nothing where nothing is kept."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    nodes: dict[str, dict[str, None]] = defaultdict(dict)
    for each in kept:
        reasons[each.reason][each.layer] += each.filters
        nodes[each.reason] |= dict.fromkeys(each.nodes)
    if not reasons:
        return []
    ranked = sorted(reasons, key=lambda reason: -reasons[reason].total())
    told = [f"because {_reason(reason, list(nodes[reason]))}: {_layers(reasons[reason])}" for reason in ranked]
    total = sum(layers.total() for layers in reasons.values())
    head = f"{total:,} dead {'filter' if total == 1 else 'filters'} {verb if total > 1 else _singular(verb)}"
    if len(told) == 1:
        return [f"{head} {told[0]}"]
    lines = [
        f"  {reasons[reason].total():,} {text}"
        for reason, text in zip(ranked[:_MOST_REASONS], told[:_MOST_REASONS], strict=True)
    ]
    left = sum(reasons[reason].total() for reason in ranked[_MOST_REASONS:])
    more = f"  and {left:,} more for {len(ranked) - _MOST_REASONS} other reasons; --json lists all"
    return [f"{head}:", *lines, *([more] if left else [])]


def _singular(verb: str) -> str:
    return "stays" if verb == "stay" else verb


def _reason(reason: str, nodes: list[str]) -> str:
    return f"{reason} ({_name(nodes[0])}{_more(len(nodes) - 1)})" if nodes else reason


def _layers(counts: Counter[str]) -> str:
    shown = [f"{count:,} of {_name(layer)}" for layer, count in counts.most_common(_MOST_LAYERS)]
    more = _more(len(counts) - _MOST_LAYERS)
    return ", ".join(shown) + more if more else " and ".join(shown)


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def _name(name: str) -> str:
    return printable(name, longest=_LONGEST_NAME)
