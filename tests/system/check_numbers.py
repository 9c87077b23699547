"""The numbers of the three networks, through the command line, against ONNX Runtime, ONNX's checker and SciPy.

500 test images; bench/first_light does the same with more.
"""

import json
import sys

import harness
import numpy as np
import onnx
import scipy.stats

IMAGES = 500


def check_float_logits(cupel, checks, network, images):
    model = cupel.source / f"models/{network}.onnx"
    ours = cupel.outputs(model, images[:100])
    theirs = harness.runtime_outputs(model, images[:100], optimize=True)
    difference = np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max()
    print(f"{network}: largest FP32 logit difference {difference:.2e} of the largest logit")
    checks.that(difference <= 1e-5, f"{network}: FP32 logits differ by {difference:.2e} of the largest")


def check_quantized_file(cupel, checks, network, images):
    """Quantizes the network; gives the path of the INT8 model and its logits."""
    model, data = cupel.source / f"models/{network}.onnx", cupel.source / "models/fashion_mnist.toml"
    path, again = cupel.folder / f"{network}.int8.onnx", cupel.folder / "again.onnx"
    dumps = cupel.folder / f"{network}.dumps"
    cupel.must("quantize", model, "--data", data, "-o", path, "--threads", 2, "--dump-ir", dumps)
    cupel.must("quantize", model, "--data", data, "-o", again, "--threads", 1, "--batch", 7)
    checks.equal(path.read_bytes() == again.read_bytes(), True, f"{network}: quantizing again gives the same bytes")

    texts = sorted(p.name for p in dumps.glob("*.graph"))
    checks.equal([int(t[:2]) for t in texts], list(range(len(texts))), f"{network}: numbers of the dumps")
    for name in ("import", "fold_batch_norm", "apply", "integerize"):
        checks.that(any(t[3:] == f"{name}.graph" for t in texts), f"{network}: dump of {name} among {texts}")
    for text in texts:
        checks.that((dumps / text).stat().st_size > 0, f"{network}: {text} holds text")

    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    original = onnx.load(model, load_external_data=False)
    opset = {o.domain: o.version for o in proto.opset_import}
    checks.equal(opset.get(""), original.opset_import[0].version, f"{network}: opset of the file")
    checks.that(any(n.op_type == "QuantizeLinear" for n in proto.graph.node), f"{network}: Q/DQ nodes")

    ours = cupel.outputs(path, images)
    for optimize, least in ((False, 0.995), (True, 0.99)):
        theirs = harness.runtime_outputs(path, images, optimize)
        same = np.mean(ours.argmax(1) == theirs.argmax(1))
        name = "on" if optimize else "off"
        print(f"{network}: same top-1 as ONNX Runtime with optimizations {name}: {same:.2%} of {len(images)}")
        checks.that(same >= least, f"{network}: same top-1 as ONNX Runtime, optimizations {name}: {same:.2%}")
    return path, ours


def check_invariance(cupel, checks, network, path, images, expected):
    """Threads and batches change no bit, of integers or of floats."""
    few = images[:60]
    for model in (path, cupel.source / f"models/{network}.onnx"):
        reference = cupel.outputs(model, few, "logits", "--threads", 1, "--batch", 1)
        for threads, batch in ((1, 7), (2, 7), (2, 50), (2, 1000)):
            result = cupel.outputs(model, few, "logits", "--threads", threads, "--batch", batch)
            checks.that(result.tobytes() == reference.tobytes(),
                        f"{model.name}: {threads} threads, batches of {batch} give the same bits")
        if model == path:
            checks.that(reference.tobytes() == expected[:60].tobytes(), f"{model.name}: the same bits once more")


def check_engines(cupel, checks, network, path, images):
    """Compiled code, which is the default, gives the interpreter's results to the last bit."""
    for model in (path, cupel.source / f"models/{network}.onnx"):
        reference = cupel.outputs(model, images, "logits", "--engine", "reference")
        for flags in ((), ("--engine", "compiled"), ("--threads", 1, "--batch", 7)):
            result = cupel.outputs(model, images, "logits", *flags)
            checks.that(result.tobytes() == reference.tobytes(),
                        f"{model.name}: {' '.join(map(str, flags)) or 'the default engine'} gives the interpreter's bits")


