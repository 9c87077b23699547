#!/usr/bin/env python3
"""Files that other quantizers write: both engines give the same bits, and what ONNX Runtime gives but for rounding.

One node of each operator on codes, with all kinds of parameters, differs from ONNX Runtime by one code at most, and
rarely. Small networks through onnxruntime.quantization (operators on codes, Q/DQ nodes, dynamic; bytes signed and not,
per channel, reduced range), where such codes add up, keep close; in files with constant parameters no contraction may
stay in float.
"""

import re
import sys

import harness
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
CODE = {"u8": (np.uint8, TensorProto.UINT8), "s8": (np.int8, TensorProto.INT8)}


def model_of(nodes, inputs, outputs, constants, opset=17):
    """Bytes of a model. inputs, outputs: (name, element type, shape); constants: name to array."""
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(*o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


class Files:
    def __init__(self, cupel, checks):
        self.cupel = cupel
        self.checks = checks
        self.random = np.random.default_rng(20)
        self.codes = self.other_codes = 0
        self.worst = {}

    # ---- what both engines and ONNX Runtime make of a file

    def run(self, name, content, inputs):
        """The outputs of Cupel and of ONNX Runtime, in the model's order; None where Cupel refuses."""
        folder = self.cupel.folder / name
        folder.mkdir()
        path = folder / "model.onnx"
        path.write_bytes(content)
        arguments = []
        for key, value in inputs.items():
            np.save(folder / f"{key}.npy", value)
            arguments += ["--input", f"{key}={folder}/{key}.npy"]
        found = []
        for engine in ("reference", "compiled"):
            result = self.cupel.run("run", path, *arguments, "-o", folder / engine, "--engine", engine, "--threads", "2")
            if not self.checks.that(result.returncode == 0, f"{name}: {engine} ended with {result.returncode}\n{result.stderr[-500:]}"):
                return None
            outputs = [o.name for o in onnx.load(path).graph.output]
            found.append([np.load(folder / engine / f"{o}.npy") for o in outputs])
        same = all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in zip(*found))
        self.checks.that(same, f"{name}: the engines differ")
        return found[0], harness.runtime_session(content, False).run(None, inputs)

    def one_node(self, name, node, codes, reals, constants, output, opset=17):
        """A node on inputs `codes` (name to array) whose result is codes of `output` ("u8", "s8"), or numbers (None)."""
        inputs = {**codes, **reals}
        kinds = [(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()]
        kind = CODE[output][1] if output else TensorProto.FLOAT
        content = model_of([node], kinds, [("y", kind, None)], constants, opset)
        results = self.run(name, content, inputs)
        if not results:
            return
        mine, other = results[0][0], results[1][0]
        if not self.checks.that(mine.shape == other.shape and mine.dtype == other.dtype,
                                f"{name}: {mine.dtype}{mine.shape}, expected {other.dtype}{other.shape}"):
            return
        if output is None:
            far = np.abs(mine - other).max() / max(np.abs(other).max(), 1e-30)
            self.checks.that(far < 2e-6, f"{name}: differs by {far:.3g} of the largest number")
            return
        difference = np.abs(mine.astype(int) - other.astype(int))
        self.codes += difference.size
        self.other_codes += int((difference > 0).sum())
        self.checks.that(difference.max() <= 1, f"{name}: codes differ by up to {difference.max()}")
        self.checks.that((difference > 0).mean() <= 0.02, f"{name}: {(difference > 0).mean():.1%} of the codes differ")

    # ---- operators

    def some_codes(self, kind, *shape):
        limits = np.iinfo(CODE[kind][0])
        return self.random.integers(limits.min, limits.max + 1, shape, dtype=np.int64).astype(CODE[kind][0])

    def scale(self, *shape):
        return self.random.uniform(0.01, 0.05, shape).astype(np.float32)

    def zero(self, kind, *shape):
        limits = np.iinfo(CODE[kind][0])
        middle = (int(limits.max) + int(limits.min)) // 2
        return self.random.integers(middle - 20, middle + 20, shape, dtype=np.int64).astype(CODE[kind][0])

    def convolutions(self):
        cases = [("u8", "s8", False, {}), ("u8", "u8", False, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
                 ("u8", "s8", True, {"dilations": [2, 2]}), ("s8", "s8", True, {"group": 2, "pads": [1, 0, 1, 0]}),
                 ("u8", "u8", True, {"auto_pad": "SAME_UPPER"})]
        for i, (x, w, per_channel, attributes) in enumerate(cases):
            group, channels = attributes.get("group", 1), (6,) if per_channel else ()
            # ONNX Runtime takes one zero point for all channels of weights.
            zero = np.full(channels, self.zero(w) if w == "u8" else 0, CODE[w][0])
            scale, weights = self.scale(*channels), self.some_codes(w, 6, 4 // group, 3, 3)
            constants = {"xs": np.float32(0.02), "xz": self.zero(x), "w": weights, "ws": scale, "wz": zero,
                         "ys": np.float32(0.5), "yz": self.zero(x),
                         "b": self.random.integers(-9000, 9000, 6).astype(np.int32)}
            node = helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"][: 9 - i % 2], ["y"],
                                    **attributes)
            if i % 2:
                del constants["b"]
            self.one_node(f"qlinear_conv_{i}", node, {"x": self.some_codes(x, 2, 4, 9, 8)}, {}, constants, x)

    def products(self):
        for i, (a, b, columns) in enumerate([("u8", "s8", False), ("u8", "u8", True), ("s8", "s8", True)]):
            list_of = (7,) if columns else ()
            constants = {"as": np.float32(0.02), "az": self.zero(a), "b": self.some_codes(b, 33, 7), "bs": self.scale(*list_of),
                         "bz": self.zero(b, *list_of), "ys": np.float32(0.6), "yz": self.zero(a)}
            node = helper.make_node("QLinearMatMul", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"])
            self.one_node(f"qlinear_matmul_{i}", node, {"a": self.some_codes(a, 2, 5, 33)}, {}, constants, a)
            turned = i % 2 == 1
            constants["b"] = self.some_codes(b, *((7, 33) if turned else (33, 7)))
            constants["c"] = self.random.integers(-9000, 9000, 7).astype(np.int32)
            node = helper.make_node("QGemm", ["a", "as", "az", "b", "bs", "bz", "c", "ys", "yz"], ["y"], domain=MICROSOFT,
                                    transB=int(turned), alpha=0.5 if i == 2 else 1.0)
            self.one_node(f"qgemm_{i}", node, {"a": self.some_codes(a, 5, 33)}, {}, constants, a)
        numbers = {k: v for k, v in constants.items() if k not in ("ys", "yz")}
        node = helper.make_node("QGemm", ["a", "as", "az", "b", "bs", "bz", "c"], ["y"], domain=MICROSOFT, alpha=1.0)
        self.one_node("qgemm_to_numbers", node, {"a": self.some_codes("s8", 5, 33)}, {}, numbers, None)

    def pointwise(self):
        for kind in CODE:
            parameters = {"as": np.float32(0.0317), "az": self.zero(kind), "bs": np.float32(0.0229), "bz": self.zero(kind),
                          "ys": np.float32(0.0431), "yz": self.zero(kind)}
            a, b = self.some_codes(kind, 3, 5, 11), self.some_codes(kind, 5, 11)
            for op in ("Add", "Mul"):
                node = helper.make_node(f"QLinear{op}", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"], domain=MICROSOFT)
                self.one_node(f"qlinear_{op}_{kind}", node, {"a": a, "b": b}, {}, parameters, kind)
                self.one_node(f"qlinear_{op}_{kind}_constant", node, {"a": a}, {}, {**parameters, "b": b}, kind)
            parameters = {k: v for k, v in parameters.items() if k not in ("bs", "bz")}
            for op, attributes, to in (("Sigmoid", {}, (np.float32(1 / 256), CODE[kind][0](np.iinfo(CODE[kind][0]).min))),
                                       ("LeakyRelu", {"alpha": 0.1}, (np.float32(0.04), parameters["yz"]))):
                node = helper.make_node(f"QLinear{op}", ["a", "as", "az", "ys", "yz"], ["y"], domain=MICROSOFT, **attributes)
                self.one_node(f"qlinear_{op}_{kind}", node, {"a": a}, {}, {**parameters, "ys": to[0], "yz": to[1]}, kind)
            node = helper.make_node("QLinearSoftmax", ["a", "as", "az", "ys", "yz"], ["y"], domain=MICROSOFT, axis=-1, opset=13)
            low = CODE[kind][0](np.iinfo(CODE[kind][0]).min)
            self.one_node(f"qlinear_softmax_{kind}", node, {"a": a}, {}, {**parameters, "ys": np.float32(1 / 256), "yz": low}, kind)

    def pools_and_moves(self):
        for kind in CODE:
            same = {"s": np.float32(0.0317), "z": self.zero(kind), "t": np.float32(0.0229), "u": self.zero(kind)}
            x = self.some_codes(kind, 2, 3, 9, 8)
            for i, attributes in enumerate([{"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
                                            {"kernel_shape": [2, 3], "pads": [0, 1, 0, 1], "count_include_pad": 1}]):
                node = helper.make_node("QLinearAveragePool", ["x", "s", "z", "t", "u"], ["y"], domain=MICROSOFT, **attributes)
                self.one_node(f"qlinear_average_pool_{kind}_{i}", node, {"x": x}, {}, same, kind)
            for last in (0, 1):
                node = helper.make_node("QLinearGlobalAveragePool", ["x", "s", "z", "t", "u"], ["y"], domain=MICROSOFT,
                                        channels_last=last)
                self.one_node(f"qlinear_global_average_pool_{kind}_{last}", node, {"x": x}, {}, same, kind)
            node = helper.make_node("QLinearConcat", ["t", "u", "a", "s", "z", "b", "t", "u"], ["y"], domain=MICROSOFT, axis=1)
            parts = {"a": self.some_codes(kind, 2, 3, 4), "b": self.some_codes(kind, 2, 5, 4)}
            self.one_node(f"qlinear_concat_{kind}", node, parts, {}, same, kind)
            node = helper.make_node("QLinearWhere", ["c", "a", "s", "z", "b", "t", "u", "s", "z"], ["y"], domain=MICROSOFT)
            parts = {"a": self.some_codes(kind, 4, 6), "b": self.some_codes(kind, 4, 6)}
            choice = {"c": self.random.integers(0, 2, (4, 6)).astype(bool)}
            self.one_node(f"qlinear_where_{kind}", node, parts, choice, same, kind)

    def blocks(self):
        for i, (bits, size, zeros, bias) in enumerate([(4, 32, False, False), (4, 16, True, True), (8, 32, True, False)]):
            columns, depth = 9, 40
            count = -(-depth // size)
            codes = self.random.integers(0, 256, (columns, count, size * bits // 8), dtype=np.uint8)
            constants = {"w": codes, "s": self.scale(columns * count)}
            names = ["x", "w", "s", "", "", ""]
            if zeros:
                constants["z"] = self.random.integers(0, 256, columns * -(-count * bits // 8), dtype=np.uint8)
                names[3] = "z"
            if bias:
                constants["b"] = self.scale(columns)
                names[5] = "b"
            while not names[-1]:
                names.pop()
            node = helper.make_node("MatMulNBits", names, ["y"], domain=MICROSOFT, K=depth, N=columns, bits=bits, block_size=size)
            x = self.random.normal(size=(2, 3, depth)).astype(np.float32)
            self.one_node(f"matmul_n_bits_{i}", node, {}, {"x": x}, constants, None)

    def dynamic(self):
        """What is quantized while the model runs; scales and zero points that are no constants."""
        x = self.random.normal(size=(4, 33)).astype(np.float32) * 3 + 1
        for b in CODE:
            for i, columns in enumerate([(), (7,)]):
                constants = {"b": self.some_codes(b, 33, 7), "bs": self.scale(*columns), "bz": self.zero(b, *columns),
                             "c": self.scale(7)}
                node = helper.make_node("DynamicQuantizeMatMul", ["x", "b", "bs", "bz", "c"][: 5 - i], ["y"], domain=MICROSOFT)
                self.one_node(f"dynamic_quantize_matmul_{b}_{i}", node, {}, {"x": x}, constants, None)
                node = helper.make_node("MatMulIntegerToFloat", ["a", "b", "s", "bs", "z", "bz", "c"][: 7 - i], ["y"],
                                        domain=MICROSOFT)
                a, s = {"a": self.some_codes("u8", 4, 33), "z": self.zero("u8")}, {"s": self.scale(1)[0:1].reshape(())}
                self.one_node(f"matmul_integer_to_float_{b}_{i}", node, a, s, constants, None)
        nodes = [helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "s", "z"]),
                 helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])]
        given, result = ("image", TensorProto.FLOAT, ["n", 33]), ("y", TensorProto.FLOAT, ["n", 33])
        self.close("dynamic_quantize_linear", model_of(nodes, [given], [result], {}), x, 2e-7)
        content = model_of(nodes[:1], [given], [("q", TensorProto.UINT8, ["n", 33])], {})
        results = self.run("dynamic_quantize_linear_codes", content, {"image": x})
        self.checks.that(results and np.array_equal(results[0][0], results[1][0]), "dynamic_quantize_linear: other codes")
        for i, (kind, attributes) in enumerate([("u8", {}), ("s8", {"group": 2, "strides": [2, 1], "pads": [1, 1, 0, 2]})]):
            weights = self.some_codes("u8" if i else "s8", 6, 4 // attributes.get("group", 1), 3, 2)
            zero = {"z": self.zero(kind)} if kind == "u8" else {"z": np.int8(0)}
            node = helper.make_node("ConvInteger", ["x", "w", "z"], ["sums"], **attributes)
            cast = helper.make_node("Cast", ["sums"], ["y"], to=TensorProto.FLOAT)
            content = model_of([node, cast], [("x", CODE[kind][1], ["n", 4, 9, 8])], [("y", TensorProto.FLOAT, None)],
                               {"w": weights, **zero})
            try:
                harness.runtime_session(content, False)
            except Exception:  # ONNX Runtime has no kernel for some pairs of types
                continue
            results = self.run(f"conv_integer_{i}", content, {"x": self.some_codes(kind, 2, 4, 9, 8)})
            self.checks.that(results and np.array_equal(results[0][0], results[1][0]), f"conv_integer_{i}: other sums")

    # ---- networks

    def convolutional(self):
        """An image network with all that quantize_static knows; input image [n, 3, 16, 16]."""
        r = self.random
        weights = {}

        def constant(name, *shape):
            weights[name] = (r.normal(size=shape) * np.sqrt(2.0 / max(1, np.prod(shape[1:])))).astype(np.float32)
            return name

        nodes = []

        def node(op, inputs, output, **attributes):
            nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
            return output

        pads = {"pads": [1, 1, 1, 1]}
        a = node("Relu", [node("Conv", ["image", constant("w0", 8, 3, 3, 3), constant("b0", 8)], "c0", **pads)], "a")
        d = node("Conv", [a, constant("w1", 8, 1, 3, 3)], "depthwise", group=8, **pads)
        e = node("Mul", [d, node("Sigmoid", [d], "gate")], "silu")
        f = node("Conv", [e, constant("w2", 8, 8, 1, 1), constant("b2", 8)], "c2")
        g = node("Add", [f, a], "sum")
        h = node("Concat", [node("MaxPool", [g], "most", kernel_shape=[2, 2], strides=[2, 2]),
                            node("AveragePool", [g], "mean", kernel_shape=[2, 2], strides=[2, 2])], "both", axis=1)
        k = node("LeakyRelu", [node("Conv", [h, constant("w3", 12, 16, 3, 3)], "c3", strides=[2, 2])], "leaky", alpha=0.1)
        p = node("Flatten", [node("GlobalAveragePool", [k], "pooled")], "flat")
        node("Gemm", [p, constant("w4", 12, 10), constant("b4", 10)], "logits")
        return nodes, weights, ("image", TensorProto.FLOAT, ["n", 3, 16, 16]), ("logits", TensorProto.FLOAT, ["n", 10])

    def perceptron(self):
        """Matrix products alone; input image [n, 5, 24]."""
        r = self.random
        weights = {f"w{i}": (r.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for i, s in enumerate([(24, 40), (40, 16)])}
        weights["b"] = r.normal(size=40).astype(np.float32)
        nodes = [helper.make_node("MatMul", ["image", "w0"], ["p"], "p"), helper.make_node("Add", ["p", "b"], ["s"], "s"),
                 helper.make_node("Relu", ["s"], ["r"], "r"), helper.make_node("MatMul", ["r", "w1"], ["q"], "q"),
                 helper.make_node("Softmax", ["q"], ["logits"], "softmax", axis=-1)]
        return nodes, weights, ("image", TensorProto.FLOAT, ["n", 5, 24]), ("logits", TensorProto.FLOAT, ["n", 5, 16])

    def recurrent(self):
        """Two LSTMs, the second of both directions; input image [5, 3, 12] of steps, rows and numbers."""
        r = self.random
        weights = {}
        for i, (inputs, directions) in enumerate([(12, 1), (16, 2)]):
            for name, shape in (("w", (directions, 64, inputs)), ("r", (directions, 64, 16)), ("b", (directions, 128))):
                weights[f"{name}{i}"] = (r.normal(size=shape) * 0.3).astype(np.float32)
        weights["axes"] = np.array([1], np.int64)
        nodes = [helper.make_node("LSTM", ["image", "w0", "r0", "b0"], ["y0"], "first", hidden_size=16),
                 helper.make_node("Squeeze", ["y0", "axes"], ["z"], "squeeze"),
                 helper.make_node("LSTM", ["z", "w1", "r1", "b1"], ["logits", "h", "c"], "second", hidden_size=16,
                                  direction="bidirectional")]
        outputs = [("logits", TensorProto.FLOAT, [5, 2, 3, 16])] + [(k, TensorProto.FLOAT, [2, 3, 16]) for k in "hc"]
        return model_of(nodes, [("image", TensorProto.FLOAT, [5, 3, 12])], outputs, weights)

    def quantized(self, content, images, **settings):
        """The file that onnxruntime.quantization.quantize_static writes of the model."""
        from onnxruntime import quantization

        class Reader(quantization.CalibrationDataReader):
            def __init__(self):
                self.left = [{"image": image[None]} for image in images]

            def get_next(self):
                return self.left.pop() if self.left else None

        source, target = self.cupel.folder / "float.onnx", self.cupel.folder / "quantized.onnx"
        source.write_bytes(content)
        quantization.quantize_static(str(source), str(target), Reader(), **settings)
        return target.read_bytes()

    def close(self, name, content, image, bound):
        """Whether the results keep within `bound` of the largest number of ONNX Runtime's."""
        results = self.run(name, content, {"image": image})
        if not results:
            return
        far = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*results))
        self.worst[name] = far
        self.checks.that(far <= bound, f"{name}: differs by {far:.3g} of the largest number")

    def expect_integers(self, name):
        """No contraction of the file stays in float."""
        result = self.cupel.must("inspect", self.cupel.folder / name / "model.onnx", "--explain")
        rows = [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]
        products = [row for row in rows if len(row) > 5 and row[4].isdigit() and row[4] != "0"]
        self.checks.that(products, f"{name}: no contractions in\n{result.stdout}")
        self.checks.equal([row for row in products if row[3] != "INT8"], [], f"{name}: contractions in float")

    def networks(self):
        from onnxruntime.quantization import QuantFormat, QuantType

        u8, s8 = QuantType.QUInt8, QuantType.QInt8
        kinds = [(u8, s8, False, False), (u8, s8, True, False), (u8, u8, False, True), (s8, s8, True, False), (s8, s8, False, True)]
        for network in (self.convolutional, self.perceptron):
            nodes, weights, given, result = network()
            content = model_of(nodes, [given], [result], weights)
            images = self.random.normal(size=(24, *given[2][1:])).astype(np.float32)
            for form in (QuantFormat.QOperator, QuantFormat.QDQ):
                for activation, weight, per_channel, reduce_range in kinds:
                    name = "_".join([network.__name__, form.name, activation.name, weight.name]
                                    + ["channels"] * per_channel + ["reduced"] * reduce_range)
                    file = self.quantized(content, images, quant_format=form, activation_type=activation, weight_type=weight,
                                          per_channel=per_channel, reduce_range=reduce_range)
                    self.close(name, file, images[:7], 0.03)
                    self.expect_integers(name)
            # More rows than Cupel runs at once, all of which share their scales.
            many = np.concatenate([images, 3 * images, images])
            self.dynamic_files(network.__name__, content, many)
        image = self.random.normal(size=(5, 3, 12)).astype(np.float32)
        self.dynamic_files("recurrent", self.recurrent(), image)

    def dynamic_files(self, network, content, image):
        from onnxruntime import quantization

        for weight in (quantization.QuantType.QInt8, quantization.QuantType.QUInt8):
            for per_channel in (False, True):
                name = f"{network}_dynamic_{weight.name}{'_channels' * per_channel}"
                source, target = self.cupel.folder / "float.onnx", self.cupel.folder / "quantized.onnx"
                source.write_bytes(content)
                quantization.quantize_dynamic(str(source), str(target), weight_type=weight, per_channel=per_channel)
                self.close(name, target.read_bytes(), image, 0.03)


def main():
    cupel, checks = harness.begin(sys.argv)
    files = Files(cupel, checks)
    files.convolutions()
    files.products()
    files.pointwise()
    files.pools_and_moves()
    files.blocks()
    files.dynamic()
    files.networks()
    for name, far in files.worst.items():
        print(f"{name:64} {far:.2e} of the largest number")
    print(f"{files.other_codes} of {files.codes} codes are one apart from ONNX Runtime's")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
