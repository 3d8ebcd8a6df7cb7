"""What the provider adds to one run() of a trivial model, in microseconds.

Two sessions of one Relu over 16 numbers, called in turns: the provider with the simulated NPU, and the CPU provider. The
difference holds everything on the way: ONNX Runtime's dispatch to a plugin, our executor, rknn_api, the simulator's session.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from benchmarks import models, sessions
from benchmarks.results import Row
from benchmarks.timing import interleaved


def run(quick: bool = False) -> Iterator[Row]:
    with sessions.folder() as folder:
        path = folder / "trivial.onnx"
        onnx.save(models.trivial(), path)
        ours = sessions.npu(path, precision="fp16", min_partition_macs=0, cache_dir=folder / "cache")
        peer = sessions.cpu(path)
        feeds = sessions.random_input(peer, (1, 16))
        names = [peer.get_outputs()[0].name]
        taken = interleaved(
            {"ours": lambda: ours.run(names, feeds), "peer": lambda: peer.run(names, feeds)},
            rounds=15 if quick else 101,
            calls=1000,
            warm_up=1000,
        )
        note = sessions.share_on_npu(ours)
        yield Row("overhead", "Relu [1,16]", "run()", 1e6 * taken["ours"], "us", "ORT CPU", 1e6 * taken["peer"], note=note)
        yield Row(
            "overhead", "Relu [1,16]", "added by the provider", 1e6 * (taken["ours"] - taken["peer"]), "us", goal="under 10 us"
        )
