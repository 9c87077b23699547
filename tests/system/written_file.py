"""What every file that Cupel writes has to stand: ONNX's checker, ONNX Runtime, and a bound on the difference.

The bound follows from the file alone. Cupel carries a Q/DQ file out on integers, ONNX Runtime in float; both round the
same real number, so a quantize node may give codes one apart, and more where its operand already differs. `Bound` carries
the largest difference that this allows through every node of the file.
"""

import math

import harness
import numpy as np
import onnx
from onnx import numpy_helper

ROUNDING = 2e-5  # of the largest magnitude: float results of other programs

# Functions by the largest slope that they have.
SLOPES = {
    "Abs": 1, "Ceil": math.inf, "Clip": 1, "Elu": 1, "Erf": 1.1284, "Gelu": 1.13, "HardSwish": 1.5, "Identity": 1, "Neg": 1,
    "Relu": 1, "Sigmoid": 0.25, "Softplus": 1, "Softsign": 1, "Tanh": 1,
}
# Ops that place or select elements of their first operand.
MOVES = {
    "DequantizeLinear", "Expand", "Flatten", "Gather", "GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMin", "Reshape",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    # averages: no element moves further than the operands do
    "AveragePool", "GlobalAveragePool", "ReduceMean",
}


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def check(checks, path, what):
    """The checker's and ONNX's type inference's word on the file; unique names. Gives the model."""
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
        checks.that(True, what)
    except Exception as error:  # every kind of refusal counts
        checks.that(False, f"{what}: onnx.checker: {error}")
    nodes = [n.name for n in model.graph.node]
    values = [v for n in model.graph.node for v in n.output if v] + [i.name for i in model.graph.initializer]
    for kind, names in (("node", nodes), ("value", values)):
        twice = sorted({n for n in names if names.count(n) > 1})
        checks.that(not twice and all(names), f"{what}: {kind} names that are not unique: {twice}")
    return model


def with_every_value(model):
    """The same model with all float results of its nodes as outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {o.name for o in shown.graph.output}
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known and types.get(name) == onnx.TensorProto.FLOAT:
                shown.graph.output.append(onnx.ValueInfoProto(name=name))
    return shown


class Bound:
    """Largest differences of the values of a Q/DQ file between two sound engines. `values`: float results by name."""

    def __init__(self, model, values):
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.values = values
        self.error = {}
        self.producers = {o: n for n in model.graph.node for o in n.output}
        for node in model.graph.node:
            bound = self.of_node(node)
            for name in node.output:
                magnitude = self.largest(name) if name in values else 0
                self.error[name] = bound + (ROUNDING * magnitude if bound > 0 or magnitude else 0)

    def known(self, name):
        """A constant in real numbers; None for what is computed."""
        if name in self.constants:
            return self.constants[name]
        producer = self.producers.get(name)
        if producer is None or producer.op_type != "DequantizeLinear" or producer.input[0] not in self.constants:
            return None
        return self.values[name]

    def largest(self, name):
        array = self.values[name] if name in self.values else self.known(name)
        finite = np.abs(array[np.isfinite(array)]) if array is not None and array.size else np.zeros(1)
        return float(finite.max()) if finite.size else 0.0

    def of_product(self, node):
        a, b = node.input[0], node.input[1]
        more = self.error.get(node.input[2], 0) if len(node.input) > 2 and node.input[2] else 0
        given = attributes(node)
        weights = self.known(b)
        ea, eb = self.error.get(a, 0), self.error.get(b, 0)
        if weights is not None:
            if node.op_type == "Conv":
                reach = np.abs(weights).reshape(weights.shape[0], -1).sum(1).max()
            else:
                reach = np.abs(weights).sum(1 if given.get("transB") else -2 if weights.ndim > 1 else 0).max()
            return float(reach) * ea * given.get("alpha", 1.0) + more
        depth = self.values[a].shape[-1] if a in self.values else self.known(a).shape[-1]
        return depth * (self.largest(a) * eb + self.largest(b) * ea + ea * eb) + more

    def of_row(self, node):
        """Softmax; LayerNormalization."""
        e = self.error.get(node.input[0], 0)
        if node.op_type == "Softmax":
            return min(1.0, math.expm1(min(2 * e, 1)))
        x = self.values.get(node.input[0])
        scale = self.largest(node.input[1])
        if x is None:
            return math.inf if e else 0
        axis = attributes(node).get("axis", -1)
        deviation = float(x.std(tuple(range(axis % x.ndim, x.ndim))).min())
        count = int(np.prod(x.shape[axis % x.ndim:]))
        worst = 2 * math.sqrt(count)
        return scale * (worst if deviation <= 2 * e else min(worst, 2 * e / (deviation - e) * (1 + math.sqrt(count))))

    def of_node(self, node):
        errors = [self.error.get(name, 0) for name in node.input]
        op, given = node.op_type, attributes(node)
        if op == "QuantizeLinear":
            # Half a step on each side; a clamp or a function between adds its own codes.
            scale = float(np.max(self.constants[node.input[1]]))
            return errors[0] + 2 * scale
        if op in ("Conv", "MatMul", "Gemm"):
            return self.of_product(node)
        if op in ("Softmax", "LayerNormalization"):
            return self.of_row(node)
        if op in MOVES:
            return errors[0]
        if op in SLOPES:
            return SLOPES[op] * errors[0] if errors[0] else 0
        if op == "LeakyRelu":
            return max(1.0, abs(given.get("alpha", 0.01))) * errors[0]
        if op == "HardSigmoid":
            return abs(given.get("alpha", 0.2)) * errors[0]
        if op in ("Add", "Sub", "Sum"):
            return sum(errors)
        if op in ("Concat", "Where", "Max", "Min"):
            return max(errors)
        if op == "Pad":
            return errors[0]
        if op == "Mul":
            a, b = node.input
            return self.largest(a) * errors[1] + self.largest(b) * errors[0] + errors[0] * errors[1]
        if op == "Div" and self.known(node.input[1]) is not None:
            return errors[0] / float(np.abs(self.known(node.input[1])).min())
        if op == "ReduceSum":
            return errors[0] * max(1, self.values[node.input[0]].size // max(1, self.values[node.output[0]].size))
        raise KeyError(f"{op} has no bound; give it one in written_file.py")


def agree(checks, model, path, feeds, ours, what):
    """ONNX Runtime loads the file with its optimizations off and on, runs it, and Cupel's outputs (by name) lie within
    the bound. Gives the largest difference in shares of its bound, and ONNX Runtime's outputs."""
    names = [o.name for o in model.graph.output]
    try:
        theirs = dict(zip(names, harness.runtime_session(path, False).run(names, feeds)))
        optimized = dict(zip(names, harness.runtime_session(path, True).run(names, feeds)))
    except Exception as error:  # every kind of refusal counts
        checks.that(False, f"{what}: ONNX Runtime: {error}")
        return 0.0, {}
    shown = with_every_value(model)
    session = harness.runtime_session(shown.SerializeToString(), False)
    every = [o.name for o in shown.graph.output]
    bound = Bound(model, dict(zip(every, session.run(every, feeds))) | feeds)
    worst = 0.0
    for name in names:
        checks.that(ours[name].shape == theirs[name].shape == optimized[name].shape, f"{what}: shape of {name}")
        largest = np.abs(ours[name].astype(np.float64) - theirs[name]).max(initial=0)
        allowed = bound.error[name] + ROUNDING * bound.largest(name)
        checks.that(largest <= allowed, f"{what}: {name} differs by {largest}, allowed are {allowed}")
        worst = max(worst, largest / allowed if allowed else 0.0)
    return worst, theirs
