"""Work goes on from any dump: the same bits from every graph of --dump-ir, the same library from the kernels."""

import pathlib
import sys

import harness
import numpy as np


def check_network(cupel, checks, model, images):
    dumps = cupel.folder / f"{pathlib.Path(model).stem}.dumps"
    library, again = cupel.folder / "direct.so", cupel.folder / "again.so"
    cupel.must("compile", model, "-o", library, "--dump-ir", dumps)
    kernels = list(dumps.glob("*-lower.program"))
    checks.equal(len(kernels), 1, f"{model}: dumps of the kernels")
    cupel.must("compile", kernels[0], "-o", again)
    checks.equal(again.read_bytes() == library.read_bytes(), True, f"{model}: the library made from the kernels")

    expected = cupel.outputs(model, images)
    for dump in sorted(dumps.glob("*.graph")):
        found = cupel.outputs(dump, images)
        checks.equal(found.tobytes() == expected.tobytes(), True, f"{model}: what {dump.name} computes")

    lost = dumps / "constants.bin"
    lost.rename(cupel.folder / "elsewhere.bin")
    result = cupel.run("compile", kernels[0], "-o", again)
    checks.equal(result.returncode, 3, f"{model}: kernels without their constants")
    (cupel.folder / "elsewhere.bin").rename(lost)


def check_refusals(cupel, checks):
    broken = cupel.folder / "broken.program"
    (cupel.folder / "constants.bin").write_bytes(b"cupel constants 1\n")
    head = 'program "m"\nfixed_batch 0\narena 0\nconstants none\n'
    for text, cause in (
        ("program", "broken.program: program text:1: expected '\"'"),
        (head + 'output batched "y" f32[batch,3]\nend\n', "broken.program: output y: is not written whole"),
    ):
        broken.write_text(text)
        result = cupel.run("compile", broken, "-o", cupel.folder / "out.so")
        checks.equal((result.returncode, cause in result.stderr), (3, True), f"{text!r}: {result.stderr}")
    result = cupel.run("compile", cupel.source / "models/fashion_resnet.onnx", "-o", cupel.folder / "out.so",
                       "--stop-after", "lower")
    checks.equal((result.returncode, result.stderr), (0, "stopped after pass lower\n"), "--stop-after lower")
    checks.that(not (cupel.folder / "out.so").exists(), "--stop-after lower left a library")
    result = cupel.run("inspect", cupel.source / "models/fashion_resnet.onnx", "--stop-after", "lower")
    checks.equal(result.returncode, 2, "--stop-after lower where nothing is lowered")


def main():
    cupel, checks = harness.begin(sys.argv)
    images, _ = harness.fashion_mnist("t10k", np.arange(20))
    data = cupel.source / "models/fashion_mnist.toml"
    float_model, integer_model = cupel.source / "models/fashion_mobilenet.onnx", cupel.folder / "vit.int8.onnx"
    cupel.must("quantize", cupel.source / "models/fashion_vit.onnx", "--data", data, "-o", integer_model)
    for model in (float_model, integer_model):
        check_network(cupel, checks, model, images)
    check_refusals(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
