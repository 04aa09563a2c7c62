"""The floor: the least a whole run could cost. One connection reads the demo's files and writes the marts: no layers,
tests, landing or history of loads. `floor.sql` says how.

Run as a script: `floor.py <folder of files> <marts file>`. Prints seconds and CPU seconds by what was made, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import duckdb

SQL = Path(__file__).with_name("floor.sql")
SEEDS = Path(__file__).resolve().parent.parent / "seeds"


def build(files: Path, marts: Path) -> dict[str, tuple[float, float]]:
    """Build `marts`, which must not be there, from the files `raw_<source>.<table>.parquet`; wall and CPU seconds."""
    cost: dict[str, tuple[float, float]] = {}
    paths = sorted(files.resolve().glob("raw_*.parquet"))
    schemas = dict.fromkeys(path.name.partition(".")[0] for path in paths)
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute(f"attach '{marts}' as marts (storage_version 'v1.0.0'); use marts; set TimeZone = 'UTC'")
        connection.execute(f"set variable files = '{files.resolve()}/raw_*.parquet'; set variable seeds = '{SEEDS}'")
        for schema in schemas:
            connection.execute(f"create schema {schema}")
        for path in paths:
            connection.execute(f"create view {path.stem} as from read_parquet('{path}')")
        drops = [f"drop schema {schema} cascade" for schema in schemas]
        leave = "; ".join([*drops, "checkpoint", "use memory", "detach marts"])
        for name, statement in [*statements(), ("checkpoint", leave)]:
            started, cpu = time.perf_counter(), time.process_time()
            try:
                connection.execute(statement)
            except duckdb.Error as error:
                raise RuntimeError(f"{name}: {error}") from error
            cost[name] = round(time.perf_counter() - started, 4), round(time.process_time() - cpu, 4)
    return cost


def statements() -> list[tuple[str, str]]:
    """Each statement of the script, with the name of what it makes."""
    pieces = [piece.strip() for piece in re.split(r";\s*\n", SQL.read_text()) if piece.strip()]
    return [(_made(piece), piece) for piece in pieces]


def tables() -> list[str]:
    """The marts it makes, schema.name."""
    return [name for name, _ in statements() if "." in name]


def _made(statement: str) -> str:
    named = re.search(r"^create (?:temp )?(?:table|view|macro|schema) ([\w.]+)|^set variable (\w+)", statement, re.M)
    return (named[1] or named[2]) if named else "setting"


if __name__ == "__main__":
    print(json.dumps(build(Path(sys.argv[1]), Path(sys.argv[2]))))
