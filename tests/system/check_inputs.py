"""Networks of several inputs and outputs go through quantize, evaluate and assay.

Labels are what ONNX Runtime answers, so that the float network is right on nearly every sample; the quantized files that
Cupel writes are run by ONNX Runtime too.
"""

import json
import sys

import harness
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
SEQUENCE, CLASSES, SAMPLES, CALIBRATION = 12, 5, 240, 64


def save(path, nodes, inputs, outputs, weights):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs],
                              [numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def text_network(path, mask):
    """Token ids and a mask, both of an open length: the mean of the embeddings, then two layers."""
    rng = np.random.default_rng(11)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {"table": normal(97, 24), "w1": normal(24, 32) * np.float32(0.3), "b1": normal(32) * np.float32(0.1),
               "w2": normal(32, CLASSES), "axis": np.array([1]), "last": np.array([2])}
    node = helper.make_node
    save(path, [node("Gather", ["table", "ids"], ["embedded"]), node("Cast", ["mask"], ["kept"], to=FLOAT),
                node("Unsqueeze", ["kept", "last"], ["column"]), node("Mul", ["embedded", "column"], ["masked"]),
                node("ReduceSum", ["masked", "axis"], ["sum"], keepdims=0), node("ReduceSum", ["kept", "axis"], ["count"]),
                node("Div", ["sum", "count"], ["embedding"]), node("MatMul", ["embedding", "w1"], ["product"]),
                node("Add", ["product", "b1"], ["biased"]), node("Relu", ["biased"], ["hidden"]),
                node("MatMul", ["hidden", "w2"], ["logits"])],
         [("ids", INT64, ["batch", "length"]), ("mask", mask, ["batch", "length"])], ["logits", "embedding"], weights)


def picture_network(path):
    """An image and a vector; the features of the image are an output too."""
    rng = np.random.default_rng(12)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {"k": normal(16, 3, 3, 3) * np.float32(0.4), "kb": normal(16) * np.float32(0.1), "w1": normal(6, 16),
               "w2": normal(32, CLASSES) * np.float32(0.4)}
    node = helper.make_node
    save(path, [node("Conv", ["image", "k", "kb"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["features"]),
                node("GlobalAveragePool", ["features"], ["pooled"]), node("Flatten", ["pooled"], ["flat"]),
                node("MatMul", ["vector", "w1"], ["v"]), node("Relu", ["v"], ["vr"]),
                node("Concat", ["flat", "vr"], ["both"], axis=1), node("MatMul", ["both", "w2"], ["logits"])],
         [("image", FLOAT, ["n", 3, "h", "w"]), ("vector", FLOAT, ["n", 6])], ["logits", "features"], weights)


def recurrent_network(path):
    """As exporters write what works on one step of all sequences after the other: the batch stands second there."""
    rng = np.random.default_rng(15)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {"w": normal(1, 64, 6) * np.float32(0.5), "r": normal(1, 64, 16) * np.float32(0.3), "axis": np.array([0]),
               "w1": normal(16, 32), "w2": normal(32, CLASSES)}
    node = helper.make_node
    save(path, [node("Transpose", ["rows"], ["steps"], perm=[1, 0, 2]),
                node("LSTM", ["steps", "w", "r"], ["", "last"], hidden_size=16), node("Squeeze", ["last", "axis"], ["state"]),
                node("MatMul", ["state", "w1"], ["hidden"]), node("Relu", ["hidden"], ["positive"]),
                node("MatMul", ["positive", "w2"], ["logits"])],
         [("rows", FLOAT, ["n", 9, 6])], ["logits"], weights)


def squeezed_network(path):
    """What Squeeze without axes takes away depends on the batch: no compiled form leaves it open."""
    rng = np.random.default_rng(17)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {"w1": normal(54, 32) * np.float32(0.3), "w2": normal(32, CLASSES), "to": np.array([-1, CLASSES])}
    node = helper.make_node
    save(path, [node("Flatten", ["rows"], ["flat"]), node("MatMul", ["flat", "w1"], ["hidden"]), node("Squeeze", ["hidden"], ["vector"]),
                node("Relu", ["vector"], ["positive"]), node("MatMul", ["positive", "w2"], ["scores"]),
                node("Reshape", ["scores", "to"], ["logits"])],
         [("rows", FLOAT, ["n", 9, 6])], ["logits"], weights)


def text_arrays():
    rng = np.random.default_rng(13)
    lengths = rng.integers(3, SEQUENCE + 1, SAMPLES)
    mask = (np.arange(SEQUENCE) < lengths[:, None]).astype(np.int32)
    return {"ids": rng.integers(1, 97, (SAMPLES, SEQUENCE)) * mask, "mask": mask}


def picture_arrays():
    """As they are stored: pixels u8 with the channels last."""
    rng = np.random.default_rng(14)
    return {"pixels": rng.integers(0, 256, (SAMPLES, 10, 8, 3), dtype=np.uint8),
            "vector": rng.standard_normal((SAMPLES, 6)).astype(np.float32)}


def fed(stored):
    """The arrays that the network takes, of those that are stored."""
    feeds = dict(stored)
    if "pixels" in feeds:
        scaled = feeds.pop("pixels").astype(np.float32) * np.float32(0.00390625)
        feeds["image"] = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
    return feeds


def in_runtime(path, feeds):
    session = harness.runtime_session(path, optimize=False)
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))


