"""Metrics that arrays of labels judge, beside SciPy and plain definitions in Python, on what `cupel run` gives."""

import contextlib
import functools
import io
import json
import sys

import harness
import numpy as np
import onnx
import scipy.signal
import scipy.stats
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
SAMPLES, CALIBRATION = 60, 32
ALL = SAMPLES + CALIBRATION
CLASSES, TAGS, STEPS, SYMBOLS = 3, 4, 12, 5

METRICS = (("rmse", "restored", "clean", {}), ("psnr", "restored", "clean", {"range": 2.0}),
           ("ssim", "restored", "clean", {"range": 2}), ("miou", "classes", "map", {"ignore": 9}),
           ("miou", "labels", "map", {"ignore": 9}), ("f1", "tags", "marks", {"threshold": 0.4}), ("auc", "tags", "marks", {}),
           ("spearman", "score", "rating", {}), ("spearman", "pair", "rating", {}), ("cer", "steps", "text", {"blank": 0}),
           ("wer", "steps", "text", {"space": 1}))


def network(path):
    rng = np.random.default_rng(21)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    node = helper.make_node
    flat = 16 * 16
    weights = {"k": normal(4, 1, 3, 3) * np.float32(0.3), "r": normal(1, 4, 3, 3) * np.float32(0.2), "c": normal(CLASSES, 4, 1, 1),
               "flat": np.array([0, flat]), "t": normal(flat, TAGS) * np.float32(0.1), "s": normal(flat, 1) * np.float32(0.1),
               "p": normal(flat, 2 * 8) * np.float32(0.1), "rows": np.array([0, 2, 8]),
               "x": normal(flat, STEPS * SYMBOLS) * np.float32(0.1), "sequence": np.array([0, STEPS, SYMBOLS])}
    nodes = [node("Conv", ["image", "k"], ["h"], pads=[1, 1, 1, 1]), node("Relu", ["h"], ["features"]),
             node("Conv", ["features", "r"], ["restored"], pads=[1, 1, 1, 1]), node("Conv", ["features", "c"], ["classes"]),
             node("ArgMax", ["classes"], ["labels"], axis=1, keepdims=0), node("Reshape", ["image", "flat"], ["line"]),
             node("MatMul", ["line", "t"], ["tag_scores"]), node("Sigmoid", ["tag_scores"], ["tags"]),
             node("MatMul", ["line", "s"], ["score"]), node("MatMul", ["line", "p"], ["both"]),
             node("Reshape", ["both", "rows"], ["pair"]), node("MatMul", ["line", "x"], ["step_scores"]),
             node("Reshape", ["step_scores", "sequence"], ["steps"])]
    outputs = [helper.make_tensor_value_info(n, TensorProto.INT64 if n == "labels" else FLOAT, None)
               for n in ("restored", "classes", "labels", "tags", "score", "pair", "steps")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("image", FLOAT, ["b", 1, 16, 16])], outputs,
                              [numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def data_set(folder, images, targets, metrics, name="set"):
    np.savez(folder / "images.npz", image=images)
    np.savez(folder / f"{name}.targets.npz", **targets)
    (folder / "calibrate.txt").write_text("".join(f"{i}\n" for i in range(SAMPLES, ALL)))
    # Not in the order of the file: labels go with their samples.
    (folder / "report.txt").write_text("".join(f"{i}\n" for i in reversed(range(SAMPLES))))
    text = (f'[sources.all]\nformat = "npz"\narrays = "images.npz"\ntargets = "{name}.targets.npz"\n'
            '[splits]\ncalibrate = { source = "all", indices = "calibrate.txt" }\nreport = { source = "all", indices = "report.txt" }\n')
    for kind, output, target, settings in metrics:
        text += f'[[metric]]\nkind = "{kind}"\noutput = "{output}"\ntarget = "{target}"\n'
        text += "".join(f"{key} = {value}\n" for key, value in settings.items())
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def labels_for(outputs):
    """Labels near what the float network gives, so that no figure is at its end."""
    rng = np.random.default_rng(22)
    noise = lambda name, size: rng.standard_normal(outputs[name].shape) * size
    maps = (outputs["classes"] + noise("classes", 1.0)).argmax(1)
    maps[rng.random(maps.shape) < 0.1] = 9
    text = np.full((SAMPLES, 10), -1)
    for row, steps in zip(text, outputs["steps"] + noise("steps", 0.6)):
        decoded = decode(steps)[:10]
        row[:len(decoded)] = decoded
    text[0, 0] = 2
    rating = np.round(outputs["score"][:, 0] * 4 + rng.standard_normal(SAMPLES))  # with ties
    labels = {"clean": (outputs["restored"] + noise("restored", 0.1)).astype(np.float32), "map": maps.astype(np.uint8),
              "marks": (outputs["tags"] + noise("tags", 0.2) > 0.5), "rating": rating.astype(np.float32), "text": text.astype(np.int32)}
    return {name: np.concatenate([a, np.zeros((CALIBRATION, *a.shape[1:]), a.dtype)]) for name, a in labels.items()}


def decode(steps, blank=0):
    best = [int(b) for b in np.asarray(steps).argmax(1)]
    return [b for b, before in zip(best, [None, *best]) if b != before and b != blank]


def distance(a, b):
    @functools.lru_cache(None)
    def rest(i, j):
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(rest(i + 1, j) + 1, rest(i, j + 1) + 1, rest(i + 1, j + 1) + (a[i] != b[j]))
    return rest(0, 0)


def error_rate(found, wanted):
    return sum(map(distance, found, wanted)) / sum(map(len, wanted))


def words(tokens, space):
    text = "".join(" " if t == space else chr(97 + t) for t in tokens)
    return tuple(text.split())


def similarity(x, y, span):
    offsets = np.arange(11) - 5
    g = np.exp(-offsets ** 2 / (2 * 1.5 ** 2))
    window = np.outer(g, g) / g.sum() ** 2
    mean = lambda a: scipy.signal.convolve2d(a, window, mode="valid")
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx ** 2, mean(y * y) - my ** 2, mean(x * y) - mx * my
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))).mean()


