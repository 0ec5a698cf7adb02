"""Run every benchmark, one after the other: `make bench`."""

import runpy

BENCHMARKS = ("tokenizers", "models", "generation")

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