TEXT_TOML = ""
PICTURE_TOML = """[inputs.image]
key = "pixels"
image_layout = "HWC"
steps = ["to-float", "scale 0.00390625"]
[inputs.vector]
"""


def data_set(folder, name, stored, labels, tables, cut=None):
    """One file for all samples, or a folder of files of `cut` samples."""
    arrays = {**stored, "label": labels}
    if cut is None:
        np.savez(folder / f"{name}.npz", **arrays)
    else:
        (folder / name).mkdir()
        for begin in range(0, SAMPLES, cut):
            np.savez(folder / name / f"{begin:04}.npz", **{k: a[begin:begin + cut] for k, a in arrays.items()})
    (folder / f"{name}.txt").write_text("".join(f"{i}\n" for i in range(CALIBRATION)))
    (folder / f"{name}.report.txt").write_text("".join(f"{i}\n" for i in range(CALIBRATION, SAMPLES)))
    path = folder / f"{name}.toml"
    path.write_text(f'[sources.all]\nformat = "npz"\narrays = "{name}{"" if cut else ".npz"}"\nlabel_key = "label"\n{tables}'
                    f'[splits]\ncalibrate = {{ source = "all", indices = "{name}.txt" }}\n'
                    f'report = {{ source = "all", indices = "{name}.report.txt" }}\n')
    return path


def run_outputs(cupel, path, feeds, folder, *flags):
    words = []
    for name, array in feeds.items():
        np.save(folder / f"{name}.npy", array)
        words += ["--input", f"{name}={folder / name}.npy"]
    cupel.must("run", path, *words, "-o", folder / "outputs", *flags)
    return {name: np.load(folder / "outputs" / f"{name}.npy") for name in ("logits",)}


def check_written(cupel, checks, path, feeds, name, folder):
    """The INT8 file in ONNX Runtime and here: equal but for the steps of codes."""
    onnx.checker.check_model(str(path))
    expected = in_runtime(path, feeds)["logits"]
    by_engine = [run_outputs(cupel, path, feeds, folder, "--engine", e)["logits"] for e in ("reference", "compiled")]
    checks.that(by_engine[0].tobytes() == by_engine[1].tobytes(), f"{name}: both engines give the same bits")
    span = expected.max() - expected.min()
    checks.that(np.abs(by_engine[1] - expected).max() < 0.02 * span, f"{name}: the written file agrees with ONNX Runtime's run of it: "
                f"{np.abs(by_engine[1] - expected).max()} of {span}")
    return expected


