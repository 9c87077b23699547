#!/usr/bin/env python3
"""ONNX's backend test suite: no valid model is called bad input, ends Cupel by a signal, or shows a defect of it.

Every model is inspected and run by the reference interpreter; what that runs is compiled and run as well.
Exit 0, 4 (valid, not supported) and 6 (a limit) are true answers of a valid model; 3, 5 and signals are not. Results are
compared with the suite's. onnx_suite.txt names what has to pass on which engine; --update writes it anew.

And the other way round: a model of one operator on operands of one element type is bad input when ONNX's schema forbids
that type (onnx_types.txt names those that Cupel still reads or calls unsupported), and never when it allows it.
"""

import collections
import concurrent.futures
import os
import pathlib
import re
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

import harness

LIST = pathlib.Path(__file__).with_name("onnx_suite.txt")
LENIENT = pathlib.Path(__file__).with_name("onnx_types.txt")
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
TYPES = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32",
         "UINT64", "BOOL")


def number(path):
    return int(path.stem.split("_")[1])


def array_of(value):
    """A value of the suite as an array that .npy can hold; None for sequences, texts and the like."""
    try:
        if isinstance(value, pathlib.Path):
            value = onnx.load_tensor(value)
        if isinstance(value, TensorProto):
            value = numpy_helper.to_array(value)
        value = np.asarray(value)
        if value.dtype.name == "bfloat16":
            value = value.view(np.uint16)
        if value.dtype.name in ("float8_e4m3fn", "float8_e5m2") or (value.dtype.names or ("",))[0] in ("e4m3fn", "e5m2"):
            value = value.view(np.uint8)
        if "int4" in value.dtype.name or "int4" in (value.dtype.names or ("",))[0]:
            value = value.astype(np.int8)
        return value if value.dtype.kind in "fiub" and value.dtype.isbuiltin == 1 else None
    except Exception:  # the suite's own values take many forms
        return None


def numbers_of_bytes(exponent_bits, mantissa_bits, has_infinity):
    """What each byte stands for in a format of 8-bit floats."""
    numbers = []
    for byte in range(256):
        exponent, mantissa = (byte & 127) >> mantissa_bits, byte & (1 << mantissa_bits) - 1
        number = np.ldexp(mantissa + ((1 << mantissa_bits) if exponent else 0),
                          max(exponent, 1) - (1 << exponent_bits - 1) + 1 - mantissa_bits)
        if exponent == (1 << exponent_bits) - 1 and (has_infinity or mantissa == (1 << mantissa_bits) - 1):
            number = np.inf if has_infinity and mantissa == 0 else np.nan
        numbers.append(-number if byte & 128 else number)
    return np.array(numbers, np.float32)


BYTE_FLOATS = {TensorProto.FLOAT8E4M3FN: numbers_of_bytes(4, 3, False), TensorProto.FLOAT8E5M2: numbers_of_bytes(5, 2, True)}


def as_declared(value, declared):
    """The array in the element type that the model gives the value. NumPy lacks bfloat16 and floats of 8 bits, which are
    their bits, and integers of 4 bits, which are bytes."""
    numbers = BYTE_FLOATS.get(declared.type.tensor_type.elem_type)
    if value is not None and numbers is not None:
        if value.dtype == np.float32:  # the numbers themselves
            same = (value[..., None] == numbers) & (np.signbit(value[..., None]) == np.signbit(numbers))
            value = np.where(np.isnan(value), 127, same.argmax(-1)).astype(np.uint8)
        return value.view("V1")
    bytes_of = {TensorProto.INT4: np.int8, TensorProto.UINT4: np.uint8}
    if value is not None and declared.type.tensor_type.elem_type in bytes_of:
        return value.astype(bytes_of[declared.type.tensor_type.elem_type])
    if value is None or declared.type.tensor_type.elem_type != TensorProto.BFLOAT16:
        return value
    if value.dtype == np.float32:
        value = (value.view(np.uint32) >> 16).astype(np.uint16)
    return value.view("V2")


