"""Executors: what takes a bundle and runs it, as Python sees it."""

from __future__ import annotations

from rknn_ep.runtime.executor import BundleExecutor, open_bundle

__all__ = ["BundleExecutor", "open_bundle"]