def check_network(cupel, checks, name, path, stored, tables, cut, extra):
    folder = cupel.folder / name
    folder.mkdir()
    feeds = fed(stored)
    logits = in_runtime(path, feeds)["logits"]
    labels = logits.argmax(1)
    checks.that(len(set(labels.tolist())) == CLASSES, f"{name}: every class is some sample's")
    data = data_set(folder, "set", stored, labels, tables, cut)

    written = folder / "int8.onnx"
    done = cupel.run("quantize", path, "--data", data, "-o", written, "--json", folder / "quantize.json")
    if not checks.equal(done.returncode, 0, f"{name}: quantize: {done.stderr}"):
        return
    facts = json.loads((folder / "quantize.json").read_text())
    checks.equal(facts["calibration_samples"], CALIBRATION, f"{name}: samples of calibration")
    checks.that(facts["integer_macs_per_sample"] > 0, f"{name}: something is computed on integers")
    quantized = check_written(cupel, checks, written, feeds, name, folder)
    held = slice(CALIBRATION, None)
    agree = (quantized[held].argmax(1) == labels[held]).sum()
    checks.that(agree > 0.9 * (SAMPLES - CALIBRATION), f"{name}: INT8 answers as FP32 does: {agree}")

    for verb in (["evaluate", path, written], ["assay", path, "-o", folder / "assay"]):
        for engine in ("compiled", "reference"):
            done = cupel.run(*verb, "--data", data, "--json", folder / "r.json", "--engine", engine, *extra)
            if not checks.equal(done.returncode, 0, f"{name}: {verb[0]}, {engine}: {done.stderr}"):
                continue
            report = json.loads((folder / "r.json").read_text())
            right = [m["right"] for m in report["accuracy"][0]["models"]]
            checks.equal(right[0], SAMPLES - CALIBRATION, f"{name}: {verb[0]}, {engine}: FP32 answers as ONNX Runtime does")
            checks.that(abs(right[1] - agree) <= 2, f"{name}: {verb[0]}, {engine}: INT8 is right on {right[1]}, in ONNX Runtime {agree}")
            measured = [n for n in report["layers"]["nodes"] if "error" in n]
            checks.that(measured, f"{name}: {verb[0]}, {engine}: some nodes have errors")
            steps = report["provenance"]["dataset"]["preprocessing"]
            checks.equal(steps, [f"image: {s}" for s in ("to-float", "scale 0.00390625")] if "image" in feeds else [],
                         f"{name}: preprocessing in the report")
    checks.equal((folder / "assay" / f"{path.stem}.int8.onnx").read_bytes(), written.read_bytes(), f"{name}: assay writes what quantize writes")


def check_one_by_one(cupel, checks, path):
    """A network that cannot be compiled with an open batch takes the samples one by one, and its INT8 file too."""
    folder = cupel.folder / "one_by_one"
    folder.mkdir()
    rng = np.random.default_rng(16)
    feeds = {"rows": rng.standard_normal((SAMPLES, 9, 6)).astype(np.float32)}
    labels = in_runtime(path, feeds)["logits"].argmax(1)
    data, written = data_set(folder, "set", feeds, labels, ""), folder / "int8.onnx"
    note = "runs one sample at a time, and what is written of it has a batch of one: "
    done = cupel.run("quantize", path, "--data", data, "-o", written)
    checks.that(done.returncode == 0 and f"warning: {path.name} {note}" in done.stderr, f"one by one: quantize: {done.stderr}")
    checks.equal([d.dim_value for d in onnx.load(written).graph.input[0].type.tensor_type.shape.dim], [1, 9, 6], "one by one: the file")
    expected = np.concatenate([in_runtime(written, {"rows": feeds["rows"][i:i + 1]})["logits"] for i in range(SAMPLES)])
    found = run_outputs(cupel, written, feeds, folder)["logits"]
    checks.that(np.abs(found - expected).max() < 0.02 * (expected.max() - expected.min()), "one by one: the file in ONNX Runtime")
    for engine in ("compiled", "reference"):
        cupel.must("evaluate", path, written, "--data", data, "--json", folder / "r.json", "--engine", engine)
        report = json.loads((folder / "r.json").read_text())
        right = [m["right"] for m in report["accuracy"][0]["models"]]
        held = slice(CALIBRATION, None)
        checks.equal(right[0], SAMPLES - CALIBRATION, f"one by one, {engine}: FP32 answers as ONNX Runtime does")
        checks.that(abs(right[1] - (expected.argmax(1) == labels)[held].sum()) <= 2, f"one by one, {engine}: INT8 is right on {right[1]}")
        checks.that(any(note in w["text"] for w in report["warnings"]), f"one by one, {engine}: the report says it")


