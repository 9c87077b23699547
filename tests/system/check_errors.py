"""Bad input of every kind: the whole message, the exit code, and nothing written.

Expected answers stand in errors.txt; `check_errors.py CUPEL SOURCE --rewrite` writes it anew, the diff is the review.
"""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

import bad_files
import harness
import numpy as np

EXPECTED = pathlib.Path(__file__).with_name("errors.txt")

QUANTIZE = "quantize good.onnx -o out.onnx --data"
ASSESS = "evaluate good.onnx --data"
RUN = "run good.onnx -o out --input"

CASES = [
    # what the model file holds
    *(f"inspect {name}" for name in (
        "nowhere.onnx", "folder.onnx", "empty.onnx", "truncated.onnx", "random.onnx", "text.onnx", "no_graph.onnx",
        "unknown_op.onnx", "unknown_domain.onnx", "branches.onnx", "mixed_types.onnx", "mixed_shapes.onnx",
        "wrong_matrix.onnx", "cycle.onnx", "undefined.onnx", "zero_stride.onnx", "future.onnx",
        "no_shape.onnx", "wrong_output.onnx", "two_sizes.onnx", "short_payload.onnx",
        "zero_scale.onnx", "infinite_scale.onnx", "nan_scale.onnx")),
    # constants in other files
    *(f"inspect beside/{name}.onnx" for name in (
        "parent", "absolute", "link", "missing", "short", "negative", "wrong_length")),
    # every verb says the same of a bad model
    "run truncated.onnx -o out --input image=input.npy",
    "quantize truncated.onnx -o out.onnx --data good.toml",
    "evaluate good.onnx truncated.onnx --data good.toml",
    "assay truncated.onnx -o out --data good.toml",
    # an operator that only the interpreter has
    "run no_compiled_form.onnx -o out --input image=input.npy",
    "evaluate no_compiled_form.onnx --data good.toml",
    "assay no_compiled_form.onnx -o out --data good.toml",
    "compile no_compiled_form.onnx -o out.so",
    # numbers that are none
    "quantize nan_weight.onnx -o out.onnx --data good.toml",
    "quantize infinite_weight.onnx -o out.onnx --data good.toml",
    "quantize overflow_weight.onnx -o out.onnx --data good.toml",
    "quantize nan_result.onnx -o out.onnx --data good.toml",
    "assay overflow_weight.onnx -o out --data good.toml",
    f"{QUANTIZE} nan.toml",
    f"{QUANTIZE} infinite.toml",
    "evaluate nan_result.onnx --data good.toml",
    f"{ASSESS} nan.toml",
    # data sets
    *(f"{QUANTIZE} {name}.toml" for name in (
        "nowhere", "broken", "unknown_format", "unknown_step", "no_images", "no_labels", "short", "long", "short_gzip",
        "few_labels", "bad_labels", "wide", "codes", "overlap", "no_samples", "zero_count", "large_count", "beyond",
        "no_calibrate")),
    *(f"{ASSESS} {name}.toml" for name in ("no_report", "labels_beyond_model")),
    *(f"{ASSESS} unlabelled.toml {flag}" for flag in ("--max-drop 1", "--top-k 1")),
    *(f"{ASSESS} unlabelled.toml --require {words}" for words in ("sqnr", "sqnr>=x", "nothing>=3")),
    f"{ASSESS} unlabelled.toml",
    "evaluate good.onnx good.int8.onnx --data good.toml --require equal>=3",
    "assay good.onnx -o out --data overlap.toml",
    "assay good.onnx -o out --data no_report.toml",
    "assay good.onnx -o out --data unlabelled.toml --labelled-output y",
    "assay good.onnx -o out --data labels_beyond_model.toml",
    # models at the wrong place
    "quantize good.int8.onnx -o out.onnx --data good.toml",
    "assay good.int8.onnx -o out --data good.toml",
    # inputs of `run`
    f"{RUN} wrong=input.npy",
    f"{RUN} image=input.npy --input more=input.npy",
    f"{RUN} image=input.npy --input image=input.npy",
    f"{RUN} input.npy",
    f"{RUN} image=wide_input.npy",
    f"{RUN} image=double_input.npy",
    f"{RUN} image=scalar_input.npy",
    f"{RUN} image=nowhere.npy",
    f"{RUN} image=cut.npy",
    f"{RUN} image=file",
    f"{RUN} image=input.npy --engine warp",
    # indices out of range
    "run lookup.onnx -o out --input image=large_index.npy",
    "run lookup.onnx -o out --input image=small_index.npy --threads 2",
    "run lookup.onnx -o out --input image=small_index.npy --batch 2",
    "run lookup.onnx -o out --input image=large_index.npy --engine reference",
    "run lookup.so -o out --input image=large_index.npy",
    "bench lookup.so --input image=small_index.npy --batch 4",
    # artifacts
    "run good.so -o out --input wrong=input.npy",
    "run good.so -o out --input image=input.npy --input more=input.npy",
    "run good.so -o out --input image=wide_input.npy",
    "run good.so -o out --input image=double_input.npy",
    "run good.so -o out --input image=scalar_input.npy",
    "run good.so -o out --input image=input.npy --engine reference",
    "run good.so -o out --input image=input.npy --stop-after fold_constants",
    "run good.so -o out --input image=input.npy --dump-ir dump",
    "run cut.so -o out --input image=input.npy",
    "run damaged.so -o out --input image=input.npy",
    "run older.so -o out --input image=input.npy",
    "run input.so -o out --input image=input.npy",
    "run planted.so -o out --input image=input.npy",
    "run planted.onnx -o out --input image=input.npy",
    "bench planted.so",
    "bench good.onnx planted.onnx",
    "bench nameless",
    *(f"{verb} planted.{end}{rest}" for end in ("onnx", "so") for verb, rest in (
        ("inspect", ""), ("compile", " -o out.so"), ("quantize", " -o out.onnx --data good.toml"),
        ("evaluate", " --data good.toml"), ("assay", " -o out --data good.toml"))),
    "inspect good.so --explain",
    "compile good.onnx -o out.dll",
    # bench
    "bench",
    "bench nowhere.onnx",
    "bench truncated.onnx",
    "bench good.onnx cut.so",
    "bench unknown_op.onnx",
    "bench good.so --input more=input.npy",
    "bench good.so --input image=wide_input.npy",
    "bench good.so --input image=nan_input.npy",
    "bench good.so --input image=input.npy --batch 3",
    "bench good.so --clock slow",
    "bench good.so --clock cpu --threads 2",
    "bench good.so --rounds 0",
    "bench good.so --duration-s 0",
    "bench good.onnx --stop-after fold_constants",
    "bench good.so --json nowhere/bench.json",
    # places that cannot be written
    "quantize good.onnx -o file/out.onnx --data good.toml",
    "quantize good.onnx -o nowhere/out.onnx --data good.toml",
    "quantize good.onnx -o beside --data good.toml",
    "run good.onnx -o file --input image=input.npy",
    "assay good.onnx -o file --data good.toml",
    "assay good.onnx -o out --data good.toml --json nowhere/report.json",
    "evaluate good.onnx --data good.toml --json nowhere/report.json",
    "evaluate good.onnx --data good.toml --html beside",
    "inspect good.onnx --json beside",
    "inspect good.onnx --dump-ir file",
    # the command line
    "",
    "refine good.onnx",
    "inspect",
    "inspect good.onnx --fast",
    "inspect good.onnx file",
    "inspect good.onnx --threads 0",
    "inspect good.onnx --threads many",
    "inspect good.onnx --stop-after nowhere",
    "inspect good.onnx --json",
    "quantize good.onnx --data good.toml",
    "quantize good.onnx -o out.onnx",
    "run good.onnx -o out",
    f"{ASSESS} good.toml --batch 0",
    f"{ASSESS} good.toml --samples 0",
    f"{ASSESS} good.toml --top-k 0",
    f"{ASSESS} good.toml --top-k 4",
    f"{ASSESS} good.toml --max-drop 101",
    f"{ASSESS} good.toml --max-drop nan",
    # limits
    "inspect good.onnx --max-memory 1",
]


