"""Small models and data sets, sound and broken, for check_errors.py. All are made in the current folder."""

import gzip
import os
import pathlib
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 3


def model(nodes, constants, name, opset=17, input_type=TensorProto.FLOAT, input_shape=("N", 1, 4, 4),
          output_shape=("N", CLASSES), domains=()):
    """Writes a model with the input `image` and the output `logits`."""
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("image", input_type, input_shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    pathlib.Path(name).write_bytes(proto.SerializeToString())
    return proto


def weights():
    values = np.random.default_rng(1)
    return {
        "filters": values.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "filter_bias": np.zeros(2, np.float32),
        "matrix": values.normal(size=(32, CLASSES)).astype(np.float32),
        "bias": np.zeros(CLASSES, np.float32),
    }


def layers(**changes):
    """Convolution, Relu, Flatten, Gemm; `changes` replaces nodes by name."""
    nodes = {
        "conv": helper.make_node("Conv", ["image", "filters", "filter_bias"], ["c"], "conv", pads=[1, 1, 1, 1]),
        "relu": helper.make_node("Relu", ["c"], ["r"], "relu"),
        "flatten": helper.make_node("Flatten", ["r"], ["f"], "flatten"),
        "gemm": helper.make_node("Gemm", ["f", "matrix", "bias"], ["logits"], "gemm"),
    }
    return list((nodes | changes).values())


def external(name, location, length=32 * CLASSES * 4, offset=0):
    """The sound model with `matrix` kept in another file."""
    proto = model(layers(), weights(), name)
    tensor = next(t for t in proto.graph.initializer if t.name == "matrix")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    pathlib.Path(name).write_bytes(proto.SerializeToString())


def quantized(name, scale=0.1, zero_point=0):
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        *layers(conv=helper.make_node("Conv", ["d", "filters", "filter_bias"], ["c"], "conv", pads=[1, 1, 1, 1])),
    ]
    model(nodes, weights() | {"scale": np.float32(scale), "zero": np.uint8(zero_point)}, name)


