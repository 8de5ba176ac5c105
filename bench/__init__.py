"""Benchmarks behind every figure that the documentation claims; `python -m bench` (`make bench`) runs them.

Each module has `run(settings, show) -> dict` and is listed in `bench.__main__.BENCHES`. The measurements that
`smesher bench` shares stand in `api.cli.data.bench`. Not installed: figures are made from a checkout.
"""
