#!/usr/bin/python3
"""Low-rank projections against NumPy and SciPy, one thread each, in turns.

  tests/bench/low_rank_peers.py build/release/bin/attend-bench build/bench/report.json

Adds to the report (above 1: ours is faster): low_rank.flat.f64.n512r512.1t.vs_numpy, ...vs_scipy, whole decompositions;
n512r16, which those peers have to cut out of a whole one; low_rank.decaying.f64.n2048r16.1t.vs_scipy_svds and
low_rank.flat.f64.n2048r16.1t.vs_scipy_svds, which goes to rounding where ours stops at 1.0001 times the best distance.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy loads it

import numpy as np  # noqa: E402
import report_file  # noqa: E402
import scipy.linalg  # noqa: E402
import scipy.sparse.linalg  # noqa: E402

ROUNDS = 3


def milliseconds(work):
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def ours(bench):
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        subprocess.run([bench, report, "low_rank"], check=True, stdout=subprocess.DEVNULL)
        with open(report, encoding="utf-8") as file:
            return {figure["name"]: figure["value"] for figure in json.load(file)["figures"]}


def main():
    bench, report_path = sys.argv[1:]
    random = np.random.default_rng(1)
    square = random.standard_normal((512, 512))
    decay = 0.9 ** np.arange(40)
    flat = random.standard_normal((2048, 2048))
    decaying = random.standard_normal((2048, 40)) * decay @ random.standard_normal((40, 2048)) + 1e-3 * flat
    peers = {
        "numpy": lambda: np.linalg.svd(square, full_matrices=False),
        "scipy": lambda: scipy.linalg.svd(square, full_matrices=False),
        "scipy_svds": lambda: scipy.sparse.linalg.svds(decaying, k=16, random_state=1),
        "scipy_svds_flat": lambda: scipy.sparse.linalg.svds(flat, k=16, random_state=1),
    }
    times = {}
    for _ in range(ROUNDS):
        for name, value in ours(bench).items():
            times.setdefault(name, []).append(value)
        for name, work in peers.items():
            times.setdefault(name, []).append(statistics.median(milliseconds(work) for _ in range(3)))
    median = {name: statistics.median(values) for name, values in times.items()}
    figures = []
    for stem, peer, name in (
        ("low_rank.flat.f64.n512r512.1t", "numpy", "numpy"),
        ("low_rank.flat.f64.n512r512.1t", "scipy", "scipy"),
        ("low_rank.flat.f64.n512r16.1t", "numpy", "numpy"),
        ("low_rank.flat.f64.n512r16.1t", "scipy", "scipy"),
        ("low_rank.decaying.f64.n2048r16.1t", "scipy_svds", "scipy_svds"),
        ("low_rank.flat.f64.n2048r16.1t", "scipy_svds_flat", "scipy_svds"),
    ):
        value = median[peer] / median[stem + ".ms"]
        figures.append({"name": f"{stem}.vs_{name}", "value": value, "unit": "ratio"})
        print(f"{figures[-1]['name']:<58} {value:10.4g} ratio")
    report_file.add(report_path, figures)


main()
