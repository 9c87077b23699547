#!/usr/bin/env python3
"""Checks a folder of random graphs whose nodes each have operands of their own: ONNX Runtime's results beside the
reference's.

NAME.onnx, and NAME.npy: the arrays of its inputs, then those of its outputs, one behind the other. Nodes that ONNX
Runtime lacks are left away and counted. Exit 1 when there is a failure.
"""
import collections
import pathlib
import re
import sys

import numpy
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "reference"))
import check_samples  # noqa: E402

# On operands of any size, beside those of the samples.
WIDER = check_samples.WIDER | {"InstanceNormalization": 1e-4, "LayerNormalization": 1e-4, "Sigmoid": 1e-5}


def without(model, names):
    """The model without the nodes of these names, and without what only they gave."""
    graph = model.graph
    kept = [n for n in graph.node if n.name not in names]
    known = {i.name for i in graph.input} | {i.name for i in graph.initializer} | {""}
    nodes = []
    for node in kept:
        if all(i in known for i in node.input):
            nodes.append(node)
            known.update(node.output)
    outputs = [o for o in graph.output if o.name in known]
    less = onnx.ModelProto()
    less.CopyFrom(model)
    del less.graph.node[:], less.graph.output[:]
    less.graph.node.extend(nodes)
    less.graph.output.extend(outputs)
    return less


def refused_node(error):
    """The name of the node that ONNX Runtime has no implementation for; None when it says something else."""
    found = re.search(r"node with name '([^']+)'|Node:? ?\(([^)]+)\)|[Nn]ame:? ?'([^']+)'", str(error))
    return next((g for g in found.groups() if g), None) if found else None


def first_refused(model, feeds, cause):
    """The first node that is refused for that cause when it is alone."""
    for node in model.graph.node:
        alone = without(model, {n.name for n in model.graph.node} - {node.name})
        try:
            session = check_samples.session_of(alone.SerializeToString())
            session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
        except Exception as error:  # every kind of refusal counts
            if cause_of(error) == cause:
                return node
    return None


def cause_of(error):
    """What ONNX Runtime says, without the names of a node and of places in its source."""
    text = str(error).splitlines()[0]
    text = re.sub(r" with name '.*?'|node with name.*", "", text)
    text = re.sub(r".*(Status Message: |Exception during initialization: )", "", text)
    return re.sub(r"/onnxruntime_src\S* |[nvxc]\d+\b|\[with .*?\] ", "", text)[:150]


def another_reading(node, shapes, constants):
    """What ONNX Runtime reads otherwise than ONNX's text and its evaluator; None where it does not."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Slice" and len(node.input) == 5:
        ends, steps = constants[node.input[2]], constants[node.input[4]]
        if ((ends == numpy.iinfo(numpy.int64).max) & (steps < 0)).any():
            return "takes the greatest end of a slice backwards for none"
    if node.op_type != "Resize":
        return None
    mode, before, after = attributes.get("coordinate_transformation_mode"), shapes.get(node.input[0], ()), shapes[node.output[0]]
    if mode == b"tf_crop_and_resize" and any(b == a for b, a in zip(before, after)):
        return "takes no crop along a dimension whose size stays"
    if mode == b"pytorch_half_pixel" and attributes.get("antialias") and 1 in after:
        return "begins elsewhere where one element is left"
    return None


def left_open(node, feeds, constants, result):
    """Which elements ONNX leaves open: of real numbers that are cast to integers those outside the type."""
    x = feeds.get(node.input[0], constants.get(node.input[0])) if node.op_type == "Cast" else None
    if x is None or x.dtype.kind in "iub" or result.dtype.kind not in "iu":
        return numpy.zeros(result.shape, bool)
    whole, bounds = numpy.trunc(x.astype(numpy.float64)), numpy.iinfo(result.dtype)
    return ~((whole >= bounds.min) & (whole < float(bounds.max) + 1))


def cancelling(node, feeds, constants):
    """The size of what a result near 0 comes from: a normalization takes the mean away from rows, which may be all, and
    ONNX Runtime's Sigmoid adds a half to what may be its negative."""
    if node.op_type == "Sigmoid":
        return 0.5
    if node.op_type not in ("LayerNormalization", "InstanceNormalization"):
        return 1e-6
    x, scale = (feeds.get(name, constants.get(name)) for name in node.input[:2])
    if x is None or scale is None or not x.size:
        return 1e-6
    return max(1e-6, float(numpy.abs(x).max()) * float(numpy.abs(scale).max()))


def results_of(model, feeds, lacking):
    """ONNX Runtime's results by name. What it refuses is left away."""
    while model.graph.output:
        try:
            session = check_samples.session_of(model.SerializeToString())
            names = [o.name for o in session.get_outputs()]
            wanted = {i.name for i in session.get_inputs()}
            return dict(zip(names, session.run(names, {n: a for n, a in feeds.items() if n in wanted})))
        except Exception as error:  # every kind of refusal counts
            name = refused_node(error)
            node = next((n for n in model.graph.node if n.name == name), None) or first_refused(model, feeds, cause_of(error))
            if node is None:
                raise
            lacking[f"{node.op_type}: {cause_of(error)}"] += 1
            model = without(model, {node.name})
    return {}


def main():
    folder = pathlib.Path(sys.argv[1])
    failures, compared, lacking, read_otherwise = 0, 0, collections.Counter(), collections.Counter()
    for path in sorted(folder.glob("*.onnx"), key=lambda p: int(p.stem)):
        model = onnx.load(path)
        nodes = {o: n for n in model.graph.node for o in n.output}
        constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        with open(path.with_suffix(".npy"), "rb") as file:
            feeds = {v.name: numpy.load(file) for v in model.graph.input}
            expected = {v.name: numpy.load(file) for v in model.graph.output}
        try:
            theirs = results_of(model, feeds, lacking)
        except Exception as error:  # every kind of refusal counts
            print(f"{path.name}: ONNX Runtime: {error}")
            failures += 1
            continue
        for name, result in theirs.items():
            ours, node = expected[name], nodes[name]
            shapes = {n: a.shape for n, a in feeds.items()} | {name: ours.shape}
            if reading := another_reading(node, shapes, constants):
                read_otherwise[f"{node.op_type} {reading}"] += 1
                continue
            compared += 1
            open_elements = left_open(node, feeds, constants, result)
            if open_elements.any():
                result = numpy.where(open_elements, ours, result)
            if why := check_samples.differs(node.op_type, ours, result, cancelling(node, feeds, constants), WIDER):
                print(f"{path.name}: {node.op_type} {name}: {why}")
                failures += 1
    for text, number in sorted(lacking.items()):
        print(f"  {number:5}  lacking in ONNX Runtime: {text}")
    for text, number in sorted(read_otherwise.items()):
        print(f"  {number:5}  not compared, ONNX Runtime: {text}")
    print(f"{compared} results compared with ONNX Runtime, {failures} failures")
    return 1 if failures or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