def in_numbers(value, declared):
    """Bits of bfloat16 and of floats of 8 bits as float32."""
    if value.dtype == np.dtype("V1"):
        return BYTE_FLOATS[declared.type.tensor_type.elem_type][value.view(np.uint8)]
    if value.dtype != np.dtype("V2"):
        return value
    return (value.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def same_bits(a, b):
    """Whether arrays of both engines are the same; of NaN the bits are no part of a result."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "f":
        a, b = (np.where(np.isnan(x), x.dtype.type("nan"), x) for x in (a, b))
    return a.tobytes() == b.tobytes()


def suite():
    """(name, model, inputs and outputs of the first data set) of every test that needs no download."""
    for kind in KINDS:
        for case in load_model_tests(kind=kind):
            if case.model is not None:
                sets = case.data_sets or [([], [])]
                yield case.name, case.model, list(map(array_of, sets[0][0])), list(map(array_of, sets[0][1]))
                continue
            folder = pathlib.Path(case.model_dir)
            data = folder / "test_data_set_0"
            values = [list(map(array_of, sorted(data.glob(f"{what}_*.pb"), key=number))) for what in ("input", "output")]
            yield case.name, onnx.load(folder / "model.onnx"), *values


class Suite:
    def __init__(self, cupel, checks):
        self.cupel = cupel
        self.checks = checks
        self.passes = {"reference": set(), "compiled": set()}
        self.refusals = {}  # of tests that do not pass: the first line of what was said
        self.lenient = set()
        self.answers = collections.Counter()

    def call(self, name, *words):
        """The exit code; a false one is a failed check."""
        result = self.cupel.run(*words, timeout=120)
        self.answers[f"{words[0]}{'' if words[0] == 'inspect' or '--engine' in words else ' compiled'} {result.returncode}"] += 1
        self.checks.that(result.returncode in (0, 4, 6),
                         f"{name}: cupel {words[0]} ended with {result.returncode}\n{result.stderr[-600:]}")
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
            self.refusals[name] = (lines or [f"exit {result.returncode}"])[0].replace(f"{self.cupel.folder}/{name}/", "")
        return result.returncode

    def same(self, folder, outputs):
        """Whether the folder holds these outputs, in the model's order."""
        for output, declared in outputs:
            path = folder / (re.sub(r"[/:\\]", "_", declared.name) + ".npy")
            if output is None or not path.is_file():
                return False
            found = np.load(path)
            if found.dtype != output.dtype or found.shape != output.shape:
                return False
            found, output = in_numbers(found, declared), in_numbers(output, declared)
            if output.dtype.kind != "f":
                if not np.array_equal(found, output):
                    return False
            elif not np.allclose(found, output, rtol=1e-3, atol=1e-7, equal_nan=True):
                return False
        return True

    def test(self, entry):
        name, model, inputs, outputs = entry
        folder = self.cupel.folder / name
        folder.mkdir()
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        self.call(name, "inspect", path)
        constants = {tensor.name for tensor in model.graph.initializer}  # files of old IR versions list them as inputs
        given = [value.name for value in model.graph.input if value.name not in constants]
        types = {value.name: value for value in model.graph.input}
        inputs = [as_declared(value, types[name]) for value, name in zip(inputs, given)]
        named = [(as_declared(value, declared), declared) for value, declared in zip(outputs, model.graph.output)]
        if any(value is None for value in inputs) or len(inputs) < len(given):
            return
        arguments = []
        for i, (input_name, value) in enumerate(zip(given, inputs)):
            if not input_name:
                continue
            np.save(folder / f"in{i}.npy", value)
            arguments += ["--input", f"{input_name}={folder}/in{i}.npy"]
        threads = ("--threads", "1")
        if self.call(name, "run", path, *arguments, "-o", folder / "reference", "--engine", "reference", *threads) != 0:
            return
        if self.same(folder / "reference", named):
            self.passes["reference"].add(name)
        if self.call(name, "run", path, *arguments, "-o", folder / "compiled", *threads) != 0:
            return
        for output_file in sorted((folder / "reference").glob("*.npy")):
            other = folder / "compiled" / output_file.name
            self.checks.that(other.is_file() and same_bits(np.load(output_file), np.load(other)),
                             f"{name}: {output_file.name} differs between the engines")
        if self.same(folder / "compiled", named):
            self.passes["compiled"].add(name)

    # ---- element types

    def known_operators(self):
        """Names of the operators that Cupel knows by ONNX's schema."""
        names = re.findall(r"^CUPEL_OP\((\w+)", (self.cupel.source / "src/ops/op_table.def").read_text(), re.M)
        names += re.findall(r"^CUPEL_UNARY\((\w+)", (self.cupel.source / "src/ops/unary_functions.def").read_text(), re.M)
        return [name for name in names if onnx.defs.has(name)]

    def typed_models(self, entries):
        """(text, model, whether ONNX allows it): one node each, one type parameter at a time."""
        known, seen = set(self.known_operators()), set()
        for name, model, inputs, _ in entries:
            if len(model.graph.node) != 1 or not inputs or any(value is None for value in inputs):
                continue
            node = model.graph.node[0]
            opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
            if opset is None or node.domain or node.op_type not in known or len(inputs) != len([n for n in node.input if n]):
                continue
            schema = onnx.defs.get_schema(node.op_type, opset, "")
            of = lambda i: schema.inputs[min(i, len(schema.inputs) - 1)].type_str
            allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
            for parameter in {of(i) for i, n in enumerate(node.input) if n} & set(allowed):
                if (node.op_type, parameter) in seen:
                    continue
                seen.add((node.op_type, parameter))
                which = [i for i, n in enumerate(node.input) if n and of(i) == parameter]
                for type_name in TYPES:
                    type_number = TensorProto.DataType.Value(type_name)
                    onnx_name = {"FLOAT": "tensor(float)", "DOUBLE": "tensor(double)"}.get(type_name,
                                                                                             f"tensor({type_name.lower()})")
                    yield (f"{node.op_type}, {parameter} as {type_name.lower()}",
                           self.retyped(model, node, inputs, which, type_number),
                           onnx_name in allowed[parameter])

    @staticmethod
    def retyped(model, node, inputs, which, type_number):
        """The model with the type for these operands; operands behind the first are constants."""
        names = [n for n in node.input if n]
        places = [i for i, n in enumerate(node.input) if n]
        graph_inputs, constants = [], []
        for place, name, value in zip(places, names, inputs):
            element = type_number if place in which else helper.np_dtype_to_tensor_dtype(value.dtype)
            if place == 0:
                graph_inputs.append(helper.make_tensor_value_info(name, element, value.shape))
            else:
                constants.append(numpy_helper.from_array(value.astype(helper.tensor_dtype_to_np_dtype(element)), name))
        graph = helper.make_graph([node], "typed", graph_inputs,
                                  [onnx.ValueInfoProto(name=name) for name in node.output if name], constants)
        return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=10)

    def test_type(self, numbered):
        i, (text, model, allowed) = numbered
        path = self.cupel.folder / f"typed_{i}.onnx"
        path.write_bytes(model.SerializeToString())
        result = self.cupel.run("inspect", path, timeout=120)
        self.answers[f"types {result.returncode}"] += 1
        if not allowed and result.returncode in (0, 4):
            self.lenient.add(text)
            return
        good = result.returncode in (0, 4, 6) if allowed else result.returncode == 3
        self.checks.that(good, f"{text}, which ONNX {'allows' if allowed else 'forbids'}: exit {result.returncode}\n"
                               f"{result.stderr[-400:]}")