def expected(kind, output, target, settings, outputs, labels):
    x, t = outputs[output], labels[target][:SAMPLES]
    if kind in ("rmse", "psnr", "ssim"):
        x, t = x.astype(np.float64), t.astype(np.float64)
        errors = ((x - t) ** 2).reshape(SAMPLES, -1).mean(1)
        return {"rmse": lambda: np.sqrt(errors.mean()), "psnr": lambda: np.mean(10 * np.log10(settings["range"] ** 2 / errors)),
                "ssim": lambda: np.mean([similarity(a[0], b[0], settings["range"]) for a, b in zip(x, t)])}[kind]()
    if kind == "miou":
        found = x.argmax(1) if output == "classes" else x
        kept = t != settings["ignore"]
        shares = [np.sum(kept & (found == c) & (t == c)) / np.sum(kept & ((found == c) | (t == c))) for c in range(CLASSES)]
        return np.mean(shares)
    if kind == "f1":
        found, right = x >= settings["threshold"], t.astype(bool)
        return np.mean([2 * np.sum(f & r) / (np.sum(f) + np.sum(r)) for f, r in zip(found.T, right.T)])
    if kind == "auc":
        areas = []
        for scores, marks in zip(x.T.astype(np.float64), t.T.astype(bool)):
            difference = scores[marks][:, None] - scores[~marks][None]
            areas.append(np.mean((difference > 0) + 0.5 * (difference == 0)))
        return np.mean(areas)
    if kind == "spearman":
        if output == "pair":
            x = x.astype(np.float64)
            x = (x[:, 0] * x[:, 1]).sum(1) / np.linalg.norm(x[:, 0], axis=1) / np.linalg.norm(x[:, 1], axis=1)
        return scipy.stats.spearmanr(x.reshape(-1), t).statistic
    found, wanted = [tuple(decode(s)) for s in x], [tuple(v for v in row if v >= 0) for row in t]
    if kind == "wer":
        found, wanted = ([words(s, settings["space"]) for s in side] for side in (found, wanted))
    rate, other = error_rate(found, wanted), jiwer_rate(found, wanted)
    assert other is None or abs(rate - other) < 1e-12, (rate, other)
    return rate


def outputs_of(cupel, path, images):
    np.save(cupel.folder / "in.npy", images)
    cupel.must("run", path, "--input", f"image={cupel.folder}/in.npy", "-o", cupel.folder / "out")
    return {p.stem: np.load(p) for p in (cupel.folder / "out").glob("*.npy")}