def make_models():
    model(layers(), weights(), "good.onnx")
    sound = pathlib.Path("good.onnx").read_bytes()
    pathlib.Path("truncated.onnx").write_bytes(sound[: len(sound) // 2])
    pathlib.Path("random.onnx").write_bytes(np.random.default_rng(7).bytes(4096))
    pathlib.Path("text.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    pathlib.Path("empty.onnx").write_bytes(b"")
    os.mkdir("folder.onnx")

    relu = lambda op, **more: helper.make_node(op, ["c"], ["r"], "relu", **more)
    model(layers(relu=relu("Frobnicate")), weights(), "unknown_op.onnx")
    model(layers(relu=relu("Frobnicate", domain="com.example")), weights(), "unknown_domain.onnx",
          domains=["com.example"])
    model(layers(relu=helper.make_node("Add", ["c", "number"], ["r"], "add")), weights() | {"number": np.int64(1)},
          "mixed_types.onnx")
    model(layers(relu=helper.make_node("Add", ["c", "vector"], ["r"], "add")),
          weights() | {"vector": np.zeros(5, np.float32)}, "mixed_shapes.onnx")
    model(layers(), weights() | {"matrix": np.zeros((31, CLASSES), np.float32)}, "wrong_matrix.onnx")
    model(layers(relu=helper.make_node("Add", ["c", "f"], ["r"], "add")), weights(), "cycle.onnx")
    model(layers(relu=helper.make_node("Relu", ["nothing"], ["r"], "relu")), weights(), "undefined.onnx")
    model(layers(conv=helper.make_node("Conv", ["image", "filters"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[0, 1])),
          weights(), "zero_stride.onnx")
    branch = helper.make_graph([helper.make_node("Identity", ["nothing"], ["b"])], "branch", [],
                               [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)])
    model(layers(relu=helper.make_node("If", ["flag"], ["r"], "choice", then_branch=branch, else_branch=branch)),
          weights() | {"flag": np.bool_(True)}, "branches.onnx")
    model(layers(), weights(), "future.onnx", opset=99)
    pathlib.Path("no_graph.onnx").write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    model(layers(), weights(), "no_shape.onnx", input_shape=None)
    proto = model(layers(), weights(), "wrong_output.onnx")
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    pathlib.Path("wrong_output.onnx").write_bytes(proto.SerializeToString())
    model(layers(), weights(), "two_sizes.onnx", input_shape=("N", 1, 4, "W"))

    for name, value in (("nan", np.nan), ("infinite", np.inf), ("overflow", 3e38)):
        changed = weights()
        changed["filters"][1, 0, 2, 1] = value
        if name == "overflow":
            changed["filters"][:] = value
        model(layers(), changed, f"{name}_weight.onnx")
    model(layers(relu=relu("Sqrt")), weights(), "nan_result.onnx")

    model(layers(relu=helper.make_node("Cast", ["c"], ["i"], "integers", to=TensorProto.INT64),
                 power=helper.make_node("Pow", ["i", "exponent"], ["p"], "power"),
                 back=helper.make_node("Cast", ["p"], ["r"], "back", to=TensorProto.FLOAT)),
          weights() | {"exponent": np.int64(2)}, "no_compiled_form.onnx")

    model([helper.make_node("Gather", ["table", "image"], ["logits"], "lookup")],
          {"table": np.ones((5, CLASSES), np.float32)}, "lookup.onnx", input_type=TensorProto.INT64, input_shape=("N",))

    proto = model(layers(), weights(), "short_payload.onnx")
    proto.graph.initializer[0].dims[0] = 1 << 40
    pathlib.Path("short_payload.onnx").write_bytes(proto.SerializeToString())

    os.mkdir("beside")
    pathlib.Path("outside.bin").write_bytes(b"\0" * 4096)
    pathlib.Path("beside/short.bin").write_bytes(b"\0" * 100)
    os.symlink("../outside.bin", "beside/link.bin")
    external("beside/parent.onnx", "../outside.bin")
    external("beside/absolute.onnx", "/etc/hostname")
    external("beside/link.onnx", "link.bin")
    external("beside/missing.onnx", "nowhere.bin")
    external("beside/short.onnx", "short.bin")
    external("beside/negative.onnx", "short.bin", offset=-4)
    external("beside/wrong_length.onnx", "short.bin", length=8)

    quantized("good.int8.onnx")
    quantized("zero_scale.onnx", scale=0)
    quantized("infinite_scale.onnx", scale=np.inf)
    quantized("nan_scale.onnx", scale=np.nan)


def write_idx(path, array):
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    pathlib.Path(path).write_bytes(gzip.compress(content) if str(path).endswith(".gz") else content)


def data_set(name, images="images.idx", labels="labels.idx", steps='["to-float", "scale 0.00392156862745098"]',
             calibrate='{ source = "all", count = 8, seed = 1 }', report='{ source = "all", count = 16, seed = 2 }',
             classes='["a", "b", "c"]', form="idx"):
    """Writes a data-set file; a split that is None is left out."""
    lines = ["[sources.all]", f'format = "{form}"', f'images = "{images}"']
    lines += [f'labels = "{labels}"'] if labels else []
    lines += ["[labels]", f"classes = {classes}"] if classes else []
    lines += ["[preprocess]", f"steps = {steps}"] + (['layout = "NCHW"'] if form == "idx" else [])
    lines += ["[splits]"] + [f"{k} = {v}" for k, v in (("calibrate", calibrate), ("report", report)) if v]
    pathlib.Path(name).write_text("\n".join(lines) + "\n")


def make_data():
    values = np.random.default_rng(2)
    images = values.integers(0, 256, (32, 4, 4), dtype=np.uint8)
    labels = (np.arange(32) % CLASSES).astype(np.uint8)
    write_idx("images.idx", images)
    write_idx("labels.idx", labels)
    write_idx("wide.idx", values.integers(0, 256, (32, 4, 5), dtype=np.uint8))
    labels[20] = 7
    write_idx("bad_labels.idx", labels)
    sound = pathlib.Path("images.idx").read_bytes()
    pathlib.Path("short.idx").write_bytes(sound[:-1])
    pathlib.Path("long.idx").write_bytes(sound + b"\0")
    pathlib.Path("short.idx.gz").write_bytes(gzip.compress(sound, mtime=0)[:-20])
    write_idx("few_labels.idx", labels[:31])
    pathlib.Path("none.txt").write_text("")
    pathlib.Path("first.txt").write_text("0\n1\n2\n")
    pathlib.Path("second.txt").write_text("2\n3\n")
    pathlib.Path("beyond.txt").write_text("0\n32\n")

    data_set("good.toml")
    data_set("no_images.toml", images="nowhere.idx")
    data_set("no_labels.toml", labels="nowhere.idx")
    data_set("short.toml", images="short.idx")
    data_set("long.toml", images="long.idx")
    data_set("short_gzip.toml", images="short.idx.gz")
    data_set("few_labels.toml", labels="few_labels.idx")
    data_set("bad_labels.toml", labels="bad_labels.idx")
    data_set("labels_beyond_model.toml", labels="bad_labels.idx", classes=None,
             report='{ source = "all", indices = "twenty.txt" }')
    pathlib.Path("twenty.txt").write_text("20\n")
    data_set("unlabelled.toml", labels=None)
    data_set("wide.toml", images="wide.idx")
    data_set("codes.toml", steps="[]")
    data_set("unknown_step.toml", steps='["sharpen"]')
    data_set("overlap.toml", calibrate='{ source = "all", indices = "first.txt" }',
             report='{ source = "all", indices = "second.txt" }')
    data_set("no_samples.toml", calibrate='{ source = "all", indices = "none.txt" }')
    data_set("zero_count.toml", calibrate='{ source = "all", count = 0, seed = 1 }')
    data_set("large_count.toml", calibrate='{ source = "all", count = 33, seed = 1 }')
    data_set("beyond.toml", calibrate='{ source = "all", indices = "beyond.txt" }')
    data_set("no_calibrate.toml", calibrate=None)
    data_set("no_report.toml", report=None)
    data_set("unknown_format.toml", form="parquet")
    pathlib.Path("broken.toml").write_text("[sources.all\n")

    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        reals = values.normal(size=(32, 1, 4, 4)).astype(np.float32)
        reals[:, 0, 3, 2] = value
        np.savez(f"{name}.npz", x=reals, y=(np.arange(32) % CLASSES).astype(np.int64))
        pathlib.Path(f"{name}.toml").write_text(
            f'[sources.all]\nformat = "npz"\nimages = "{name}.npz"\nimage_key = "x"\nlabel_key = "y"\n'
            'image_layout = "none"\n[splits]\n'
            'calibrate = { source = "all", count = 8, seed = 1 }\nreport = { source = "all", count = 16, seed = 2 }\n')
        np.save(f"{name}_input.npy", reals[:2])
    np.save("input.npy", np.ones((2, 1, 4, 4), np.float32))
    np.save("wide_input.npy", np.ones((2, 1, 4, 5), np.float32))
    np.save("double_input.npy", np.ones((2, 1, 4, 4), np.float64))
    np.save("scalar_input.npy", np.float32(1))
    np.save("large_index.npy", np.array([0, 4, 5, -6]))
    np.save("small_index.npy", np.array([0, 4, -6, 5]))
    np.save("no_rows.npy", np.ones((0, 1, 4, 4), np.float32))
    pathlib.Path("cut.npy").write_bytes(pathlib.Path("input.npy").read_bytes()[:-4])
    pathlib.Path("file").write_text("a file\n")
