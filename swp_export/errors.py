"""The exception family: every mistake of a user ends in one of these, on one line, with its exit code.

A message says what was found, what was expected and what to do. `swp_export.command_line.exit_codes` is the only place
that turns an exception into standard error and an exit code; any other exception is a defect of ours and keeps its
traceback. The one with exit code 1, NotEquivalentError, stands beside the report that it carries.
"""


class SwpExportError(Exception):
    """Base of all errors that a user can mend. `exit_code` is what the command line exits with."""

    exit_code = 2


class CheckpointError(SwpExportError):
    """A checkpoint cannot be read, or what it holds is not a network trained with Filter Skeletons."""


class ArchitectureError(SwpExportError):
    """The architecture of a checkpoint is unknown, or contradicts its weights."""


class ThresholdError(SwpExportError):
    """The threshold is missing, contradicts the checkpoint, or leaves nothing of the network."""


class ModelError(SwpExportError):
    """A file is not a usable ONNX model."""


class LoweringError(SwpExportError):
    """A lowering does not exist, or refuses a layer it was forced on."""


class InputError(SwpExportError):
    """Sample data or an input shape does not fit the network."""


class UnprovableError(SwpExportError):
    """A network contradicts itself, or rounding decides what it gives: no comparison with it proves anything."""


class OutputError(SwpExportError):
    """A file exists already, or cannot be written."""


class DeviceError(SwpExportError):
    """The requested device is not there, or fell back to another one."""


class TrainingError(SwpExportError):
    """Training diverged, or left nothing of the network."""


class GatesError(SwpExportError):
    """A file of gates cannot be read, or asks for what is not known."""
