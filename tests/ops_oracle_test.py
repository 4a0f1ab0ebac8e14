#!/usr/bin/env python3
"""Operators that ONNX's node tests do not cover, against values that others compute.

Usage: ops_oracle_test.py [NAME...]

Each line of CASES is a model of one node. ONNX Runtime computes what com.microsoft's operators give, ONNX's reference
evaluator what ai.onnx's newest do; `fusee conform` then builds the model, runs it and compares. Every size of an input
is symbolic where the case says so. NAME keeps the cases whose name contains it.
Exit status: 0 agreed, 1 differed, 77 skipped (a package is missing).
"""
import sys

from harness import fusee, skip, workdir

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator
except ImportError as missing:
    skip(f"{missing}; install the packages of requirements.txt")

MICROSOFT = "com.microsoft"
SEED = 20240913
CASES = []


def case(name, op, inputs, outputs=1, domain=MICROSOFT, opset=21, same_as=None, **attributes):
    """inputs: arrays, or None for an absent operand; outputs: how many results, or their names with "" for unwanted;
    same_as: inputs that the oracle computes the same from, where it does not take these."""
    names = outputs if isinstance(outputs, list) else [f"y{i}" for i in range(outputs)]
    CASES.append((f"{op}_{name}" if name else op, op, inputs, names, domain, opset, attributes, same_as or inputs))


def random(*shape, dtype=np.float32, scale=1.0):
    count = int(np.prod(shape))
    rng = np.random.default_rng([SEED, len(CASES), count])
    return (rng.standard_normal(shape) * scale).astype(dtype)


def integers(low, high, *shape, dtype=np.int32):
    return np.random.default_rng([SEED, len(CASES)]).integers(low, high, shape).astype(dtype)


def matmul_cases():
    a, b = random(2, 3, 4, 5), random(2, 3, 5, 6)
    case("", "FusedMatMul", [a, b])
    case("alpha", "FusedMatMul", [a, b], alpha=0.25)
    case("trans_a", "FusedMatMul", [random(2, 5, 4), random(2, 5, 6)], transA=1)
    case("trans_b", "FusedMatMul", [random(2, 4, 5), random(6, 5)], transB=1, alpha=-2.0)
    case("trans_both", "FusedMatMul", [random(5, 4), random(6, 5)], transA=1, transB=1)
    case("batch_a", "FusedMatMul", [random(4, 2, 3, 5), b], transBatchA=1)
    case("batch_a_trans", "FusedMatMul", [random(5, 2, 3, 4), b], transBatchA=1, transA=1)
    case("batch_b", "FusedMatMul", [a, random(5, 2, 3, 6)], transBatchB=1)
    case("batch_b_trans", "FusedMatMul", [a, random(6, 2, 3, 5)], transBatchB=1, transB=1)
    for name, numbers in [("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Sigmoid", {}), ("Tanh", {})]:
        case(name, "FusedGemm", [random(3, 4), random(5, 4), random(5)], transB=1, alpha=0.5, activation=name, **numbers)


def conv_cases():
    x, w, b = random(2, 3, 7, 6), random(4, 3, 3, 3), random(4)
    z = random(2, 4, 7, 6)
    pads = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    case("plain", "FusedConv", [x, w, b], **pads)
    case("relu", "FusedConv", [x, w], activation="Relu", strides=[2, 1], **pads)
    case("sum", "FusedConv", [x, w, b, z], activation="Relu", **pads)
    case("leaky", "FusedConv", [x, w, b], activation="LeakyRelu", activation_params=[0.3], **pads)
    case("clip", "FusedConv", [x, w, b], activation="Clip", activation_params=[-0.5, 1.5], **pads)
    case("hard_sigmoid", "FusedConv", [x, w, b], activation="HardSigmoid", activation_params=[0.3, 0.4], **pads)
    case("tanh", "FusedConv", [x, random(6, 1, 3, 3), None], activation="Tanh", group=3, **pads)


def gelu_cases():
    x, b = random(2, 3, 8, scale=3), random(8)
    case("", "Gelu", [x])
    case("", "BiasGelu", [x, b])
    case("", "FastGelu", [x])
    case("bias", "FastGelu", [x, b])
    case("", "QuickGelu", [x])
    case("alpha", "QuickGelu", [x], alpha=0.7)


