"""Keeps a number between calls."""

import os


class Session:
    def __init__(self, arguments, folder):
        if arguments.get("broken"):
            raise ValueError("cannot be made")
        self.value = arguments["start"]
        self.folder = folder

    def add(self, number):
        self.value += number
        return {"value": self.value, "pid": os.getpid()}

    def fail(self):
        raise ValueError("this call fails")

    def die(self):
        os.abort()

    def double_file(self, name):
        import numpy as np

        np.save("doubled.npy", np.load(name) * 2)
        return {"name": "doubled.npy"}
