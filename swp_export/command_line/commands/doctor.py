"""The command `doctor`: what this machine has, and what to install."""

from __future__ import annotations

import click

from swp_export.command_line.options import JSON, VERBOSITY, examples, options


@click.command(epilog=examples("swp-export doctor", "swp-export doctor --json > machine.json"))
@options(VERBOSITY, JSON)
def doctor(*, as_json: bool) -> None:
    """Show versions, devices that work, and what to install.

    A small model is run on each device, so "yes" means that it really works here.
    """
    from swp_export.command_line.doctor_table import doctor_tables
    from swp_export.command_line.terminal import print_report
    from swp_export.runtime.doctor import doctor as run

    print_report(run(), doctor_tables, as_json=as_json)
