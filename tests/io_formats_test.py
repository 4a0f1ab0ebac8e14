#!/usr/bin/env python3
"""Plans with the types and layouts that were asked for (--inputIOFormats, --outputIOFormats) give the values of the plan as the
model declares it, wherever plans are used: run, verify, inspect, bench, rebuild from the lockfile, and the server.
"""
import contextlib
import http.client
import json
import sys
import unittest

from harness import FUSEE, fusee, server, skip, workdir

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"skip: {missing}; install the packages of requirements.txt")
    sys.exit(77)

ROWS = 3
SHAPES = ["--shape-profile", "image:1x3x6x5,4x3x6x5", "--shape-profile", "scale:1x4x1x1,4x4x1x1"]
TYPES = {"fp32": np.float32, "fp16": np.float16}
TO_LAST = (0, 2, 3, 1)


def write_model(path):
    """A convolution of an image, times integers: outputs `map` [n,4,6,5] and `sum` [n,4,1,1]."""
    rng = np.random.default_rng(3)
    weights = numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32) / 4, "w")
    nodes = [helper.make_node("Conv", ["image", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
             helper.make_node("Cast", ["scale"], ["s"], name="cast", to=TensorProto.FLOAT),
             helper.make_node("Mul", ["c", "s"], ["m"], name="mul"),
             helper.make_node("Relu", ["m"], ["map"], name="relu"),
             helper.make_node("GlobalAveragePool", ["map"], ["sum"], name="pool")]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 6, 5]),
         helper.make_tensor_value_info("scale", TensorProto.INT64, ["n", 4, 1, 1])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 4, 6, 5]),
         helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 4, 1, 1])], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


