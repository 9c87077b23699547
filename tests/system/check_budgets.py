"""The error budgets of `assay`, computed again from the float model and the written file.

ONNX Runtime gives every value of both files, without optimizations, and runs single nodes of the float model with one
ingredient of the quantized one at a time (src/assess/error_budget.h has the formulas). The file's values are those of
its float meaning, while Cupel measures the integer program. In shallow networks the two are the same within 2 %; in a
deep one what comes from upstream differs by more, and the total is that of the compiled program's node.
"""

import json
import sys

import harness
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

FLOAT = TensorProto.FLOAT
SAMPLES, CALIBRATION = 24, 32
MOVES = ("MaxPool", "Flatten", "Reshape", "Transpose")  # that stand on codes in the networks here


def networks():
    """Name, nodes, inputs, weights and arrays of networks whose nodes stay what they are on the way to codes."""
    rng = np.random.default_rng(11)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    node = lambda op, inputs, output, **attributes: helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes)
    # The samples of the report are wider than those of the calibration, so that some of every range is clipped.
    width = np.concatenate([np.full(SAMPLES, 1.5), np.ones(CALIBRATION)]).astype(np.float32)
    images = normal(SAMPLES + CALIBRATION, 3, 12, 12) * width[:, None, None, None]
    yield ("residual",
           [node("Conv", ["image", "k", "kb"], "c", pads=[1, 1, 1, 1]), node("Relu", ["c"], "r"),
            node("Conv", ["r", "k2", "kb2"], "c2", pads=[1, 1, 1, 1]), node("Add", ["c2", "r"], "sum"),
            node("Relu", ["sum"], "r2"), node("MaxPool", ["r2"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["pool", "k3"], "c3", group=8, pads=[1, 1, 1, 1]), node("GlobalAveragePool", ["c3"], "mean"),
            node("Flatten", ["mean"], "flat"), node("Gemm", ["flat", "w", "wb"], "logits", transB=1)],
           {"image": [3, 12, 12]}, "logits",
           {"k": normal(8, 3, 3, 3) * 0.3, "kb": normal(8) * 0.2, "k2": normal(8, 8, 3, 3) * 0.2, "kb2": normal(8) * 0.1,
            "k3": normal(8, 1, 3, 3) * 0.3, "w": normal(6, 8), "wb": normal(6)}, {"image": images})
    yield ("gated",
           [node("Conv", ["image", "k"], "c", strides=[2, 2]), node("Clip", ["c", "low", "high"], "r"),
            node("Conv", ["r", "k2"], "g"), node("Sigmoid", ["g"], "gate"), node("Mul", ["r", "gate"], "gated"),
            node("Conv", ["gated", "k3"], "d"), node("Conv", ["other", "k4"], "e"), node("Concat", ["d", "e"], "both", axis=1),
            node("Conv", ["both", "k5"], "y")],
           {"image": [3, 12, 12], "other": [2, 5, 5]}, "y",
           {"k": normal(8, 3, 3, 3) * 0.3, "low": np.float32(0), "high": np.float32(6), "k2": normal(8, 8, 1, 1) * 0.4,
            "k3": normal(8, 8, 1, 1) * 0.4, "k4": normal(4, 2, 1, 1), "k5": normal(4, 12, 1, 1) * 0.3},
           {"image": images, "other": normal(SAMPLES + CALIBRATION, 2, 5, 5) * width[:, None, None, None]})


def write(folder, name, nodes, inputs, output, weights, arrays):
    """The model and its data set; gives the paths."""
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info(i, FLOAT, ["b", *d]) for i, d in inputs.items()],
                              [helper.make_tensor_value_info(output, FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in weights.items()])
    model = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}_first.txt").write_text("".join(f"{i}\n" for i in range(SAMPLES)))
    (folder / f"{name}_rest.txt").write_text("".join(f"{i}\n" for i in range(SAMPLES, SAMPLES + CALIBRATION)))
    data = folder / f"{name}.toml"
    data.write_text(f'[sources.all]\nformat = "npz"\narrays = "{name}.npz"\n[splits]\ncalibrate = {{ source = "all", indices = "{name}_rest.txt" }}\n'
                    f'report = {{ source = "all", indices = "{name}_first.txt" }}\n')
    return model, data