def check_figures(cupel, checks, path, images):
    base = outputs_of(cupel, path, images[:SAMPLES])
    labels = labels_for(base)
    data = data_set(cupel.folder, images, labels, METRICS)
    cupel.must("assay", path, "--data", data, "-o", cupel.folder / "assay", "--speed-s", 0, "--json", cupel.folder / "r.json")
    report = json.loads((cupel.folder / "r.json").read_text())
    both = [base, outputs_of(cupel, cupel.folder / "assay" / "net.int8.onnx", images[:SAMPLES])]
    checks.equal([(m["metric"], m["output"], m["target"]) for m in report["task_metrics"]], [m[:3] for m in METRICS], "metrics in the report")
    for metric, found in zip(METRICS, report["task_metrics"]):
        values = [expected(*metric, outputs, labels) for outputs in both]
        for value, row in zip(values, found["models"]):
            checks.that(abs(row["value"] - value) <= 1e-6 * max(1, abs(value)), f"{metric}: {row['value']}, expected {value}")
            checks.that(row["interval"]["lower"] < row["value"] < row["interval"]["upper"], f"{metric}: {row}")
            checks.equal((row["samples"], row["left_out"]), (SAMPLES, 0), f"{metric}: samples")
        difference = found["comparisons"][0]
        checks.that(abs(difference["difference"] - (values[1] - values[0])) < 1e-6, f"{metric}: {difference}")
        inside = difference["difference_interval"]["lower"] <= 0 <= difference["difference_interval"]["upper"]
        checks.equal(difference["verdict"] == "no difference shown", inside, f"{metric}: {difference}")
    page = (cupel.folder / "assay" / "report.html").read_text()
    checks.that("SSIM" in page and "word error rate" in page, "the page shows the metrics")
    return labels


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def mean_average_precision(found, boxes):
    """COCO's definition by the book, without its tables."""
    results = []
    for name in sorted({int(b[4]) for image in boxes for b in image if b[4] >= 0}):
        count = sum(int(b[4]) == name for image in boxes for b in image)
        for limit in np.linspace(0.5, 0.95, 10):
            judged = []  # score, right
            for rows, wanted in zip(found, boxes):
                left = [b for b in wanted if int(b[4]) == name]
                for row in sorted((r for r in rows if int(r[5]) == name), key=lambda r: -r[4])[:100]:
                    overlaps = [overlap(row, b) for b in left]
                    best = max(overlaps, default=0)
                    judged.append((row[4], best >= limit))
                    if best >= limit:
                        left.pop(overlaps.index(best))
            judged.sort(key=lambda j: -j[0])
            right = np.cumsum([j[1] for j in judged])
            precision = right / np.arange(1, len(judged) + 1)
            recall = right / count
            results.append(np.mean([max(precision[recall >= r], default=0) for r in np.linspace(0, 1, 101)]))
    return float(np.mean(results))


def pycocotools_figure(found, boxes):
    """The same by pycocotools, where that is installed; else None."""
    with contextlib.redirect_stdout(io.StringIO()):
        return quiet_pycocotools_figure(found, boxes)