def main():
    update = "--update" in sys.argv
    cupel, checks = harness.begin([word for word in sys.argv if word != "--update"])
    suite_ = Suite(cupel, checks)
    entries = list(suite())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(suite_.test, entries))
        list(pool.map(suite_.test_type, enumerate(suite_.typed_models(entries))))
    names = {entry[0] for entry in entries}
    if update:
        lines = [f"{name} {'both' if name in suite_.passes['compiled'] else 'reference'}"
                 for name in sorted(suite_.passes["reference"])]
        LENIENT.write_text("# Written by check_onnx_suite.py --update: types that ONNX forbids and Cupel reads or calls unsupported.\n"
                           + "\n".join(sorted(suite_.lenient)) + "\n")
        LIST.write_text("# Written by check_onnx_suite.py --update: tests of ONNX's suite, and the engines they pass on.\n"
                        + "\n".join(lines) + "\n")
    for line in LIST.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, engines = line.split()
        for engine in ("reference", "compiled") if engines == "both" else ("reference",):
            checks.that(name not in names or name in suite_.passes[engine], f"{name} no longer passes on {engine}")
    known = {line for line in LENIENT.read_text().splitlines() if not line.startswith("#")}
    checks.equal(sorted(suite_.lenient - known), [], "types that ONNX forbids and Cupel reads or calls unsupported, not listed")
    checks.that(len(names) > 1000, f"the suite has {len(names)} tests only")
    print(f"{len(names)} tests: {len(suite_.passes['reference'])} pass on the reference, "
          f"{len(suite_.passes['compiled'])} compiled")
    print(", ".join(f"{answer}: {count}" for answer, count in sorted(suite_.answers.items())))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
