"""One compiled model holds several sizes, picks those of its arrays, and says which there are.

Each of its sizes gives the bits of a model compiled for that size alone; a program in C uses two.
"""

import json
import subprocess
import sys

import harness
import numpy as np
import onnx
from onnx import TensorProto, helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>

#include "m.h"

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, cupel_m_error());
  return 1;
}

int main(void) {
  CupelSession* session = NULL;
  if (cupel_m_create(1, &session) != kCupelOk) return fail("create");
  for (const CupelModel* m = cupel_m_metadata(); m != NULL; m = m->next)
    printf("%s: %d\n", m->sizes, (int)m->inputs[0].dims[1]);
  static int64_t ids[2 * 64];
  static float y[2 * 64 * 8];
  const void* inputs[] = {ids};
  void* outputs[] = {y};
  if (cupel_m_run(session, 2, inputs, outputs) != kCupelBadArgument) return fail("run before select");
  printf("%s\n", cupel_m_error());
  const int64_t wrong[] = {2, 63};
  const int64_t* wrong_dims[] = {wrong};
  if (cupel_m_select(session, wrong_dims, NULL, NULL) != kCupelBadArgument) return fail("select of 63");
  printf("%s\n", cupel_m_error());
  const int64_t lengths[] = {64, 16, 64};
  for (int i = 0; i < 3; ++i) {
    const int64_t shape[] = {2, lengths[i]};
    const int64_t* dims[] = {shape};
    int64_t batch = 0;
    const CupelModel* sizes = NULL;
    if (cupel_m_select(session, dims, &batch, &sizes) != kCupelOk) return fail("select");
    for (int64_t j = 0; j < 2 * lengths[i]; ++j) ids[j] = j % 20;
    if (cupel_m_run(session, batch, inputs, outputs) != kCupelOk) return fail("run");
    char name[40];
    snprintf(name, sizeof name, "y%d_%d.bin", (int)lengths[i], i);
    FILE* file = fopen(name, "wb");
    if (file == NULL) return 1;
    fwrite(y, (size_t)(sizes->outputs[0].item_bytes * batch), 1, file);
    fclose(file);
  }
  cupel_m_free(session);
  return 0;
}
"""


def attention(path):
    """A network over [batch, seq] indices with shared weights; its middle is [batch, seq, seq]."""
    rng = np.random.default_rng(7)
    weights = {"table": rng.standard_normal((20, 8)).astype(np.float32), "w": rng.standard_normal((8, 8)).astype(np.float32)}
    nodes = [helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["h"]),
             helper.make_node("Transpose", ["h"], ["t"], perm=[0, 2, 1]), helper.make_node("MatMul", ["h", "t"], ["s"]),
             helper.make_node("Softmax", ["s"], ["a"], axis=-1), helper.make_node("MatMul", ["a", "h"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("ids", INT64, ["batch", "seq"])],
                              [helper.make_tensor_value_info("y", FLOAT, None)],
                              [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def convolution(path):
    """A convolution of images of any size, whose second input has the same batch."""
    rng = np.random.default_rng(2)
    w = rng.standard_normal((5, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Add", ["c", "bias"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", FLOAT, ["n", 3, "h", "w_"]),
                                           helper.make_tensor_value_info("bias", FLOAT, ["n", 5, 1, 1])],
                              [helper.make_tensor_value_info("y", FLOAT, None)], [onnx.numpy_helper.from_array(w, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def run_code(cupel, code, arrays, name, *flags):
    words = []
    for key, array in arrays.items():
        np.save(cupel.folder / f"{key}.npy", array)
        words += ["--input", f"{key}={cupel.folder / key}.npy"]
    done = cupel.run("run", code, *words, "-o", cupel.folder / name, *flags)
    return done, np.load(cupel.folder / name / "y.npy") if done.returncode == 0 else None


def check_lengths(cupel, checks):
    model, code = cupel.folder / "m.onnx", cupel.folder / "m.so"
    attention(model)
    lengths = (16, 33, 64)
    done = cupel.must("compile", model, "-o", code, "--dim", "seq=16,33,64", "--json", "-")
    report = json.loads(done.stdout)
    checks.equal([row["sizes"] for row in report["sizes"]], [f"seq={n}" for n in lengths], "the JSON lists the sizes")
    checks.equal([row["inputs"][0]["shape"] for row in report["sizes"]], [f"[batch,{n}]" for n in lengths], "with their shapes")
    again = json.loads(cupel.must("compile", model, "-o", code,
                                  "--dim", "seq=16,33,64", "--json", "-").stdout)
    checks.equal(again["sha256"], report["sha256"], "the same bytes every time")
    shown = json.loads(cupel.must("inspect", code, "--json", "-").stdout)
    checks.equal([row["sizes"] for row in shown["sizes"]], [f"seq={n}" for n in lengths], "inspect lists the sizes")
    header = (cupel.folder / "m.h").read_text()
    for n in lengths:
        checks.that(f"// For seq={n}:\n//   input ids s64[batch,{n}]\n//   output y f32[batch,{n},8]\n" in header,
                    f"the header says seq={n}")
    ids = np.random.default_rng(1).integers(0, 20, (7, 64))
    sizes = 0
    for n in lengths:
        alone = cupel.folder / f"alone{n}.so"
        cupel.must("compile", model, "-o", alone, "--dim", f"seq={n}")
        sizes += alone.stat().st_size
        for rows in (1, 7):
            for flags in ([], ["--batch", "3"]):
                _, expected = run_code(cupel, alone, {"ids": ids[:rows, :n]}, f"alone{n}", *flags)
                done, found = run_code(cupel, code, {"ids": ids[:rows, :n]}, f"of{n}", *flags)
                if checks.equal(done.returncode, 0, f"run {rows} x {n}: {done.stderr}"):
                    checks.that(found.tobytes() == expected.tobytes(), f"{rows} x {n} {flags}: the bits of one size alone")
    checks.that(code.stat().st_size < sizes, "one file is smaller than the three")
    done, _ = run_code(cupel, code, {"ids": ids[:, :17]}, "none")
    checks.equal(done.returncode, 3, "a length that is not there")
    checks.equal(done.stderr, "error: inputs: found ids s64[7,17], expected one of the sizes that the model holds: "
                 "seq=16 (ids s64[batch,16]); seq=33 (ids s64[batch,33]); seq=64 (ids s64[batch,64])\n"
                 "  give data of one of these sizes, or compile the model for this one too\n", "the error lists the sizes")
    check_bench(cupel, checks, code)
    check_program(cupel, checks)


def check_bench(cupel, checks, code):
    quick = ["--duration-s", "0.05", "--rounds", "1", "--json", "-"]
    names = [m["name"] for m in json.loads(cupel.must("bench", code, *quick).stdout)["models"]]
    checks.equal(names, ["m seq=16", "m seq=33", "m seq=64"], "bench measures each of the sizes")
    names = [m["name"] for m in json.loads(cupel.must("bench", code, "--dim", "seq=33", *quick).stdout)["models"]]
    checks.equal(names, ["m seq=33"], "bench measures the sizes of --dim")
    names = [m["name"] for m in json.loads(cupel.must("bench", code, "--shape", "ids=?x64", *quick).stdout)["models"]]
    checks.equal(names, ["m seq=64"], "bench measures the sizes of --shape")
    np.save(cupel.folder / "ids.npy", np.zeros((1, 16), np.int64))
    done = cupel.must("bench", code, "--input", f"ids={cupel.folder / 'ids.npy'}", *quick)
    checks.equal([m["name"] for m in json.loads(done.stdout)["models"]], ["m seq=16"], "bench measures the sizes of arrays")
    checks.equal(cupel.run("bench", code, "--dim", "seq=17", *quick).returncode, 2, "bench of a size that is not there")


def check_program(cupel, checks):
    (cupel.folder / "program.c").write_text(PROGRAM)
    subprocess.run(["cc", "-std=c99", "-Wall", "-Werror", "program.c", "-I.", f"-I{cupel.source}/include", "./m.so",
                    "-Wl,-rpath,$ORIGIN", "-o", "program"], cwd=cupel.folder, check=True)
    done = subprocess.run(["./program"], cwd=cupel.folder, capture_output=True, text=True)
    if not checks.equal(done.returncode, 0, f"a program in C: {done.stderr}"):
        return
    checks.equal(done.stdout, "seq=16: 16\nseq=33: 33\nseq=64: 64\nthe model holds several sizes, and none was selected\n"
                 "the inputs are ids [2,63], the model holds seq=16, seq=33, seq=64\n", "what the program prints")
    for i, n in enumerate((64, 16, 64)):
        ids = (np.arange(2 * n) % 20).reshape(2, n)
        _, expected = run_code(cupel, cupel.folder / f"alone{n}.so", {"ids": ids}, "expected")
        checks.that((cupel.folder / f"y{n}_{i}.bin").read_bytes() == expected.tobytes(), f"the program's bits, {n}")


def check_shapes(cupel, checks):
    model, code = cupel.folder / "c.onnx", cupel.folder / "c.so"
    convolution(model)
    cupel.must("compile", model, "-o", code, "--dim", "h=6,9", "--dim", "w_=5,4")
    x, bias = np.random.default_rng(3).random((4, 3, 9, 5), np.float32), np.ones((4, 5, 1, 1), np.float32)
    for h in (6, 9):
        for w in (5, 4):
            done, y = run_code(cupel, code, {"x": x[:, :, :h, :w], "bias": bias}, "c")
            if checks.equal(done.returncode, 0, f"run {h} x {w}: {done.stderr}"):
                checks.equal(y.shape, (4, 5, h, w), f"the shape for {h} x {w}")
    # Shapes that fix the batch: arrays of more rows are cut into batches of the first that fits.
    cupel.must("compile", model, "-o", code, "--shape", "x=2x3x9x5,1x3x6x5", "--shape", "bias=2x5x1x1,1x5x1x1")
    fixed = [row["fixed_batch"] for row in json.loads(cupel.must("inspect", code, "--json", "-").stdout)["sizes"]]
    checks.equal(fixed, [2, 1], "inspect says which batch is fixed")
    checks.that("//   batch 2\n" in (cupel.folder / "c.h").read_text(), "the header says which batch is fixed")
    reference = cupel.folder / "reference"
    np.save(cupel.folder / "x.npy", x)
    np.save(cupel.folder / "bias.npy", bias)
    cupel.must("run", model, "--engine", "reference", "--input", f"x={cupel.folder / 'x.npy'}", "--input",
               f"bias={cupel.folder / 'bias.npy'}", "-o", reference)
    done, y = run_code(cupel, code, {"x": x, "bias": bias}, "c")
    if checks.equal(done.returncode, 0, f"four rows in batches of two: {done.stderr}"):
        checks.that(y.tobytes() == np.load(reference / "y.npy").tobytes(), "four rows in batches of two: the bits")


def check_refusals(cupel, checks):
    model, code = cupel.folder / "m.onnx", cupel.folder / "r.so"
    for flags, exit_code, text in (
            (["--dim", "seq=16,16"], 2, "seq=16 stands twice"),
            (["--dim", "seq=16,"], 2, "found seq=, expected NAME=N"),
            (["--dim", "seq=16,x"], 2, "expected a whole number"),
            (["--dim", "seq=16,17", "--dim", "seq=18"], 2, "has sizes already"),
            (["--dim", "seq=" + ",".join(map(str, range(1, 66)))], 6, "65 combinations are more than 64"),
            (["--shape", "ids=1x16,2xy"], 2, "expected a whole number"),
            (["--shape", "ids=?x16,2x16"], 2, "no input tells them from"),
            (["--dim", "seq=16,17", "--stop-after", "fold_constants"], 2, "several sizes are named"),
            (["--dim", "seq=16,17", "--dump-ir", "dumps"], 2, "several sizes are named"),
            (["--dim", "length=16,17"], 2, "no input has a symbolic dimension length")):
        done = cupel.run("compile", model, "-o", code, *flags)
        checks.equal(done.returncode, exit_code, f"compile {flags}: {done.stderr}")
        checks.that(text in done.stderr, f"compile {flags} says {text!r}: {done.stderr}")
    checks.that(not code.exists(), "nothing was written")
    for verb in ("inspect", "bench"):
        checks.equal(cupel.run(verb, model, "--dim", "seq=16,17").returncode, 2, f"{verb} takes one size")
    checks.equal(cupel.run("inspect", cupel.folder / "m.so", "--explain").returncode, 2, "compiled code has no nodes to explain")


def main():
    cupel, checks = harness.begin(sys.argv)
    for check in (check_lengths, check_shapes, check_refusals):
        check(cupel, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
