"""Networks whose data decide sizes, parameters and branches run part by part: both engines give the same bits, near to
ONNX Runtime."""

import sys

import harness
import numpy as np
from onnx import TensorProto, helper
from small_models import check_run, constant, info, save

FLOAT, INT64, INT32, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
RNG = np.random.default_rng(5)
node = helper.make_node


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


def check_refused(cupel, checks):
    """An array of another shape or type than the model's, also where it becomes a constant at once."""
    path = cupel.folder / "refused.onnx"
    save(path, [node("NonZero", ["x"], ["y"], name="chosen")], [info("x", FLOAT, [2, 3])], [info("y", INT64)])
    for array, text in ((np.zeros((2, 4), np.float32), "found f32[2,4], expected f32[2,3]"),
                        (np.zeros((2, 3), np.int64), "found s64[2,3], expected f32[2,3]")):
        np.save(cupel.folder / "x.npy", array)
        done = cupel.run("run", path, "--input", f"x={cupel.folder / 'x.npy'}", "-o", cupel.folder / "refused")
        checks.equal(done.returncode, 3, f"{text}: {done.stderr}")
        checks.that(f"input x: {text}" in done.stderr, f"{text!r} is said: {done.stderr}")
    done = cupel.run("compile", path, "-o", cupel.folder / "refused.so")
    checks.equal(done.returncode, 4, done.stderr)
    checks.that("node chosen (NonZero)" in done.stderr and "`cupel run`" in done.stderr, f"node and way out: {done.stderr}")


def main():
    cupel, checks = harness.begin(sys.argv)
    for case in CASES:
        path = cupel.folder / f"{case.__name__}.onnx"
        check_run(cupel, checks, case.__name__, path, case(path))
    check_refused(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