class Values:
    """A model and all its values on given inputs."""

    def __init__(self, path, feeds):
        proto = shape_inference.infer_shapes(onnx.load(path))
        self.nodes = list(proto.graph.node)
        self.constants = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
        self.opset = proto.opset_import
        known = {o.name for o in proto.graph.output}
        names = [o for n in self.nodes for o in n.output]
        proto.graph.output.extend(onnx.ValueInfoProto(name=o) for o in names if o not in known)
        session = harness.runtime_session(proto.SerializeToString(), optimize=False)
        self.values = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds))) | feeds | self.constants
        self.producer = {o: n for n in self.nodes for o in n.output}
        self.readers = lambda v: [n for n in self.nodes if v in n.input]

    def run(self, node, operands):
        """The first result of one node on these operands."""
        types = [helper.make_tensor_value_info(f"in{i}", helper.np_dtype_to_tensor_dtype(o.dtype), o.shape)
                 for i, o in enumerate(operands)]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(t.name for t in types)
        graph = helper.make_graph([copy], "g", types, [helper.make_tensor_value_info(copy.output[0], FLOAT, None)])
        model = helper.make_model(graph, opset_imports=self.opset, ir_version=8)
        return harness.runtime_session(model.SerializeToString(), optimize=False).run(
            None, {t.name: o for t, o in zip(types, operands)})[0]


class Budget:
    """The parts for one node of the float model and its namesake in the quantized one."""

    def __init__(self, base, quantized, name):
        self.base, self.quantized = base, quantized
        self.node = next(n for n in base.nodes if n.name == name)
        self.twin = next(n for n in quantized.nodes if n.name == name)
        self.clamps, self.end = self.behind()

    def behind(self):
        """The float model's clamps behind the node, and what the quantized model gives for their result."""
        result, ours = self.twin.output[0], self.node.output[0]
        clamps = []
        while True:
            readers = self.base.readers(ours)
            if len(readers) != 1 or readers[0].op_type not in ("Relu", "Clip"):
                break
            kept = next((n for n in self.quantized.nodes if n.name == readers[0].name), None)
            if kept is not None:
                if [n.op_type for n in self.quantized.readers(result)] != [kept.op_type]:
                    break
                result = kept.output[0]
            clamps.append(readers[0])
            ours = readers[0].output[0]
        quantize = [n for n in self.quantized.readers(result) if n.op_type == "QuantizeLinear"]
        return clamps, (ours, result, quantize[0] if quantize else None)

    def scale(self, node):
        return (float(self.quantized.constants[node.input[1]]), int(self.quantized.constants[node.input[2]]))

    def source(self, value):
        """Scale, zero point and number before rounding of the codes that an operand stands for; None where it does not."""
        node = self.quantized.producer.get(value)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] in self.quantized.constants:
            return None
        moves = []
        q = self.quantized.producer[node.input[0]]
        while q.op_type in MOVES:
            moves.append(q)
            q = self.quantized.producer[q.input[0]]
        number = self.clamped(self.quantized.values[q.input[0]], self.quantized.producer.get(q.input[0]))
        for move in reversed(moves):
            twin = next(n for n in self.base.nodes if n.name == move.name)
            number = self.base.run(twin, [number, *(self.base.values[i] for i in twin.input[1:])])
        return *self.scale(q), number

    def clamped(self, number, producer):
        """The result of a node of the quantized model behind the clamps that the float model has there."""
        twin = next((n for n in self.base.nodes if producer is not None and n.name == producer.name), None)
        while twin is not None:
            readers = self.base.readers(twin.output[0])
            twin = readers[0] if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip") else None
            if twin is not None:
                number = self.base.run(twin, [number, *(self.base.values[i] for i in twin.input[1:])])
        return number

    def run(self, operands):
        value = self.base.run(self.node, operands)
        for clamp in self.clamps:
            value = self.base.run(clamp, [value, *(self.base.values[i] for i in clamp.input[1:])])
        return value

    def parts(self):
        power = lambda d: float(np.mean(np.square(d.astype(np.float64))))
        rounded = lambda v, s, z: (np.rint(v / np.float32(s)) * np.float32(s)).astype(np.float32)
        clipped = lambda v, s, z: np.clip(v, np.float32(-z) * np.float32(s), np.float32(255 - z) * np.float32(s)).astype(np.float32)
        ours, result, quantize = self.end
        y = self.base.values[ours]
        x = [self.base.values[i] for i in self.node.input]
        constant = [i in self.base.constants for i in self.node.input]
        sources = [None if c else self.source(i) for i, c in zip(self.twin.input, constant)]
        twin = [self.quantized.values[i] for i in self.twin.input]
        replaced = lambda change: power(self.run([change(i, v) for i, v in enumerate(x)]) - y)
        parts = {
            "weights": replaced(lambda i, v: twin[i] if constant[i] else v),
            "activations": replaced(lambda i, v: rounded(v, *sources[i][:2]) if sources[i] else v),
            "clipping": replaced(lambda i, v: clipped(v, *sources[i][:2]) if sources[i] else v),
            "inherited": replaced(lambda i, v: v if constant[i] else sources[i][2] if sources[i] else twin[i]),
            "requantize_rounding": power(rounded(y, *self.scale(quantize)) - y) if quantize else 0,
            "requantize_clipping": power(clipped(y, *self.scale(quantize)) - y) if quantize else 0,
        }
        actual = self.quantized.values[result]
        if quantize:
            dequantize = self.quantized.readers(quantize.output[0])
            s, z = self.scale(quantize)
            actual = (self.quantized.values[quantize.output[0]].astype(np.float32) - np.float32(z)) * np.float32(s)
            assert dequantize
        return parts, power(actual - y), power(y)


