"""Random float networks as ONNX files, for what quantize makes of them. The same seed gives the same bytes.

They have what exporters and people make: shared weights and biases, weights read along both axes, names that are taken,
equal or empty, Pads and masks that say "nothing is here", branches that join, and values that are outputs in passing.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LOWEST = float(np.finfo(np.float32).min)
OPSETS = (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)


class RandomNetwork:
    """`model`: the file; `samples`: float32 [count, …], its inputs."""

    def __init__(self, seed, samples=12):
        self.random = np.random.default_rng([seed, 9])
        self.opset = int(self.random.choice(OPSETS))
        self.nodes, self.constants, self.names = [], {}, set()
        self.shapes = {}  # of values, without the batch
        self.weights = {}  # constants that may be read again, by shape
        self.outputs = []
        self.weird = self.random.random() < 0.4
        kind = self.random.choice(["image", "image", "tokens", "row"])
        shape = {"image": (int(self.random.integers(1, 5)), *(int(n) for n in self.random.integers(5, 11, 2))),
                 "tokens": (int(self.random.integers(2, 7)), int(self.random.choice([4, 6, 8, 12]))),
                 "row": (int(self.random.choice([3, 8, 16, 20])),)}[kind]
        x = "x"
        self.names.add(x)
        self.shapes[x] = shape
        values = [x]
        for _ in range(int(self.random.integers(2, 9))):
            source = values[-1] if self.random.random() < 0.8 else values[int(self.random.integers(len(values)))]
            made = self.layer(source)
            if made is not None:
                values.append(made)
                if self.random.random() < 0.08 and made.replace("'", "").isidentifier():
                    self.outputs.append(made)
        last = self.head(values[-1])
        self.outputs = [*dict.fromkeys(o for o in self.outputs if o != last), last]
        self.model = self.file(shape)
        amplitude = float(self.random.choice([0.1, 1.0, 4.0]))
        self.samples = (self.random.standard_normal((samples, *shape)) * amplitude).astype(np.float32)

    # ---- names, constants, nodes ----

    def name(self, wanted):
        """A value name; sometimes one that looks like what quantize adds, or another's with a suffix."""
        if self.weird and self.names and self.random.random() < 0.5:
            other = sorted(self.names)[int(self.random.integers(len(self.names)))]
            wanted = other + str(self.random.choice(
                ["_QuantizeLinear", "_DequantizeLinear", "_quantized", "_scale", "_zero_point", "_1", "_codes", ".größe"]))
        elif self.weird and self.random.random() < 0.2:
            wanted = str(self.random.choice(["a b", "x:0", "//a/", '"q"', "line\nbreak", "größe", "#", "%1", "\\"]))
        while wanted in self.names:
            wanted += "'"
        self.names.add(wanted)
        return wanted

    def node_name(self):
        if self.weird:
            return str(self.random.choice(["", "node", "x_QuantizeLinear", "x_DequantizeLinear", "node_1", "w_DequantizeLinear"]))
        return f"node{len(self.nodes)}"

    def constant(self, array, wanted="c"):
        name = self.name(wanted)
        self.constants[name] = np.asarray(array)
        return name

    def real(self, shape, amplitude, wanted="w"):
        """A weight; one of the same shape is often shared."""
        shape = tuple(int(n) for n in shape)
        known = self.weights.setdefault(shape, [])
        if known and self.random.random() < 0.5:
            return known[int(self.random.integers(len(known)))]
        known.append(self.constant((self.random.standard_normal(shape) * amplitude).astype(np.float32), wanted))
        return known[-1]

    def integers(self, values):
        return self.constant(np.asarray(values, np.int64), "i")

    def add(self, op, inputs, shape, outputs=1, **attributes):
        names = [self.name(f"v{len(self.nodes)}") for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, self.node_name(), **attributes))
        shapes = shape if outputs > 1 else [shape]
        for name, s in zip(names, shapes):
            self.shapes[name] = tuple(int(n) for n in s)
        return names if outputs > 1 else names[0]

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *choices):
        return choices[int(self.random.integers(len(choices)))]

    # ---- layers ----

    def layer(self, x):
        rank = len(self.shapes[x])
        anywhere = [self.function, self.function, self.add_constant, self.join, self.concat, self.pad, self.where, self.slice,
                    self.split, self.gather, self.transpose, self.reduce_kept, self.scale]
        own = {3: [self.conv, self.conv, self.conv, self.max_pool, self.average_pool, self.global_pool],
               2: [self.matmul, self.matmul, self.attention, self.rows, self.token_pool],
               1: [self.dense, self.dense]}[rank]
        return self.pick(*own, *own, *anywhere)(x)

    def conv(self, x):
        c, h, w = self.shapes[x]
        out = int(self.pick(2, 3, 4, c))
        kernel = [min(int(self.pick(1, 3)), h), min(int(self.pick(1, 3)), w)]
        group = c if c > 1 and out % c == 0 and self.chance(0.3) else 1
        pads = [int(p) for p in self.random.integers(0, 2, 4)]
        size = [h + pads[0] + pads[2] - kernel[0] + 1, w + pads[1] + pads[3] - kernel[1] + 1]
        inputs = [x, self.real((out, c // group, *kernel), 0.5)]
        if self.chance(0.6):
            inputs.append(self.real((out,), 0.3, "b"))
        return self.add("Conv", inputs, (out, *size), group=group, pads=pads)

    def matmul(self, x):
        t, d = self.shapes[x]
        out = int(self.pick(4, 6, 8, d))
        made = self.add("MatMul", [x, self.real((d, out), 0.4)], (t, out))
        return self.add("Add", [made, self.real((out,), 0.3, "b")], (t, out)) if self.chance(0.5) else made

    def dense(self, x):
        (d,) = self.shapes[x]
        if self.chance(0.4):
            out = int(self.pick(4, 8, d))
            return self.add("MatMul", [x, self.real((d, out), 0.4)], (out,))
        transposed = self.chance(0.6)
        # A square weight may be read along both axes.
        out = d if self.chance(0.4) else int(self.pick(4, 8, 10))
        inputs = [x, self.real((out, d) if transposed else (d, out), 0.4)]
        if self.chance(0.6) or self.opset < 11:
            inputs.append(self.real((out,), 0.3, "b"))
        return self.add("Gemm", inputs, (out,), transB=int(transposed))

    def attention(self, x):
        t, d = self.shapes[x]
        q, k = (self.add("MatMul", [x, self.real((d, d), 0.4)], (t, d)) for _ in range(2))
        kt = self.add("Transpose", [k], (d, t), perm=[0, 2, 1])
        scores = self.add("MatMul", [q, kt], (t, t))
        scores = self.add("Mul", [scores, self.constant(np.float32(1 / np.sqrt(d)), "s")], (t, t))
        low = self.pick(None, LOWEST, -np.inf, -1e9, -10000.0)
        if low is not None:
            keep = np.tril(np.ones((t, t), bool))
            if self.chance(0.5) or self.opset < 9:
                mask = self.constant(np.where(keep, np.float32(0), np.float32(low)).astype(np.float32), "mask")
                scores = self.add("Add", [scores, mask], (t, t))
            else:
                scores = self.add("Where", [self.constant(keep, "keep"), scores, self.constant(np.float32(low), "low")], (t, t))
        p = self.add("Softmax", [scores], (t, t), axis=-1)
        return self.add("MatMul", [p, x], (t, d))

    def rows(self, x):
        shape = self.shapes[x]
        if self.opset >= 17 and self.chance(0.6):
            return self.add("LayerNormalization", [x, self.real(shape[-1:], 1.0, "g"), self.real(shape[-1:], 0.3, "b")], shape)
        return self.add("Softmax", [x], shape, axis=-1 if self.opset >= 13 else len(shape))

    def token_pool(self, x):
        t, d = self.shapes[x]
        if self.chance(0.5):  # [batch, d, t] -> [batch, d]
            x = self.add("Transpose", [x], (d, t), perm=[0, 2, 1])
            op = "ReduceMax" if self.chance(0.5) else "ReduceMin"
            return self.reduce(op, x, 2, (d,), 0)
        return self.reduce(self.pick("ReduceMax", "ReduceMean"), x, 1, (d,), 0)

    def max_pool(self, x):
        c, h, w = self.shapes[x]
        if min(h, w) < 2:
            return None
        return self.add("MaxPool", [x], (c, (h - 2) // 2 + 1, (w - 2) // 2 + 1), kernel_shape=[2, 2], strides=[2, 2])

    def average_pool(self, x):
        c, h, w = self.shapes[x]
        if min(h, w) < 2:
            return None
        return self.add("AveragePool", [x], (c, h - 1 + 2, w - 1 + 2), kernel_shape=[2, 2], pads=[1, 1, 1, 1],
                        count_include_pad=int(self.chance(0.5)))

    def global_pool(self, x):
        return self.add(self.pick("GlobalMaxPool", "GlobalAveragePool"), [x], (self.shapes[x][0], 1, 1))

    def reduce(self, op, x, axis, shape, keep):
        if self.opset >= 18:
            return self.add(op, [x, self.integers([axis])], shape, keepdims=keep)
        return self.add(op, [x], shape, axes=[axis], keepdims=keep)

    def reduce_kept(self, x):
        shape = list(self.shapes[x])
        axis = int(self.random.integers(len(shape)))
        shape[axis] = 1
        return self.reduce(self.pick("ReduceMax", "ReduceMean", "ReduceMin"), x, axis + 1, shape, 1)

    def function(self, x):
        op = self.pick("Relu", "Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip", "Silu", "HardSwish", "Softsign",
                       "Gelu", "Abs")
        shape = self.shapes[x]
        if op == "Silu":
            return self.add("Mul", [x, self.add("Sigmoid", [x], shape)], shape)
        if op == "HardSwish" and self.opset < 14:
            return self.add("Mul", [x, self.add("HardSigmoid", [x], shape, alpha=1 / 6, beta=0.5)], shape)
        if op == "Gelu" and 9 <= self.opset < 20:
            scaled = self.add("Div", [x, self.constant(np.float32(np.sqrt(2)))], shape)
            gate = self.add("Add", [self.add("Erf", [scaled], shape), self.constant(np.float32(1))], shape)
            return self.add("Mul", [self.add("Mul", [x, gate], shape), self.constant(np.float32(0.5))], shape)
        if op == "Clip" and self.opset < 11:
            return self.add("Clip", [x], shape, min=float(self.pick(0, -1)), max=6.0)
        if op == "Gelu" and self.opset < 9:
            return None
        if op == "Clip":
            return self.add("Clip", [x, self.constant(np.float32(self.pick(0, -1))), self.constant(np.float32(6))], shape)
        return self.add(op, [x], shape)

    def scale(self, x):
        """By a factor for each feature, as a gate or a normalization does."""
        shape = self.shapes[x]
        return self.add("Mul", [x, self.real((shape[0], *[1] * (len(shape) - 1)), 1.0)], shape)

    def add_constant(self, x):
        shape = self.shapes[x]
        return self.add("Add", [x, self.real(shape[-1:], 0.5, "b")], shape)

    def join(self, x):
        others = [v for v, s in self.shapes.items() if s == self.shapes[x]]
        return self.add(self.pick("Add", "Add", "Mul", "Sub", "Max"), [x, self.pick(*others)], self.shapes[x])

    def concat(self, x):
        shape = self.shapes[x]
        others = [v for v, s in self.shapes.items() if len(s) == len(shape) and s[1:] == shape[1:]]
        parts = [x, self.pick(*others)]
        if sum(self.shapes[v][0] for v in parts) > 24:
            return None
        return self.add("Concat", parts, (sum(self.shapes[v][0] for v in parts), *shape[1:]), axis=1)

    def pad(self, x):
        shape = self.shapes[x]
        if len(shape) < 2 or shape[-1] > 12:
            return None
        before, after = (int(p) for p in self.random.integers(0, 3, 2))
        pads = [0] * len(shape) + [before] + [0] * len(shape) + [after]
        inputs = [x, self.integers(pads)]
        value = self.pick(None, 0.0, 1.5, LOWEST, -np.inf)
        wide = (*shape[:-1], shape[-1] + before + after)
        if value is not None:
            inputs.append(self.constant(np.float32(value), "pad"))
        if self.opset < 11:
            made = self.add("Pad", [x], wide, mode="constant", pads=pads, value=float(value or 0))
        else:
            made = self.add("Pad", inputs, wide, mode="constant")
        if value in (LOWEST, -np.inf):
            # Only a maximum over each window brings numbers back.
            if len(shape) == 3 and shape[1] >= 1 and wide[2] >= 3 and max(before, after) < 3:
                return self.add("MaxPool", [made], (shape[0], shape[1], wide[2] - 2), kernel_shape=[1, 3])
            return self.reduce("ReduceMax", made, len(shape), (*shape[:-1], 1), 1)
        return made

    def where(self, x):
        shape = self.shapes[x]
        if self.opset < 9:
            return None
        keep = self.random.random(shape[-1]) < 0.7
        keep[0] = True
        low = self.pick(0.0, 0.5, LOWEST, -1e9)
        made = self.add("Where", [self.constant(keep, "keep"), x, self.constant(np.float32(low), "low")], shape)
        if low < -1:
            return self.reduce("ReduceMax", made, len(shape), (*shape[:-1], 1), 1)
        return made

    def slice(self, x):
        shape = list(self.shapes[x])
        axis = int(self.random.integers(len(shape)))
        if shape[axis] < 3:
            return None
        step = self.pick(1, 2)
        shape[axis] = len(range(1, shape[axis], step))
        if self.opset < 10:
            shape[axis] = self.shapes[x][axis] - 1
            return self.add("Slice", [x], shape, starts=[1], ends=[2**31 - 1], axes=[axis + 1])
        return self.add("Slice", [x, *(self.integers([v]) for v in (1, 2**31 - 1, axis + 1, step))], shape)

    def split(self, x):
        shape = self.shapes[x]
        if shape[0] % 2 or shape[0] < 2:
            return None
        half = (shape[0] // 2, *shape[1:])
        if self.opset >= 13:
            a, b = self.add("Split", [x, self.integers([half[0]] * 2)], [half] * 2, outputs=2, axis=1)
        else:
            a, b = self.add("Split", [x], [half] * 2, outputs=2, axis=1)
        return self.add(self.pick("Add", "Mul"), [a, b], half)

    def gather(self, x):
        shape = self.shapes[x]
        take = self.random.integers(0, shape[0], int(self.pick(1, 2, 3)))
        return self.add("Gather", [x, self.integers(take)], (len(take), *shape[1:]), axis=1)

    def transpose(self, x):
        shape = self.shapes[x]
        perm = [int(p) + 1 for p in self.random.permutation(len(shape))]
        return self.add("Transpose", [x], [shape[p - 1] for p in perm], perm=[0, *perm])

    def head(self, x):
        """[batch, classes]."""
        if len(self.shapes[x]) > 1:
            x = self.add("Flatten", [x], (int(np.prod(self.shapes[x])),))
        inputs = [x, self.real((5, *self.shapes[x]), 0.4), self.real((5,), 0.3, "b")]
        self.weird = False  # outputs have names that files can have
        return self.add("Gemm", inputs, (5,), transB=1)

    def file(self, shape):
        graph = helper.make_graph(
            self.nodes, "random", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["batch", *self.shapes[o]]) for o in self.outputs],
            [numpy_helper.from_array(a, n) for n, a in self.constants.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
