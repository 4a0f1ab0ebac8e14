#!/usr/bin/env python3
"""Compares Fusee's own ONNX reader with the official parser.

Usage: onnx_oracle_test.py [MODEL...]

The test program onnx_dump in $FUSEE_BIN_DIR prints what Fusee sees. Without models, every *.onnx below the folder in
FUSEE_CORPORA is read by both, and every field of the view, every declared shape and a digest of every weight must
agree; so must every test tensor (*.pb). Tensors of all types in every encoding that the standard allows, and a model
with external data, are generated here and need no corpora.
Exit status: 0 agreed, 1 differed, 77 skipped (the package onnx or the program is missing).
"""
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"skip: {missing}; install the packages of requirements.txt")
    sys.exit(77)

BATCH = 200  # paths per run of the program
SUPPORTED = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16, *range(17, 27)}  # TensorProto types that Fusee has
PACKED_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
WIDENED = {21: np.uint8, 22: np.int8, 25: np.uint8, 26: np.int8}  # integers of 4 and 2 bits, a byte each in memory
KINDS = {"tensor_type": 0, "sequence_type": 1, "optional_type": 2, "map_type": 3,
         "sparse_tensor_type": 4, "opaque_type": 5, None: 6}


def text(value):
    """The dump writes bytes as Latin-1 characters."""
    return (value if isinstance(value, bytes) else value.encode("utf-8")).decode("latin-1")


def domain(value):
    return "" if value == "ai.onnx" else text(value)


def float_bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def tensor_view(tensor, base):
    view = {"name": text(tensor.name), "type": tensor.data_type, "dims": list(tensor.dims)}
    if tensor.data_type in SUPPORTED:
        array = numpy_helper.to_array(tensor, base)
        if tensor.data_type in WIDENED:
            array = array.astype(WIDENED[tensor.data_type])
        view["sha256"] = hashlib.sha256(array.tobytes()).hexdigest()
    else:
        view["problem"] = True
    return view


def attribute_view(attribute, base):
    kind = attribute.type
    tensors = [attribute.t] if attribute.HasField("t") else list(attribute.tensors)
    graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
    return {"name": text(attribute.name), "type": kind, "ref": text(attribute.ref_attr_name), "i": attribute.i,
            "f": float_bits(attribute.f), "s": text(attribute.s), "ints": list(attribute.ints),
            "floats": [float_bits(f) for f in attribute.floats], "strings": [text(s) for s in attribute.strings],
            "tensors": [tensor_view(t, base) for t in tensors], "graphs": [graph_view(g, base) for g in graphs]}


def node_view(node, base):
    return {"name": text(node.name), "op_type": text(node.op_type), "domain": domain(node.domain),
            "overload": text(node.overload), "inputs": [text(i) for i in node.input],
            "outputs": [text(o) for o in node.output],
            "attributes": [attribute_view(a, base) for a in node.attribute]}


def dim_view(dim):
    if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
        return dim.dim_value
    return text(dim.dim_param)


def value_view(value):
    member = value.type.WhichOneof("value")
    view = {"name": text(value.name), "kind": KINDS[member], "type": 0, "shape": None}
    if member in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(value.type, member)
        view["type"] = tensor.elem_type
        if tensor.HasField("shape"):
            view["shape"] = [dim_view(d) for d in tensor.shape.dim]
    return view


def graph_view(graph, base):
    assert not graph.sparse_initializer
    return {"name": text(graph.name), "nodes": [node_view(n, base) for n in graph.node],
            "initializers": [tensor_view(t, base) for t in graph.initializer],
            "inputs": [value_view(v) for v in graph.input], "outputs": [value_view(v) for v in graph.output],
            "value_infos": [value_view(v) for v in graph.value_info]}


def function_view(function, base):
    return {"name": text(function.name), "domain": domain(function.domain), "overload": text(function.overload),
            "inputs": [text(i) for i in function.input], "outputs": [text(o) for o in function.output],
            "attributes": [text(a) for a in function.attribute],
            "attribute_defaults": [attribute_view(a, base) for a in function.attribute_proto],
            "nodes": [node_view(n, base) for n in function.node],
            "value_infos": [value_view(v) for v in function.value_info],
            "opset_imports": [[domain(o.domain), o.version] for o in function.opset_import]}


