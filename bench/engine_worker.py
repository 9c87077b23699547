"""One engine with one network in a process of its own, pinned: engine_worker.py ENGINE NETWORK INPUT THREADS.

ENGINE: cupel (NETWORK is what `cupel compile` wrote), onnxruntime or openvino (an .onnx file). Answers lines of standard
input: "run WARM COUNT" with the times of COUNT inferences in ns, "output FILE" after saving the result as .npy.
"""

import ctypes
import json
import os
import pathlib
import re
import sys
import time

import numpy as np


class Port(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("dims", ctypes.POINTER(ctypes.c_int64)), ("item_bytes", ctypes.c_int64)]


class Model(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int32), ("model", ctypes.c_char_p), ("target", ctypes.c_char_p),
                ("features", ctypes.POINTER(ctypes.c_char_p)), ("inputs", ctypes.POINTER(Port)),
                ("input_count", ctypes.c_int32), ("outputs", ctypes.POINTER(Port)), ("output_count", ctypes.c_int32)]


def cupel(path, x, threads):
    """The C interface that include/cupel/cupel.h documents."""
    library = ctypes.CDLL(os.path.abspath(path))
    header = pathlib.Path(path).with_suffix(".h").read_text()
    prefix = "cupel_" + re.search(r"CUPEL_MODEL\((\w+)\)", header).group(1)
    error, metadata = getattr(library, prefix + "_error"), getattr(library, prefix + "_metadata")
    error.restype, metadata.restype = ctypes.c_char_p, ctypes.POINTER(Model)
    session = ctypes.c_void_p()
    if getattr(library, prefix + "_create")(threads, ctypes.byref(session)) != 0:
        sys.exit(error().decode())
    run = getattr(library, prefix + "_run")
    port = metadata().contents.outputs[0]
    y = np.zeros([len(x) if port.dims[i] < 0 else port.dims[i] for i in range(port.rank)], np.float32)
    batch = ctypes.c_int64(len(x))
    inputs, outputs = (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(y.ctypes.data)

    def call():
        if run(session, batch, inputs, outputs) != 0:
            sys.exit(error().decode())
    return call, lambda: y


def onnxruntime(path, x, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_free_dimension_override_by_name("batch", len(x))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    value, name = ort.OrtValue.ortvalue_from_numpy(x), session.get_outputs()[0].name
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
    binding.bind_output(name)
    session.run_with_iobinding(binding)
    y = ort.OrtValue.ortvalue_from_numpy(binding.copy_outputs_to_cpu()[0])
    binding.bind_ortvalue_output(name, y)
    return lambda: session.run_with_iobinding(binding), lambda: y.numpy()


def openvino(path, x, threads):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(path)
    model.reshape(list(x.shape))
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))
    # The class below Python's wrapper infers in the calling thread, without copies.
    infer = super(type(request), request).infer
    empty = {}
    try:
        infer(empty, share_inputs=True, share_outputs=True, decode_strings=False)
        call = lambda: infer(empty, share_inputs=True, share_outputs=True, decode_strings=False)  # noqa: E731
    except TypeError:
        call = request.infer
    call()
    return call, lambda: np.array(request.get_output_tensor().data)


def main():
    engine, network, input_path, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    x = np.ascontiguousarray(np.load(input_path))
    begun = time.perf_counter()
    call, result = {"cupel": cupel, "onnxruntime": onnxruntime, "openvino": openvino}[engine](network, x, threads)
    call()
    print(json.dumps({"ready_s": time.perf_counter() - begun}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "run":
            for _ in range(int(words[1])):
                call()
            times = []
            for _ in range(int(words[2])):
                start = time.perf_counter_ns()
                call()
                times.append(time.perf_counter_ns() - start)
            print(json.dumps(times), flush=True)
        elif words[0] == "output":
            np.save(words[1], result())
            print("{}", flush=True)


main()
