"""Engines beside each other: each in a pinned process of its own (engine_worker.py), in turns of changing order."""

import json
import pathlib
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


class Engine:
    """`kind` is what engine_worker.py runs `network` with, `name` what it is called here; `failed` when it cannot."""

    def __init__(self, name, kind, network, data, threads):
        self.name = name
        self.process = subprocess.Popen([sys.executable, HERE / "engine_worker.py", kind, network, data, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.medians, self.times = [], []
        self.failed = self.read() is None

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line.startswith(("{", "[")) else None

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.read()

    def round(self, runs):
        times = self.ask(f"run 3 {runs}")
        self.medians.append(float(np.median(times)))
        self.times += times

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turns(engines, rounds, runs):
    """In each round every engine makes 3 inferences that do not count and `runs` that do, fewer where they take long."""
    counts = {e.name: max(3, min(runs, int(0.4e9 / e.ask("run 2 3")[-1]))) for e in engines}
    for r in range(rounds):
        for e in engines[r % len(engines):] + engines[:r % len(engines)]:
            e.round(counts[e.name])


def ratios(engine, ours):
    """The engine's time over ours, of each round."""
    return np.array(engine.medians) / np.array(ours.medians)


def quartiles(values):
    """The text `median [quartiles]`, and the median."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]", float(middle)
