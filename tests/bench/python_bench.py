"""What a call costs an ordinary grpcio client: attend-server against a grpcio server around PyTorch, in one run.

Usage: python_bench.py ATTEND_SERVER GENERATED_STUBS REPORT.json

Both serve the same contract to the same client code, with two compute threads each and one caller. The servers take
turns of some calls; a figure is the median. Without PyTorch only attend-server is measured.
"""

import importlib.util
import math
import re
import statistics
import subprocess
import sys
import time
from concurrent import futures

THREADS = 2
SHAPES = [(1, 8, 16, 64), (1, 8, 128, 64), (1, 8, 512, 64), (1, 8, 1024, 64), (1, 8, 4096, 64), (1, 32, 1024, 128)]
SECONDS_EACH = 8
REPETITIONS = (6, 300)
CALLS_IN_TURN = 6
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

sys.path.insert(0, sys.argv[2])
import grpc  # noqa: E402
import numpy as np  # noqa: E402
import report_file  # noqa: E402
from attend.v1 import attend_pb2 as pb  # noqa: E402
from attend.v1 import attend_pb2_grpc as stubs  # noqa: E402


def to_tensor(array):
    return pb.Tensor(dtype=pb.DATA_TYPE_FLOAT32, shape=array.shape, raw=array.tobytes())


def to_array(tensor):
    return np.frombuffer(tensor.raw, np.float32).reshape(tensor.shape)


def serve_torch():
    import torch

    torch.set_num_threads(THREADS)

    class TorchService(stubs.AttentionServiceServicer):
        def Attention(self, request, context):
            heads = request.heads
            query, key, value = (torch.frombuffer(bytearray(tensor.raw), dtype=torch.float32).reshape(*tensor.shape)
                                 for tensor in (heads.query, heads.key, heads.value))
            with torch.inference_mode():
                scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
                output = torch.softmax(scores, -1) @ value
            return pb.AttentionResponse(output=to_tensor(output.numpy()))

    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=NO_LIMIT)
    stubs.add_AttentionServiceServicer_to_server(TorchService(), server)
    print(f"listening on 127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}, torch {torch.__version__}", flush=True)
    server.start()
    server.wait_for_termination()


class Peer:
    """A server in a process of its own, and a stub of it."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        banner = self.process.stdout.readline()
        address = re.search(r"listening on ([^ ,]+)", banner).group(1)
        self.channel = grpc.insecure_channel(address, options=NO_LIMIT)
        self.stub = stubs.AttentionServiceStub(self.channel)

    def attend(self, arrays):
        """The output, and what the server says of the call."""
        query, key, value = (to_tensor(array) for array in arrays)
        request = pb.AttentionRequest(heads=pb.Heads(query=query, key=key, value=value))
        response = self.stub.Attention(request)
        return to_array(response.output), response.stats

    def stop(self):
        self.channel.close()
        self.process.terminate()
        self.process.wait()


def timed_call(peer, arrays):
    """The seconds of a call, and those of them that the server did not have it; all where it does not tell."""
    begin = time.perf_counter()
    _, stats = peer.attend(arrays)
    seconds = time.perf_counter() - begin
    return seconds, seconds - (stats.queue_seconds + stats.decode_seconds + stats.compute_seconds + stats.encode_seconds)


def measure(peers, shape):
    """The medians of timed_call of each peer."""
    random = np.random.default_rng(1)
    arrays = [random.standard_normal(shape).astype(np.float32) for _ in range(3)]
    outputs = [peer.attend(arrays)[0] for peer in peers]
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], atol=1e-5, rtol=0)
    once = sum(timed_call(peer, arrays)[0] for peer in peers)
    repetitions = min(max(int(SECONDS_EACH / once), REPETITIONS[0]), REPETITIONS[1])
    times = [[] for _ in peers]
    for _ in range(math.ceil(repetitions / CALLS_IN_TURN)):
        for peer, own in zip(peers, times):
            peer.attend(arrays)  # beside the other's threads, which spin for a while, and with cold caches
            own += [timed_call(peer, arrays) for _ in range(CALLS_IN_TURN)]
    return [tuple(map(statistics.median, zip(*own))) for own in times]


def main():
    server, stub_folder, report = sys.argv[1:4]
    peers = [Peer([server, "--listen=127.0.0.1:0", "--metrics_listen=off", f"--compute_threads={THREADS}",
                   "--log_level=error"])]
    if importlib.util.find_spec("torch") is None:
        print("python_bench.py: no PyTorch here (Debian: python3-torch): nothing to compare with", file=sys.stderr)
    else:
        peers.append(Peer([sys.executable, __file__, "serve-torch", stub_folder]))
    figures = []

    def add(name, value, unit):
        figures.append({"name": name, "value": value, "unit": unit})
        print(f"{name:<58} {value:10.4g} {unit}", flush=True)

    for shape in SHAPES:
        name = "e2e.python." + "x".join(map(str, shape))
        (ours, outside), *torch = measure(peers, shape)
        add(name + ".ms", ours * 1e3, "ms")
        add(name + ".outside_server_ms", outside * 1e3, "ms")
        if torch:
            theirs = torch[0][0]
            add(name + ".torch_server_ms", theirs * 1e3, "ms")
            add(name + ".vs_torch_server", ours / theirs, "ratio")
    for peer in peers:
        peer.stop()
    report_file.add(report, figures)


if __name__ == "__main__":
    serve_torch() if sys.argv[1] == "serve-torch" else main()
