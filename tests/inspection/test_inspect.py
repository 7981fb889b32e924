"""What is in a file, whatever it is."""

import dataclasses
import json
import subprocess
import sys

import pytest

from swp_export.errors import CheckpointError, ModelError
from swp_export.inspection.inspect import inspect

WITHOUT_TORCH = """
import sys
from swp_export.inspection.inspect import inspect
from swp_export.command_line.inspect_table import inspect_tables
assert inspect_tables(inspect(sys.argv[1]))
print(*({"torch", "onnxruntime", "onnxsim"} & sys.modules.keys()))
"""


def test_an_onnx_model_needs_neither_torch_nor_onnxruntime(portable):
    """A target machine has no torch, and to look into a model no session is needed."""
    command = [sys.executable, "-c", WITHOUT_TORCH, str(portable)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_document_is_json(portable, resnet56):
    """`to_json()` holds nothing but JSON's own types, and every field of the report."""
    for file in (portable, resnet56 / "best.pth.tar"):
        report = inspect(file)
        document = report.to_json()
        assert document.keys() == {"command", *(field.name for field in dataclasses.fields(report))}
        assert json.loads(json.dumps(document))["sha256"] == report.sha256


@pytest.mark.parametrize(("name", "error"), [("missing.pth", CheckpointError), ("missing.onnx", ModelError)])
def test_a_missing_file_is_one_line(tmp_path, name, error):
    """The error names the file, on one line."""
    with pytest.raises(error, match=name) as caught:
        inspect(tmp_path / name)
    assert "\n" not in str(caught.value)
