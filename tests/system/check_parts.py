"""Networks whose data decide sizes, parameters and branches run part by part: both engines give the same bits, near to
ONNX Runtime."""

import sys

import harness
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

FLOAT, INT64, INT32, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
RNG = np.random.default_rng(5)
node = helper.make_node


def info(name, kind=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, value):
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def save(path, nodes, inputs, outputs, initializers=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def real(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def chosen_elements(path):
    """What a comparison chooses, and a product with it."""
    save(path, [node("MatMul", ["x", "w"], ["h"]), node("Greater", ["h", "zero"], ["m"]), node("NonZero", ["m"], ["at"]),
                node("Transpose", ["at"], ["rows"]), node("GatherND", ["h", "rows"], ["y"]), node("Mul", ["y", "y"], ["z"])],
         [info("x", FLOAT, ["n", 6])], [info("z"), info("at", INT64)],
         [constant("w", real(6, 5)), constant("zero", np.float32(0.3))])
    return {"x": real(4, 6)}


def nothing_chosen(path):
    arrays = chosen_elements(path)
    return {"x": arrays["x"] * 0}


def detector(path):
    """Boxes and scores of two classes, suppression, and rows by what it keeps."""
    save(path, [node("MatMul", ["x", "w"], ["h"]), node("Reshape", ["h", "to_boxes"], ["b"]), node("Abs", ["b"], ["boxes"]),
                node("MatMul", ["x", "v"], ["s"]), node("Transpose", ["s"], ["t"], perm=[0, 2, 1]),
                node("Sigmoid", ["t"], ["scores"]),
                node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["kept"]),
                node("Gather", ["kept", "two"], ["which"], axis=1), node("Squeeze", ["which", "one"], ["index"]),
                node("Gather", ["boxes", "index"], ["found"], axis=1), node("MatMul", ["found", "last"], ["y"])],
         [info("x", FLOAT, [1, 60, 8])], [info("kept", INT64), info("found"), info("y")],
         [constant("w", real(8, 4)), constant("v", real(8, 2)), constant("to_boxes", np.array([1, 60, 4])),
          constant("most", np.array([9])), constant("overlap", np.array([0.45], np.float32)),
          constant("least", np.array([0.2], np.float32)), constant("two", np.array([2])), constant("one", np.array([1])),
          constant("last", real(4, 3))])
    return {"x": real(1, 60, 8)}


def centered_boxes(path):
    save(path, [node("Abs", ["x"], ["boxes"]), node("Neg", ["s"], ["scores"]),
                node("NonMaxSuppression", ["boxes", "scores", "most"], ["y"], center_point_box=1)],
         [info("x", FLOAT, [2, 20, 4]), info("s", FLOAT, [2, 3, 20])], [info("y", INT64)], [constant("most", np.array([5]))])
    return {"x": real(2, 20, 4), "s": real(2, 3, 20)}


def computed_length(path):
    """The greatest element says where a slice ends, how long a range is, how many rows are taken and repeated."""
    save(path, [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Cast", ["m"], ["n"], to=INT64),
                node("Unsqueeze", ["n", "axis"], ["end"]), node("Slice", ["x", "start", "end"], ["cut"]),
                node("Range", ["zero", "n", "one"], ["r"]), node("TopK", ["x", "end"], ["top", "place"]),
                node("Concat", ["end", "three"], ["shape"], axis=0), node("Expand", ["f", "shape"], ["wide"]),
                node("Tile", ["x", "end"], ["tiles"])],
         [info("x", FLOAT, [9])], [info("cut"), info("r", INT64), info("top"), info("place", INT64), info("wide"), info("tiles")],
         [constant("axis", np.array([0])), constant("start", np.array([1])), constant("zero", np.int64(0)),
          constant("one", np.int64(1)), constant("three", np.array([3])), constant("f", np.float32(2.5))])
    return {"x": np.array([0, 3, 1, 4.5, -2, 1, 0, 2, 3], np.float32)}


def resized(path):
    save(path, [node("ReduceMean", ["x"], ["m"], axes=[0, 1, 2, 3], keepdims=0), node("Cast", ["m"], ["i"], to=INT64),
                node("Add", ["i", "sizes"], ["to"]), node("Resize", ["x", "", "", "to"], ["y"], mode="linear"),
                node("Relu", ["y"], ["z"])],
         [info("x", FLOAT, ["n", 2, 4, 5])], [info("z")], [constant("sizes", np.array([-2, -1, 5, 4]))])
    return {"x": real(1, 2, 4, 5) * 0.1 + 3.4}


def branches(path):
    """Branches of different shapes, one of which counts elements."""
    yes = helper.make_graph([node("NonZero", ["h"], ["p"]), node("Cast", ["p"], ["q"], to=FLOAT)], "yes", [], [info("q")])
    no = helper.make_graph([node("Neg", ["h"], ["r"])], "no", [], [info("r")])
    save(path, [node("Relu", ["x"], ["h"]), node("ReduceSum", ["h"], ["sum"], keepdims=0), node("Greater", ["sum", "zero"], ["c"]),
                node("If", ["c"], ["y"], then_branch=yes, else_branch=no), node("Abs", ["y"], ["z"])],
         [info("x", FLOAT, [3, 4])], [info("z")], [constant("zero", np.float32(0))])
    return {"x": real(3, 4)}


def counted_by_data(path):
    """A loop whose number of rounds the data give, and whose body ends it by a comparison."""
    inner = helper.make_graph([node("Mul", ["s", "half"], ["next"]), node("ReduceMax", ["next"], ["top"], keepdims=0),
                               node("Greater", ["top", "small"], ["on"])],
                              "body", [info("i", INT64, []), info("c", BOOL, []), info("s", FLOAT, [4])],
                              [info("on", BOOL, []), info("next", FLOAT, [4])],
                              [constant("half", np.float32(0.5)), constant("small", np.float32(0.1))])
    save(path, [node("Abs", ["x"], ["a"]), node("Loop", ["m", "go", "a"], ["y"], body=inner), node("Exp", ["y"], ["z"])],
         [info("x", FLOAT, [4])], [info("z")], [constant("m", np.int64(40)), constant("go", np.bool_(True))])
    return {"x": real(4)}


def distinct_rows(path):
    save(path, [node("Abs", ["x"], ["a"]), node("Unique", ["a"], ["v", "first", "which", "count"]),
                node("Unique", ["a"], ["rows", "", "", "often"], axis=0, sorted=0), node("Neg", ["rows"], ["y"])],
         [info("x", INT64, [6, 2])], [info("v", INT64), info("first", INT64), info("which", INT64), info("count", INT64),
                                      info("y", INT64), info("often", INT64)])
    return {"x": np.array([[3, 1], [2, 2], [-3, 1], [0, 5], [2, -2], [3, 1]])}


def of_binary16(path):
    save(path, [node("Mul", ["x", "x"], ["h"]), node("Greater", ["h", "one"], ["m"]), node("Compress", ["h", "m"], ["y"]),
                node("Sqrt", ["y"], ["z"])],
         [info("x", TensorProto.FLOAT16, [20])], [info("z", TensorProto.FLOAT16)], [constant("one", np.float16(1))])
    return {"x": real(20).astype(np.float16)}


def of_the_input_itself(path):
    save(path, [node("NonZero", ["x"], ["at"]), node("Shape", ["at"], ["shape"])],
         [info("x", INT32, [2, 5])], [info("at", INT64), info("shape", INT64), info("at", INT64)])
    return {"x": np.array([[0, 3, 0, 1, 0], [0, 0, 0, 0, 9]], np.int32)}


CASES = [chosen_elements, nothing_chosen, detector, centered_boxes, computed_length, resized, branches, counted_by_data,
         distinct_rows, of_binary16, of_the_input_itself]


def file_names(outputs):
    """As `run` names them: a name that is taken gets a number."""
    taken = {}
    for output in outputs:
        taken[output.name] = taken.get(output.name, 0) + 1
        yield output.name if taken[output.name] == 1 else f"{output.name}_{taken[output.name]}"


def check(cupel, checks, case):
    name, path = case.__name__, cupel.folder / f"{case.__name__}.onnx"
    arrays = case(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    values = session.run(None, arrays)
    words = []
    for key, array in arrays.items():
        np.save(cupel.folder / f"{key}.npy", array)
        words += ["--input", f"{key}={cupel.folder / key}.npy"]
    found = {}
    for engine in ("reference", "compiled"):
        folder = cupel.folder / f"{name}_{engine}"
        done = cupel.run("run", path, *words, "-o", folder, "--engine", engine)
        if not checks.equal(done.returncode, 0, f"{name}, {engine}: {done.stderr}"):
            return
        found[engine] = [np.load(folder / f"{n}.npy") for n in file_names(session.get_outputs())]
    for i, (value, a, b) in enumerate(zip(values, found["reference"], found["compiled"])):
        checks.that(a.tobytes() == b.tobytes() and a.shape == b.shape, f"{name}: both engines give the same output {i}")
        tolerance = 2e-3 if value.dtype == np.float16 else 1e-5
        checks.that(a.shape == value.shape and a.dtype == value.dtype and np.allclose(a, value, rtol=tolerance, atol=1e-6),
                    f"{name}: output {i} is that of ONNX Runtime: {a} and {value}")


def main():
    cupel, checks = harness.begin(sys.argv)
    for case in CASES:
        check(cupel, checks, case)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
