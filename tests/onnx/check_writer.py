#!/usr/bin/env python3
"""Checks a folder of files that Cupel wrote: onnx's full check, and ONNX Runtime's results.

NAME.spelled.onnx and NAME.native.onnx must agree on random inputs (1e-5 of the largest result); silu is compared with its
formula, since ONNX has no such operator. Prints each failure and exits 1 when there is one.
"""
import pathlib
import sys

import numpy
import onnx
import onnxruntime


def counts_windows_wrongly(model):
    """Below opset 22, onnx's shape inference counts windows that begin in the trailing padding; its text, ONNX Runtime
    and Cupel do not."""
    return model.opset_import[0].version < 22 and any(
        a.name == "ceil_mode" and a.i == 1 for n in model.graph.node for a in n.attribute)


def run(path, seed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    random = numpy.random.default_rng(seed)
    feeds = {}
    for i in session.get_inputs():
        shape = [d if isinstance(d, int) else 3 for d in i.shape]
        feeds[i.name] = (random.standard_normal(shape) * 3).astype(numpy.float32)
    return feeds, session.run(None, feeds)


def main():
    folder = pathlib.Path(sys.argv[1])
    failures = checked = compared = 0
    for path in sorted(folder.glob("*.onnx")):
        try:
            onnx.checker.check_model(str(path), full_check=not counts_windows_wrongly(onnx.load(path)))
            checked += 1
        except Exception as error:  # every kind of refusal counts
            print(f"{path.name}: {error}")
            failures += 1
    for path in sorted(folder.glob("*.spelled.onnx")):
        native = path.with_name(path.name.replace(".spelled.", ".native."))
        feeds, spelled = run(path, 1)
        expected = run(native, 1)[1]
        if path.name.startswith("silu"):
            x = next(iter(feeds.values())).astype(numpy.float64)
            expected = [x / (1 + numpy.exp(-x))]
        for a, b in zip(spelled, expected):
            compared += 1
            if a.shape != b.shape or not numpy.abs(a - b).max() <= 1e-5 * max(1e-6, numpy.abs(b).max()):
                print(f"{path.name}: differs from {native.name} by {numpy.abs(a - b).max()}")
                failures += 1
    print(f"{checked} files checked, {compared} results compared, {failures} failures")
    return 1 if failures or not checked or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
