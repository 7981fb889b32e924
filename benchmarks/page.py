"""Write one page with every figure that README states, its machine and its date: `make bench`.

python benchmarks/page.py [FILE]

Each script of SCRIPTS prints its own figures, which are copied as they are; one that fails says so on the page, and the
others still run. About 30 minutes on one core.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from swp_export.benchmark.environment import read_environment

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    ("Size, error, resources", "figures.py"),
    ("What tune and auto gain", "tuned_figures.py"),
    ("In OpenVINO", "openvino_figures.py", "15"),
    ("Every lowering, network by network", "lowerings_benchmark.py"),
    ("Default and auto on random networks", "random_networks.py", "50"),
    ("The skeleton update in training", "training_overhead.py"),
    ("The constants of the count", "node_costs.py"),
    ("The constants of pad-slice-add", "broken_costs.py"),
)


def main(page: Path) -> int:
    """Run every script, write the page after each, and return how many failed."""
    environment = read_environment(gpu=None, options={})
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    text = [f"# Figures of {datetime.now(UTC):%Y-%m-%d}", f"{environment.cpu.model}; {versions}"]
    failed = 0
    for title, *command in SCRIPTS:
        print(f"{title} ...", flush=True)
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:]], capture_output=True, text=True, check=False
        )
        failed += done.returncode != 0
        output = done.stdout if done.returncode == 0 else f"{done.stdout}failed: {done.stderr[-500:]}"
        minutes = (time.monotonic() - start) / 60
        text += [f"## {title}", f"`benchmarks/{' '.join(command)}`, {minutes:.1f} minutes:", f"```text\n{output}```"]
        page.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(f"{page}: {len(SCRIPTS)} scripts, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "figures.md")) > 0)
