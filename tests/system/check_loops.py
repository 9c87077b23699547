"""Loop and Scan of known lengths are unrolled: both engines give the same bits, near to ONNX Runtime; others are refused."""

import sys

import harness
import numpy as np
from onnx import TensorProto, helper
from small_models import check_run, constant, info, save

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(11)


def body(nodes, inputs, outputs, initializers=()):
    return helper.make_graph(nodes, "body", inputs, outputs, list(initializers))


HEAD = [info("i", INT64, []), info("c", BOOL, [])]


def counted(path):
    """State, a value of the outer graph, a weight of the body, two scan outputs."""
    inner = body([helper.make_node("MatMul", ["s", "w"], ["p"]), helper.make_node("Add", ["p", "r"], ["next"]),
                  helper.make_node("Cast", ["i"], ["f"], to=FLOAT), helper.make_node("Mul", ["next", "f"], ["row"]),
                  helper.make_node("ReduceMax", ["next"], ["top"], axes=[1], keepdims=0),
                  helper.make_node("Identity", ["c"], ["on"])],
                 [*HEAD, info("s", FLOAT, ["n", 4])], [info("on", BOOL, []), info("next"), info("row"), info("top")],
                 [constant("w", RNG.standard_normal((4, 4)).astype(np.float32) / 4)])
    save(path, [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Loop", ["m", "", "x"], ["y", "rows", "tops"], body=inner)],
         [info("x", FLOAT, ["n", 4])], [info("y"), info("rows"), info("tops")], [constant("m", np.int64(5))])
    return {"x": RNG.standard_normal((3, 4)).astype(np.float32)}


def until(path):
    """The condition ends it, which numbers alone decide; what it carries grows."""
    inner = body([helper.make_node("Concat", ["s", "x"], ["next"], axis=1), helper.make_node("Add", ["k", "two"], ["more"]),
                  helper.make_node("Less", ["more", "seven"], ["on"])],
                 [*HEAD, info("s"), info("k", INT64, [])], [info("on", BOOL, []), info("next"), info("more", INT64, [])],
                 [constant("two", np.int64(2)), constant("seven", np.int64(7))])
    save(path, [helper.make_node("Loop", ["", "go", "x", "zero"], ["y", "k_out"], body=inner)],
         [info("x", FLOAT, [2, 3])], [info("y"), info("k_out", INT64)],
         [constant("go", np.bool_(True)), constant("zero", np.int64(0))])
    return {"x": RNG.standard_normal((2, 3)).astype(np.float32)}


def none_at_all(path):
    """No iteration: state goes through, rows are none."""
    inner = body([helper.make_node("Neg", ["s"], ["next"]), helper.make_node("Identity", ["c"], ["on"]),
                  helper.make_node("Identity", ["s"], ["row"])],
                 [*HEAD, info("s", FLOAT, [2])], [info("on", BOOL, []), info("next", FLOAT, [2]), info("row", FLOAT, [2])])
    save(path, [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Loop", ["m", "", "r"], ["y", "rows"], body=inner)],
         [info("x", FLOAT, [2])], [info("y"), info("rows")], [constant("m", np.int64(0))])
    return {"x": np.array([-1, 2], np.float32)}


def nested(path):
    """A loop in a loop, whose length is the outer iteration, and an If on it."""
    leaf = body([helper.make_node("Add", ["t", "x"], ["u"]), helper.make_node("Identity", ["c2"], ["on2"])],
                [info("i2", INT64, []), info("c2", BOOL, []), info("t", FLOAT, [2])], [info("on2", BOOL, []), info("u", FLOAT, [2])])
    yes = body([helper.make_node("Neg", ["v"], ["a"])], [], [info("a")])
    no = body([helper.make_node("Mul", ["v", "half"], ["b"])], [], [info("b")], [constant("half", np.float32(0.5))])
    inner = body([helper.make_node("Loop", ["i", "", "s"], ["v"], body=leaf), helper.make_node("Equal", ["i", "two"], ["is_two"]),
                  helper.make_node("If", ["is_two"], ["next"], then_branch=yes, else_branch=no),
                  helper.make_node("Identity", ["c"], ["on"])],
                 [*HEAD, info("s", FLOAT, [2])], [info("on", BOOL, []), info("next", FLOAT, [2])],
                 [constant("two", np.int64(2))])
    save(path, [helper.make_node("Loop", ["m", "go", "x"], ["y"], body=inner)], [info("x", FLOAT, [2])], [info("y")],
         [constant("m", np.int64(4)), constant("go", np.bool_(True))])
    return {"x": np.array([0.75, -2], np.float32)}


def scanned(path, axes, directions, out_axes, out_directions, opset=17):
    inner = body([helper.make_node("Add", ["s", "a"], ["t"]), helper.make_node("Mul", ["t", "b"], ["next"]),
                  helper.make_node("Sub", ["next", "a"], ["row"]), helper.make_node("Identity", ["next"], ["other"])],
                 [info("s", FLOAT, [2]), info("a", FLOAT, [2]), info("b", FLOAT, [2])],
                 [info("next", FLOAT, [2]), info("row", FLOAT, [2]), info("other", FLOAT, [2])])
    shapes = {"a": [2, 5] if axes[0] in (1, -1) else [5, 2], "b": [2, 5] if axes[1] in (1, -1) else [5, 2]}
    save(path, [helper.make_node("Scan", ["s", "a", "b"], ["y", "rows", "others"], body=inner, num_scan_inputs=2,
                                 scan_input_axes=axes, scan_input_directions=directions, scan_output_axes=out_axes,
                                 scan_output_directions=out_directions)],
         [info("s", FLOAT, [2]), *(info(n, FLOAT, d) for n, d in shapes.items())],
         [info("y"), info("rows"), info("others")], opset=opset)
    return {"s": RNG.standard_normal(2).astype(np.float32),
            **{n: RNG.standard_normal(d).astype(np.float32) for n, d in shapes.items()}}


def scan_of_a_batch(path):
    """A recurrence over time by hand: items of a symbolic batch, the time along axis 1."""
    inner = body([helper.make_node("MatMul", ["x_t", "w"], ["p"]), helper.make_node("Add", ["h", "p"], ["q"]),
                  helper.make_node("Tanh", ["q"], ["next"]), helper.make_node("Identity", ["next"], ["row"])],
                 [info("h", FLOAT, ["n", 3]), info("x_t", FLOAT, ["n", 4])], [info("next"), info("row")],
                 [constant("w", RNG.standard_normal((4, 3)).astype(np.float32))])
    save(path, [helper.make_node("Scan", ["h", "x"], ["y", "rows"], body=inner, num_scan_inputs=1, scan_input_axes=[1],
                                 scan_output_axes=[1])],
         [info("h", FLOAT, ["n", 3]), info("x", FLOAT, ["n", 6, 4])], [info("y"), info("rows")])
    return {"h": np.zeros((2, 3), np.float32), "x": RNG.standard_normal((2, 6, 4)).astype(np.float32)}


def chosen(path):
    """If on data computes both."""
    yes = body([helper.make_node("Neg", ["x"], ["a"])], [], [info("a")])
    no = body([helper.make_node("Exp", ["x"], ["b"])], [], [info("b")])
    save(path, [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"]),
                helper.make_node("If", ["c"], ["y"], then_branch=yes, else_branch=no)],
         [info("x", FLOAT, [3])], [info("y")], [constant("zero", np.float32(0))])
    return {"x": np.array([1, -2, 3], np.float32)}


def check_refused(cupel, checks):
    path = cupel.folder / "refused.onnx"
    keep = [helper.make_node("Neg", ["s"], ["next"]), helper.make_node("Identity", ["c"], ["on"])]
    carried = ([*HEAD, info("s", FLOAT, [2])], [info("on", BOOL, []), info("next", FLOAT, [2])])

    def refused(text, exit_code):
        done = cupel.run("inspect", path)
        checks.equal(done.returncode, exit_code, f"{text}: {done.stderr}")
        checks.that(text in done.stderr, f"{text!r} is said: {done.stderr}")
        checks.that("node loop (" in done.stderr, f"the node is named: {done.stderr}")

    def loop(inputs, inner, *constants, more=()):
        save(path, [helper.make_node("Loop", inputs, ["y"], body=inner, name="loop")], [info("x", FLOAT, [2]), *more],
             [info("y")], constants)

    loop(["m", "", "x"], body(keep, *carried), more=[info("m", INT64, [])])
    refused("the trip count is computed from data", 4)
    loop(["m", "go", "x"], body(keep, *carried), constant("m", np.int64(3)), more=[info("go", BOOL, [])])
    refused("the condition is computed from data", 4)
    data = [helper.make_node("Neg", ["s"], ["next"]), helper.make_node("ReduceSum", ["s"], ["t"], keepdims=0),
            helper.make_node("Greater", ["t", "zero"], ["on"])]
    loop(["m", "", "x"], body(data, *carried, [constant("zero", np.float32(0))]), constant("m", np.int64(3)))
    refused("whether it goes on after iteration 0 is computed from data", 4)
    loop(["m", "", "x"], body(keep, *carried), constant("m", np.int64(2**40)))
    refused("the limit of 16384 (kMostUnrolledNodes)", 6)
    loop(["", "", "x"], body(keep, *carried))
    refused("the limit of 16384 (kMostUnrolledNodes)", 6)
    inner = body([helper.make_node("Add", ["s", "a"], ["next"])], [info("s", FLOAT, [2]), info("a", FLOAT, [2])], [info("next")])
    save(path, [helper.make_node("Scan", ["x", "a"], ["y"], body=inner, num_scan_inputs=1, name="loop")],
         [info("x", FLOAT, [2]), info("a", FLOAT, ["length", 2])], [info("y")])
    refused("the length of scanned input 0 is [length,2], which is not known", 4)
    checks.equal(cupel.run("inspect", path, "--dim", "length=4").returncode, 0, "a length that is given")


def main():
    cupel, checks = harness.begin(sys.argv)
    path = cupel.folder / "m.onnx"
    for make in (counted, until, none_at_all, nested, scan_of_a_batch, chosen):
        check_run(cupel, checks, make.__name__, path, make(path))
    for form in (([0, 0], [0, 0], [0, 0], [0, 0]), ([1, 0], [0, 1], [1, 0], [1, 0]), ([-1, 1], [1, 1], [-1, -2], [0, 1])):
        check_run(cupel, checks, f"scan {form}", path, scanned(path, *form))
        check_run(cupel, checks, f"scan {form} of opset 9", path, scanned(path, *form, opset=11))
    check_refused(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
