"""What SciPy and PyTorch take for the same work, for attend-bench: one request a line, answers on standard output.

  load f64|f32 BATCH N         then the matrices' bytes: the work of all following requests
  vectors P                    then the bytes of [N, P], of the matrices' type
  run scipy|torch|multiply     answers seconds of the one thread, or `none` where the library is not installed
"""

import sys
import time

import numpy


def library(name):
    try:
        if name == "torch":
            import torch

            torch.set_num_threads(1)
            return torch
        import scipy.linalg
        import scipy.sparse.linalg

        return scipy
    except ImportError:
        return None


def work(name, matrices, vectors):
    """A function that does the work once, or None."""
    found = library(name)
    if found is None:
        return None
    if name == "torch":
        tensor = found.from_numpy(matrices)
        return lambda: found.linalg.matrix_exp(tensor)
    if name == "multiply":
        return lambda: found.sparse.linalg.expm_multiply(matrices[0], vectors)
    return lambda: found.linalg.expm(matrices)


def main():
    matrices = vectors = None
    for line in iter(sys.stdin.buffer.readline, b""):
        request = line.decode().split()
        if request[0] == "load":
            dtype = numpy.dtype("f8" if request[1] == "f64" else "f4")
            batch, n = int(request[2]), int(request[3])
            data = sys.stdin.buffer.read(batch * n * n * dtype.itemsize)
            matrices = numpy.frombuffer(data, dtype).reshape(batch, n, n).copy()
        elif request[0] == "vectors":
            p = int(request[1])
            data = sys.stdin.buffer.read(matrices.shape[1] * p * matrices.itemsize)
            vectors = numpy.frombuffer(data, matrices.dtype).reshape(-1, p).copy()
        else:
            run = work(request[1], matrices, vectors)
            answer = "none"
            if run is not None:
                begin = time.thread_time()
                run()
                answer = repr(time.thread_time() - begin)
            print(answer, flush=True)


main()
