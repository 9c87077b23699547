"""A sample that sets a range alone is told by `quantize` and `assay`: on standard error, in JSON and in the report."""

import json
import sys

import bad_files
import harness
import numpy as np

# Of the 20 calibration samples the one at place 7 is four times as bright as the others.
OUTLIER = 7
EXPECTED = [
    "input image: the range [0, 4] is set by sample 7 of 20 alone; without it [0, 1]; 99.99 % of its elements lie in [0, 4]",
    "node relu (Relu): the range [0, 2] of value r is set by sample 7 of 20 alone; without it [0, 0.5]; 99.99 % of its "
    "elements lie in [0, 2]",
]


def make_data(folder):
    random = np.random.default_rng(3)
    images = random.random((40, 1, 4, 4)).astype(np.float32)
    images[:, 0, 0, 0] = 1
    images[:, 0, 3, 3] = 0
    images[OUTLIER, 0, 1, 1] = 4
    np.save(f"{folder}/images.npy", images)
    np.save(f"{folder}/labels.npy", (np.arange(40) % bad_files.CLASSES).astype(np.int64))
    (folder / "first.txt").write_text("".join(f"{i}\n" for i in range(20)))
    (folder / "second.txt").write_text("".join(f"{i}\n" for i in range(20, 40)))
    (folder / "data.toml").write_text(
        '[sources.all]\nformat = "npz"\nimages = "images.npy"\nlabels = "labels.npy"\nimage_layout = "none"\n'
        '[preprocess]\nsteps = []\n[splits]\ncalibrate = { source = "all", indices = "first.txt" }\n'
        'report = { source = "all", indices = "second.txt" }\n')


def main():
    cupel, checks = harness.begin(sys.argv)
    make_data(cupel.folder)
    weights = bad_files.weights()
    weights["filters"][:] = 0
    weights["filters"][:, 0, 1, 1] = 0.25, 0.5
    bad_files.model(bad_files.layers(), weights, cupel.folder / "model.onnx")

    for threads, batch in ((1, 50), (2, 3)):
        result = cupel.must("quantize", "model.onnx", "--data", "data.toml", "-o", "int8.onnx", "--json", "int8.json",
                            "--threads", threads, "--batch", batch)
        told = [line.removeprefix("warning: ") for line in result.stderr.splitlines() if line.startswith("warning: ")]
        checks.equal(told, EXPECTED, f"quantize on standard error, batches of {batch}")
        checks.equal(json.loads((cupel.folder / "int8.json").read_text())["warnings"], EXPECTED, "quantize --json")

    result = cupel.must("assay", "model.onnx", "--data", "data.toml", "-o", "verdict")
    told = [line.removeprefix("warning: ") for line in result.stderr.splitlines() if line.startswith("warning: ")]
    checks.equal(told, EXPECTED, "assay on standard error")
    report = json.loads((cupel.folder / "verdict/report.json").read_text())
    texts = [w["text"] for w in report["warnings"] if w["severity"] == "note"]
    checks.that(EXPECTED[0] + "." in texts, f"report.json: {report['warnings']}")
    checks.that("is set by sample 7 of 20 alone" in (cupel.folder / "verdict/report.html").read_text(), "report.html")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
