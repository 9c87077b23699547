"""Random networks quantized: every written file stands onnx.checker and ONNX Runtime, whose results agree with Cupel's.

CUPEL_WRITTEN_NETWORKS asks for more of them, CUPEL_WRITTEN_FIRST for other seeds; bench/results has a run of 1,000.
"""

import collections
import json
import os
import sys

import harness
import numpy as np
import onnx
import random_networks
import written_file


COMPILED_EACH = 10  # of so many networks one is compiled too
MOST = "most of what the engines differ by, in hundredths of half of what quantization changes (RMS)"


def check_network(cupel, checks, seed, counts):
    network = random_networks.RandomNetwork(seed)
    what = f"network {seed} (opset {network.opset})"
    work = cupel.folder / str(seed)
    work.mkdir()
    path, written = work / "model.onnx", work / "int8.onnx"
    onnx.save(network.model, path)
    data = harness.array_data_set(work, network.samples)
    names = [o.name for o in network.model.graph.output]
    feeds = {"x": network.samples}
    onnx.checker.check_model(network.model, full_check=True)
    unnamed = onnx.ModelProto()
    unnamed.CopyFrom(network.model)
    for node in unnamed.graph.node:  # ONNX allows nodes of equal names, ONNX Runtime does not
        node.name = ""
    expected = dict(zip(names, harness.runtime_session(unnamed.SerializeToString(), False).run(names, feeds)))

    result = cupel.run("quantize", path, "--data", data, "-o", written, "--threads", 1, "--json", work / "int8.json")
    if result.returncode == 4:
        counts["refused: " + result.stderr.split(": ")[-1].split("\n")[0]] += 1
        return
    if not checks.equal(result.returncode, 0, f"{what}: quantize: {result.stderr}"):
        return
    summary = json.loads((work / "int8.json").read_text())
    counts["with integer multiply-adds"] += summary["integer_macs_per_sample"] > 0
    model = written_file.check(checks, written, what)
    both = {}
    for name, file in (("float", path), ("int8", written)):
        result = cupel.run("run", file, "--input", f"x={work}/samples.npy", "-o", work / name, "--engine", "reference",
                           "--threads", 1)
        if not checks.equal(result.returncode, 0, f"{what}: run of the {name} model: {result.stderr}"):
            return
        arrays = sorted((work / name).glob("*.npy"))
        both[name] = outputs(work / name, names)
        checks.equal(len(arrays), len(names), f"{what}: outputs of the {name} model")
    if seed % COMPILED_EACH == 1:
        check_external(cupel, checks, work, path, data, feeds, names, written, what)
    if seed % COMPILED_EACH == 0:
        check_compiled(cupel, checks, work, path, written, both, counts, what)
    for name, values in expected.items():
        largest = np.abs(values).max(initial=1e-6)
        checks.that(np.abs(both["float"][name] - values).max(initial=0) <= 1e-4 * largest, f"{what}: float results of {name}")
    share, theirs = written_file.agree(checks, model, written, feeds, both["int8"], what)
    for name, values in theirs.items():
        # What the engines round differently is far less than what quantization changes.
        engines, quantization = rms(both["int8"][name] - values), rms(both["int8"][name] - both["float"][name])
        allowed = quantization / 2 + written_file.ROUNDING * rms(values)
        checks.that(engines <= allowed, f"{what}: the engines' {name} differ by {engines} (RMS), quantization by {quantization}")
        counts[MOST] = max(counts[MOST], round(100 * engines / allowed) if allowed else 0)
    counts["checked and run"] += 1
    counts["equal in every element" if share == 0 else "within the bound"] += 1
    counts["largest share of the bound, in thousandths"] = max(counts["largest share of the bound, in thousandths"],
                                                               round(1000 * share))


def check_external(cupel, checks, work, path, data, feeds, names, written, what):
    """The same model with its constants beside it."""
    beside = work / "beside.onnx"
    cupel.must("quantize", path, "--data", data, "-o", beside, "--external-data")
    written_file.check(checks, beside, f"{what}: with external data")
    one, other = (harness.runtime_session(file, False).run(names, feeds) for file in (written, beside))
    checks.that(all(a.tobytes() == b.tobytes() for a, b in zip(one, other)), f"{what}: external data changes nothing")


def check_compiled(cupel, checks, work, path, written, both, counts, what):
    """Compiled code gives the interpreter's bits, where every node has a compiled form."""
    for name, file in (("float", path), ("int8", written)):
        out = work / f"{name}-compiled"
        result = cupel.run("run", file, "--input", f"x={work}/samples.npy", "-o", out)
        if result.returncode == 4:
            counts["not compiled: " + result.stderr.split("): ")[-1].split("\n")[0]] += 1
        elif checks.equal(result.returncode, 0, f"{what}: compiled {name} model: {result.stderr}"):
            counts["compiled"] += 1
            for output, values in outputs(out, list(both[name])).items():
                checks.that(values.tobytes() == both[name][output].tobytes(), f"{what}: both engines give {output} ({name})")


def rms(array):
    return float(np.sqrt(np.mean(np.square(array.astype(np.float64)))))


def outputs(folder, names):
    """The arrays that `run` wrote, by the outputs' names: file names are the names where these can be file names."""
    index = {p.stem: p for p in folder.glob("*.npy")}
    order = sorted(index)
    if set(names) <= set(order):
        return {n: np.load(index[n]) for n in names}
    raise KeyError(f"outputs {names} among {order}")


def main():
    cupel, checks = harness.begin(sys.argv)
    count = int(os.environ.get("CUPEL_WRITTEN_NETWORKS", "40"))
    first = int(os.environ.get("CUPEL_WRITTEN_FIRST", "0"))
    counts = collections.Counter()
    for seed in range(first, first + count):
        check_network(cupel, checks, seed, counts)
    print(f"{count} networks")
    for name, number in sorted(counts.items()):
        print(f"  {number:5}  {name}")
    checks.that(counts["checked and run"] >= 0.9 * count, f"{counts['checked and run']} of {count} networks were checked")
    checks.that(counts["with integer multiply-adds"] >= 0.8 * count, "most networks have integer multiply-adds")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
