"""How exact float32 attention is, beside PyTorch's on the same inputs: the part attention_accuracy of scripts/bench.sh.

    attention_accuracy.py ATTEND REPORT.json

Both are held against float64. The error of an output's row and of an lse is relative to the largest value of the row
and to 1 + |lse|, that of a gradient to the largest value of its head. Each figure is the worst ratio, over all cases, of
our error to PyTorch's: of the largest error in a tensor, and of the mean. Output and lse are asked for with gradients
and alone, since other kernels compute them then.
"""

import itertools
import pathlib
import subprocess
import sys
import tempfile

import numpy
import report_file
import torch

HEADS = 2
GRADIENTS = ("query", "key", "value")


def torch_attention(inputs, causal, dtype):
    """Output, lse and gradients by name, as float64."""
    query, key, value = (torch.tensor(inputs[name]).to(dtype).requires_grad_() for name in GRADIENTS)
    scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    output = torch.softmax(scores, -1) @ value
    results = {"output": output, "lse": torch.logsumexp(scores, -1)}
    if "grad_output" in inputs:
        output.backward(torch.tensor(inputs["grad_output"]).to(dtype))
        results |= {"grad_" + name: tensor.grad for name, tensor in zip(GRADIENTS, (query, key, value))}
    return {name: tensor.detach().double().numpy() for name, tensor in results.items()}


def our_attention(attend, inputs, causal):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        command = [attend, "attention", "--local", "--quiet", "--output", path / "output.npy", "--lse", path / "lse.npy"]
        for name, array in inputs.items():
            numpy.save(path / f"in_{name}.npy", array)
            command += ["--" + name.replace("_", "-"), path / f"in_{name}.npy"]
        if causal:
            command += ["--causal", "bottom_right"]
        gradients = GRADIENTS if "grad_output" in inputs else ()
        if gradients:
            command += ["--gradients", path]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        results = {name: numpy.load(path / f"{name}.npy") for name in ("output", "lse")}
        results |= {"grad_" + name: numpy.load(path / f"{name}.npy") for name in gradients}
        return {name: array.astype(numpy.float64) for name, array in results.items()}


def errors(name, got, want):
    """The largest and the mean error, relative as the module says."""
    if name == "lse":
        unit = 1 + numpy.abs(want)
    else:
        unit = numpy.abs(want).max(axis=-1 if name == "output" else (-2, -1), keepdims=True)
    error = numpy.abs(got - want) / unit
    return {"max": float(error.max()), "mean": float(error.mean())}


def cases():
    for d, n, scale, causal in itertools.product((64, 128), (64, 257, 1024, 2048), (1, 30, 300), (False, True)):
        random = numpy.random.default_rng(n + d)
        inputs = {name: random.standard_normal((1, HEADS, n, d), numpy.float32) for name in (*GRADIENTS, "grad_output")}
        inputs["query"] *= numpy.float32(scale)
        case = f"d={d} n={n} logits x {scale}{' causal' if causal else ''}"
        yield case, inputs, causal
        del inputs["grad_output"]
        yield case + " alone", inputs, causal
    for n, m, scale, mean in itertools.product((1, 8, 12, 64), (4096, 16384), (1, 100), (0, 1)):
        random = numpy.random.default_rng(n + m)
        inputs = {
            name: random.standard_normal((1, HEADS, n if name == "query" else m, 64), numpy.float32)
            for name in GRADIENTS
        }
        inputs["query"] *= numpy.float32(scale)
        inputs["value"] += numpy.float32(mean)
        yield f"d=64 n={n} m={m} logits x {scale} values around {mean}", inputs, False


def main(attend, report):
    worst = {}
    largest = {}
    for case, inputs, causal in cases():
        want = torch_attention(inputs, causal, torch.float64)
        theirs = torch_attention(inputs, causal, torch.float32)
        ours = our_attention(attend, inputs, causal)
        for name in want:
            our_errors, their_errors = (errors(name, got[name], want[name]) for got in (ours, theirs))
            for kind, error in our_errors.items():
                ratio = error / max(their_errors[kind], numpy.finfo(numpy.float32).eps / 16)
                worst[name, kind] = max(worst.get((name, kind), (0, "")), (ratio, case))
            if "x 1" in case.replace("x 30", ""):
                largest[name] = max(largest.get(name, 0), our_errors["max"])
    figures = []
    for (name, kind), (ratio, case) in worst.items():
        figures.append({"name": f"attention.accuracy.{name}.{kind}_over_pytorch", "value": ratio, "unit": "ratio"})
        print(f"{figures[-1]['name']:<58} {ratio:10.4g} ratio   worst: {case}", flush=True)
    for name, error in largest.items():
        figures.append({"name": f"attention.accuracy.{name}.ordinary_logits.max", "value": error, "unit": "relative"})
        print(f"{figures[-1]['name']:<58} {error:10.4g} relative", flush=True)
    report_file.add(report, figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