def check_refusals(cupel, checks, text, picture):
    folder = cupel.folder / "refusals"
    folder.mkdir()
    stored = text_arrays()
    labels = np.zeros(SAMPLES, np.int64)
    data = data_set(folder, "set", stored, labels, TEXT_TOML)

    def refused(code, expected, *words):
        done = cupel.run(*words)
        checks.equal((done.returncode, done.stderr.replace(str(cupel.folder), "DIR")), (code, f"error: {expected}\n"), f"{words[0]}")

    outputs = "the outputs are logits f32[batch,5], embedding f32[batch,24]"
    refused(4, f"DIR/text.onnx: model: 2 of its outputs hold class scores (f32 [batch, classes]), expected one; {outputs}\n"
            "  name one by --labelled-output, or output in [labels] of the data set", "evaluate", text, "--data", data)
    refused(3, f"DIR/text.onnx: output scores: the model has none of this name; {outputs}\n"
            "  name one of them by --labelled-output, or output in [labels] of the data set",
            "evaluate", text, "--data", data, "--labelled-output", "scores")
    refused(3, "DIR/picture.onnx: input image: the data set does not give it; it gives ids, mask\n"
            '  say in the data set\'s file which array it is: [inputs.image] with key = "…"',
            "quantize", picture, "--data", data, "-o", folder / "x.onnx", "--shape", "image=?x3x10x8")
    one = harness.array_data_set(folder, np.zeros((4, 6), np.float32))
    refused(3, "DIR/text.onnx: input ids: the model has 2 inputs (ids s64[batch,6], mask s32[batch,6]), the data set gives one array\n"
            "  store one array for each input in .npz files, and name them in a source by arrays = …",
            "quantize", text, "--data", one, "-o", folder / "x.onnx")
    wide = {**stored, "mask": stored["mask"].astype(np.int64)}
    data = data_set(folder, "wide", wide, labels, TEXT_TOML)
    refused(3, "DIR/text.onnx: input mask: the model takes s32[batch,12], the data set gives s64 samples of [12]\n"
            "  store the array as s32; integers are taken as they are", "quantize", text, "--data", data, "-o", folder / "x.onnx")
    pixels = picture_arrays()
    data = data_set(folder, "bytes", pixels, labels, '[inputs.image]\nkey = "pixels"\nimage_layout = "HWC"\n[inputs.vector]\n')
    refused(3, "DIR/picture.onnx: input image: the model takes f32[n,3,10,8], the data set gives u8 samples of [3,10,8]\n"
            "  add the step to-float to [inputs.image]", "quantize", picture, "--data", data, "-o", folder / "x.onnx")
    pixels["vector"] = pixels["vector"][:, :5]
    data = data_set(folder, "short", pixels, labels, PICTURE_TOML)
    refused(3, "DIR/picture.onnx: input vector: the model takes f32[n,6], the data set gives f32 samples of [5]\n"
            "  correct the array, its preprocessing steps or its layout; sizes that the model leaves open are those of the data set",
            "quantize", picture, "--data", data, "-o", folder / "x.onnx")


def main():
    cupel, checks = harness.begin(sys.argv)
    text, picture = cupel.folder / "text.onnx", cupel.folder / "picture.onnx"
    text_network(text, INT32)
    wide = cupel.folder / "wide.onnx"
    text_network(wide, INT64)
    picture_network(picture)
    check_network(cupel, checks, "text", text, text_arrays(), TEXT_TOML, None, ["--labelled-output", "logits"])
    stored = text_arrays()
    stored["mask"] = stored["mask"].astype(np.int64)
    check_network(cupel, checks, "text-toml", wide, stored, '[labels]\noutput = "logits"\n', 50, [])
    check_network(cupel, checks, "picture", picture, picture_arrays(), PICTURE_TOML, 7, [])
    recurrent, squeezed = cupel.folder / "recurrent.onnx", cupel.folder / "squeezed.onnx"
    recurrent_network(recurrent)
    rows = np.random.default_rng(18).standard_normal((SAMPLES, 9, 6)).astype(np.float32)
    check_network(cupel, checks, "recurrent", recurrent, {"rows": rows}, "", None, [])
    checks.equal([d.dim_param for d in onnx.load(cupel.folder / "recurrent/int8.onnx").graph.input[0].type.tensor_type.shape.dim][0], "n",
                 "recurrent: the batch stays open")
    squeezed_network(squeezed)
    check_one_by_one(cupel, checks, squeezed)
    check_refusals(cupel, checks, text, picture)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
