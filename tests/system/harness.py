"""What the system checks share: running the program, counting checks, Fashion-MNIST as arrays."""

import gzip
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

NETWORKS = ("fashion_resnet", "fashion_mobilenet", "fashion_vit")
MEAN, STD = 0.2860, 0.3530  # of models/fashion_mnist.toml


class Checks:
    """Counts checks; a failed one is printed at once (unless quiet) and fails the program at the end."""

    def __init__(self, quiet=False):
        self.done = 0
        self.failed = 0
        self.quiet = quiet

    def that(self, holds, text):
        self.done += 1
        if not holds:
            self.failed += 1
            if not self.quiet:
                print(f"FAILED  {text}", flush=True)
        return bool(holds)

    def equal(self, found, expected, text):
        return self.that(found == expected, f"{text}\n  found:    {found!r}\n  expected: {expected!r}")

    def finish(self):
        print(f"{self.done} checks, {self.failed} failed")
        return 1 if self.failed else 0


class Cupel:
    """The program under test."""

    def __init__(self, binary, source, folder):
        self.binary = os.path.abspath(binary)
        self.source = pathlib.Path(source).resolve()
        self.folder = pathlib.Path(folder)

    def run(self, *words, folder=None, timeout=600, **options):
        """Runs the program in `folder`; the result has returncode, stdout and stderr (texts)."""
        return subprocess.run([self.binary, *map(str, words)], cwd=folder or self.folder, capture_output=True, text=True,
                              errors="replace", timeout=timeout, stdin=subprocess.DEVNULL, **options)

    def must(self, *words, **options):
        """The same for a call that has to succeed."""
        result = self.run(*words, **options)
        if result.returncode != 0:
            sys.exit(f"cupel {' '.join(map(str, words))}\nexit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def outputs(self, model, images, output="logits", *flags):
        """What `cupel run` makes of `images`: the array of one output."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            np.save(f"{folder}/in.npy", images)
            self.must("run", model, "--input", f"image={folder}/in.npy", "-o", f"{folder}/out", *flags)
            return np.load(f"{folder}/out/{output}.npy")


def begin(arguments):
    """Binary and source folder from the command line, as a Cupel that works in a folder of its own; and the Checks."""
    if len(arguments) != 3:
        sys.exit(f"usage: {arguments[0]} CUPEL_BINARY SOURCE_DIR")
    folder = tempfile.TemporaryDirectory(prefix="cupel-check-")
    cupel = Cupel(arguments[1], arguments[2], folder.name)
    cupel.keep = folder  # removed with the object
    return cupel, Checks()


def idx(path):
    """The array of a gzip-compressed IDX file of bytes."""
    with gzip.open(path) as file:
        content = file.read()
    rank = content[3]
    dims = np.frombuffer(content, ">u4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(dims)


def array_data_set(folder, samples):
    """Writes a data set of `samples`, [count, …], all for calibration; gives the path of its TOML file."""
    np.save(f"{folder}/samples.npy", samples)
    (pathlib.Path(folder) / "every.txt").write_text("".join(f"{i}\n" for i in range(len(samples))))
    path = pathlib.Path(folder) / "samples.toml"
    path.write_text('[sources.all]\nformat = "npz"\nimages = "samples.npy"\nimage_layout = "none"\n[preprocess]\nsteps = []\n'
                    '[splits]\ncalibrate = { source = "all", indices = "every.txt" }\n')
    return path


def fashion_mnist(part, indices):
    """Images float32 [n, 1, 28, 28], preprocessed as models/fashion_mnist.toml says, and labels [n].

    part: "train" or "t10k"; indices: of its samples.
    """
    folder = "/usr/share/datasets/fashion-mnist"
    images = idx(f"{folder}/{part}-images-idx3-ubyte.gz")[indices]
    labels = idx(f"{folder}/{part}-labels-idx1-ubyte.gz")[indices]
    scaled = images.astype(np.float32) * np.float32(0.00392156862745098)
    return ((scaled - np.float32(MEAN)) / np.float32(STD))[:, None], labels.astype(np.int64)


def calibration_indices(source):
    return np.loadtxt(source / "models/calibrate_500.txt", dtype=np.int64)


def runtime_session(model, optimize):
    """An ONNX Runtime session with its graph optimizations all on or all off. `model`: a path, or a file's bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = min(2, os.cpu_count() or 1)
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def runtime_outputs(model, images, optimize, batch=100):
    """The first output of ONNX Runtime for `images`."""
    session = runtime_session(model, optimize)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[i : i + batch]})[0] for i in range(0, len(images), batch)])
