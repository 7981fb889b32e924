"""The command `doctor`: what this machine has, and what to install."""

from __future__ import annotations

import click

from swp_export.command_line.options import JSON, options


@click.command()
@options(JSON)
def doctor(*, as_json: bool) -> None:
    """Show versions, the devices that really run a model, and what to install for the others."""
    from swp_export.command_line.doctor_table import doctor_tables
    from swp_export.command_line.terminal import print_report
    from swp_export.runtime.doctor import doctor as run

    print_report(run(), doctor_tables, as_json=as_json)