def tree(folder):
    """Every path below `folder` with what it holds."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        content = os.readlink(path) if path.is_symlink() else "folder" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = hashlib.sha256(repr(content).encode()).hexdigest()
    return found


def read_expected():
    expected = {}
    for block in EXPECTED.read_text().split("\n$ cupel")[1:]:
        command, _, answer = block.partition("\n")
        expected[command.strip()] = answer.rstrip("\n")
    return expected


def write_expected(answers):
    text = "What the program answers to bad input: standard error and exit code. Written by check_errors.py --rewrite.\n"
    EXPECTED.write_text(text + "".join(f"\n$ cupel {command}\n{answer}\n" for command, answer in answers.items()))


def check_cases(cupel, checks, rewrite):
    before = tree(cupel.folder)
    expected = {} if rewrite else read_expected()
    answers = {}
    for command in CASES:
        result = cupel.run(*command.split())
        answer = answers[command] = f"{result.stderr.rstrip(chr(10))}\nexit {result.returncode}"
        if not rewrite:
            checks.equal(answer, expected.get(command), f"cupel {command}")
        checks.that(result.returncode in (2, 3, 4, 6), f"cupel {command}: exit {result.returncode}")
        checks.equal(result.stdout, "", f"cupel {command}: standard output")
        checks.that(result.stderr.startswith("error: ") and "\n  " in result.stderr.rstrip("\n"),
                    f"cupel {command}: an error has a cause and a remedy\n{result.stderr}")
        after = tree(cupel.folder)
        if not checks.equal({k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}, set(),
                            f"cupel {command}: changed files"):
            before = after
    if rewrite:
        write_expected(answers)
    else:
        checks.equal(set(expected), set(CASES), "cases of errors.txt")


def check_old_output_stays(cupel, checks):
    """An existing output is as it was after a failure."""
    shutil.copy(cupel.folder / "good.onnx", cupel.folder / "kept.onnx")
    kept = (cupel.folder / "kept.onnx").read_bytes()
    for data in ("nan.toml", "overlap.toml"):
        cupel.run("quantize", "good.onnx", "-o", "kept.onnx", "--data", data)
        checks.equal((cupel.folder / "kept.onnx").read_bytes(), kept, f"old output after a failure on {data}")


def check_full_disk(cupel, checks):
    """No room for the output: exit 6, and no part of it stays."""
    for words, name in ((["quantize", "good.onnx", "--data", "good.toml", "-o", "{}/out.onnx"], "{}/out.onnx"),
                        (["assay", "good.onnx", "--data", "good.toml", "-o", "{}/out"], "{}/out/good.int8.onnx"),
                        (["run", "good.onnx", "--input", "image=input.npy", "-o", "{}/out", "--engine", "reference"],
                         "{}/out/logits.npy"),
                        (["inspect", "good.onnx", "--json", "{}/out.json"], "{}/out.json")):
        os.mkdir(cupel.folder / "full")
        # A limit on the size of files gives EFBIG where a full disk gives ENOSPC.
        result = cupel.run(*(w.format("full") for w in words),
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)))
        checks.equal((result.returncode, result.stderr),
                     (6, f"error: {name.format('full')}: cannot be written: File too large\n"
                         "  free some space or choose another place\n"), f"limit of file size: {words[0]}")
        checks.equal(tree(cupel.folder / "full"), {}, f"limit of file size: what {words[0]} left")
        shutil.rmtree(cupel.folder / "full")

        os.mkdir(cupel.folder / "full")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "cupel-check", cupel.folder / "full"],
                                 capture_output=True).returncode == 0
        if not mounted:
            print("no tmpfs can be mounted here; the full disk was tried by a limit of file size only")
            os.rmdir(cupel.folder / "full")
            continue
        try:
            (cupel.folder / "full/rest").write_bytes(b"x" * 4096)
            result = cupel.run(*(w.format("full") for w in words))
            checks.equal((result.returncode, result.stderr),
                         (6, f"error: {name.format('full')}: cannot be written: No space left on device\n"
                             "  free some space or choose another place\n"), f"full disk: {words[0]}")
            checks.equal(set(tree(cupel.folder / "full")), {"rest"}, f"full disk: what {words[0]} left")
        finally:
            subprocess.run(["umount", cupel.folder / "full"], check=True)
        os.rmdir(cupel.folder / "full")
    # Code is generated in the temporary folder.
    result = cupel.run("run", "good.onnx", "--input", "image=input.npy", "-o", "full",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)))
    checks.that(result.returncode == 6 and "set TMPDIR to another folder" in result.stderr,
                f"limit of file size: compiled run\n{result.returncode} {result.stderr}")
    checks.that(not (cupel.folder / "full").exists(), "limit of file size: compiled run left an output")
    check_full_device(cupel, checks)


def check_way_out(cupel, checks):
    """What has no compiled form runs where the interpreter is asked for, and nowhere else."""
    result = cupel.must("run", "no_compiled_form.onnx", "--input", "image=input.npy", "-o", "interpreted", "--engine",
                        "reference")
    checks.equal(result.stderr, "", "the interpreter runs what has no compiled form")
    shutil.rmtree(cupel.folder / "interpreted")
    result = cupel.must("evaluate", "no_compiled_form.onnx", "--data", "good.toml", "--engine", "reference", "--json", "-")
    checks.equal(json.loads(result.stdout)["provenance"]["versions"]["engine"], "reference interpreter",
                 "the interpreter answers, and the report says so")


def check_full_device(cupel, checks):
    """A device that is always full, as an output and as standard output. It is one of our own: a program that took
    /dev/full for a file, and replaced it, would break the machine."""
    device = cupel.folder / "full_device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        full = open(device, "w")
    except OSError:
        print("no device can be made here; a full device was not tried")
        return
    message = "cannot be written: No space left on device\n  free some space or choose another place\n"
    with full:
        result = subprocess.run([cupel.binary, "inspect", "good.onnx"], cwd=cupel.folder, stdout=full,
                                stderr=subprocess.PIPE, text=True)
    checks.equal((result.returncode, result.stderr), (6, f"error: standard output: {message}"), "full standard output")
    for words in (["quantize", "good.onnx", "--data", "good.toml", "-o"], ["inspect", "good.onnx", "--json"]):
        result = cupel.run(*words, "full_device")
        checks.equal((result.returncode, result.stderr), (6, f"error: full_device: {message}"), f"{words[0]} to a device")
    checks.that(device.is_char_device(), "the device is one still")
    device.unlink()


def check_memory_limits(cupel, checks):
    """Whatever the limit, the answer is the result or exit 6 with the limit's name, never a crash."""
    model, data = cupel.source / "models/fashion_vit.onnx", cupel.source / "models/fashion_mnist.toml"
    answers = set()
    for megabytes in (8, 16, 24, 40, 64, 72, 80, 96, 120, 160, 200, 240, 280, 320, 400, 800):
        out = cupel.folder / f"memory{megabytes}"
        result = cupel.run("assay", model, "--data", data, "--samples", 20, "--layer-samples", 5, "-o", out,
                           "--max-memory", megabytes, "--threads", 2)
        answers.add(result.returncode)
        checks.that(result.returncode in (0, 6), f"--max-memory {megabytes}: exit {result.returncode}\n{result.stderr}")
        if result.returncode == 6:
            checks.that("--max-memory" in result.stderr, f"--max-memory {megabytes}: {result.stderr}")
            checks.that(not out.exists(), f"--max-memory {megabytes}: {out.name} was left")
    checks.equal(answers, {0, 6}, "answers to limits of memory")
    # Less than code generation takes: its programs keep the limit too, and an empty cache hides nothing.
    answers = set()
    np.save("one.npy", np.zeros((1, 1, 28, 28), np.float32))
    for megabytes in range(40, 140, 6):
        out = cupel.folder / "code"
        result = cupel.run("run", model, "--input", "image=one.npy", "-o", out, "--max-memory", megabytes, "--threads", 2,
                           env=os.environ | {"CUPEL_CACHE": ""})
        answers.add(result.returncode)
        checks.that(result.returncode in (0, 6), f"run --max-memory {megabytes}: exit {result.returncode}\n{result.stderr}")
        checks.that(result.returncode == 0 or "--max-memory" in result.stderr,
                    f"run --max-memory {megabytes}: {result.stderr}")
        checks.equal(out.exists(), result.returncode == 0, f"run --max-memory {megabytes}: an output")
        shutil.rmtree(out, ignore_errors=True)
    checks.equal(answers, {0, 6}, "answers of compiled runs to limits of memory")


    check_memory_of_threads(cupel, checks)


