#!/bin/sh
# Builds wheel and sdist, installs each into a clean environment, and runs it outside the checkout.
set -eu
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$BIN/python" -m build --outdir "$work/dist" "$here" >/dev/null
"$BIN/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$here/constraints.txt" "$work"/dist/*.whl
cd "$work"
"$work/venv/bin/analyze" sweep --blocks 2,4,3,2 --measure none --out out
test -s out/results.jsonl && test -s out/results.csv && test -s out/report.html
"$work/venv/bin/analyze" show densenet121 --on rtx4090 --depth 0
"$work/venv/bin/python" -m analyzer --version
"$work/venv/bin/python" -c "
from importlib.metadata import version
from analyzer.distribution import NAME, VERSION
assert version(NAME) == VERSION, (NAME, version(NAME), VERSION)"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$work"/dist/*.tar.gz
"$work/venv/bin/analyze" show article --on rtx4090 --depth 0
"$work/venv/bin/analyze" check --help >/dev/null
echo "wheel and sdist: fine"
