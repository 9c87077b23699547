"""Q/DQ files of ONNX Runtime's quantize_static run here, on integers, with ONNX Runtime's answers."""

import json
import sys

import harness
import numpy as np
import peer

IMAGES = 500
CALIBRATION = 50

# Operators that have to be integer wherever their operands are quantized.
CONTRACTIONS = ("Conv", "Gemm", "MatMul")
RECIPES = [(name, activations, per_channel)
           for name, activations in (("u8", peer.U8_ASYMMETRIC), ("s8", peer.S8_SYMMETRIC))
           for per_channel in (True, False)]


def check_precisions(cupel, checks, path):
    """Every contraction is INT8, and every other float node has a reason."""
    text = cupel.must("inspect", path, "--explain", "--json", cupel.folder / "inspect.json").stdout
    nodes = json.loads((cupel.folder / "inspect.json").read_text())["nodes"]
    contractions = [n for n in nodes if n["op"] in CONTRACTIONS]
    checks.that(contractions, f"{path.name}: it has contractions")
    for node in nodes:
        if node["op"] in CONTRACTIONS:
            checks.equal(node["precision"], "INT8", f"{path.name}: {node['name']} ({node['op']}): {node['reason']}")
        elif node["precision"] != "INT8":
            checks.that(node["reason"] and node["reason"] in text, f"{path.name}: reason for {node['name']}")
    integer = sum(n["macs_per_sample"] for n in nodes if n["precision"] == "INT8")
    checks.equal(integer, sum(n["macs_per_sample"] for n in nodes), f"{path.name}: multiply-adds on integers")


def check_recipe(cupel, checks, network, path, images, labels):
    ours = cupel.outputs(path, images, "logits").argmax(1)
    theirs = harness.runtime_outputs(path, images, optimize=False).argmax(1)
    same = np.mean(ours == theirs)
    print(f"{path.name}: same top-1 as ONNX Runtime {same:.2%} of {len(images)}")
    checks.that(same >= 0.99, f"{path.name}: same top-1 as ONNX Runtime: {same:.2%}")

    result = cupel.must("evaluate", cupel.source / f"models/{network}.onnx", path, "--data",
                        cupel.source / "models/fashion_mnist.toml", "--samples", IMAGES, "--layer-samples", 20,
                        "--json", "-")
    report = json.loads(result.stdout)
    row = report["accuracy"][0]["models"][1]
    checks.equal((row["samples"], row["right"]), (IMAGES, int((ours == labels).sum())), f"{path.name}: accuracy")
    nodes = report["layers"]["nodes"]
    # GELU is one node of the float network; here its parts are compared at the last of them.
    places = ("compared behind node", "inside kernel", "a view of another value")
    for node in nodes:
        if "error" not in node:
            checks.that(any(place in node["reason"] for place in places), f"{path.name}: {node['name']}: {node['reason']}")
    kernels = {n["kernel"] for n in nodes if "kernel" in n}
    compared = {n["kernel"] for n in nodes if "error" in n and "kernel" in n}
    checks.that(kernels, f"{path.name}: kernels are known")
    checks.that(len(compared) >= 0.9 * len(kernels), f"{path.name}: kernels without errors: {kernels - compared}")
    for node in nodes:
        if "error" not in node or node["precision"] != "INT8":
            checks.that(node.get("reason"), f"{path.name}: reason for {node['name']}")


def main():
    cupel, checks = harness.begin(sys.argv)
    images, labels = harness.fashion_mnist("t10k", np.arange(IMAGES))
    calibration, _ = harness.fashion_mnist("train", harness.calibration_indices(cupel.source)[:CALIBRATION])
    for network in harness.NETWORKS:
        prepared = cupel.folder / f"{network}.prepared.onnx"
        peer.prepare(cupel.source / f"models/{network}.onnx", prepared)
        for name, activations, per_channel in RECIPES:
            path = cupel.folder / f"{network}.{name}.{'channel' if per_channel else 'tensor'}.onnx"
            peer.quantize(prepared, path, calibration, activations, per_channel)
            check_precisions(cupel, checks, path)
            check_recipe(cupel, checks, network, path, images, labels)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
