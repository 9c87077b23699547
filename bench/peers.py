"""The Python of bench/: its packages live in .peers/, a virtual environment that the first program to need it makes.

Importing this module restarts the program under that Python. CUPEL_PEERS_PYTHON names another one.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ["numpy", "onnx", "onnxruntime", "openvino", "torch", "torchvision"]


def _python():
    named = os.environ.get("CUPEL_PEERS_PYTHON")
    if named:
        return named
    python, stamp = ROOT / ".peers/bin/python", ROOT / ".peers/packages"
    if not python.exists() or not stamp.exists() or stamp.read_text().split() != PACKAGES:
        print("Installing from PyPI into .peers/:", *PACKAGES, file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", ROOT / ".peers"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
        stamp.write_text(" ".join(PACKAGES) + "\n")
    return str(python)


def restart():
    """Runs the program again under the peers' Python, unless it is the one that runs."""
    if os.environ.get("CUPEL_PEERS_RUNNING") != str(ROOT):
        os.environ["CUPEL_PEERS_RUNNING"] = str(ROOT)
        python = _python()
        os.execv(python, [python, *sys.argv])


restart()
