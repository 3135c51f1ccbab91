#!/usr/bin/env python3
"""Writes the figures of build/bench/report.json into the table of docs/performance.md.

Usage: scripts/bench_table.py [REPORT.json]
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def main():
    report = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/bench/report.json"
    page = ROOT / "docs/performance.md"
    figures = json.loads(pathlib.Path(report).read_text(encoding="utf-8"))["figures"]
    rows = [f"| `{figure['name']}` | {figure['value']:.4g} | {figure['unit']} |\n" for figure in figures]
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    table = "| figure | value | unit |\n| --- | ---: | --- |\n" + "".join(sorted(rows))
    page.write_text(before + BEGIN + table + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
