"""attend lie-view against NumPy and SciPy, from the example's own arrays.

usage: lie_view_test.py ATTEND_PROGRAM EXAMPLE_FOLDER
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy
import scipy.linalg

HEADS = 4
WIDTH = 64


def load(folder, name):
    return numpy.load(os.path.join(folder, name)).astype(numpy.float64)


def scores_of(folder):
    qkv = load(folder, "x.npy") @ load(folder, "w_qkv.npy") + load(folder, "b_qkv.npy")
    n = len(qkv)
    query, key, _ = (part.reshape(n, HEADS, WIDTH).transpose(1, 0, 2) for part in numpy.split(qkv, 3, axis=1))
    return query @ key.transpose(0, 2, 1) / 8


def generator_of(scores):
    rates = numpy.logaddexp(0, scores)
    numpy.fill_diagonal(rates, 0)
    return rates - numpy.diag(rates.sum(axis=1))


def stationary_of(s):
    n = len(s)
    return numpy.linalg.lstsq(numpy.vstack([s.T - numpy.eye(n), numpy.ones(n)]), numpy.eye(n + 1)[n], rcond=None)[0]


def mixing_time_of(s):
    pi, power, t = stationary_of(s), s, 1
    while abs(power - pi).sum(axis=1).max() / 2 > 0.25:
        power, t = power @ s, t + 1
    return t


def close(what, got, expected, tolerance):
    error = numpy.max(numpy.abs(numpy.asarray(got) - expected))
    assert error <= tolerance, f"{what}: off by {error:.2e}, allowed {tolerance:.0e}"


def check_chain(name, chain, s, tolerance):
    close(f"{name}: stationary", chain["stationary"], stationary_of(s), tolerance)
    close(f"{name}: |lambda2|", chain["second_modulus"], numpy.sort(abs(numpy.linalg.eigvals(s)))[-2], tolerance)


def main():
    program, folder = sys.argv[1:]
    times = [0.0, 0.05, 0.5]
    beside = 0.25
    with tempfile.TemporaryDirectory() as pictures:
        command = [program, "lie-view", "--data", folder, "--pictures", pictures, "--json", "--times",
                   ",".join(map(str, times)), "--beside", str(beside)]
        view = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
        for name in ("lie-flow.png", "lie-softmax.png", "lie-spectrum.png"):
            with open(os.path.join(pictures, name), "rb") as picture:
                assert picture.read(8) == b"\x89PNG\r\n\x1a\n", name
    assert view["times"] == times and view["beside_time"] == beside and len(view["heads"]) == HEADS
    for h, (head, scores) in enumerate(zip(view["heads"], scores_of(folder))):
        softmax = numpy.exp(scores - scores.max(axis=1, keepdims=True))
        softmax /= softmax.sum(axis=1, keepdims=True)
        generator = generator_of(scores)
        # The server attends in float32: weights are off by some 1e-6, which a gap of 4e-4 amplifies.
        check_chain(f"head {h}: softmax", head["softmax"], softmax, 2e-3)
        exp = scipy.linalg.expm(generator)
        check_chain(f"head {h}: exp(G)", head["action"], exp, 1e-5)
        close(f"head {h}: difference", head["softmax_max_difference"], abs(softmax - exp).max(), 1e-5)
        close(f"head {h}: mean", head["softmax_mean_difference"], abs(softmax - exp).mean(), 1e-5)
        nearer = scipy.linalg.expm(beside * generator)
        close(f"head {h}: difference at {beside}", head["beside"]["softmax_max_difference"], abs(softmax - nearer).max(), 1e-5)
        close(f"head {h}: mean at {beside}", head["beside"]["softmax_mean_difference"], abs(softmax - nearer).mean(), 1e-5)
        for flow in head["flow"][1:]:
            check_chain(f"head {h}, t = {flow['time']}", flow["chain"], scipy.linalg.expm(flow["time"] * generator), 1e-5)
        assert head["generator"]["is_generator"]
        assert head["flow"][0]["chain"]["mixing"] == "reducible"  # exp(0) is the identity
        expected = mixing_time_of(softmax)
        assert abs(head["softmax"]["mixing_time"] - expected) <= 1 + 0.01 * expected, (h, expected)
        w = load(folder, "w_qkv.npy")
        product = w[:, WIDTH * h:WIDTH * (h + 1)] @ w[:, 256 + WIDTH * h:256 + WIDTH * (h + 1)].T
        tolerance = 256 * numpy.finfo(numpy.float32).eps
        values = numpy.linalg.svd(product, compute_uv=False)
        assert head["rank"] == (values > tolerance * values[0]).sum(), h
        if numpy.linalg.det(softmax) < 0:
            assert head["embeddable"] in ("no", "undecided"), h
    print("the Lie view agrees with NumPy and SciPy")


if __name__ == "__main__":
    main()
