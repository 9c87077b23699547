"""Every model of ../shared/cases gives what is right for it; skipped where the project stands alone.

A folder holds model.onnx, its input x.npy, and in expected.npz what ONNX Runtime computes with its optimizations off.
Unless a row below says otherwise, the reference and compiled code give equal bits, near to that; and a float model
quantizes, into a file that ONNX's checker and ONNX Runtime accept and on whose results both agree.
"""

import json
import pathlib
import sys

import harness
import numpy as np
import onnx
import written_file

SKIPPED = 77

# Cases that are not right yet, and why.
OPEN = {}
# Refused as bad input by every verb.
REFUSED = {"gather_out_of_range"}
# What docs/quantization.md defines and ONNX leaves open: no expected values.
ENGINES_ALONE = {"average_pool_empty_window", "fixed_batch_rows"}
# Signal to quantization noise in decibels that the INT8 model must keep.
LEAST_SQNR_DB = 20
# The least share of multiply-adds on integers where all products can be.
ON_INTEGERS = {"mask_minus_infinity": 1.0, "mask_where": 1.0, "shared_layers": 1.0, "shared_head": 1.0,
               "shared_weight": 1.0, "global_max_pool_codes": 1.0, "pad_lowest": 1.0, "pad_minus_infinity": 1.0}
# Constants of the float model whose codes must stand in the file once, by how often they are read.
SHARED = {"shared_weight": ("w",), "shared_head": ("w1",), "shared_layers": ("m",)}


def outputs_of(cupel, model, folder, out, *flags):
    """Outputs by file, or what the failed run says."""
    result = cupel.run("run", model, "--input", f"x={folder}/x.npy", "-o", out, *flags)
    if result.returncode != 0:
        return f"exit {result.returncode}: {result.stderr}"
    return {p.stem: np.load(p) for p in sorted(pathlib.Path(out).glob("*.npy"))}


def near(ours, theirs):
    largest = np.abs(theirs.astype(np.float64)).max(initial=1e-6)
    return ours.shape == theirs.shape and np.abs(ours.astype(np.float64) - theirs).max(initial=0) <= 1e-4 * largest


def sqnr_db(signal, noisy):
    noise = np.square(signal.astype(np.float64) - noisy).sum()
    return 10 * np.log10(np.square(signal.astype(np.float64)).sum() / noise) if noise > 0 else np.inf


def check_quantized(cupel, checks, folder, work, expected):
    name = folder.name
    data = harness.array_data_set(work, np.load(folder / "x.npy"))
    path = work / "int8.onnx"
    result = cupel.run("quantize", folder / "model.onnx", "--data", data, "-o", path, "--json", work / "int8.json")
    if not checks.equal(result.returncode, 0, f"{name}: quantize: {result.stderr}"):
        return
    model = written_file.check(checks, path, f"{name}: the written file")
    ours = outputs_of(cupel, path, folder, work / "int8", "--engine", "reference")
    compiled = outputs_of(cupel, path, folder, work / "int8c")
    for engine, found in (("reference", ours), ("compiled", compiled)):
        if not checks.that(isinstance(found, dict), f"{name}: the INT8 model, {engine}: {found}"):
            return
    for output, values in ours.items():
        checks.that(values.tobytes() == compiled[output].tobytes(), f"{name}: both engines give {output} of the INT8 model")
    written_file.agree(checks, model, path, {"x": np.load(folder / "x.npy")}, ours, f"{name}: the written file")
    for output, values in expected.items():
        db = sqnr_db(values, ours[output])
        checks.that(db >= LEAST_SQNR_DB, f"{name}: INT8 keeps {db:.1f} dB of {output}")
        top = np.mean(ours[output].argmax(-1) == values.argmax(-1))
        checks.that(top >= 1 - 1.5 / len(values), f"{name}: INT8 has the same greatest element in {top:.0%} of {output}")
    nodes = json.loads((work / "int8.json").read_text())
    if name in ON_INTEGERS:
        checks.that(nodes["integer_macs_per_sample"] >= ON_INTEGERS[name] * nodes["macs_per_sample"],
                    f"{name}: multiply-adds on integers: {nodes}")
    for constant in SHARED.get(name, ()):
        held = [i.name for i in model.graph.initializer
                if i.name.startswith(f"{constant}_quantized") and i.data_type == onnx.TensorProto.INT8 and len(i.dims) > 1]
        readers = [n.name for n in model.graph.node if held and held[0] in n.input]
        checks.that(len(held) == 1 and len(readers) == 1, f"{name}: codes of {constant}: {held}, read by {readers}")


