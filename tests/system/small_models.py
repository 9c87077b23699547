"""Small ONNX models, and running one by both engines and ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper


def info(name, kind=TensorProto.FLOAT, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, value):
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def save(path, nodes, inputs, outputs, initializers=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def file_names(outputs):
    """As `run` names them: a name that is taken gets a number."""
    taken = {}
    for output in outputs:
        taken[output.name] = taken.get(output.name, 0) + 1
        yield output.name if taken[output.name] == 1 else f"{output.name}_{taken[output.name]}"


def check_run(cupel, checks, name, path, arrays):
    """Both engines give the same bits, near to ONNX Runtime's."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    values = session.run(None, arrays)
    names = list(file_names(session.get_outputs()))
    words = []
    for key, array in arrays.items():
        np.save(cupel.folder / f"{key}.npy", array)
        words += ["--input", f"{key}={cupel.folder / key}.npy"]
    found = {}
    for engine in ("reference", "compiled"):
        done = cupel.run("run", path, *words, "-o", cupel.folder / engine, "--engine", engine)
        if not checks.equal(done.returncode, 0, f"{name}, {engine}: {done.stderr}"):
            return
        found[engine] = [np.load(cupel.folder / engine / f"{n}.npy") for n in names]
    for n, value, a, b in zip(names, values, found["reference"], found["compiled"]):
        checks.that(a.tobytes() == b.tobytes() and a.shape == b.shape, f"{name}: both engines give the same {n}")
        tolerance = 2e-3 if value.dtype == np.float16 else 1e-5
        checks.that(a.shape == value.shape and a.dtype == value.dtype and np.allclose(a, value, rtol=tolerance, atol=1e-6),
                    f"{name}: {n} is that of ONNX Runtime: {a} and {value}")