def model_view(path):
    model = onnx.load(path, load_external_data=False)
    base = os.path.dirname(path)
    return {"path": text(path), "ir_version": model.ir_version, "producer_name": text(model.producer_name),
            "producer_version": text(model.producer_version), "domain": text(model.domain),
            "model_version": model.model_version,
            "opset_imports": [[domain(o.domain), o.version] for o in model.opset_import],
            "metadata": [[text(e.key), text(e.value)] for e in model.metadata_props],
            "graph": graph_view(model.graph, base), "functions": [function_view(f, base) for f in model.functions]}


def difference(got, want, where=""):
    """The first path at which two views differ, or None."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in want:
            if key == "problem":  # its wording is Fusee's own
                if "problem" not in got:
                    return f"{where}: expected a refusal, got {got}"
                continue
            if key not in got:
                return f"{where}.{key}: missing; got {str(got)[:300]}"
            found = difference(got[key], want[key], f"{where}.{key}")
            if found:
                return found
        return None
    if isinstance(want, list) and isinstance(got, list):
        if len(got) != len(want):
            return f"{where}: {len(got)} items, expected {len(want)}"
        for i, (g, w) in enumerate(zip(got, want)):
            found = difference(g, w, f"{where}[{i}]")
            if found:
                return found
        return None
    return None if got == want else f"{where}: got {got!r}, expected {want!r}"


def dump(program, paths, tensors=False):
    for i in range(0, len(paths), BATCH):
        command = [program] + (["--tensor"] if tensors else []) + paths[i:i + BATCH]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("ascii")
        yield from (json.loads(line) for line in out.splitlines())


def packed_tensors(rng, kind):
    """Elements of 4 and 2 bits, the first in the lowest bits of a byte; in memory they have a byte each."""
    bits = PACKED_BITS[kind]
    for shape in [(24,), (23,), (2, 3, 4), (), (0, 3)]:
        codes = rng.integers(0, 1 << bits, size=int(np.prod(shape)), dtype=np.uint8)
        padded = np.append(codes, np.zeros(-codes.size % (8 // bits), np.uint8)).reshape(-1, 8 // bits)
        stored = (padded << (np.arange(8 // bits, dtype=np.uint8) * bits)).sum(axis=1).astype(np.uint8)
        array = codes.astype(np.int8)
        if WIDENED.get(kind) is np.int8:
            array = np.where(array >> (bits - 1), array - (1 << bits), array).astype(np.int8)
        array = array.reshape(shape)
        yield f"raw_{kind}_{shape}", TensorProto(data_type=kind, dims=shape, raw_data=stored.tobytes()).SerializeToString(), array
        yield f"typed_{kind}_{shape}", TensorProto(data_type=kind, dims=shape, int32_data=stored.tolist()).SerializeToString(), array


def generated_tensors():
    """Every supported type in every encoding, with extreme values; (name, serialised bytes, array)."""
    rng = np.random.default_rng(20240607)
    for kind in sorted(PACKED_BITS):
        yield from packed_tensors(rng, kind)
    for kind in sorted(SUPPORTED - PACKED_BITS.keys()):
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        raw = rng.integers(0, 2 if kind == TensorProto.BOOL else 256, size=24 * np.dtype(dtype).itemsize)
        for shape in [(24,), (2, 3, 4), (), (0, 3)]:
            count = int(np.prod(shape))
            array = np.frombuffer(raw.astype(np.uint8).tobytes(), dtype=dtype)[:count].reshape(shape)
            yield f"raw_{kind}_{len(shape)}", numpy_helper.from_array(array).SerializeToString(), array
            typed = TensorProto(data_type=kind, dims=shape)
            field = helper.tensor_dtype_to_field(kind)
            values = array.ravel()
            if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
                values = values.view(np.uint16)
            elif kind == TensorProto.BOOL or kind > TensorProto.BFLOAT16:  # those after it here are of 8 bits
                values = values.view(np.uint8)
            elif kind in (TensorProto.FLOAT, TensorProto.DOUBLE):
                # Python's float quiets a signalling NaN, which would change its bits.
                values = np.where(np.isnan(values), np.inf, values)
                array = values.reshape(shape)
            getattr(typed, field).extend(values.tolist())
            packed = typed.SerializeToString()
            yield f"typed_{kind}_{len(shape)}", packed, array
            # Two halves of a message concatenated are one message: repeated fields append.
            if count > 1:
                first, second = TensorProto(dims=shape), TensorProto(data_type=kind)
                getattr(first, field).extend(values.tolist()[:5])
                getattr(second, field).extend(values.tolist()[5:])
                yield f"split_{kind}", first.SerializeToString() + second.SerializeToString(), array


def check_generated(program):
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        expected = {}
        for name, content, array in generated_tensors():
            path = os.path.join(folder, name + ".pb")
            pathlib.Path(path).write_bytes(content)
            expected[path] = hashlib.sha256(array.tobytes()).hexdigest(), list(array.shape)
        for got in dump(program, list(expected), tensors=True):
            if (got.get("sha256"), got.get("dims")) != expected[got["path"]]:
                failures.append(f"{os.path.basename(got['path'])}: {got}")
    print(f"generated tensors: {len(expected)} compared, {len(failures)} differ")
    return failures


def check_external(program):
    """A model whose weights lie in two files, one in a subfolder and one shared by two tensors at offsets."""
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        weights = [numpy_helper.from_array(rng.standard_normal((8, 9)).astype(np.float32), f"w{i}") for i in range(3)]
        os.mkdir(os.path.join(folder, "sub"))
        for i, tensor in enumerate(weights):
            location, offset = ("shared.bin", 4096 * i) if i < 2 else ("sub/own.bin", None)
            with open(os.path.join(folder, location), "ab") as file:
                file.truncate(offset or 0)
                file.write(tensor.raw_data)
            onnx.external_data_helper.set_external_data(tensor, location, offset, len(tensor.raw_data))
            tensor.ClearField("raw_data")
        node = helper.make_node("Add", ["w0", "w1"], ["y"])
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 9])
        path = os.path.join(folder, "model.onnx")
        onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output], weights)), path)
        return check_models(program, [path])


def check_models(program, paths):
    failures = []
    for got in dump(program, paths):
        path = got["path"].encode("latin-1").decode("utf-8")
        found = difference(got, model_view(path))
        if found:
            failures.append(f"{path}{found}")
    print(f"models: {len(paths)} compared, {len(failures)} differ")
    return failures


def check_tensor_files(program, paths):
    """Files of test data hold tensors, or sequences and optionals, which nothing in the bytes tells apart: only those
    that the official parser reads as a complete tensor are compared."""
    failures, compared = [], 0
    for got in dump(program, paths, tensors=True):
        tensor = TensorProto()
        try:
            tensor.ParseFromString(pathlib.Path(got["path"]).read_bytes())
            view = tensor_view(tensor, "")
        except Exception:  # the official parser's exceptions have no common base
            continue
        if "problem" in view:
            if "error" not in got:
                failures.append(f"{got['path']}: accepted type {tensor.data_type}")
            continue
        compared += 1
        found = difference(got, {"type": view["type"], "dims": view["dims"], "sha256": view["sha256"]})
        if found:
            failures.append(f"{got['path']}{found}")
    print(f"tensor files: {compared} of {len(paths)} compared, {len(failures)} differ")
    return failures


def main():
    program, models = os.path.join(os.environ.get("FUSEE_BIN_DIR", "build/dev/bin"), "onnx_dump"), sys.argv[1:]
    if not os.path.exists(program):
        print(f"skip: no {program}; build the target onnx_dump and set FUSEE_BIN_DIR")
        return 77
    failures = check_generated(program) + check_external(program)
    corpora = os.environ.get("FUSEE_CORPORA")
    if not models and corpora:
        models = sorted(str(p) for p in pathlib.Path(corpora).rglob("*.onnx"))
        failures += check_tensor_files(program, sorted(str(p) for p in pathlib.Path(corpora).rglob("*.pb")))
    if models:
        failures += check_models(program, models)
    else:
        print("models: none compared; set FUSEE_CORPORA to a folder that holds some")
    for failure in failures[:20]:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
