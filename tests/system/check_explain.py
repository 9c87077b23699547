"""`inspect --explain`: which kernel computes each node, and why it is not fused or not INT8.

The whole outputs stand in explain.txt; `check_explain.py CUPEL SOURCE --rewrite` writes them anew, the diff is the review.
Numbers and tile sizes of kernel names are left out of it ("*_contract_u8_s8_u8_m*n*"): they are choices of speed.
"""

import json
import os
import pathlib
import re
import sys

import harness
import numpy as np
from onnx import TensorProto, helper, numpy_helper

EXPECTED = pathlib.Path(__file__).with_name("explain.txt")
TARGET = "x86-64-v4+avx512vnni"
MODELS = ("resnet.int8.onnx", "refused.onnx", "unsupported.onnx")


def write(name, nodes, constants, input_shape, output_shapes):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "m", [info("x", TensorProto.FLOAT, input_shape)],
                              [info(key, TensorProto.FLOAT, shape) for key, shape in output_shapes.items()],
                              [numpy_helper.from_array(array, key) for key, array in constants.items()])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pathlib.Path(name).write_bytes(proto.SerializeToString())


def make_models(cupel):
    models = cupel.source / "models"
    cupel.must("quantize", models / "fashion_resnet.onnx", "--data", models / "fashion_mnist.toml", "-o", MODELS[0])
    draw = np.random.default_rng(1)
    node = helper.make_node
    # A value that two nodes read, one that is an output of the model, a later operand, and a view.
    write("refused.onnx", [
        node("Conv", ["x", "w"], ["c"], "first"), node("Relu", ["c"], ["r"], "relu"),
        node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[1, 1]), node("Mul", ["r", "p"], ["m"], "product"),
        node("Neg", ["m"], ["n"], "negative"), node("Exp", ["n"], ["e"], "exponential"),
        node("Flatten", ["e"], ["f"], "flatten"), node("Softmax", ["f"], ["y"], "softmax"),
    ], {"w": draw.normal(size=(20, 3, 1, 1)).astype(np.float32)}, ["N", 3, 4, 4], {"y": ["N", 320], "n": ["N", 20, 4, 4]})
    write("unsupported.onnx", [
        node("Relu", ["x"], ["r"], "relu"), node("ReduceMax", ["r"], ["y"], "greatest", axes=[0], keepdims=0),
    ], {}, ["N", 3], {"y": [3]})


def masked(text):
    """Without what depends on choices of speed, and with single spaces, so that those do not move columns."""
    text = re.sub(r"\b\d+_(?=(contract|window|map|row)_)", "*_", text)
    text = re.sub(r"_([mw])\d+n\d+\b", r"_\1*n*", text)
    return re.sub(r"  +", "  ", re.sub(r"\b\d+ kernel calls", "* kernel calls", text))


def read_expected():
    blocks = EXPECTED.read_text().split("\n$ cupel ")[1:]
    return {b.partition("\n")[0]: b.partition("\n")[2].rstrip("\n") for b in blocks}


def write_expected(answers):
    text = "What --explain says. Written by check_explain.py --rewrite.\n"
    EXPECTED.write_text(text + "".join(f"\n$ cupel {command}\n{answer}\n" for command, answer in answers.items()))


def check_json(cupel, checks, model, text):
    """The JSON holds what the text says."""
    report = json.loads(cupel.must("inspect", model, "--explain", "--target", TARGET, "--json", "-").stdout)
    native, nodes = report["native_code"], report["nodes"]
    checks.equal(native["target"], TARGET, f"{model}: target")
    lines = text.splitlines()
    if "unsupported" in native:
        checks.equal(sorted(native), ["target", "unsupported"], f"{model}: fields of native_code")
        checks.that(native["unsupported"]["message"] in text, f"{model}: {native['unsupported']['message']}")
        checks.that(native["unsupported"]["node"] in [n["name"] for n in nodes], f"{model}: {native['unsupported']}")
        checks.that(all("kernel" not in n for n in nodes), f"{model}: nodes without kernels have no such field")
        return
    checks.that(f"{native['kernel_calls']} kernel calls, {native['fused_nodes']} of {len(nodes)} nodes" in lines[-1],
                f"{model}: {native} in {lines[-1]}")
    checks.equal(sum(n["fused_with"] is not None for n in nodes), native["fused_nodes"], f"{model}: fused nodes")
    names = {n["name"]: n for n in nodes}
    for n, line in zip(nodes, lines[1:]):
        checks.that(line.startswith(n["name"]) and f"  {n['kernel'] or 'none'}" in line, f"{model}: {n['name']}: {line}")
        if n["fused_with"]:
            checks.equal(names[n["fused_with"]]["kernel"], n["kernel"], f"{model}: kernel of {n['name']}")
            checks.that(f"fused with {n['fused_with']}" in line, f"{model}: {line}")
            continue
        for refused in n["not_fused_with"]:
            checks.that(f"not fused with {refused['node']}: {refused['reason']}" in line, f"{model}: {line}")
    plain = json.loads(cupel.must("inspect", model, "--json", "-").stdout)
    checks.that("native_code" not in plain and "kernel" not in plain["nodes"][0], f"{model}: kernels without --explain")


def main():
    rewrite = sys.argv[-1] == "--rewrite"
    cupel, checks = harness.begin(sys.argv[:-1] if rewrite else sys.argv)
    os.chdir(cupel.folder)
    make_models(cupel)
    expected = {} if rewrite else read_expected()
    answers = {}
    for model in MODELS:
        command = f"inspect {model} --explain --target {TARGET}"
        result = cupel.run(*command.split())
        answers[command] = f"{masked(result.stdout).rstrip()}\nexit {result.returncode}"
        checks.equal(result.stderr, "", f"cupel {command}: standard error")
        if not rewrite:
            checks.equal(answers[command], expected.get(command), f"cupel {command}")
        check_json(cupel, checks, model, result.stdout)
    # This machine's own target, and one that there is not.
    result = cupel.run("inspect", "refused.onnx", "--explain")
    checks.that(result.returncode == 0 and "native code for " in result.stdout, f"--target host: {result}")
    result = cupel.run("inspect", "refused.onnx", "--explain", "--target", "z80")
    checks.equal(result.returncode, 2, f"--target z80: {result.stderr}")
    if rewrite:
        write_expected(answers)
    else:
        checks.equal(set(expected), set(answers), "cases of explain.txt")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
