"""Help shows an example for every verb, each example runs as printed, and progress is for terminals only."""

import os
import pty
import re
import shlex
import subprocess
import sys

import harness
import numpy as np

VERBS = ("assay", "inspect", "run", "quantize", "evaluate", "compile", "bench", "doctor")
# In this order the examples find the files that they name. The words are added to keep the run short.
ORDER = {
    "inspect": [],
    "run": [],
    "quantize": [],
    "evaluate": ["--samples", "100", "--layer-samples", "10"],
    "assay": ["--samples", "100", "--layer-samples", "10"],
    "compile": [],
    "bench": ["--duration-s", "0.2"],
    "doctor": [],
}
OUTPUTS = {"compile": ["resnet.so", "resnet.h"], "run": ["results/logits.npy"], "quantize": ["resnet.int8.onnx"],
           "assay": ["assay/fashion_resnet.int8.onnx", "assay/report.json", "assay/report.html"]}
COMMON = ("--threads", "--batch", "--json", "--dump-ir", "--stop-after", "--pass-times", "--quiet", "--max-memory",
          "--timeout", "--help")


def check_texts(cupel, checks):
    """The help of every verb; gives the examples by verb."""
    overview = cupel.must("--help").stdout
    checks.that(re.fullmatch(r"cupel \d+\.\d+\.\d+\n", cupel.must("--version").stdout), "--version")
    examples = {}
    for verb in VERBS:
        checks.that(re.search(rf"^\s+{verb}\s+\S", overview, re.M), f"--help lists {verb}")
        result = cupel.must(verb, "--help")
        checks.equal(result.stderr, "", f"{verb} --help: standard error")
        for flag in COMMON:
            checks.that(flag in result.stdout, f"{verb} --help: {flag}")
        found = re.search(r"^Example:\s*\n\s+(cupel .*)$", result.stdout, re.M)
        if checks.that(found, f"{verb} --help: an example"):
            examples[verb] = found.group(1)
            checks.equal(shlex.split(examples[verb])[1], verb, f"{verb} --help: verb of the example")
    return examples


def check_examples(cupel, checks, examples):
    images, _ = harness.fashion_mnist("t10k", np.arange(3))
    np.save(cupel.folder / "images.npy", images)
    os.symlink(cupel.source / "models", cupel.folder / "models")
    for verb, more in ORDER.items():
        result = cupel.run(*shlex.split(examples[verb])[1:], *more)
        checks.equal((result.returncode, result.stderr), (0, ""), f"{examples[verb]}: exit code and standard error")
        checks.that(result.stdout.strip(), f"{examples[verb]}: it prints its result")
        checks.that("\x1b" not in result.stdout and "\r" not in result.stdout, f"{examples[verb]}: plain text")
        for name in OUTPUTS.get(verb, []):
            checks.that((cupel.folder / name).stat().st_size > 0, f"{examples[verb]}: {name}")
    checks.equal(np.load(cupel.folder / "results/logits.npy").shape, (3, 10), "result of the example of run")


def on_terminal(cupel, *words):
    """Runs with standard error on a pseudo-terminal; gives exit code, standard output and what the terminal got."""
    terminal, side = pty.openpty()
    with subprocess.Popen([cupel.binary, *words], cwd=cupel.folder, stdout=subprocess.PIPE, stderr=side,
                          stdin=subprocess.DEVNULL) as process:
        os.close(side)
        shown = b""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # the other side was closed
                break
            if not piece:
                break
            shown += piece
        output = process.stdout.read()
        process.wait(timeout=60)
    os.close(terminal)
    return process.returncode, output.decode(), shown.decode()


def check_progress(cupel, checks):
    words = ["assay", "models/fashion_resnet.onnx", "--data", "models/fashion_mnist.toml", "-o", "progress", "--samples",
             "400", "--layer-samples", "100"]
    try:
        code, output, shown = on_terminal(cupel, *words)
    except OSError as error:
        print(f"progress on a terminal: not checked, {error}")  # a system without pseudo-terminals
        return
    checks.equal(code, 0, f"assay on a terminal\n{shown}")
    for work, total in (("calibration", 500), ("accuracy", 400), ("layer errors", 100)):
        checks.that(re.search(rf"\r{work} \d+/{total}", shown), f"progress of {work}: {shown!r}")
        # Its last line is complete, so that the terminal shows no work left undone.
        checks.that(re.search(rf"\r{work} {total}/{total}\x1b\[K\r?\n", shown), f"end of {work}: {shown!r}")
    # The interpreter takes long enough for a guess anywhere.
    _, _, slow = on_terminal(cupel, "evaluate", "models/fashion_resnet.onnx", "--data", "models/fashion_mnist.toml", "--samples",
                             "1000", "--engine", "reference", "--threads", "1", "--batch", "10")
    checks.that(re.search(r"\raccuracy \d+/1000, \d+ s left", slow), f"time left: {slow!r}")
    checks.that("\x1b" not in output, "no control codes on standard output")
    code, _, shown = on_terminal(cupel, *words, "--quiet")
    checks.equal((code, shown), (0, ""), "--quiet on a terminal")

    result = cupel.must("inspect", "models/fashion_vit.onnx", "--pass-times")
    checks.that(re.search(r"^pass fold_constants +\d+\.\d{3} ms", result.stderr, re.M), f"--pass-times: {result.stderr}")


def main():
    cupel, checks = harness.begin(sys.argv)
    examples = check_texts(cupel, checks)
    check_examples(cupel, checks, examples)
    check_progress(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