def norm_cases():
    x, skip_x, gamma, beta, bias = random(2, 3, 8), random(2, 3, 8, scale=2), random(8), random(8, scale=3), random(8, scale=4)
    case("", "SkipLayerNormalization", [x, skip_x, gamma, beta])
    case("bias_sum", "SkipLayerNormalization", [x, skip_x, gamma, beta, bias], ["y", "", "", "sum"], epsilon=1e-5)
    case("no_beta", "SkipLayerNormalization", [x, skip_x, gamma])
    case("broadcast", "SkipLayerNormalization", [x, random(3, 8), gamma, beta])
    case("", "SkipSimplifiedLayerNormalization", [x, skip_x, gamma])
    case("bias_sum", "SkipSimplifiedLayerNormalization", [x, skip_x, gamma, bias], ["y", "", "", "sum"], epsilon=1e-3)
    case("", "SimplifiedLayerNormalization", [x, gamma], domain="", axis=-1)
    case("epsilon", "SimplifiedLayerNormalization", [x, gamma], domain="", epsilon=0.5)
    ids, segments = integers(0, 20, 2, 5), integers(0, 2, 2, 5)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    words, positions, types = random(20, 8), random(9, 8, scale=2), random(2, 8, scale=3)
    case("", "EmbedLayerNormalization", [ids, segments, words, positions, types, gamma, beta, mask], 2)
    case("sum", "EmbedLayerNormalization", [ids, segments, words, positions, types, gamma, beta, mask], 3)
    case("no_mask", "EmbedLayerNormalization", [ids, segments, words, positions, types, gamma, beta], 2)
    case("no_segments", "EmbedLayerNormalization", [ids, None, words, positions, None, gamma, beta], ["y", ""])
    case("positions", "EmbedLayerNormalization",
         [ids, segments, words, positions, types, gamma, beta, None, integers(0, 9, 2, 5)], ["y", ""], mask_index_type=0)


def rotary_cases():
    cos, sin = random(20, 4), random(20, 4, scale=2)
    ids = integers(0, 20, 2, 3, dtype=np.int64)
    first = np.array([5], np.int64)
    case("by_heads", "RotaryEmbedding", [random(2, 3, 3, 8), ids, cos, sin])
    case("joined", "RotaryEmbedding", [random(2, 3, 24), ids, cos, sin])
    case("first", "RotaryEmbedding", [random(2, 3, 24), first, cos, sin], interleaved=1)
    case("partial", "RotaryEmbedding", [random(2, 3, 36), ids, cos, sin], num_heads=3, rotary_embedding_dim=8)


def attention_cases():
    x, w, b = random(2, 4, 6), random(6, 36), random(36)
    lengths = np.array([2, 4], np.int32)
    raw = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32)
    case("", "Attention", [x, w, b], num_heads=3)
    case("causal", "Attention", [x, w, b], num_heads=3, unidirectional=1)
    case("lengths", "Attention", [x, w, b, lengths], num_heads=3)
    case("raw", "Attention", [x, w, b, raw], num_heads=3, mask_filter_value=-50.0)
    case("raw_left_causal", "Attention", [x, w, b, raw[:, ::-1].copy()], num_heads=3, unidirectional=1)
    case("raw_3d", "Attention", [x, w, b, integers(0, 2, 2, 4, 4)], num_heads=3)
    case("sizes", "Attention", [x, random(6, 33), random(33), raw], num_heads=3, qkv_hidden_sizes=[12, 12, 9])
    case("scale", "Attention", [x, w, b], num_heads=2, scale=0.2)
    case("added", "Attention", [x, w, b, raw, None, random(2, 3, 4, 4)], num_heads=3)
    case("added_broadcast", "Attention", [x, w, b, None, None, random(1, 3, 4, 4)], num_heads=3)
    past = random(2, 2, 3, 5, 4)
    case("past", "Attention", [x, w, b, None, past], 2, num_heads=3, unidirectional=1)
    case("past_raw", "Attention", [x, w, b, integers(0, 2, 2, 9), past], 2, num_heads=3, unidirectional=1)
    case("present", "Attention", [x, w, b], 2, num_heads=3)
    q, k, v = random(2, 4, 12), random(2, 5, 12, scale=2), random(2, 5, 18)
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    mha = lambda name, inputs, outputs=1, **more: case(name, "MultiHeadAttention", inputs, outputs, num_heads=3, **more)
    mha("", [q, k, v])
    mha("bias", [q, k, v, random(42)])
    mha("lengths", [q, k, v, None, np.array([5, 1], np.int32)])
    mha("raw", [q, k, v, None, mask], scale=0.3)
    mha("raw_3d", [q, k, v, None, integers(0, 2, 2, 4, 5)])
    mha("added", [q, k, v, None, None, random(2, 3, 4, 5)])
    mha("all", [q, k, v, random(42), mask, random(1, 3, 4, 5)], mask_filter_value=-3.0)
    mha("causal", [q, random(2, 4, 12), random(2, 4, 12)], unidirectional=1)
    mha("past", [q, random(2, 4, 12), random(2, 4, 12), None, None, None, random(2, 3, 6, 4), random(2, 3, 6, 4, scale=2)], 3)
    mha("past_causal", [q, random(2, 4, 12), random(2, 4, 12), None, None, None, random(2, 3, 6, 4), random(2, 3, 6, 4)],
        3, unidirectional=1)
    mha("by_heads", [q, random(2, 3, 5, 4), random(2, 3, 5, 4, scale=2)])
    packed = random(2, 5, 3, 3, 4)  # batch, seq, heads, q k v, dim
    columns = [packed[:, :, :, i].reshape(2, 5, 12) for i in range(3)]
    mha("packed_kv", [q, packed[:, :, :, 1:].copy()], same_as=[q, *columns[1:]])
    mha("packed_qkv", [packed], same_as=columns)


