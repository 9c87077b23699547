"""The lines that every result file begins with."""

import datetime
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def machine():
    facts = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    cpu = facts.get("model name", platform.machine())
    numbers = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return f"{cpu}{numbers}, {os.cpu_count()} logical CPUs"


def commit(folder=ROOT):
    def git(*words):
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", ":!bench/results")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


def header(program, arguments=None):
    words = " ".join(sys.argv[1:] if arguments is None else arguments)
    return (f"Command:  bench/{program} {words}".rstrip() + "\n"
            f"Date:     {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n"
            f"Machine:  {machine()}\nCommit:   {commit()}\n")
