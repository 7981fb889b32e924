"""The program: the group of commands, one module of `command_line/commands/` each.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import sys

import click

from swp_export.command_line.commands.bench import bench
from swp_export.command_line.commands.doctor import doctor
from swp_export.command_line.commands.inspect import inspect
from swp_export.command_line.commands.prune import prune
from swp_export.command_line.commands.report import report
from swp_export.command_line.commands.sweep import sweep
from swp_export.command_line.commands.train import train
from swp_export.command_line.commands.tune import tune
from swp_export.command_line.commands.verify import verify
from swp_export.command_line.exit_codes import Commands, heed_termination, open_closed_streams


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="swp-export")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens inside.")
def cli(*, verbose: bool) -> None:
    """Turn stripe-wise pruned checkpoints into small, verified, fast ONNX models.

    Exit codes: 0 done and true; 1 the check that was made is false; 2 bad usage, unreadable input, full disk, device
    not there; 70 a defect of swp-export, with its traceback; 130 interrupted; 141 nobody reads the output any more;
    143 terminated.
    """
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("swp_export").setLevel(logging.DEBUG)


for _command in (prune, tune, verify, bench, sweep, report, inspect, train, doctor):
    cli.add_command(_command)


def main() -> None:
    """Run the program."""
    open_closed_streams()
    heed_termination()
    cli(prog_name="swp-export")