def onnx_cases():
    """ai.onnx's Attention where no node test looks."""
    q, k, v = random(2, 4, 5, 8), random(2, 2, 7, 8), random(2, 2, 7, 6)
    attention = lambda name, inputs, outputs=1, opset=24, **more: case(name, "Attention", inputs, outputs, "", opset, **more)
    lengths = np.array([3, 7], np.int64)
    numbers = random(4, 5, 7)
    numbers[:, 2, :] = -np.inf  # a row that sees nothing
    attention("onnx_lengths", [q, k, v, None, None, None, lengths])
    attention("onnx_lengths_zero", [q, k, v, None, None, None, np.array([0, 7], np.int64)], is_causal=1)
    attention("onnx_mask_of_heads", [q, k, v, numbers], ["y", "", "", "qk"], qk_matmul_output_mode=3)
    attention("onnx_biased", [q, k, v, numbers, None, None, lengths], ["y", "", "", "qk"], qk_matmul_output_mode=2,
              is_causal=1, softcap=1.5)
    attention("onnx_short_mask", [q, k, v, random(5, 7)[:, :4] > 0], ["y", "", "", "qk"], qk_matmul_output_mode=3)
    attention("onnx_one_column", [q, k, v, random(5, 7)[:, :1]])
    one = random(5, 1)  # broadcasts in opset 23; since opset 24, as above, the other keys are masked out
    attention("onnx_one_column_23", [q, k, v, one], opset=23, same_as=[q, k, v, np.repeat(one, 7, 1)])
    attention("onnx_joined_masked", [random(2, 5, 32), random(2, 7, 16), random(2, 7, 12), numbers], q_num_heads=4, kv_num_heads=2)
    attention("onnx_f16_in_f32", [q.astype(np.float16), k.astype(np.float16), v.astype(np.float16)], softmax_precision=1)
    attention("onnx_window", [q, k, v], opset=25, left_window_size=2, right_window_size=1)
    attention("onnx_window_causal_lengths", [q, k, v, None, None, None, lengths], opset=25, left_window_size=1, is_causal=1)
    attention("onnx_window_past", [q, k, v, None, random(2, 2, 3, 8), random(2, 2, 3, 6)], 3, opset=25, left_window_size=3)
    attention("onnx_window_beyond_keys", [random(2, 4, 12, 8), k, v], opset=25, left_window_size=1)


def attention_inputs(batch, seq, past):
    """ai.onnx's Attention with a cache, a mask of conditions and grouped heads."""
    total = seq + past
    mask = np.tril(np.ones((batch, 1, seq, total), bool), past)
    mask[0, 0, 0] = False  # sees nothing
    return [random(batch, 4, seq, 8), random(batch, 2, seq, 8), random(batch, 2, seq, 6), mask,
            random(batch, 2, past, 8), random(batch, 2, past, 6)]


def multi_head_inputs(batch, seq, past):
    mask = integers(0, 2, batch, seq + past)
    mask[:, -1] = 1
    return [random(batch, seq, 12), random(batch, seq, 12), random(batch, seq, 12), random(36), mask, None,
            random(batch, 3, past, 4), random(batch, 3, past, 4)]


def rotary_inputs(batch, seq, past):
    return [random(batch, seq, 24), np.arange(past, past + seq)[None].repeat(batch, 0), random(40, 4), random(40, 4)]


def cache_inputs(batch, seq, past):
    return [random(batch, 3, 16, 5), random(batch, 3, seq, 5), np.full(batch, past, np.int64)]


# (operator, domain, opset, inputs of (batch, seq, past), number of results, attributes); built once for all SIZES.
DYNAMIC = [
    ("Attention", "", 24, attention_inputs, 3, {"is_causal": 1}),
    ("MultiHeadAttention", MICROSOFT, 21, multi_head_inputs, 3, {"num_heads": 3, "unidirectional": 1}),
    ("RotaryEmbedding", MICROSOFT, 21, rotary_inputs, 1, {"interleaved": 1}),
    ("TensorScatter", "", 24, cache_inputs, 1, {"mode": "circular"}),
]
SIZES = [(1, 1, 0), (3, 7, 9), (2, 1, 9), (1, 7, 1)]  # the first is the smallest, the second the largest


