#!/usr/bin/env python3
"""Checks a folder of op samples that Cupel wrote: onnx's full check, and ONNX Runtime's results beside the reference's.

OP.NUMBER.OPSET.onnx with .inI.npy and .outI.npy. Prints each failure and what ONNX Runtime lacks, and exits 1 when there
is a failure.
"""
import collections
import pathlib
import sys

import numpy
import onnx
import onnxruntime

# Of the largest magnitude of the result: sums in another order, other elementary functions.
RELATIVE = 4e-6
WIDER = {"Gelu": 4e-5, "LogSoftmax": 2e-5, "Pow": 2e-5}

# What is valid ONNX, and ONNX Runtime 1.2x has no implementation of on the CPU: by operator, with what it says.
LACKS = {"AveragePool": "Pad should be smaller than kernel",
         "ConvInteger": "IsScalarOr1ElementVector(W_Zero_Point) was false",
         "LRN": "X_shape.NumDimensions() == 4 was false",
         "MatMulInteger": "input1 zero point must be a scalar"}


BYTE_FLOATS = {"tensor(float8e4m3fn)": onnx.TensorProto.FLOAT8E4M3FN, "tensor(float8e5m2)": onnx.TensorProto.FLOAT8E5M2}


def run(session, feeds):
    """The results. Arrays of 8-bit floats do not say to ONNX Runtime which they are."""
    if all(array.dtype != numpy.dtype("V1") for array in feeds.values()):
        return session.run(None, feeds)
    kinds = {i.name: BYTE_FLOATS.get(i.type) for i in session.get_inputs()}
    make = onnxruntime.OrtValue
    values = {name: make.ortvalue_from_numpy_with_onnx_type(array.view(numpy.uint8), kinds[name]) if kinds[name]
              else make.ortvalue_from_numpy(array) for name, array in feeds.items()}
    return [value.numpy() for value in session.run_with_ort_values(None, values)]


def counts_windows_wrongly(model):
    """Below opset 22, onnx's shape inference counts windows that begin in the trailing padding; its text, ONNX Runtime
    and Cupel do not."""
    return model.opset_import[0].version < 22 and any(
        a.name == "ceil_mode" and a.i == 1 for n in model.graph.node for a in n.attribute)


def session_of(model):
    """A session of a file, by its path or its bytes, without optimizations."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def differs(op, ours, theirs, size=1e-6, wider=WIDER):
    """Why the two are not the same; empty when they are. `size`: of what the numbers come from, where they cancel;
    `wider`: bounds of operators other than RELATIVE."""
    if ours.dtype == numpy.dtype("V1"):  # floats of 8 bits, which NumPy and ONNX Runtime hold as bytes: 127 is NaN
        ours, theirs = (numpy.where((a.view(numpy.uint8) & 127) == 127, 127, a.view(numpy.uint8)) for a in (ours, theirs))
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"{ours.dtype}{ours.shape} instead of {theirs.dtype}{theirs.shape}"
    if ours.dtype.kind != "f":
        # Codes that are computed may lie a step apart; what is moved or counted may not.
        apart = numpy.abs(ours.astype(numpy.int64) - theirs.astype(numpy.int64)).max(initial=0)
        return f"integers {apart} apart" if apart > (op == "QuantizeLinear") else ""
    same = (ours == theirs) | (numpy.isnan(ours) & numpy.isnan(theirs))
    finite = numpy.isfinite(ours) & numpy.isfinite(theirs)
    if not (same | finite).all():
        return "infinities or NaN at different places"
    wide, other = ours[finite].astype(numpy.float64), theirs[finite].astype(numpy.float64)
    largest = numpy.abs(other).max(initial=size)
    relative = 2e-3 if ours.dtype == numpy.float16 else wider.get(op, RELATIVE)
    apart = numpy.abs(wide - other).max(initial=0)
    return f"{apart} apart, largest {largest}" if apart > relative * largest else ""


def main():
    folder = pathlib.Path(sys.argv[1])
    failures, compared, lacking = 0, 0, collections.Counter()
    for path in sorted(folder.glob("*.onnx")):
        op = path.name.split(".")[0]
        model = onnx.load(path)
        try:
            onnx.checker.check_model(str(path), full_check=not counts_windows_wrongly(model))
        except Exception as error:  # every kind of refusal counts
            print(f"{path.name}: {error}")
            failures += 1
            continue
        try:
            session = session_of(path)
            feeds = {v.name: numpy.load(path.with_suffix(f".in{i}.npy")) for i, v in enumerate(session.get_inputs())}
            theirs = run(session, feeds)
        except Exception as error:  # every kind of refusal counts
            known = LACKS.get(op)
            if known and known in str(error):
                lacking[f"{op}: {known}"] += 1
            else:
                print(f"{path.name}: ONNX Runtime: {error}")
                failures += 1
            continue
        for i, result in enumerate(theirs):
            compared += 1
            if why := differs(op, numpy.load(path.with_suffix(f".out{i}.npy")), result):
                print(f"{path.name}: output {i}: {why}")
                failures += 1
    for text, number in sorted(lacking.items()):
        print(f"lacking in ONNX Runtime, {number} files: {text}")
    unused = sorted(op for op in LACKS if not any(text.startswith(op + ":") for text in lacking))
    if unused:
        print(f"no longer lacking: {', '.join(unused)}")
        failures += 1
    print(f"{compared} results compared, {failures} failures")
    return 1 if failures or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
