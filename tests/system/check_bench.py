"""`cupel bench`, and artifacts as models of `run` and `bench`: results, text and JSON, errors, interruptions."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import harness
import numpy as np

NETWORK = "models/fashion_resnet.onnx"
QUANTILES = ("median", "p90", "p95", "p99")


def bench(cupel, *words):
    """The text and the JSON of one measurement."""
    result = cupel.must("bench", *words, "--json", "bench.json")
    return result.stdout, json.loads((cupel.folder / "bench.json").read_text())


def check_model(checks, model, name):
    """Numbers of one model that hold whatever the machine."""
    for quantile in QUANTILES:
        value, interval = model[f"latency_{quantile}_us"], model[f"latency_{quantile}_interval_us"]
        checks.that(0 < interval["lower"] <= value <= interval["upper"], f"{name}: {quantile} {value} in {interval}")
        checks.that(0 <= model[f"latency_{quantile}_interval_coverage"] <= 1, f"{name}: coverage of {quantile}")
    values = [model[f"latency_{q}_us"] for q in QUANTILES]
    checks.that(values == sorted(values), f"{name}: quantiles rise: {values}")
    expected = 1e6 * model["batch"] / model["latency_mean_us"]
    checks.that(abs(model["throughput_items_per_s"] / expected - 1) < 1e-9, f"{name}: throughput")
    checks.that(model["runs"] >= len(model["round_medians_us"]) > 0, f"{name}: runs and rounds")
    checks.that(model["arena_bytes"] > 0 and model["constants_bytes"] > 100_000, f"{name}: bytes")


def check_one(cupel, checks):
    text, result = bench(cupel, NETWORK, "--threads", 1, "--duration-s", 0.5, "--per-kernel")
    (model,) = result["models"]
    check_model(checks, model, "one model")
    checks.equal((model["name"], model["kind"], model["batch"]), ("fashion_resnet", "onnx", 1), "one model")
    checks.equal(result["comparisons"], [], "one model: nothing to compare")
    checks.that(re.fullmatch(r"1 thread, bound to logical CPU \d+", result["placement"]), result["placement"])
    checks.that(result["int8_peak_gops"] > 0 and result["fp32_peak_gflops"] > 0, "the machine's peaks")
    checks.that("measured peak: " in text, "the text shows the peak")
    for name in ("date", "command", "versions", "machine", "clock", "confidence", "peaks", "peaks_after"):
        checks.that(result.get(name), f"JSON: {name}")
    # Kernel by kernel: all of the network's work, most of the time.
    kernels = model["kernels"]
    macs = json.loads(cupel.must("inspect", NETWORK, "--json", "-").stdout)["macs_per_sample"]
    checks.equal(sum(k["multiply_adds"] for k in kernels), macs, "multiply-adds of the kernels")
    checks.that(abs(sum(k["share"] for k in kernels) - 1) < 1e-9, "shares of the kernels")
    checks.equal([k["position"] for k in kernels], list(range(len(kernels))), "positions of the kernels")
    for k in kernels:
        has_products = k["multiply_adds"] > 0
        checks.equal((k["gops"] is not None, k["peak_share"] is not None), (has_products,) * 2, f"rates of {k['name']}")
        checks.that(k["bytes"] > 0 and k["origins"], f"bytes and origins of {k['name']}")
        checks.that(k["name"] in text, f"text: {k['name']}")
        if has_products:
            rate = 2e-3 * k["multiply_adds"] / max(k["median_us"], 1e-3)
            checks.that(abs(k["gops"] / rate - 1) < 1e-6, f"GOPS of {k['name']}")
            checks.that(abs(k["peak_share"] * result["fp32_peak_gflops"] / k["gops"] - 1) < 1e-6,
                        f"share of the peak of {k['name']}")
    total = sum(k["median_us"] for k in kernels)
    forms = model["kernel_forms"]
    checks.that(abs(model["kernels_sum_us"] / total - 1) < 1e-9, "sum of the kernels")
    checks.equal(sum(f["kernels"] for f in forms), len(kernels), "kernels of all forms")
    checks.that(abs(sum(f["sum_us"] for f in forms) / total - 1) < 1e-9, "sum of the forms")
    checks.equal([f["sum_us"] for f in forms], sorted((f["sum_us"] for f in forms), reverse=True), "order of the forms")
    checks.that("contract_f32_f32_f32" in {f["name"] for f in forms}, f"{forms}")
    checks.that(0.5 < total / model["latency_median_us"] < 2, f"kernels take {total} of {model['latency_median_us']} µs")


def check_comparison(cupel, checks):
    """A model against the same code in an artifact, and against another network."""
    cupel.must("compile", NETWORK, "-o", "host.so")
    shutil.copy(cupel.folder / "host.so", cupel.folder / "copy.so")
    text, result = bench(cupel, NETWORK, "copy.so", "models/fashion_vit.onnx", "--threads", 1, "--duration-s", 1, "--clock",
                         "cpu")
    base, copy, vit = result["models"]
    for model in result["models"]:
        check_model(checks, model, model["name"])
        checks.equal(len(model["round_medians_us"]), result["rounds"], f"{model['name']}: rounds")
        checks.that("kernels" not in model, f"{model['name']}: kernels were not asked for")
    checks.equal((result["clock"], base["kind"], copy["kind"]), ("cpu", "onnx", "artifact"), "clock and kinds")
    checks.equal(base["constants_bytes"], copy["constants_bytes"], "the artifact is the same code")
    checks.equal(result["rounds"] % 6, 0, "whole cycles of three models")
    for comparison, model in zip(result["comparisons"], (copy, vit), strict=True):
        checks.equal((comparison["base"], comparison["candidate"]), ("fashion_resnet", model["name"]), "names")
        logs = np.log(np.array(model["round_medians_us"]) / np.array(base["round_medians_us"]))
        checks.that(abs(np.exp(np.median(logs)) / comparison["time_ratio"] - 1) < 1e-9, "ratio of paired rounds")
        interval, verdict = comparison["time_ratio_interval"], comparison["verdict"]
        checks.that(comparison["time_ratio_interval_coverage"] >= 0.95, "coverage of the ratio")
        overlap = (base["latency_median_interval_us"]["lower"] <= model["latency_median_interval_us"]["upper"] and
                   model["latency_median_interval_us"]["lower"] <= base["latency_median_interval_us"]["upper"])
        shown = not overlap and not interval["lower"] <= 1 <= interval["upper"]
        side = "faster" if comparison["time_ratio"] < 1 else "slower"
        checks.equal(verdict, side if shown else "no difference shown", f"verdict on {comparison}")
        checks.that(re.search(rf"^{re.escape(model['name'])} takes .* rounds: {verdict}$", text, re.M), f"text: {verdict}")


def check_inputs(cupel, checks):
    images, _ = harness.fashion_mnist("t10k", np.arange(4))
    np.save(cupel.folder / "images.npy", images)
    for batch in (1, 3):
        _, result = bench(cupel, "host.so", "--input", "image=images.npy", "--batch", batch, "--duration-s", 0.05)
        checks.equal(result["models"][0]["batch"], batch, "--batch")
    _, result = bench(cupel, "host.so", "--rounds", 7, "--runs", 5)
    checks.equal((result["rounds"], result["models"][0]["runs"]), (7, 35), "--rounds and --runs")
    result = cupel.must("bench", "host.so", "--rounds", 1, "--runs", 1, "--json", "-")
    checks.equal(json.loads(result.stdout)["rounds"], 1, "--json -: nothing else on standard output")


def check_run(cupel, checks):
    """An artifact gives the interpreter's bytes, in chunks of any batch."""
    images, _ = harness.fashion_mnist("t10k", np.arange(7))
    expected = cupel.outputs(NETWORK, images)
    for flags in ([], ["--batch", 3], ["--threads", 2], ["--engine", "compiled"]):
        found = cupel.outputs("host.so", images, "logits", *flags)
        checks.that(found.tobytes() == expected.tobytes(), f"run host.so {flags}: the interpreter's bytes")