def check_network(cupel, checks, name, nodes, inputs, output, weights, arrays):
    folder = cupel.folder
    model, data = write(folder, name, nodes, inputs, output, weights, arrays)
    cupel.must("assay", model, "--data", data, "-o", folder / name, "--speed-s", 0, "--layer-samples", SAMPLES,
               "--budget-samples", SAMPLES, "--sensitivity-samples", SAMPLES)
    report = json.loads((folder / name / "report.json").read_text())
    check_budgets(checks, name, model, folder / name / f"{name}.int8.onnx", {i: a[:SAMPLES] for i, a in arrays.items()},
                  report, SAMPLES)
    check_sensitivity(checks, name, cupel, data, model, folder / name / f"{name}.int8.onnx", {i: a[:SAMPLES] for i, a in arrays.items()},
                      output, report)


def check_keep_float(checks, name, cupel, model, data, node, rows, sqnr, feeds, output):
    """What `without` says of a layer is what the file without it gives."""
    path = cupel.folder / "kept.onnx"
    cupel.must("quantize", model, "--data", data, "-o", path, "--keep-float", node)
    checks.equal([i for n in onnx.load(path).graph.node if n.name == node for i in n.input if "DequantizeLinear" in i], [],
                 f"{name}: {node} reads no codes")
    words = []
    for key, array in feeds.items():
        np.save(cupel.folder / f"{key}.npy", array)
        words += ["--input", f"{key}={cupel.folder / key}.npy"]
    cupel.must("run", path, *words, "-o", cupel.folder / "kept")
    expected, found = sqnr(np.load(cupel.folder / f"kept/{output}.npy")), rows[node]["without"]["sqnr_db"]
    checks.that(abs(found - expected) < 1e-6, f"{name}: without {node}: {found}, the file gives {expected}")
    result = cupel.run("quantize", model, "--data", data, "-o", path, "--keep-float", "nobody")
    checks.equal((result.returncode, "names no further node" in result.stderr), (2, True), f"{name}: a name that none has")


def check_sensitivity(checks, name, cupel, data, model, quantized, feeds, output, report):
    """All layers quantized, and convolutions as the only ones, against ONNX Runtime's output of such networks."""
    base, int8 = Values(model, feeds), Values(quantized, feeds)
    y = base.values[output].astype(np.float64)
    sqnr = lambda found: 10 * np.log10(np.square(y).sum() / np.square(y - found).sum())
    checks.equal((report["sensitivity"]["split"], report["sensitivity"]["samples"]), ("report", SAMPLES), f"{name}: split")
    whole = next(m for m in report["outputs"][0]["metrics"] if m["metric"] == "sqnr")["candidates"][0]["value"]
    checks.that(abs(report["sensitivity"]["all"]["sqnr_db"] - whole) < 1e-6, f"{name}: SQNR of all layers {whole}")
    rows = {n["name"].split(" + ")[0]: n["sensitivity"] for n in report["layers"]["nodes"] if "sensitivity" in n}
    largest = 0.0
    for node in [n for n in base.nodes if n.op_type in ("Conv", "Gemm")]:
        budget = Budget(base, int8, node.name)
        s, z = budget.source(budget.twin.input[0])[:2]
        x = base.values[node.input[0]]
        x = ((np.clip(np.rint(x / np.float32(s)) + z, 0, 255) - z) * np.float32(s)).astype(np.float32)
        values = {node.input[0]: x}  # codes are what all its readers read
        for later in base.nodes:
            if later is node:
                values[node.output[0]] = base.run(node, [x, *(int8.values[i] for i in budget.twin.input[1:])])
            elif any(i in values for i in later.input):
                values[later.output[0]] = base.run(later, [values.get(i, base.values.get(i)) for i in later.input])
        expected, found = sqnr(values[output]), rows[node.name]["only"]["sqnr_db"]
        largest = max(largest, abs(found - expected))
        checks.that(abs(found - expected) < 0.1, f"{name}: {node.name} only: {found:.3f} dB, expected {expected:.3f}")
        checks.that(rows[node.name]["without"]["sqnr_db"] > whole - 3, f"{name}: without {node.name}: {rows[node.name]}")
    check_keep_float(checks, name, cupel, model, data, next(n.name for n in base.nodes if n.op_type == "Conv"), rows, sqnr,
                     feeds, output)
    print(f"{name}: one layer only, within {largest:.3f} dB")