def check_layers(checks, network, layers, shown):
    """Errors at the results of kernels. `shown`: the rows of the interpreter, which shows every value."""
    nodes = layers["nodes"]
    checks.equal((layers["samples"], layers["count"]), (50, len(nodes)), f"{network}: layers")
    measured = [n for n in nodes if "error" in n]
    # Softmax and what follows it in the vision transformer stay above 10 dB as well.
    checks.that(all(n["error"]["sqnr_db"] is None or n["error"]["sqnr_db"] > 10 for n in measured),
                f"{network}: SQNR {[n['error']['sqnr_db'] for n in measured]}")
    # The float program is cut where the INT8 program is: each kernel has one node whose error is that of its result.
    kernels = {n["kernel"] for n in nodes if "kernel" in n}
    checks.equal(sorted(n.get("kernel", "") for n in measured), sorted(kernels),
                 f"{network}: kernels whose results are compared")
    for node in nodes:
        name = f"{network}: {node['name']} ({node['op']})"
        reason = node.get("reason", "")
        checks.that(node["precision"] == "INT8" or reason, f"{name}: why it is no INT8")
        if "error" not in node:
            where = f"inside kernel {node['kernel']}" if "kernel" in node else "a view of another value, without a kernel"
            checks.that(where in reason, f"{name}: where its result is: {reason}")
        elif node["op"] in ("Conv", "Gemm", "MatMul"):
            checks.that("_contract_" in node["kernel"] or "_window_" in node["kernel"], f"{name}: kernel {node['kernel']}")
    checks.equal([(n["name"], n["op"]) for n in shown], [(n["name"], n["op"]) for n in nodes], f"{network}: rows")
    checks.equal([n["name"] for n in shown if "error" not in n or "kernel" in n], [],
                 f"{network}: the interpreter shows every value, and knows no kernel")
    # An integer node's codes leave its kernel as they are in the graph; a float node's may leave quantized.
    for ours, theirs in zip(nodes, shown):
        if "error" in ours and ours["precision"] == "INT8":
            checks.equal(ours["error"], theirs["error"], f"{network}: {ours['name']}: error by either engine")
    print(f"{network}: {len(nodes)} nodes, {len(measured)} with an error, {len(kernels)} kernels")


def wilson(right, n):
    return scipy.stats.binomtest(right, n).proportion_ci(method="wilson")


def check_speed(checks, network, report, page, text):
    """Ratios of the rounds' medians, recomputed; the headline says what the first measurement shows."""
    rows = report["latency"]
    threads = sorted({row["threads"] for row in rows})
    checks.equal([(row["batch"], row["threads"]) for row in rows], [(b, t) for b in (1, 50) for t in threads],
                 f"{network}: batches and threads of the speed")
    for row in rows:
        base, other = row["models"]
        ratio = np.exp(np.median(np.log(np.array(other["round_medians_us"]) / base["round_medians_us"])))
        found = other["to_base"]
        checks.that(abs(found["ratio"] / ratio - 1) < 1e-9, f"{network}: ratio {found['ratio']}, expected {ratio}")
        checks.that(found["ratio_interval"]["lower"] <= ratio <= found["ratio_interval"]["upper"],
                    f"{network}: interval {found['ratio_interval']}")
        checks.equal(found["rounds"], len(base["round_medians_us"]), f"{network}: rounds")
        checks.that(abs(other["speed_up"] * found["ratio"] - 1) < 1e-9, f"{network}: speed-up {other['speed_up']}")
        for m in row["models"]:
            checks.that(m["latency_median_us"] <= m["latency_p90_us"] <= m["latency_p99_us"], f"{network}: quantiles {m}")
            # No run is faster than the least of the rounds' medians by much, but on a busy machine many are slower.
            rate = 1e6 * row["batch"] / min(m["round_medians_us"])
            checks.that(0 < m["throughput_items_per_s"] < 2 * rate, f"{network}: {m['throughput_items_per_s']} items/s")
    words = {"faster": "times as fast", "slower": "times as long", "no difference shown": "is not shown to run faster"}
    expected = words[rows[0]["models"][1]["to_base"]["verdict"]]
    checks.that(expected in text.splitlines()[0], f"{network}: {text.splitlines()[0]} says {expected}")
    checks.that("<h2>Speed</h2>" in page, f"{network}: the page has the speed")