def check_case(cupel, checks, folder, work):
    name, model = folder.name, folder / "model.onnx"
    if name in REFUSED:
        data = harness.array_data_set(work, np.load(folder / "x.npy"))
        for words in (("run", model, "--input", f"x={folder}/x.npy", "-o", work / "o"), ("compile", model, "-o", work / "m.so"),
                      ("run", model, "--input", f"x={folder}/x.npy", "-o", work / "o", "--engine", "reference"),
                      ("quantize", model, "--data", data, "-o", work / "q.onnx")):
            result = cupel.run(*words)
            checks.equal(result.returncode, 3, f"{name}: {words[0]}: {result.stderr}")
        return
    reference = outputs_of(cupel, model, folder, work / "reference", "--engine", "reference")
    compiled = outputs_of(cupel, model, folder, work / "compiled")
    if not checks.that(isinstance(reference, dict), f"{name}: the reference: {reference}"):
        return
    if checks.that(isinstance(compiled, dict), f"{name}: compiled code: {compiled}"):
        checks.equal(list(compiled), list(reference), f"{name}: outputs")
        for output, values in reference.items():
            checks.that(values.tobytes() == compiled[output].tobytes(), f"{name}: both engines give {output}")
    expected = {}
    if name not in ENGINES_ALONE:
        with np.load(folder / "expected.npz") as arrays:
            expected = {k: arrays[k] for k in arrays.files}
    for output, values in expected.items():
        if checks.that(output in reference, f"{name}: {output} among {list(reference)}"):
            close = near(reference[output], values)
            if values.dtype == np.uint8 or quantized(model):
                # Codes, and numbers behind them, may lie a step of the last quantize node apart.
                step = np.abs(reference[output].astype(np.float64) - values).max()
                close = reference[output].dtype == values.dtype and step <= last_step(model)
            checks.that(close, f"{name}: {output} is what ONNX Runtime computes")
    graph = onnx.load(model).graph
    if not quantized(model) and graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
        check_quantized(cupel, checks, folder, work, expected)


def quantized(model):
    return any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in onnx.load(model).graph.node)


def last_step(model):
    """One step of what the last quantize node gives: a code where codes go out, its scale where numbers do."""
    graph = onnx.load(model).graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    if graph.output[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return 1
    return 1.001 * float([constants[n.input[1]] for n in graph.node if n.op_type == "QuantizeLinear"][-1])


def main():
    cupel, checks = harness.begin(sys.argv)
    cases = cupel.source.parent / "shared/cases"
    if not cases.is_dir():
        print("skipped: there is no ../shared/cases")
        return SKIPPED
    mended = []
    for folder in sorted(p for p in cases.iterdir() if p.is_dir()):
        work = cupel.folder / folder.name
        work.mkdir()
        if folder.name in OPEN:
            trial = harness.Checks(quiet=True)
            check_case(cupel, trial, folder, work)
            print(f"open: {folder.name}: {OPEN[folder.name]} ({trial.failed} of {trial.done} checks fail)")
            if trial.failed == 0:
                mended.append(folder.name)
        else:
            check_case(cupel, checks, folder, work)
    if mended:
        print(f"right now, take them off the list of open cases: {', '.join(mended)}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
