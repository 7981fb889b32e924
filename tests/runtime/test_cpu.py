"""The processor."""

from pathlib import Path

from swp_export.runtime.cpu import parse_cpuinfo, read_cpu

X86 = """processor\t: 0
model name\t: Example CPU
flags\t\t: fpu avx2 avx512f

processor\t: 1
model name\t: Other CPU
flags\t\t: fpu
"""


def test_x86_flags_become_features():
    """Each feature is there or not, by the first processor's flags."""
    model, features = parse_cpuinfo(X86)
    assert model == "Example CPU"
    assert features == {"AVX2": True, "AVX-512F": True, "AVX-512 VNNI": False, "AVX-VNNI": False}


def test_features_without_flags_are_unknown():
    """Where no flags are listed, nothing is claimed."""
    assert parse_cpuinfo("processor : 0\nFeatures : asimd\n") == (None, None)


def test_a_missing_file_is_unknown_in_json():
    """Without /proc/cpuinfo the features are the string "unknown", and there is still a core."""
    document = read_cpu(Path("/nonexistent")).to_json()
    assert document["features"] == "unknown"
    assert document["cores"] >= 1
