"""Benchmarks: `python -m benchmarks [names]`. Each module here with a function `run(quick)` is one; see `__main__`."""
