"""Sizes that a model leaves open come from arrays, data sets and flags; parameters from arrays and flags.

Each model runs in both engines, with equal bits, near to ONNX Runtime.
"""

import sys

import harness
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model_of(path, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(o, t, None) for o, t in outputs],
                              [onnx.numpy_helper.from_array(a, n) for n, a in initializers])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def convolution(path, shape):
    rng = np.random.default_rng(2)
    model_of(path, [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["r"]),
                    helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])],
             [("x", FLOAT, shape)], [("y", FLOAT)], [("w", rng.standard_normal((5, 3, 3, 3)).astype(np.float32))])


def with_parameters(path):
    model_of(path, [helper.make_node("Reshape", ["x", "shape"], ["r"]),
                    helper.make_node("ReduceSum", ["r", "axes"], ["y"], keepdims=0)],
             [("x", FLOAT, ["n", 6]), ("shape", INT64, [3]), ("axes", INT64, [1])], [("y", FLOAT)])


def of_two_lengths(path):
    model_of(path, [helper.make_node("MatMul", ["a", "b"], ["y"])], [("a", FLOAT, ["", "k"]), ("b", FLOAT, ["", "m"])],
             [("y", FLOAT)])


def run_both(cupel, checks, path, arrays, work, name, *flags):
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, arrays)
    words = []
    for key, array in arrays.items():
        np.save(work / f"{key}.npy", array)
        words += ["--input", f"{key}={work / key}.npy"]
    results = []
    for engine in ("reference", "compiled"):
        done = cupel.run("run", path, *words, "-o", work / engine, "--engine", engine, *flags)
        if not checks.equal(done.returncode, 0, f"{name}, {engine}: {done.stderr}"):
            return
        results.append(np.load(work / engine / "y.npy"))
    checks.that(results[0].tobytes() == results[1].tobytes(), f"{name}: both engines give the same bits")
    checks.that(results[0].shape == expected[0].shape and np.allclose(results[0], expected[0], rtol=1e-5, atol=1e-5),
                f"{name}: near to ONNX Runtime")


def check_runs(cupel, checks, work):
    rng = np.random.default_rng(1)
    path = work / "m.onnx"
    convolution(path, ["n", 3, "h", "w"])
    for h, w in ((7, 9), (32, 20)):
        run_both(cupel, checks, path, {"x": rng.random((2, 3, h, w), np.float32)}, work, f"a convolution of {h} x {w}")
    convolution(path, ["", 3, "?", "?"])
    run_both(cupel, checks, path, {"x": rng.random((2, 3, 6, 8), np.float32)}, work, "a convolution without names")
    x = rng.random((120, 3, 6, 8), np.float32)
    run_both(cupel, checks, path, {"x": x}, work, "several batches", "--batch", "50")
    with_parameters(path)
    run_both(cupel, checks, path, {"x": rng.random((2, 6), np.float32), "shape": np.array([2, 3, 2]), "axes": np.array([1])},
             work, "parameters as inputs")
    of_two_lengths(path)
    run_both(cupel, checks, path, {"a": rng.random((2, 5), np.float32), "b": rng.random((5, 3), np.float32)}, work,
             "leading dimensions of two sizes")


def check_flags(cupel, checks, work):
    path, code = work / "flags.onnx", work / "flags.so"
    convolution(path, ["n", 3, "h", "w"])
    done = cupel.run("compile", path, "-o", code)
    checks.equal(done.returncode, 4, "compile without sizes")
    checks.that("--dim" in done.stderr, f"the refusal names --dim: {done.stderr}")
    x = np.random.default_rng(3).random((2, 3, 8, 6), np.float32)
    np.save(work / "x.npy", x)
    for flags in (["--dim", "h=8", "--dim", "w=6"], ["--shape", "x=?x3x8x6"], ["--shape", "x=2x3x8x6"]):
        checks.equal(cupel.run("compile", path, "-o", code, *flags).returncode, 0, f"compile {flags}")
        done = cupel.run("run", code, "--input", f"x={work / 'x.npy'}", "-o", work / "native")
        checks.equal(done.returncode, 0, f"run what was compiled by {flags}: {done.stderr}")
        checks.equal(cupel.run("inspect", path, *flags).returncode, 0, f"inspect {flags}")
        checks.equal(cupel.run("bench", path, "--duration-s", "0.05", "--rounds", "1", *flags).returncode, 0, f"bench {flags}")
    checks.equal(cupel.run("compile", path, "-o", code, "--dim", "depth=3").returncode, 2, "a dimension that is none")
    for word in ("h", "h=", "=3", "h=x", "h=-1"):
        checks.equal(cupel.run("inspect", path, "--dim", word).returncode, 2, f"--dim {word}")
    for word in ("x", "x=3x", "x=axb", "z=1x3x8x6"):
        checks.equal(cupel.run("inspect", path, "--shape", word).returncode, 2, f"--shape {word}")
    with_parameters(path)
    done = cupel.run("compile", path, "-o", code, "--value", "shape=2,3,2", "--value", "axes=1", "--dim", "n=2")
    checks.equal(done.returncode, 0, f"compile with values: {done.stderr}")
    checks.equal(cupel.run("inspect", path, "--value", "axes=one").returncode, 2, "a value that is no number")


def check_data(cupel, checks, work):
    path = work / "open.onnx"
    convolution(path, ["n", 3, "h", "w"])
    data = harness.array_data_set(work, np.random.default_rng(5).random((40, 3, 10, 12), np.float32))
    done = cupel.run("quantize", path, "--data", data, "-o", work / "int8.onnx")
    checks.equal(done.returncode, 0, f"quantize takes the sizes from the data set: {done.stderr}")
    shape = onnx.load(work / "int8.onnx").graph.input[0].type.tensor_type.shape.dim
    checks.equal([d.dim_value for d in shape][1:], [3, 10, 12], "the written file has the data set's sizes")
    checks.equal(shape[0].dim_param, "n", "the written file's batch stays open")


def main():
    cupel, checks = harness.begin(sys.argv)
    for check in (check_runs, check_flags, check_data):
        check(cupel, checks, cupel.folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