def check_dynamic(folder, one):
    """Builds a model whose sizes are symbolic, and runs it at each of SIZES; returns what differs."""
    op, domain, opset, make_inputs, results, attributes = one
    outputs = [f"y{i}" for i in range(results)]
    low, high = make_inputs(*SIZES[0]), make_inputs(*SIZES[1])
    model = make_model(op, high, outputs, domain, opset, attributes)
    profile = []
    for declared in model.graph.input:
        a, b = (x[int(declared.name[1:])].shape for x in (low, high))
        for axis, dim in enumerate(declared.type.tensor_type.shape.dim):
            if a[axis] != b[axis]:
                dim.dim_param = f"{declared.name}_{axis}"
        profile += ["--shape-profile", f"{declared.name}:" + ",".join("x".join(map(str, s)) for s in (a, b))]
    for output in model.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    path = folder / f"{op}.onnx"
    onnx.save(model, path)
    fusee("build", path, "-o", folder / "dynamic.plan", *profile)
    problems = []
    for sizes in SIZES:
        inputs = make_inputs(*sizes)
        feeds = {f"x{i}": x for i, x in enumerate(inputs) if x is not None}
        for name, value in feeds.items():
            np.save(folder / f"{name}.npy", value)
        given = [word for name in feeds for word in ("--input", f"{name}={folder / name}.npy")]
        fusee("run", folder / "dynamic.plan", "--output-dir", folder / "out", *given)
        for output, want in zip(outputs, expected(model, feeds, domain, op)):
            got = np.load(folder / "out" / f"{output}.npy")
            if got.shape != want.shape or not np.allclose(got, want, rtol=1e-4, atol=1e-5):
                problems.append(f"{op} at (batch, seq, past) {sizes}: {output} differs")
    return problems


def make_model(op, inputs, outputs, domain, opset, attributes):
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)

    def info(i, x):
        return helper.make_tensor_value_info(names[i], helper.np_dtype_to_tensor_dtype(x.dtype), list(x.shape))

    declared = [info(i, x) for i, x in enumerate(inputs) if x is not None]
    results = [onnx.ValueInfoProto(name=o) for o in outputs if o]
    graph = helper.make_graph([node], op, declared, results)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def expected(model, feeds, domain, op):
    if domain == MICROSOFT or op.startswith("Simplified"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feeds)
    return ReferenceEvaluator(model).run(None, feeds)


def write_case(folder, one):
    name, op, inputs, outputs, domain, opset, attributes, same_as = one

    def feeds(arrays):
        return {f"x{i}": x for i, x in enumerate(arrays) if x is not None}

    results = expected(make_model(op, same_as, outputs, domain, opset, attributes), feeds(same_as), domain, op)
    model = make_model(op, inputs, outputs, domain, opset, attributes)
    del model.graph.output[:]
    for output, value in zip([o for o in outputs if o], results):
        element = helper.np_dtype_to_tensor_dtype(value.dtype)
        model.graph.output.append(helper.make_tensor_value_info(output, element, list(value.shape)))
    data = folder / f"test_{name}" / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(model, data.parent / "model.onnx")
    for kind, values in (("input", feeds(inputs).values()), ("output", results)):
        for i, value in enumerate(values):
            (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())


def main():
    for cases in (matmul_cases, conv_cases, gelu_cases, norm_cases, rotary_cases, attention_cases, onnx_cases):
        cases()
    chosen = [c for c in CASES if not sys.argv[1:] or any(name in c[0] for name in sys.argv[1:])]
    with workdir() as folder:
        for one in chosen:
            try:
                write_case(folder, one)
            except Exception as problem:  # the oracles' exceptions have no common base
                print(f"{one[0]}: its oracle says: {problem}")
                return 1
        output = fusee("conform", folder, "--verbose")
    print(output)
    dynamic = [d for d in DYNAMIC if not sys.argv[1:] or any(name in d[0] for name in sys.argv[1:])]
    problems = []
    for one in dynamic:
        with workdir() as folder:
            problems += check_dynamic(folder, one)
    print("\n".join(problems))
    agreed = not problems and output.strip().splitlines()[-1] == f"{len(chosen)} passed, 0 refused, 0 wrong, 0 crashed"
    print(f"seed {SEED}: {'all' if agreed else 'not all'} of {len(chosen)} and {len(dynamic)} of symbolic sizes agree")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