def check_targets(cupel, checks):
    """What the CPU cannot run is exit 4, and names what is missing."""
    usable = set(json.loads(cupel.must("doctor", "--json", "-").stdout)["machine"]["instructions"])
    for target, needs in (("x86-64-v3+avxvnni", {"avxvnni"}), ("x86-64-v4+avx512vnni", {"avx512f", "avx512vnni"})):
        cupel.must("compile", NETWORK, "-o", "other.so", "--target", target)
        runs = needs <= usable
        for words in (["run", "other.so", "--input", "image=images.npy", "-o", "out"],
                      ["bench", "other.so", "--rounds", "1", "--runs", "1"]):
            result = cupel.run(*words)
            if runs:
                checks.equal((result.returncode, result.stderr), (0, ""), f"{words[0]} for {target}")
                continue
            checks.that(re.fullmatch(r"error: other\.so: the CPU lacks [\w, .]+\n"
                                     r"  compile the model for a target that this machine runs\n", result.stderr),
                        f"{words[0]} for {target}: {result.stderr}")
            checks.equal((result.returncode, result.stdout), (4, ""), f"{words[0]} for {target}")
            checks.that(all(name in result.stderr for name in needs - usable), result.stderr)


def check_interrupt(cupel, checks):
    """Ctrl-C and --timeout leave what the complete rounds say."""
    words = ["bench", "host.so", "host.so", "--rounds", "100000", "--runs", "20", "--threads", "1", "--json"]
    with subprocess.Popen([cupel.binary, *words, "stopped.json"], cwd=cupel.folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        output, error = process.communicate(timeout=60)
    checks.that(time.monotonic() - begun < 10, "interrupted: it ends soon")
    checks.equal((process.returncode, error), (130, ""), "interrupted: exit code and standard error")
    partial(checks, json.loads((cupel.folder / "stopped.json").read_text()), output, "interrupted")
    result = cupel.run(*words, "late.json", "--timeout", 5)
    checks.equal((result.returncode, result.stderr.splitlines()[0]),
                 (6, "error: --timeout: the time limit was reached before the work was complete"), "--timeout")
    partial(checks, json.loads((cupel.folder / "late.json").read_text()), result.stdout, "--timeout")


def partial(checks, result, text, cause):
    done = result["rounds"]
    checks.that(result["interrupted"] and 0 < done < 100000, f"{cause}: {done} rounds")
    checks.equal([m["runs"] for m in result["models"]], [20 * done] * 2, f"{cause}: runs")
    checks.equal(result["peaks_after"], None, f"{cause}: no second measurement of the peak")
    checks.that(f"interrupted: {done} of 100000 rounds are complete and counted" in text, f"{cause}: the text says so")
    checks.that(result["comparisons"][0]["rounds"] == done, f"{cause}: the comparison")


def main():
    cupel, checks = harness.begin(sys.argv)
    (cupel.folder / "models").symlink_to(pathlib.Path(cupel.source) / "models")
    check_one(cupel, checks)
    check_comparison(cupel, checks)
    check_inputs(cupel, checks)
    check_run(cupel, checks)
    check_targets(cupel, checks)
    check_interrupt(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
