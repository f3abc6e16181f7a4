"""What it takes to begin: a fresh environment from a wheel without extras, its size, and how long each start takes.

    python benchmarks/start.py [--wheel FILE] [--runs 5] [--keep FOLDER]

Builds the wheel from this checkout unless one is given, installs it from the registry that pip is set to, and runs
`import despoof`, `despoof --help` and `despoof check PHOTO` in processes of their own. The first time of each is told
apart: bytecode is written and files are read from the disk then. Times hold the interpreter's own start, told beside.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAINING = ("torch", "diffusers", "accelerate", "scikit-image", "scipy", "safetensors")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder for the environment; a temporary one without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = options.wheel or built(folder)
        home = options.keep or folder / "environment"
        begun = time.perf_counter()
        venv.create(home, with_pip=True, clear=True)
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True)
        listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True)
        packages = listed.stdout.decode().split()
        print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB; installed in {time.perf_counter() - begun:.0f} s")
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "pip"], check=True)
        print(f"environment: {size(home) / 1e6:.0f} MB, {len(packages)} packages: {', '.join(packages)}")
        found = [each for each in packages if each.partition("==")[0] in TRAINING]
        print(f"of what trains: {', '.join(found) or 'nothing'}")
        for part in sorted(home.rglob("site-packages/*"), key=size, reverse=True)[:8]:
            print(f"  {part.name:40} {size(part) / 1e6:6.1f} MB")
        starts(python, options.runs, folder)


def built(folder: Path) -> Path:
    """Return the wheel of this checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def size(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def starts(python: Path, runs: int, folder: Path) -> None:
    """Print the seconds of the first start and the median of the next."""
    find = "import despoof.data.portrait as p; print(p.FILE)"
    photo = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    despoof = [python, "-m", "despoof"]
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "import despoof": [python, "-c", "import despoof"],
        "despoof --help": [*despoof, "--help"],
        "despoof check PHOTO": [*despoof, "check", photo],
        "despoof check PHOTO --out": [*despoof, "check", photo, "--out", folder / "out"],
    }
    print(f"seconds, first and median of {runs} more; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for name, command in commands.items():
        times = []
        for _ in range(runs + 1):
            begun = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            times.append(time.perf_counter() - begun)
            if done.returncode not in (0, 10, 11):
                raise SystemExit(f"{name} failed: {done.stderr}")
        print(f"  {name:28} {times[0]:6.2f} {statistics.median(times[1:]):6.2f}")


if __name__ == "__main__":
    main()
