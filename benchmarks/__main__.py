"""`python -m benchmarks NAME [--json] [--quick]`: run a benchmark and print its ratios within this run."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.harness.machine import this_machine
from benchmarks.harness.report import Report, print_report, to_json
from benchmarks.harness.workload import default_model_dir

NAMES = ("decode", "latency", "throughput", "overload", "fairness", "memory", "startup")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmark, or all; the exit status is 0 if they complete."""
    options = _parser().parse_args(arguments)
    model_dir: Path = options.model_dir or default_model_dir()
    lines = []
    for name in NAMES if options.name == "all" else (options.name,):
        machine = this_machine()
        model = f"{model_dir.resolve().parent.name}/{model_dir.resolve().name}"
        print(f"{name}, model {model}: {machine}", file=sys.stderr)
        # Imported only when it runs, because some load OpenCV or TensorFlow.
        measure: Callable[..., Report] = import_module(f"benchmarks.measurements.{name}").measure
        report = measure(model_dir, is_quick=options.quick)
        print(f"on {machine}\n")
        print_report(report)
        lines.append(to_json(report, machine, model, is_quick=options.quick))
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / f"{name}.json").write_text(json.dumps(json.loads(lines[-1]), indent=1) + "\n")
    if options.json:
        by_name = {name: json.loads(line) for name, line in zip(NAMES, lines, strict=False)}
        print(json.dumps(by_name) if options.name == "all" else lines[0])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=(*NAMES, "all"))
    parser.add_argument("--json", action="store_true", help="print the results as one line of JSON at the end")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run a smaller benchmark to check that it works; its figures are not comparable",
    )
    parser.add_argument("--model-dir", type=Path, help="the model to serve (default: the latest models/fights)")
    parser.add_argument("--out", type=Path, help="also write the JSON of each benchmark into this folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
