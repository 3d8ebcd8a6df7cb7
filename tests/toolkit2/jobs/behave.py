"""Behaves in the ways that are asked for, inside the toolkit's process."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time


def run(arguments, folder):
    how = arguments["how"]
    print("said on stdout")
    os.write(1, b"said by native code\n")
    print("\x1b[31mE build: \x1b[0msaid in colour", file=sys.stderr)
    if how == "hang":
        time.sleep(1000)
    if how == "hang with a child":
        child = subprocess.Popen(["sleep", "1000"])
        open(arguments["pid_file"], "w").write("%d %d" % (os.getpid(), child.pid))
        time.sleep(1000)
    if how == "eat memory":
        eaten = []
        while True:
            eaten.append(bytearray(32 << 20))
            time.sleep(0.02)
    if how == "allocate too much":
        return {"size": len(bytearray(1 << 50))}
    if how == "exit":
        ctypes.CDLL(None).exit(1)
    if how == "sys.exit":
        sys.exit(7)
    if how == "signal":
        os.kill(os.getpid(), getattr(signal, arguments["signal"]))
        time.sleep(10)
    if how == "leave files":
        tempfile.mkdtemp()
        open("junk", "wb").write(b"x" * 100000)
        os.abort()
    if how == "fill the disk":
        raise OSError(28, "No space left on device")
    if how == "close the descriptors":
        os.close(0)
        os.close(1)
        os.close(2)
        return {"still": "here"}
    if how == "sleep":
        time.sleep(arguments["seconds"])
    if how == "return much":
        return {"much": "x" * arguments["characters"]}
    return {"pid": os.getpid(), "parent": os.getppid(), "folder": folder, "rknn": "rknn.api" in sys.modules}
