"""Networks that are no classifiers with labels: every output beside the base's, without labels.

The figures of the reports are computed again here, by NumPy, from what `cupel run` gives for each sample.
"""

import json
import sys

import harness
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
SAMPLES, CALIBRATION = 40, 32


def networks():
    """Name, nodes, inputs, outputs with their types, weights, and the arrays of the data set."""
    rng = np.random.default_rng(5)
    node = helper.make_node
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    images = normal(SAMPLES + CALIBRATION, 3, 16, 16)
    yield ("detector",
           [node("Conv", ["image", "k", "kb"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]), node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "hk"], ["head"]), node("Reshape", ["head", "shape"], ["flat"]),
            node("Transpose", ["flat"], ["t"], perm=[0, 2, 1]), node("Split", ["t", "sizes"], ["boxes", "logits"], axis=2),
            node("Sigmoid", ["logits"], ["scores"])],
           [("image", FLOAT, ["b", 3, 16, 16])], ["boxes", "scores"],
           {"k": normal(16, 3, 3, 3) * 0.4, "kb": normal(16) * 0.1, "hk": normal(7, 16, 1, 1) * 0.4,
            "shape": np.array([0, 7, 64]), "sizes": np.array([4, 3])}, {"image": images})
    yield ("embedding",
           [node("Conv", ["image", "k"], ["c"], strides=[2, 2]), node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "w"], ["m"]),
            node("LpNormalization", ["m"], ["embedding"], axis=1)],
           [("image", FLOAT, ["b", 3, 16, 16])], ["embedding"], {"k": normal(16, 3, 3, 3) * 0.4, "w": normal(16, 24)},
           {"image": images})
    yield ("picture",
           [node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "k2"], ["c2"], pads=[1, 1, 1, 1]), node("DepthToSpace", ["c2"], ["large"], blocksize=2)],
           [("image", FLOAT, ["b", 3, 16, 16])], ["large"],
           {"k": normal(16, 3, 3, 3) * 0.3, "k2": normal(12, 16, 3, 3) * 0.1}, {"image": images})
    yield ("segmenter",
           [node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "k2"], ["logits"]), node("Softmax", ["logits"], ["classes"], axis=1),
            node("ArgMax", ["logits"], ["map"], axis=1, keepdims=0)],
           [("image", FLOAT, ["b", 3, 16, 16])], ["classes", "map"],
           {"k": normal(16, 3, 3, 3) * 0.3, "k2": normal(5, 16, 1, 1)}, {"image": images})
    yield ("chooser",  # a boolean that a kernel leaves
           [node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1]), node("ReduceMean", ["c"], ["mean"], axes=[1, 2, 3]),
            node("Greater", ["mean", "limit"], ["is_light"]), node("Neg", ["c"], ["n"]),
            node("Where", ["is_light", "c", "n"], ["chosen"]), node("Conv", ["chosen", "k2"], ["large"])],
           [("image", FLOAT, ["b", 3, 16, 16])], ["large"],
           {"k": normal(16, 3, 3, 3) * 0.3, "k2": normal(4, 16, 1, 1) * 0.3, "limit": np.array(0.0)}, {"image": images})
    yield ("no_batch",
           [node("Unsqueeze", ["wave", "front"], ["u"]), node("Conv", ["u", "k"], ["c"], strides=[4]), node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "w"], ["m"]),
            node("Squeeze", ["m", "first"], ["logits"])],
           [("wave", FLOAT, ["n"])], ["logits"],
           {"front": np.array([0, 1]), "first": np.array([0]), "k": normal(8, 1, 9), "w": normal(8, 5)},
           {"wave": normal(SAMPLES + CALIBRATION, 400)})
    yield ("state",
           [node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["before", "v"], ["b"]), node("Add", ["a", "b"], ["s"]),
            node("Mul", ["s", "gain"], ["g"]), node("Tanh", ["g"], ["after"])],
           [("x", FLOAT, ["batch", 32]), ("before", FLOAT, [1, "batch", 16]), ("gain", FLOAT, [])], ["after"],
           {"w": normal(32, 16) * 0.2, "v": normal(16, 16) * 0.2},
           {"x": normal(SAMPLES + CALIBRATION, 32), "before": normal(SAMPLES + CALIBRATION, 1, 1, 16),
            "gain": rng.random(SAMPLES + CALIBRATION).astype(np.float32)})


