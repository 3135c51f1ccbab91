"""The report that the benchmarks share."""

import json
import pathlib


def add(path, figures):
    """Writes `figures` into the report at `path` and keeps those that it had under other names."""
    path = pathlib.Path(path)
    known = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else []
    names = {figure["name"] for figure in figures}
    kept = [figure for figure in known if figure["name"] not in names]
    path.write_text(json.dumps({"figures": kept + figures}, indent=1) + "\n", encoding="utf-8")
