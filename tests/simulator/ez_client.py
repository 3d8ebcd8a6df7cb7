"""Runs in the environment of ztu-somemodelruntime-ez-rknn-async: one model, plainly, through its pool, and with IO binding.

python ez_client.py MODEL.rknn INPUT.npy OUTPUTS.npz
"""

import sys
import threading

import numpy as np
import ztu_somemodelruntime_ez_rknn_async as ez


def main(model: str, source: str, target: str) -> None:
    pictures = np.load(source)
    outputs = {}

    plain = ez.InferenceSession(model)
    name = plain.get_inputs()[0].name
    outputs["plain"] = np.stack([plain.run(None, {name: picture})[0] for picture in pictures])

    # Contexts of three cores, two threads each: callbacks come from their threads.
    pool = ez.InferenceSession(model, provider_options=ez.make_provider_options(schedule=[0, 1, 2], threads_per_core=2))
    came = threading.Semaphore(0)
    answers = {}

    def callback(results, number, error):
        answers[number] = (results, error)
        came.release()

    for number in range(4 * len(pictures)):
        pool.run_async(None, {name: pictures[number % len(pictures)]}, callback, number)
    for _ in range(4 * len(pictures)):
        assert came.acquire(timeout=600)
    assert not any(error for _, error in answers.values()), answers
    outputs["pool"] = np.stack([answers[number][0][0] for number in range(len(answers))])

    bound = ez.InferenceSession(model)
    binding = bound.io_binding()
    binding.bind_output(bound.get_outputs()[0].name, "rknpu2")
    made = []
    for picture in pictures:
        binding.bind_cpu_input(name, picture.astype(np.float16))
        bound.run_with_iobinding(binding)
        made.append(binding.get_outputs()[0].numpy().copy())
    outputs["binding"] = np.stack(made).astype(np.float32)
    np.savez(target, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