def check_budgets(checks, name, model, quantized, feeds, report, samples, deep=False):
    layers = report["layers"]
    checks.equal(layers["budget_samples"], samples, f"{name}: samples behind the budgets")
    base, int8 = Values(model, feeds), Values(quantized, feeds)
    budgets = {n["name"].split(" + ")[0]: n for n in layers["nodes"] if "budget" in n}
    integer = [n for n in layers["nodes"] if n["precision"] == "INT8" and n["op"] not in MOVES + ("Relu", "Clip")]
    checks.equal([n["name"] for n in integer if "budget" not in n], [], f"{name}: integer nodes without a budget")
    largest, compared = 0.0, 0
    for node, row in budgets.items():
        budget = row["budget"]
        parts, total, signal = Budget(base, int8, node).parts()
        place = f"{name}: {node}"
        found = {p: v["noise_power"] for p, v in budget["parts"].items()}
        close = lambda a, b, tolerance: abs(a - b) <= tolerance * max(abs(a), abs(b)) + 1e-5 * total
        for part, expected in parts.items():
            tolerance = 0.005 if part != "inherited" else 0.3 if deep else 0.03
            checks.that(close(found[part], expected, tolerance), f"{place}: {part} {found[part]:.6g}, expected {expected:.6g}")
        checks.that(close(budget["signal_power"], signal, 1e-5), f"{place}: signal {budget['signal_power']}")
        # The compiled program's error on the same samples, which is measured by other code.
        if "error" in row and row["error"]["elements"] == budget["elements"] and not row.get("reason"):
            compared += 1
            of_node = signal / 10 ** (row["error"]["sqnr_db"] / 10)
            checks.that(close(of_node, budget["noise_power"], 1e-5), f"{place}: noise of the node {of_node:.6g}")
            total = of_node if deep else total
        elif deep:
            continue
        # The parts with the interaction against the total that is measured by itself.
        whole = sum(found.values()) + budget["interaction"]["noise_power"]
        largest = max(largest, abs(whole / total - 1))
        checks.that(close(whole, total, 0.02), f"{place}: parts and interaction {whole:.6g}, total {total:.6g}")
        checks.that(abs(budget["sqnr_db"] - 10 * np.log10(signal / total)) < 0.1, f"{place}: SQNR {budget['sqnr_db']}")
    checks.that(compared >= len(budgets) / 2, f"{name}: {compared} of {len(budgets)} layers have an error of their node")
    print(f"{name}: {len(budgets)} layers, parts and interaction within {largest:.2%} of the total")


def main(arguments):
    cupel, checks = harness.begin(arguments)
    for network in networks():
        check_network(cupel, checks, *network)
    # The same of a trained network.
    images = 8
    model, data = cupel.source / "models/fashion_resnet.onnx", cupel.source / "models/fashion_mnist.toml"
    out = cupel.folder / "resnet"
    cupel.must("assay", model, "--data", data, "-o", out, "--speed-s", 0, "--samples", 50, "--layer-samples", images,
               "--budget-samples", images)
    check_budgets(checks, "fashion_resnet", model, out / "fashion_resnet.int8.onnx",
                  {"image": harness.fashion_mnist("t10k", np.arange(images))[0]},
                  json.loads((out / "report.json").read_text()), images, deep=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