def save(path, nodes, inputs, outputs, weights):
    types = {"map": TensorProto.INT64}
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(o, types.get(o, FLOAT), None) for o in outputs],
                              [numpy_helper.from_array(a if a.dtype.kind == "i" else a.astype(np.float32), n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def data_set(folder, name, arrays, labels=""):
    np.savez(folder / f"{name}.npz", **arrays)
    for split, indices in (("calibrate", range(CALIBRATION)), ("report", range(CALIBRATION, CALIBRATION + SAMPLES))):
        (folder / f"{name}.{split}").write_text("".join(f"{i}\n" for i in indices))
    path = folder / f"{name}.toml"
    path.write_text(f'[sources.all]\nformat = "npz"\narrays = "{name}.npz"\n{labels}[splits]\n'
                    f'calibrate = {{ source = "all", indices = "{name}.calibrate" }}\n'
                    f'report = {{ source = "all", indices = "{name}.report" }}\n')
    return path


def outputs_of(cupel, path, feeds, has_batch, folder):
    """What `cupel run` gives for each sample: of all at once where each input has a batch, else one by one."""

    def run(arrays):
        words = []
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
            words += ["--input", f"{name}={folder / name}.npy"]
        cupel.must("run", path, *words, "-o", folder / "outputs")
        return {p.stem: np.load(p) for p in (folder / "outputs").glob("*.npy")}

    if all(has_batch.values()):
        return run(feeds)
    found = [run({n: a[i:i + 1] if has_batch[n] else a[i] for n, a in feeds.items()}) for i in range(SAMPLES)]
    return {name: np.stack([f[name][0] if f[name].shape[:1] == (1,) else f[name] for f in found]) for name in found[0]}


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def expected_figures(base, candidate, axis, probabilities):
    """The documented figures of one output [samples, …]; axis: of an item, None without scores."""
    if base.dtype.kind in "iub":
        return {"equal": np.mean([np.mean(a == b) for a, b in zip(base, candidate)])}
    x, y = base.astype(np.float64), candidate.astype(np.float64)
    flat = lambda a: a.reshape(len(a), -1)
    figures = {"sqnr": 10 * np.log10((x ** 2).sum() / ((x - y) ** 2).sum()),
               "cosine": np.mean([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(flat(x), flat(y))]),
               "largest_error": np.abs(x - y).max() / np.abs(x).max()}
    if axis is not None:
        figures["agreement"] = np.mean(x.argmax(axis + 1) == y.argmax(axis + 1))
        p, q = (x / x.sum(axis + 1, keepdims=True), y / y.sum(axis + 1, keepdims=True)) if probabilities else \
            (softmax(x, axis + 1), softmax(y, axis + 1))
        figures["kl"] = np.mean((p * np.log(p / np.maximum(q, 1e-9))).sum(axis + 1))
    return figures


SCORES = {"embedding": (0, False), "classes": (0, True), "logits": (0, False), "after": (1, False)}


def check_network(cupel, checks, name, nodes, inputs, outputs, weights, arrays):
    folder = cupel.folder / name
    folder.mkdir()
    path = folder / f"{name}.onnx"
    save(path, nodes, inputs, outputs, weights)
    data = data_set(folder, "set", arrays)
    done = cupel.run("assay", path, "--data", data, "-o", folder / "assay", "--speed-s", 0.2, "--json", folder / "r.json")
    if not checks.equal(done.returncode, 0, f"{name}: assay: {done.stderr}"):
        return
    report = json.loads((folder / "r.json").read_text())
    checks.equal(report["accuracy"], [], f"{name}: no accuracy without labels")
    checks.equal([o["output"] for o in report["outputs"]], outputs, f"{name}: outputs in the report")
    checks.equal([latency["batch"] for latency in report["latency"]][0], 1, f"{name}: the first speed is of one sample")
    has_batch = {i[0]: len(i[2]) == arrays[i[0]].ndim for i in inputs}
    feeds = {n: a[CALIBRATION:] for n, a in arrays.items()}
    both = [outputs_of(cupel, m, feeds, has_batch, folder) for m in (path, folder / "assay" / f"{name}.int8.onnx")]
    for output in report["outputs"]:
        axis, probabilities = SCORES.get(output["output"], (None, False))
        expected = expected_figures(*(b[output["output"]] for b in both), axis, probabilities)
        found = {m["metric"]: m["candidates"][0] for m in output["metrics"]}
        checks.equal(sorted(found), sorted(expected), f"{name}: metrics of {output['output']}")
        for metric, value in expected.items():
            row = found.get(metric, {"value": np.nan})
            checks.that(abs(row["value"] - value) <= 1e-6 * max(1, abs(value)), f"{name}: {metric} of {output['output']}: {row['value']}, by NumPy {value}")
            checks.that(row["samples"] == SAMPLES and ("interval" in row) == (metric != "largest_error"), f"{name}: {metric}: {row}")
            if "interval" in row:
                checks.that(row["interval"]["lower"] <= row["value"] <= row["interval"]["upper"], f"{name}: {metric} lies in its interval: {row}")
    page = (folder / "assay" / "report.html").read_text()
    checks.that("<h2>Outputs</h2>" in page and "No labels say what is right" in page, f"{name}: the page shows the outputs")


def check_gates(cupel, checks):
    folder = cupel.folder / "detector"
    words = ("evaluate", folder / "detector.onnx", folder / "assay" / "detector.int8.onnx", "--data", folder / "set.toml")
    for requirement, code in (("sqnr>=20", 0), ("sqnr>=80", 1), ("largest_error<=50", 0), ("largest_error<=0.01", 1)):
        done = cupel.run(*words, "--require", requirement)
        checks.equal(done.returncode, code, f"--require {requirement}: {done.stdout}{done.stderr}")
    done = cupel.run(*words, "--require", "agreement>=90")
    checks.equal((done.returncode, "no output is measured by agreement" in done.stderr), (2, True), "a metric that does not apply")


def check_batches(cupel, checks):
    """Items that meet each other (less the mean of the batch) are judged one by one, whatever --batch says."""
    folder = cupel.folder / "meet"
    folder.mkdir()
    rng = np.random.default_rng(6)
    node, weights = helper.make_node, rng.standard_normal((16, 8)).astype(np.float32)
    for name, w in (("base", weights), ("other", weights + rng.standard_normal((16, 8)).astype(np.float32) * 0.1)):
        save(folder / f"{name}.onnx", [node("MatMul", ["x", "w"], ["a"]), node("ReduceMean", ["a"], ["m"], axes=[0], keepdims=1),
                                       node("Mul", ["m", "half"], ["h"]), node("Sub", ["a", "h"], ["y"])],
             [("x", FLOAT, ["b", 16])], ["y"], {"w": w, "half": np.array(0.5, np.float32)})
    x = rng.standard_normal((SAMPLES + CALIBRATION, 16)).astype(np.float32)
    data = data_set(folder, "set", {"x": x})
    reports = []
    for batch in (1, 7, 100):
        cupel.must("evaluate", folder / "base.onnx", folder / "other.onnx", "--data", data, "--engine", "reference", "--batch", batch,
                   "--json", folder / "r.json")
        reports.append(json.loads((folder / "r.json").read_text())["outputs"])
    checks.that(reports[0] == reports[1] == reports[2], "items that meet: --batch changes nothing")


def check_broken(cupel, checks):
    """NaN and infinity in outputs are said, and no number is made of them."""
    folder = cupel.folder / "broken"
    folder.mkdir()
    rng = np.random.default_rng(7)
    node = helper.make_node
    for name, shift in (("base", 0.0), ("other", -0.5)):
        save(folder / f"{name}.onnx", [node("Add", ["x", "s"], ["a"]), node("Sqrt", ["a"], ["y"])], [("x", FLOAT, ["b", 4])], ["y"],
             {"s": np.array(shift, np.float32)})
    x = rng.random((SAMPLES + CALIBRATION, 4)).astype(np.float32) + np.float32(0.5)
    x[CALIBRATION + 3, 1] = 0.25  # the root of −0.25 by the other one
    x[CALIBRATION + 5] = np.inf   # by both
    data = data_set(folder, "set", {"x": x})
    done = cupel.must("evaluate", folder / "base.onnx", folder / "other.onnx", "--data", data, "--json", folder / "r.json")
    report = json.loads((folder / "r.json").read_text())
    output = report["outputs"][0]
    checks.equal([m["samples"] for m in output["non_finite"]], [1, 2], "samples with NaN or infinity")
    sqnr = next(m for m in output["metrics"] if m["metric"] == "sqnr")["candidates"][0]
    checks.equal((sqnr["samples"], sqnr["left_out"]), (SAMPLES - 2, 2), "samples behind the SQNR")
    checks.that(np.isfinite(sqnr["value"]), "the SQNR is a number")
    checks.that(f"NaN or infinity in 1 of {SAMPLES} samples by" in done.stdout, f"the text says so: {done.stdout}")


def check_labels_without_scores(cupel, checks):
    """Labels that no output can be judged by are left alone, and the report says so."""
    folder = cupel.folder / "picture"
    arrays = dict(np.load(folder / "set.npz"))
    arrays["label"] = np.arange(SAMPLES + CALIBRATION) % 3
    data = data_set(folder, "labelled", arrays, 'label_key = "label"\n')
    done = cupel.must("evaluate", folder / "picture.onnx", folder / "assay" / "picture.int8.onnx", "--data", data)
    checks.that("labels of the data set were not used" in done.stdout, done.stdout)
    done = cupel.run("evaluate", folder / "picture.onnx", folder / "picture.onnx", "--data", data, "--max-drop", 1)
    checks.equal(done.returncode, 4, "--max-drop without an output of scores")


def main():
    cupel, checks = harness.begin(sys.argv)
    for network in networks():
        check_network(cupel, checks, *network)
    check_gates(cupel, checks)
    check_batches(cupel, checks)
    check_broken(cupel, checks)
    check_labels_without_scores(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