def check_memory_of_threads(cupel, checks):
    """Memory that runs out in any thread of the interpreter ends the program with exit 6."""
    model = cupel.source / "models/fashion_mobilenet.onnx"
    np.save("many.npy", np.zeros((400, 1, 28, 28), np.float32))
    answers = set()
    for megabytes in range(60, 1180, 80):
        out = cupel.folder / "threads"
        result = cupel.run("run", model, "--input", "image=many.npy", "-o", out, "--batch", 400, "--engine", "reference",
                           "--threads", 4, "--max-memory", megabytes)
        answers.add(result.returncode)
        checks.that(result.returncode in (0, 6),
                    f"interpreter, --max-memory {megabytes}: exit {result.returncode}\n{result.stderr}")
        checks.equal(out.exists(), result.returncode == 0, f"interpreter, --max-memory {megabytes}: an output")
        shutil.rmtree(out, ignore_errors=True)
    checks.equal(answers, {0, 6}, "answers of the interpreter to limits of memory")


def check_planted_links(cupel, checks):
    """Links at the places of outputs are replaced; what they lead to stays as it is."""
    for words, name in ((["quantize", "good.onnx", "--data", "good.toml", "-o", "planted_out"], "planted_out"),
                        (["compile", "good.onnx", "-o", "planted_out.so"], "planted_out.so"),
                        (["inspect", "good.onnx", "--json", "planted_out.json"], "planted_out.json"),
                        (["run", "good.onnx", "--input", "image=input.npy", "-o", "planted_folder"],
                         "planted_folder/logits.npy")):
        place, victim = cupel.folder / name, cupel.folder / "victim"
        victim.write_text("precious")
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(victim)
        cupel.must(*words)
        checks.equal(victim.read_text(), "precious", f"{words[0]}: what a link at the output leads to")
        checks.that(place.is_file() and not place.is_symlink(), f"{words[0]}: the output is a file")
        victim.unlink()
        place.unlink()
    # Standard output by its name, which is a file here: neither is replaced.
    with open(cupel.folder / "stdout", "w") as file:
        result = subprocess.run([cupel.binary, "inspect", "good.onnx", "--json", "/dev/stdout"], cwd=cupel.folder,
                                stdout=file, stderr=subprocess.PIPE, text=True)
    checks.equal((result.returncode, result.stderr),
                 (2, "error: /dev/stdout: leads to an ordinary file\n  name that file itself\n"), "--json /dev/stdout")
    checks.that(pathlib.Path("/dev/stdout").is_symlink(), "/dev/stdout is a link still")


