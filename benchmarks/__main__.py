"""Run every benchmark of speed, one after the other: `make bench`.

`benchmarks.translation` measures quality instead and takes most of an hour: it is run by itself.
"""

import runpy

BENCHMARKS = ("tokenizers", "models", "generation", "retrieval")

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
