"""The host's side of the toolkit: jobs and sessions in its own Python, behind limits, leaving nothing behind.

result = workers().run("build", {"target": "rk3588"}, files={"model.onnx": data}, collect=["model.rknn"], timeout=300)
    result.files["model.rknn"]
    with workers().open("simulator", {"target": "rk3588"}, files={"model.onnx": data}) as session:
        session.call("infer", name="input.npy")

A job is a module of `remote.jobs`, a session one of `remote.sessions`; both run where rknn is imported already.
"""

from rknn_ep_toolkit2.worker.child import Progress
from rknn_ep_toolkit2.worker.pool import JobResult, Workers, workers
from rknn_ep_toolkit2.worker.session import RemoteSession

__all__ = ["JobResult", "Progress", "RemoteSession", "Workers", "workers"]