def check_cache(cupel, checks):
    """Kernels are kept in a folder of this user alone."""
    cache = cupel.folder / "cache"
    cache.mkdir()
    for mode, warned in ((0o777, True), (0o720, True), (0o755, False)):
        cache.chmod(mode)
        result = cupel.must("compile", "good.onnx", "-o", "cached.so", env=os.environ | {"CUPEL_CACHE": str(cache)})
        warning = (f"warning: {cache}: can be written to by other users, so no kernel is kept there or taken from it\n"
                   "  take the right from them (chmod go-w), or name another folder by CUPEL_CACHE\n")
        checks.equal(result.stderr, warning if warned else "", f"a cache of mode {mode:o}")
        checks.equal([p for p in cache.rglob("*") if p.is_file()] == [], warned, f"a cache of mode {mode:o} is used")
    shutil.rmtree(cache)
    result = cupel.must("compile", "good.onnx", "-o", "cached.so",
                        env=os.environ | {"CUPEL_CACHE": str(cache), "CUPEL_CACHE_MAX": "much"})
    checks.equal(result.stderr, "warning: CUPEL_CACHE_MAX: found much, expected a whole number of MB\n"
                 "  correct or unset the variable; until then no kernel is kept\n", "a limit that is no number")
    checks.that(not cache.exists(), "a limit that is no number: nothing is kept")


