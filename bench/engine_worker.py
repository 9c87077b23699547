"""One engine with one network in a process of its own, pinned: engine_worker.py ENGINE NETWORK INPUT THREADS.

ENGINE: cupel (NETWORK is what `cupel compile` wrote), onnxruntime or openvino (an .onnx file). INPUT: an .npy of the only
input, or an .npz of all by name. Answers lines of standard input: "run WARM COUNT" with the times of COUNT inferences in
ns, "output FILE" after saving the first output as .npy.
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


# kCupelF32 and the others of include/cupel/cupel.h.
TYPES = {0: np.float32, 1: np.float64, 2: np.float16, 6: np.uint8, 7: np.int8, 8: np.uint16, 9: np.int16, 10: np.uint32, 11: np.int32, 12: np.uint64, 13: np.int64, 14: np.bool_}


def ports(first, count):
    return [first[i] for i in range(count)]


def cupel(path, arrays, threads):
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
    model = metadata().contents
    x = [arrays[port.name.decode()] if len(arrays) > 1 else next(iter(arrays.values()))
         for port in ports(model.inputs, model.input_count)]
    items = [len(a) // -port.dims[0] for a, port in zip(x, ports(model.inputs, model.input_count))
             if port.rank and port.dims[0] < 0]
    y = [np.zeros([port.dims[i] if port.dims[i] >= 0 else -port.dims[i] * items[0] for i in range(port.rank)], TYPES[port.dtype])
         for port in ports(model.outputs, model.output_count)]
    inputs = (ctypes.c_void_p * len(x))(*[a.ctypes.data for a in x])
    outputs = (ctypes.c_void_p * len(y))(*[a.ctypes.data for a in y])
    # A model of constant sizes has one item, or as many as lead its values.
    batches = items or [1, len(x[0]) if x and x[0].ndim else 1]
    batch = next((ctypes.c_int64(n) for n in batches if run(session, ctypes.c_int64(n), inputs, outputs) == 0), None)
    if batch is None:
        sys.exit(error().decode())

    def call():
        if run(session, batch, inputs, outputs) != 0:
            sys.exit(error().decode())
    return call, lambda: y[0]


def onnxruntime(path, arrays, threads):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    if len(arrays) == 1:
        options.add_free_dimension_override_by_name("batch", len(next(iter(arrays.values()))))
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for i in session.get_inputs():
        x = arrays[i.name] if len(arrays) > 1 else next(iter(arrays.values()))
        binding.bind_ortvalue_input(i.name, ort.OrtValue.ortvalue_from_numpy(x))
    names = [o.name for o in session.get_outputs()]
    for name in names:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    y = [ort.OrtValue.ortvalue_from_numpy(a) for a in binding.copy_outputs_to_cpu()]
    for name, a in zip(names, y):
        binding.bind_ortvalue_output(name, a)
    call = lambda: session.run_with_iobinding(binding)  # noqa: E731
    try:
        call()
    except RuntimeError:  # the file declares other ranks than its outputs have: they cannot be used again
        x = {i.name: arrays[i.name] if len(arrays) > 1 else next(iter(arrays.values())) for i in session.get_inputs()}
        return lambda: session.run(names, x), lambda: session.run(names, x)[0]
    return call, lambda: y[0].numpy()


def openvino(path, arrays, threads):
    import openvino as ov
    (x,) = arrays.values()
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
    loaded = np.load(input_path)
    loaded = dict(loaded) if input_path.endswith(".npz") else {"": loaded}
    arrays = {name: np.ascontiguousarray(a) if a.ndim else a for name, a in loaded.items()}
    begun = time.perf_counter()
    call, result = {"cupel": cupel, "onnxruntime": onnxruntime, "openvino": openvino}[engine](network, arrays, threads)
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
