"""What `doctor` found, as tables."""

import io

from rich.console import Console

from swp_export.command_line.doctor_table import doctor_tables
from swp_export.runtime.cpu import Cpu
from swp_export.runtime.doctor import DoctorReport, Package, ProviderCheck


def shown(*, advice=(), features=None):
    """Return what a wide terminal shows of a machine where something is missing."""
    report = DoctorReport(
        distribution="swp-export-runtime",
        machine="ONNX models on the CPU",
        python="3.11.7",
        platform="Linux",
        packages=(
            Package(name="onnx", version=None, purpose="everything", optional=False),
            Package(name="torchvision", version=None, purpose="training data", optional=True),
            Package(name="torch", version=None, purpose="train", optional=True, wanted=False),
        ),
        providers=(ProviderCheck(device="cuda", works=False, detail="no NVIDIA driver"),),
        cpu=Cpu(model="Example CPU", features=features, cores=2),
        conflicts=(),
        advice=advice,
    )
    console = Console(file=io.StringIO(), width=160)
    for table in doctor_tables(report):
        console.print(table)
    return console.file.getvalue()


def test_what_is_missing_is_told_from_what_is_optional():
    """A required package is missing, an optional one merely not installed."""
    text = shown()
    assert "missing" in text
    assert "not installed (optional)" in text
    assert "left out" in text
    assert "This machine is for ONNX models on the CPU (swp-export-runtime)" in text
    assert "no NVIDIA driver" in text
    assert "What to do" not in text


def test_advice_keeps_its_brackets():
    """An extra's name in brackets is not taken for markup."""
    assert "pip install 'swp-export[train]'" in shown(advice=("pip install 'swp-export[train]': training data",))


def test_unknown_features_are_unknown():
    """Nothing is claimed about a processor that does not say."""
    assert "unknown" in shown()
    assert "AVX2" in shown(features={"AVX2": True})