def quiet_pycocotools_figure(found, boxes):
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        return None
    corners = lambda b: [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]
    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in range(len(boxes))], "categories": [{"id": c} for c in range(CLASSES)],
                     "annotations": [{"image_id": i, "category_id": int(b[4]), "bbox": corners(b), "iscrowd": 0,
                                      "area": float((b[2] - b[0]) * (b[3] - b[1]))} for i, rows in enumerate(boxes) for b in rows if b[4] >= 0]}
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1
    truth.createIndex()
    answers = truth.loadRes([{"image_id": i, "category_id": int(r[5]), "bbox": corners(r), "score": float(r[4])}
                             for i, rows in enumerate(found) for r in rows if r[5] >= 0])
    evaluation = COCOeval(truth, answers, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def jiwer_rate(found, wanted):
    """The error rate of sequences of words by jiwer, where that is installed and no label is empty; else None."""
    try:
        import jiwer
    except ImportError:
        return None
    text = lambda words: " ".join(str(w) for w in words)
    return jiwer.wer([text(w) for w in wanted], [text(f) for f in found]) if all(map(len, wanted)) else None


def check_detections(cupel, checks):
    """Boxes near the labels' and others, by two networks that shift them; some images without boxes, rows of padding."""
    rng = np.random.default_rng(24)
    folder = cupel.folder / "boxes"
    folder.mkdir()
    for name, shift in (("base", [0] * 6), ("other", [2, 1, 2, 1, 0, 0])):
        graph = helper.make_graph([helper.make_node("Add", ["found", "shift"], ["y"])], "g",
                                  [helper.make_tensor_value_info("found", FLOAT, ["b", 30, 6])],
                                  [helper.make_tensor_value_info("y", FLOAT, None)],
                                  [numpy_helper.from_array(np.array(shift, np.float32), "shift")])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / f"{name}.onnx")
    boxes, found = np.full((ALL, 8, 5), -1, np.float32), np.full((ALL, 30, 6), -1, np.float32)
    for image in range(ALL):
        count = rng.integers(0, 9) if image % 7 else 0
        corner, size = rng.uniform(0, 200, (count, 2)), rng.uniform(8, 80, (count, 2))
        classes = rng.integers(0, CLASSES, count)
        boxes[image, :count] = np.concatenate([corner, corner + size, classes[:, None]], 1)
        rows = []
        for _ in range(3):
            for b in boxes[image, :count]:
                if rng.random() < 0.7:
                    moved = b[:4] + rng.normal(0, 3, 4)
                    name = b[4] if rng.random() < 0.9 else (b[4] + 1) % CLASSES
                    rows.append([*moved, np.round(rng.random(), 2), name])  # scores of two digits: there are ties
        for _ in range(rng.integers(0, 4)):
            x = rng.uniform(0, 200, 2)
            rows.append([*x, *(x + rng.uniform(8, 60, 2)), np.round(rng.random(), 2), rng.integers(0, CLASSES)])
        if rows:
            found[image, :len(rows)] = np.array(rows)[:30]
    np.savez(folder / "found.npz", found=found)
    np.savez(folder / "boxes.npz", boxes=boxes)
    (folder / "set.toml").write_text('[sources.all]\nformat = "npz"\narrays = "found.npz"\ntargets = "boxes.npz"\n[splits]\n'
                                     'report = { source = "all" }\n[[metric]]\nkind = "map"\ntarget = "boxes"\n')
    cupel.must("evaluate", folder / "base.onnx", folder / "other.onnx", "--data", folder / "set.toml", "--json", folder / "r.json")
    task = json.loads((folder / "r.json").read_text())["task_metrics"][0]
    for row, shift in zip(task["models"], ([0] * 6, [2, 1, 2, 1, 0, 0])):
        moved = found + np.array(shift, np.float32)
        moved[found[..., 5] < 0] = -1
        expected_value = mean_average_precision(moved, boxes)
        checks.that(abs(row["value"] - expected_value) < 1e-9, f"mAP: {row}, expected {expected_value}")
        other = pycocotools_figure(moved, boxes)
        if other is not None:
            checks.that(abs(row["value"] - other) < 1e-9, f"mAP: {row}, by pycocotools {other}")
    checks.equal(task["comparisons"][0]["verdict"], "worse", "mAP of the shifted boxes")


def check_gates_and_refusals(cupel, checks, path, images, labels):
    int8 = cupel.folder / "assay" / "net.int8.onnx"

    def run(metrics, *flags, targets=labels):
        data = data_set(cupel.folder, images, targets, metrics, "other")
        return cupel.run("evaluate", path, int8, "--data", data, *flags)

    for requirement, code in (("psnr>=10", 0), ("psnr>=60", 1), ("rmse<=1", 0)):
        metric = [m for m in METRICS if requirement.startswith(m[0])][:1]
        done = run(metric, "--require", requirement)
        checks.equal(done.returncode, code, f"--require {requirement}: {done.stdout}{done.stderr}")
    refused = {
        4: [("nothing", "score", "rating", {})],
        3: [("psnr", "score", "clean", {}), ("psnr", "nowhere", "clean", {}), ("psnr", "restored", "nowhere", {}),
            ("psnr", "restored", "clean", {"rang": 1}), ("psnr", "restored", "clean", {"range": -1}), ("wer", "steps", "text", {}),
            ("f1", "tags", "rating", {}), ("miou", "restored", "clean", {}), ("cer", "score", "text", {}), ("spearman", "tags", "rating", {}), ("map", "tags", "marks", {})]}
    for code, metrics in refused.items():
        for metric in metrics:
            done = run([metric])
            checks.equal((done.returncode, done.stderr.count("\n")), (code, 2), f"{metric}: {done.stderr}")
    done = run([METRICS[0]], targets={**labels, "clean": labels["clean"][:-1]})
    checks.equal((done.returncode, "one per sample" in done.stderr), (3, True), f"too few labels: {done.stderr}")
    broken = labels["clean"].copy()
    broken[3] = np.nan
    done = run([METRICS[0]], targets={**labels, "clean": broken})
    checks.equal((done.returncode, "has no value by FP32 in 1 of 60 samples" in done.stdout), (0, True), f"NaN in a label: {done.stdout}")


def main():
    cupel, checks = harness.begin(sys.argv)
    path = cupel.folder / "net.onnx"
    network(path)
    images = np.random.default_rng(23).standard_normal((ALL, 1, 16, 16)).astype(np.float32)
    labels = check_figures(cupel, checks, path, images)
    check_gates_and_refusals(cupel, checks, path, images, labels)
    check_detections(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