class IoFormats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = workdir()
        cls.dir = cls.context.__enter__()
        cls.model = cls.dir / "net.onnx"
        write_model(cls.model)
        rng = np.random.default_rng(4)
        cls.image = rng.standard_normal((ROWS, 3, 6, 5)).astype(np.float16).astype(np.float32)  # exact in every type used here
        cls.scale = rng.integers(-2, 3, (ROWS, 4, 1, 1)).astype(np.int64)
        cls.want = cls.run_plan(cls.build("default"), cls.image, cls.scale)

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    @classmethod
    def build(cls, name, *options):
        plan = cls.dir / f"{name}.plan"
        fusee("build", cls.model, *SHAPES, "-o", plan, "--quiet", *options)
        return plan

    @classmethod
    def run_plan(cls, plan, image, scale):
        out = plan.with_suffix(".out")
        files = {"image": image, "scale": scale}
        for name, array in files.items():
            np.save(cls.dir / f"{name}.npy", array)
        fusee("run", plan, *[a for n in files for a in ("--input", f"{n}={cls.dir / n}.npy")], "--output-dir", out)
        return {name: np.load(out / f"{name}.npy") for name in ("map", "sum")}

    def check(self, got, kind, layout, tolerance):
        self.assertEqual(got["map"].dtype, TYPES[kind])
        want = self.want["map"].transpose(TO_LAST) if layout == "hwc" else self.want["map"]
        np.testing.assert_allclose(got["map"].astype(np.float32), want, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(got["sum"], self.want["sum"], rtol=tolerance, atol=tolerance)

    def test_every_form_gives_the_same_values(self):
        for kind, layout, precision, tolerance in [("fp32", "hwc", "fp32", 1e-6), ("fp16", "chw", "fp32", 1e-3), ("fp16", "hwc", "fp32", 1e-3),
                                                   ("fp16", "hwc", "fp16", 1e-2)]:
            with self.subTest(kind=kind, layout=layout, precision=precision):
                plan = self.build(f"{kind}-{layout}-{precision}", f"--inputIOFormats={kind}:{layout},int64:chw",
                                  f"--outputIOFormats={kind}:{layout},fp32:chw", "--precision", precision)
                image = self.image.astype(TYPES[kind])
                if layout == "hwc":
                    image = np.ascontiguousarray(image.transpose(TO_LAST))
                self.check(self.run_plan(plan, image, self.scale), kind, layout, tolerance)
                self.assertIn("verified", fusee("verify", plan))
                report = json.loads(fusee("verify", plan, "--onnx", self.model, "--json"))
                self.assertTrue(report["verified"])
                self.assertTrue(report["reference"]["batch_invariant"])
                again = plan.with_suffix(".again")
                fusee("build", self.model, *SHAPES, "-o", again, "--quiet", "--locked", f"{plan}.lock", f"--input-formats={kind}:{layout},int64:chw",
                      f"--output-formats={kind}:{layout},fp32:chw", "--precision", precision)
                self.assertEqual(plan.read_bytes(), again.read_bytes())
                fusee("build", self.model, *SHAPES, "-o", again, "--quiet", "--locked", f"{plan}.lock", "--precision", precision, expect=6)

    def test_the_plan_says_its_own_interface(self):
        plan = self.build("shown", "--inputIOFormats=fp16:hwc,int64:chw", "--outputIOFormats=fp16:hwc,fp32:chw")
        shown = json.loads(fusee("inspect", plan, "--json"))
        self.assertEqual([(io["name"], io["dtype"], io["shape"], io["channels_last"]) for io in shown["inputs"] + shown["outputs"]],
                         [("image", "f16", "[n,6,5,3]", True), ("scale", "i64", "[n,4,1,1]", False),
                          ("map", "f16", "[n,6,5,4]", True), ("sum", "f32", "[n,4,1,1]", False)])
        self.assertIn("input-formats fp16:hwc,int64:chw;output-formats fp16:hwc,fp32:chw;", shown["options"])
        text = fusee("inspect", plan)
        self.assertRegex(text, r"input +image .*f16\[n,6,5,3\] \(channels last\)")
        self.assertRegex(fusee("inspect", plan, "--header"), r"image +f16 ?\[n,6,5,3\]")

    def test_bench_builds_in_the_models_order_and_times_in_the_plans(self):
        shapes = ["--shapes=image:2x3x6x5,scale:2x4x1x1", "--duration=0", "--json"]
        report = json.loads(fusee("bench", f"--onnx={self.model}", *shapes, "--inputIOFormats=fp16:hwc,int64:chw"))
        self.assertEqual(report["inputs"], ["image f16[2,6,5,3]", "scale i64[2,4,1,1]"])

    def test_the_server_takes_and_gives_what_the_plan_does(self):
        plan = self.dir / "models/net/1/model.plan"
        plan.parent.mkdir(parents=True)
        fusee("build", self.model, *SHAPES, "-o", plan, "--quiet", "--inputIOFormats=fp16:hwc,int64:chw", "--outputIOFormats=fp16:hwc,fp32:chw")
        image = np.ascontiguousarray(self.image.astype(np.float16).transpose(TO_LAST))
        with server(self.dir / "models") as port, contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", "/v2/models/net")
            metadata = json.loads(connection.getresponse().read())
            self.assertEqual(metadata["inputs"][0], {"name": "image", "datatype": "FP16", "shape": [-1, 6, 5, 3]})
            self.assertEqual(metadata["outputs"][0], {"name": "map", "datatype": "FP16", "shape": [-1, 6, 5, 4]})
            arrays = {"image": (image, "FP16"), "scale": (self.scale, "INT64")}
            head = json.dumps({"inputs": [{"name": n, "shape": list(a.shape), "datatype": t, "parameters": {"binary_data_size": a.nbytes}}
                                          for n, (a, t) in arrays.items()], "parameters": {"binary_data_output": True}}).encode()
            body = head + b"".join(a.tobytes() for a, _ in arrays.values())
            connection.request("POST", "/v2/models/net/infer", body, {"Inference-Header-Content-Length": str(len(head))})
            response = connection.getresponse()
            answer = response.read()
            self.assertEqual(response.status, 200, answer[:500])
            split = int(response.getheader("Inference-Header-Content-Length"))
            outputs = {o["name"]: o for o in json.loads(answer[:split])["outputs"]}
            size = outputs["map"]["parameters"]["binary_data_size"]
            got = {"map": np.frombuffer(answer[split : split + size], np.float16).reshape(outputs["map"]["shape"]),
                   "sum": np.frombuffer(answer[split + size :], np.float32).reshape(outputs["sum"]["shape"])}
            self.check(got, "fp16", "hwc", 1e-3)


if __name__ == "__main__":
    if not FUSEE.exists():
        skip(f"{FUSEE} is not built")
    unittest.main(verbosity=2)