def check_report(cupel, checks, network, path, images, labels, int8_logits):
    """report.json against what `cupel run` gives, recomputed here."""
    model, data = cupel.source / f"models/{network}.onnx", cupel.source / "models/fashion_mnist.toml"
    out = cupel.folder / f"{network}.assay"
    result = cupel.must("assay", model, "--data", data, "-o", out, "--samples", IMAGES, "--layer-samples", 50)
    checks.that(result.stdout.count("\n") <= 11, f"{network}: the verdict takes ten lines")
    checks.equal(result.stderr, "", f"{network}: standard error of assay")
    checks.equal((out / path.name).read_bytes() == path.read_bytes(), True, f"{network}: assay writes the same model")
    report = json.loads((out / "report.json").read_text())
    checks.equal([k for k in ("schema_version", "title", "provenance", "models", "accuracy", "layers", "warnings")
                  if k not in report], [], f"{network}: fields of the report that are missing")

    fp32 = cupel.outputs(model, images).argmax(1)
    int8 = int8_logits.argmax(1)
    metric = report["accuracy"][0]
    for row, name, predicted in zip(metric["models"], ("FP32", "INT8"), (fp32, int8)):
        right = int((predicted == labels).sum())
        checks.equal((row["model"], row["samples"], row["right"]), (name, IMAGES, right), f"{network}: accuracy row")
        checks.that(abs(row["value"] - right / IMAGES) < 1e-12, f"{network}: accuracy {row['value']}")
        interval = wilson(right, IMAGES)
        checks.that(abs(row["interval"]["lower"] - interval.low) < 1e-9 and
                    abs(row["interval"]["upper"] - interval.high) < 1e-9, f"{network}: interval {row['interval']}")
    b = int(((fp32 == labels) & (int8 != labels)).sum())
    c = int(((fp32 != labels) & (int8 == labels)).sum())
    flips = int((fp32 != int8).sum())
    row = metric["comparisons"][0]
    checks.equal(row["flips"], {"right_to_wrong": b, "wrong_to_right": c, "wrong_to_other_wrong": flips - b - c,
                                "changed_predictions": flips}, f"{network}: flips")
    p = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
    checks.that(abs(row["mcnemar_exact_p"] - p) < 1e-9, f"{network}: p {row['mcnemar_exact_p']}, expected {p}")
    checks.that(abs(row["difference"] - (c - b) / IMAGES) < 1e-12, f"{network}: difference {row['difference']}")
    interval = row["difference_interval"]
    checks.that(interval["lower"] <= row["difference"] <= interval["upper"], f"{network}: interval {interval}")
    print(f"{network}: {flips} flips of {IMAGES}, b {b}, c {c}, p {p:.3g}")

    base, candidate = report["models"]
    checks.equal((base["file_bytes"], candidate["file_bytes"]), (model.stat().st_size, path.stat().st_size),
                 f"{network}: file bytes")
    for row, file in ((base, model), (candidate, out / path.name)):
        checks.equal(row["path"], str(file), f"{network}: path of {row['name']}")
        checks.equal(sum(p["macs"] for p in row["precisions"]), row["macs_per_sample"], f"{network}: MACs by precision")
    checks.equal(candidate["macs_per_sample"], base["macs_per_sample"], f"{network}: MACs do not change")
    integer = next(p["macs"] for p in candidate["precisions"] if p["precision"] == "INT8")
    checks.that(integer >= 0.9 * candidate["macs_per_sample"], f"{network}: {integer} multiply-adds on integers")
    checks.that(candidate["weights_bytes"] < 0.4 * base["weights_bytes"], f"{network}: weights shrink")

    provenance = report["provenance"]
    checks.equal(provenance["command"][1:3], ["assay", str(model)], f"{network}: command")
    checks.that(provenance["versions"]["engine"].startswith("compiled for x86-64"),
                f"{network}: engine {provenance['versions']['engine']}")
    for key in ("date", "versions", "machine", "quantization", "dataset"):
        checks.that(provenance[key], f"{network}: provenance holds {key}")
    warning = f"{IMAGES} of the 10000 samples of the report split were used: only a part was asked for."
    checks.that({"severity": "deviation", "text": warning} in report["warnings"], f"{network}: {report['warnings']}")
    page = (out / "report.html").read_text()
    outside = [word for word in ("http://", "https://", "src=") if word in page.replace("http://www.w3.org", "")]
    checks.equal(outside, [], f"{network}: report.html stands alone")
    check_speed(checks, network, report, page, result.stdout)

    # evaluate on the two files says the same.
    result = cupel.must("evaluate", model, out / path.name, "--data", data, "--samples", IMAGES, "--layer-samples", 0,
                        "--json", "-")
    checks.equal(json.loads(result.stdout)["accuracy"], report["accuracy"], f"{network}: evaluate and assay agree")
    result = cupel.must("evaluate", model, out / path.name, "--data", data, "--samples", IMAGES, "--layer-samples", 50,
                        "--json", "-", "--engine", "reference")
    interpreted = json.loads(result.stdout)
    checks.equal(interpreted["accuracy"], report["accuracy"], f"{network}: accuracy by either engine")
    checks.equal(interpreted["provenance"]["versions"]["engine"], "reference interpreter", f"{network}: engine")
    check_layers(checks, network, report["layers"], interpreted["layers"]["nodes"])


def check_gate(cupel, checks, path):
    """--max-drop: exit 0 only where the whole interval lies within it."""
    for limit, code, kind in ((20, 0, "within"), (0, 1, "undecided")):
        result = cupel.run("evaluate", cupel.source / "models/fashion_vit.onnx", path, "--data",
                           cupel.source / "models/fashion_mnist.toml", "--samples", 100, "--layer-samples", 0,
                           "--max-drop", limit, "--json", "-")
        checks.equal((result.returncode, result.stderr), (code, ""), f"--max-drop {limit}: exit code")
        verdict = json.loads(result.stdout)["accuracy"][0]["comparisons"][0]["verdict"]
        checks.equal((verdict["kind"], verdict["max_drop_points"]), (kind, limit), f"--max-drop {limit}: verdict")


def main():
    cupel, checks = harness.begin(sys.argv)
    images, labels = harness.fashion_mnist("t10k", np.arange(IMAGES))
    for network in harness.NETWORKS:
        check_float_logits(cupel, checks, network, images)
        path, logits = check_quantized_file(cupel, checks, network, images)
        check_invariance(cupel, checks, network, path, images, logits)
        check_engines(cupel, checks, network, path, images[:60])
        check_report(cupel, checks, network, path, images, labels, logits)
    check_gate(cupel, checks, path)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
