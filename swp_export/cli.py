"""The program: the group of commands, one module of `command_line/commands/` each.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

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
from swp_export.command_line.options import VERBOSITY, options

_EPILOG = """\b
Start here:
  swp-export inspect best.pth.tar
  swp-export prune best.pth.tar --threshold 0.01 -o small.onnx
  swp-export verify small.onnx --against best.pth.tar
  swp-export tune small.onnx -o fast.onnx
  swp-export COMMAND --help

\b
Words:
  tap       a position in a KxK kernel; a 3x3 kernel has nine
  stripe    the 1x1 slice of a filter at one tap
  skeleton  FilterSkeleton, one trained number per stripe
  live      a stripe whose number is above the threshold; the others are dead
  unbroken  a checkpoint as trained, with all weights
  broken    a checkpoint without its dead stripes, after the method's prune()
  lowering  a form in which a layer is written as ONNX operators

\b
Exit codes:
  0  done, and true             70   a defect of swp-export
  1  the check is false         130  interrupted
  2  bad usage, file or device  141  output closed;  143  terminated

\b
Completion by the TAB key, for bash (or zsh, fish):
  eval "$(_SWP_EXPORT_COMPLETE=bash_source swp-export)"
"""


@click.group("swp-export", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="swp-export")
@options(VERBOSITY)
def cli() -> None:
    """Turn stripe-wise pruned networks into small, verified, fast ONNX models."""


for _command in (inspect, prune, verify, sweep, tune, bench, report, train, doctor):
    cli.add_command(_command)


def main() -> None:
    """Run the program."""
    open_closed_streams()
    heed_termination()
    cli(prog_name="swp-export")