def check_partial(cupel, checks, cause, out, output):
    """What an assay leaves that was ended during its accuracy: a report of the samples that were done."""
    checks.equal({p.name for p in out.iterdir()}, {"fashion_resnet.int8.onnx", "report.json", "report.html"},
                 f"{cause}: files")
    report = json.loads((out / "report.json").read_text())
    samples = report["accuracy"][0]["models"][0]["samples"]
    warning = f"{samples} of the 10000 samples of the report split were used: the run was interrupted."
    checks.that(0 < samples < 10000, f"{cause}: {samples} samples")
    checks.that({"severity": "deviation", "text": warning} in report["warnings"], f"{cause}: {report['warnings']}")
    checks.that(warning in output, f"{cause}: the verdict says so\n{output}")


def check_interrupt(cupel, checks):
    """Ctrl-C and --timeout during an assay leave a report of the samples that were done, and say so."""
    model, data = cupel.source / "models/fashion_resnet.onnx", cupel.source / "models/fashion_mnist.toml"
    # The interpreter: compiled code would be done too soon.
    words = ["assay", model, "--data", data, "--threads", "1", "--engine", "reference", "-o"]
    out = cupel.folder / "interrupted"
    with subprocess.Popen([cupel.binary, *words, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        # The INT8 model lies in the staging folder once calibration is complete.
        while process.poll() is None and not list(out.glob(".cupel-*/*.onnx")):
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        output, error = process.communicate(timeout=60)
    checks.that(time.monotonic() - begun < 15, "interrupted: it ends soon")
    checks.equal((process.returncode, error), (130, ""), "interrupted: exit code and standard error")
    if checks.that((out / "report.json").exists(), "interrupted: there is a report"):
        check_partial(cupel, checks, "interrupted", out, output)

    out = cupel.folder / "timeout"
    result = cupel.run(*words, out, "--timeout", 8)
    checks.equal((result.returncode, result.stderr),
                 (6, "error: --timeout: the time limit was reached before the work was complete\n"
                     "  raise --timeout, or use a subset of the samples\n"), "timeout: exit code and standard error")
    # On a slow machine the time ends during calibration, with nothing to keep.
    if out.exists():
        check_partial(cupel, checks, "timeout", out, result.stdout)

    # Ctrl-C while code is generated: the first batch is compared, as soon as there is code.
    out = cupel.folder / "generating"
    with subprocess.Popen([cupel.binary, "assay", model, "--data", data, "-o", out], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=os.environ | {"CUPEL_CACHE": ""}) as process:
        while process.poll() is None and not list(out.glob(".cupel-*/*.onnx")):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    checks.equal((process.returncode, error), (130, ""), "interrupted while generating: exit code and standard error")
    if checks.that((out / "report.json").exists(), "interrupted while generating: there is a report"):
        check_partial(cupel, checks, "interrupted while generating", out, output)

    # Before calibration is complete there is nothing to keep.
    out = cupel.folder / "early"
    result = cupel.run("quantize", model, "--data", data, "-o", out, "--timeout", 1, "--threads", 1, "--batch", 1)
    if result.returncode != 0:
        checks.equal(result.returncode, 6, "an early timeout")
        checks.that(not out.exists(), "an early timeout leaves nothing")


def check_stop_after(cupel, checks):
    """--stop-after ends every verb without an output."""
    for words in (["inspect", "good.onnx"], ["run", "good.onnx", "--input", "image=input.npy", "-o", "out"],
                  ["quantize", "good.onnx", "--data", "good.toml", "-o", "out"],
                  ["assay", "good.onnx", "--data", "good.toml", "-o", "out"],
                  ["evaluate", "good.onnx", "good.int8.onnx", "--data", "good.toml"]):
        result = cupel.run(*words, "--stop-after", "fold_batch_norm")
        checks.equal((result.returncode, result.stdout, result.stderr), (0, "", "stopped after pass fold_batch_norm\n"),
                     f"--stop-after: {words[0]}")
        checks.that(not (cupel.folder / "out").exists(), f"--stop-after: {words[0]} left an output")


def make_native_code(artifact):
    """Files that hold native code, and are not to be run."""
    middle = len(artifact) // 2
    pathlib.Path("damaged.so").write_bytes(artifact[:middle] + bytes([artifact[middle] ^ 1]) + artifact[middle + 1 :])
    owner = artifact.index(b"Cupel\0\0\0")
    pathlib.Path("older.so").write_bytes(artifact[: owner + 8] + b"\1\0\0\0" + artifact[owner + 12 :])
    shutil.copy("good.so", "nameless")
    shutil.copy("input.npy", "input.so")
    # A library whose code leaves a file as soon as it is loaded: the checks of changed files would see it.
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", "planted.so"], check=True, text=True,
                   input='#include <stdio.h>\n__attribute__((constructor)) static void leave_trace(void) '
                         '{ fclose(fopen("trace", "w")); }\nconst int cupel_planted_image = 3;\n')
    shutil.copy("planted.so", "planted.onnx")
    subprocess.run([sys.executable, "-c", "import ctypes; ctypes.CDLL('./planted.so')"], check=True)
    os.remove("trace")  # so it does


def main():
    rewrite = sys.argv[-1] == "--rewrite"
    cupel, checks = harness.begin(sys.argv[:-1] if rewrite else sys.argv)
    os.chdir(cupel.folder)
    bad_files.make_models()
    bad_files.make_data()
    cupel.must("compile", "good.onnx", "-o", "good.so")
    cupel.must("compile", "lookup.onnx", "-o", "lookup.so")
    artifact = pathlib.Path("good.so").read_bytes()
    pathlib.Path("cut.so").write_bytes(artifact[: len(artifact) // 2])
    make_native_code(artifact)
    check_cases(cupel, checks, rewrite)
    check_old_output_stays(cupel, checks)
    check_full_disk(cupel, checks)
    check_way_out(cupel, checks)
    check_stop_after(cupel, checks)
    check_planted_links(cupel, checks)
    check_cache(cupel, checks)
    check_memory_limits(cupel, checks)
    check_interrupt(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
