"""Where and when a benchmark ran, and its table as CSV."""

import csv
import datetime
import platform
import subprocess
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"  # the third-party data, not part of the project


def processor() -> str:
    """The processor's name and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor()


def provenance(seed: int = 0) -> dict[str, Any]:
    """The columns that every table ends with: date, commit, machine, seed."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() + ("+" if changed.stdout.strip() else ""),
        "machine": processor(),
        "seed": seed,
    }


def write(name: str, rows: list[dict[str, Any]], seed: int = 0, *, key: tuple[str, ...] = ()) -> Path:
    """Print the rows and write them to results/NAME.csv; with a `key`, rows of other keys stay as they are there."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for row in rows:
        print("  ".join(f"{column}={row[column]}" for column in columns if column in row), flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    where = provenance(seed)
    rows = [{**row, **where} for row in rows]
    measured = {tuple(str(row[part]) for part in key) for row in rows}
    kept = [row for row in earlier(path) if tuple(row[part] for part in key) not in measured] if key else []
    columns = list(dict.fromkeys([*(c for row in kept for c in row if c not in where), *columns]))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *where])
        writer.writeheader()
        writer.writerows([*kept, *rows])
    return path


def earlier(path: Path) -> list[dict[str, str]]:
    """The rows of a table that was written before, if there is one."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
