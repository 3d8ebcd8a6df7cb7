"""What runs inside the toolkit's own Python. Nothing here imports rknn_ep or anything outside this folder.

Python 3.8 syntax, the standard library and `rknn` only; modules find each other by relative imports. `main` is the server,
`jobs` and `sessions` hold what it can be asked to do. The host shares `channel` with it.
"""
