"""The service from an ordinary grpcio client with generated stubs.

Usage: python_client_test.py ATTEND_SERVER GENERATED_STUBS SOURCE_DIR
"""

import concurrent.futures
import json
import math
import re
import subprocess
import sys
import tempfile
import unittest

SERVER, STUBS, SOURCE = sys.argv[1:4]
sys.path.insert(0, STUBS)

import grpc  # noqa: E402
import numpy as np  # noqa: E402
from attend.v1 import attend_pb2 as pb  # noqa: E402
from attend.v1 import attend_pb2_grpc as stubs  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

DTYPES = {np.dtype("f4"): pb.DATA_TYPE_FLOAT32, np.dtype("f8"): pb.DATA_TYPE_FLOAT64,
          np.dtype("f2"): pb.DATA_TYPE_FLOAT16, np.dtype("?"): pb.DATA_TYPE_BOOL}
NUMPY = {wire: dtype for dtype, wire in DTYPES.items()}


def to_tensor(array):
    array = np.ascontiguousarray(array)
    return pb.Tensor(dtype=DTYPES[array.dtype], shape=array.shape, raw=array.tobytes())


def to_array(tensor):
    return np.frombuffer(tensor.raw, NUMPY[tensor.dtype]).reshape(tensor.shape)


def softmax_attention(query, key, value, visible=True):
    """The definition, in float64. A row that sees no key is zero."""
    scores = query.astype("f8") @ np.swapaxes(key, -1, -2).astype("f8") / math.sqrt(query.shape[-1])
    scores = np.where(visible, scores, -np.inf)
    top = scores.max(-1, keepdims=True, initial=-1e300)
    weights = np.exp(scores - top)
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300) @ value.astype("f8")


class ServiceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.server = subprocess.Popen([SERVER, "--listen", "127.0.0.1:0", "--metrics_listen", "127.0.0.1:0",
                                       "--shared_memory_dir", cls.shared.name],
                                      stdout=subprocess.PIPE, text=True)
        banner = cls.server.stdout.readline()
        cls.address = re.search(r"listening on (127\.0\.0\.1:\d+)", banner).group(1)
        cls.channel = grpc.insecure_channel(cls.address, options=[("grpc.max_receive_message_length", -1),
                                                                  ("grpc.max_send_message_length", -1)])
        cls.stub = stubs.AttentionServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.terminate()
        # Large answers went out: gRPC's own end would take 10 seconds.
        assert cls.server.wait(timeout=8) == 0, "the server did not end cleanly"
        cls.server.stdout.close()
        cls.shared.cleanup()

    def attend(self, query, key, value, **request):
        heads = pb.Heads(query=to_tensor(query), key=to_tensor(key), value=to_tensor(value))
        return self.stub.Attention(pb.AttentionRequest(heads=heads, **request))

    def refusal(self, call, *arguments, **keywords):
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments, **keywords)
        return raised.exception

    def violation(self, error):
        trailers = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        self.assertEqual(status.code, error.code().value[0])
        for detail in status.details:
            if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad_request = error_details_pb2.BadRequest()
                detail.Unpack(bad_request)
                return bad_request.field_violations[0]
        self.fail("no BadRequest in the details")

    def test_attention_matches_numpy(self):
        random = np.random.default_rng(1)
        for dtype, tolerance in (("f4", 1e-5), ("f8", 1e-13), ("f2", 2e-3)):
            query, key, value = (random.standard_normal((2, 3, n, 8)).astype(dtype) for n in (5, 9, 9))
            output = to_array(self.attend(query, key, value).output)
            self.assertEqual(output.dtype, np.dtype(dtype))
            np.testing.assert_allclose(output, softmax_attention(query, key, value), atol=tolerance, rtol=0)

    def test_masks_match_numpy(self):
        random = np.random.default_rng(2)
        query, key, value = (random.standard_normal((2, 3, n, 8)).astype("f4") for n in (6, 9, 9))
        allowed = random.random((2, 1, 6, 9)) < 0.5
        allowed[0, 0, 2] = False
        mask = pb.Mask(allowed=to_tensor(allowed), causal=pb.CAUSAL_BOTTOM_RIGHT, key_lengths=[9, 4])
        i, j = np.arange(6)[:, None], np.arange(9)[None, :]
        visible = allowed & (j <= i + 3) & (j < np.array([9, 4]).reshape(2, 1, 1, 1))
        output = to_array(self.attend(query, key, value, mask=mask).output)
        np.testing.assert_allclose(output, softmax_attention(query, key, value, visible), atol=1e-5, rtol=0)

    def test_real_sentence_matches_tensorflow(self):
        street = SOURCE + "/examples/street/"
        load = lambda name: np.load(street + name + ".npy")
        w_qkv, b_qkv = load("w_qkv"), load("b_qkv")
        w_q, w_k, w_v = (np.ascontiguousarray(w_qkv[:, 256 * i:256 * (i + 1)]) for i in range(3))
        b_q, b_k, b_v = (b_qkv[256 * i:256 * (i + 1)] for i in range(3))
        tokens = pb.Tokens(x=to_tensor(load("x")), w_q=to_tensor(w_q), w_k=to_tensor(w_k), w_v=to_tensor(w_v),
                           w_o=to_tensor(load("w_out")), b_q=to_tensor(b_q), b_k=to_tensor(b_k), b_v=to_tensor(b_v),
                           b_o=to_tensor(load("b_out")), num_heads=4)
        answer = self.stub.Attention(
            pb.AttentionRequest(tokens=tokens, return_outputs=[pb.ATTENTION_OUTPUT_WEIGHTS]))
        # TensorFlow.js itself is within 6e-7 and 4e-6 of float64; ours may be as far on the other side.
        np.testing.assert_allclose(to_array(answer.weights), load("weights"), atol=2e-6, rtol=0)
        np.testing.assert_allclose(to_array(answer.output), load("output"), atol=1.5e-5, rtol=0)
        with open(street + "tokens.json", encoding="utf-8") as file:
            self.assertEqual(len(json.load(file)["tokens"]), answer.output.shape[0])

    def test_matrix_exp_and_project(self):
        generator = np.array([[-2.0, 2.0], [1.0, -1.0]])
        answer = self.stub.MatrixExp(pb.MatrixExpRequest(a=to_tensor(generator), times=[0.0, 1.0]))
        decay = math.exp(-3)
        exact = np.array([[1 + 2 * decay, 2 - 2 * decay], [1 - decay, 2 + decay]]) / 3
        np.testing.assert_allclose(to_array(answer.result), [np.eye(2), exact], rtol=1e-14)
        self.assertEqual(answer.reports[1].structure, pb.STRUCTURE_GENERATOR)

        random = np.random.default_rng(3)
        e, a = random.standard_normal((5, 4)), random.standard_normal((4, 4))
        congruence = pb.Congruence(e=to_tensor(e), a=to_tensor(a))
        answer = self.stub.Project(pb.ProjectRequest(congruence=congruence))
        np.testing.assert_allclose(to_array(answer.outputs[0]), e @ a @ e.T / 2, atol=1e-14)

        algebra = pb.AlgebraProjection(m=to_tensor(a), target=pb.AlgebraProjection.TARGET_ZERO_ROW_SUM)
        answer = self.stub.Project(pb.ProjectRequest(algebra=algebra))
        np.testing.assert_allclose(to_array(answer.outputs[0]), a - a.mean(axis=1, keepdims=True), atol=1e-15)

        low_rank = pb.LowRankProjection(a=to_tensor(e), rank=2)
        answer = self.stub.Project(pb.ProjectRequest(low_rank=low_rank))
        u, s, vt = map(to_array, answer.outputs)
        exact_u, exact_s, exact_vt = np.linalg.svd(e, full_matrices=False)
        np.testing.assert_allclose(s, exact_s[:2], rtol=1e-14)
        np.testing.assert_allclose((u * s) @ vt, (exact_u[:, :2] * exact_s[:2]) @ exact_vt[:2], atol=1e-13)
        self.assertAlmostEqual(answer.reports[0].distance, math.hypot(*exact_s[2:]), places=13)

    def test_matrix_log(self):
        a, b = 0.3, 0.1
        stochastic = np.array([[1 - a, a], [b, 1 - b]])
        generator = -math.log1p(-a - b) / (a + b) * (stochastic - np.eye(2))
        answer = self.stub.MatrixLog(pb.MatrixLogRequest(a=to_tensor(stochastic), nearest_generator=True))
        np.testing.assert_allclose(to_array(answer.result), generator, atol=1e-15)
        np.testing.assert_allclose(to_array(answer.nearest_generator), generator, atol=1e-15)
        self.assertEqual(answer.reports[0].verdict, pb.EMBEDDABILITY_EMBEDDABLE)
        answer = self.stub.MatrixLog(pb.MatrixLogRequest(a=to_tensor(stochastic[::-1])))
        self.assertEqual(answer.reports[0].verdict, pb.EMBEDDABILITY_NOT_EMBEDDABLE)
        self.assertFalse(answer.reports[0].exists)
        self.assertTrue(np.isnan(to_array(answer.result)).all())

        stochastic.tofile(self.shared.name + "/log")
        place = pb.SharedMemory(name="log", length=32)
        request = pb.MatrixLogRequest(a=pb.Tensor(dtype=pb.DATA_TYPE_FLOAT64, shape=[2, 2], shared=place), results=place)
        self.assertEqual(self.stub.MatrixLog(request).result.shared, place)
        np.testing.assert_allclose(np.fromfile(self.shared.name + "/log").reshape(2, 2), generator, atol=1e-15)

        error = self.refusal(self.stub.MatrixLog, pb.MatrixLogRequest(a=to_tensor(np.ones((2, 3)))))
        self.assertEqual(self.violation(error).field, "a")

    def test_typed_values(self):
        vector = pb.Tensor(shape=[1, 2], float_values=[1.0, 2.0])
        answer = self.stub.Attention(pb.AttentionRequest(heads=pb.Heads(query=vector, key=vector, value=vector)))
        self.assertEqual(list(to_array(answer.output)[0]), [1.0, 2.0])

    def test_gzip(self):
        query = np.ones((1, 1, 300, 64), "f4")
        heads = pb.Heads(query=to_tensor(query), key=to_tensor(query), value=to_tensor(query))
        answer = self.stub.Attention(pb.AttentionRequest(heads=heads), compression=grpc.Compression.Gzip)
        np.testing.assert_allclose(to_array(answer.output), query, rtol=1e-6)

    def test_sixteen_mebibytes(self):
        query = np.random.default_rng(4).standard_normal((1, 8, 2730, 64)).astype("f4")
        answer = self.attend(query, query, query)
        self.assertEqual(list(answer.output.shape), [1, 8, 2730, 64])
        row = softmax_attention(query[:, :, 100:101], query, query)
        np.testing.assert_allclose(to_array(answer.output)[:, :, 100:101], row, atol=1e-5, rtol=0)

    def test_many_callers(self):
        query = np.random.default_rng(5).standard_normal((1, 4, 50, 16)).astype("f4")
        with concurrent.futures.ThreadPoolExecutor(16) as callers:
            outputs = list(callers.map(lambda _: self.attend(query, query, query).output.raw, range(100)))
        self.assertEqual(len(set(outputs)), 1)

    def test_gradients(self):
        random = np.random.default_rng(6)
        query, key, value, slopes = (random.standard_normal((1, 2, 7, 4)) for _ in range(4))
        answer = self.attend(query, key, value, grad_output=to_tensor(slopes))
        self.assertEqual(sorted(answer.gradients), ["key", "query", "value"])
        step = 1e-6
        for place, name in enumerate(["query", "key", "value"]):
            direction = random.standard_normal((1, 2, 7, 4))
            inputs = [query, key, value]
            ends = []
            for sign in (1, -1):
                inputs[place] = (query, key, value)[place] + sign * step * direction
                ends.append(np.sum(to_array(self.attend(*inputs).output) * slopes))
            difference = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(np.sum(to_array(answer.gradients[name]) * direction), difference, atol=1e-7)

    def test_shared_memory(self):
        random = np.random.default_rng(7)
        arrays = np.stack([random.standard_normal((2, 3, 65, 8)) for _ in range(4)])
        size = arrays[0].nbytes
        arrays.tofile(self.shared.name + "/tensors")
        place = lambda i, length=size: pb.SharedMemory(name="tensors", offset=i * size, length=length)
        tensor = lambda i: pb.Tensor(dtype=pb.DATA_TYPE_FLOAT64, shape=arrays.shape[1:], shared=place(i))
        request = pb.AttentionRequest(heads=pb.Heads(query=tensor(0), key=tensor(1), value=tensor(2)), results=place(3))
        answer = self.stub.Attention(request)
        self.assertEqual(answer.output.shared, place(3))
        self.assertGreater(answer.stats.compute_seconds, 0)
        output = np.fromfile(self.shared.name + "/tensors").reshape(arrays.shape)[3]
        np.testing.assert_allclose(output, softmax_attention(*arrays[:3]), atol=1e-13, rtol=0)
        self.assertTrue(self.stub.GetServerInfo(pb.GetServerInfoRequest()).shared_memory)

        for name in ("../tensors", "/etc/passwd", "missing"):
            request.heads.key.shared.name = name
            error = self.refusal(self.stub.Attention, request)
            self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(self.violation(error).field, "heads.key.shared.name")
        request.heads.key.shared.CopyFrom(place(1))
        request.results.CopyFrom(place(3, size - 1))
        self.assertIn(f"expected {size} bytes", self.violation(self.refusal(self.stub.Attention, request)).description)

    def test_refusals_name_the_field(self):
        query = np.zeros((2, 3), "f4")
        error = self.refusal(self.attend, query, np.zeros((2, 4), "f4"), query)
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(self.violation(error).field, "heads.key")
        self.assertIn("got 4 columns, expected 3", self.violation(error).description)
        error = self.refusal(self.attend, query, query, query, mask=pb.Mask(alibi_slopes=[0.5, 0.25]))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(self.violation(error).field, "mask.alibi_slopes")
        error = self.refusal(self.attend, query, query, query, grad_output=to_tensor(query[:1]))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(self.violation(error).field, "grad_output.shape")
        query[1, 2] = np.nan
        error = self.refusal(self.attend, query, query, query)
        self.assertEqual(self.violation(error).field, "heads.query")
        self.assertIn("[1, 2]", self.violation(error).description)

    def test_bytes_that_are_no_request(self):
        call = self.channel.unary_unary("/attend.v1.AttentionService/Attention")
        for bytes_sent in (b"", b"\x0a", b"\xff" * 100, bytes(range(256)), b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"):
            error = self.refusal(call, bytes_sent)
            self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT, bytes_sent)
        self.stub.GetServerInfo(pb.GetServerInfoRequest())

    def test_unknown_methods(self):
        error = self.refusal(self.channel.unary_unary("/attend.v1.AttentionService/NoSuchMethod"), b"")
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_streaming_client_that_sends_nothing(self):
        call = self.channel.stream_unary("/attend.v1.AttentionService/Attention")
        error = self.refusal(call, iter(()))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_deadline(self):
        query = np.zeros((1, 16, 8192, 64), "f4")
        heads = pb.Heads(query=to_tensor(query), key=to_tensor(query), value=to_tensor(query))
        error = self.refusal(self.stub.Attention, pb.AttentionRequest(heads=heads), timeout=0.2)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
