"""Messages between host and toolkit: JSON objects over a SOCK_SEQPACKET socket.

The kernel keeps the borders of the messages, so that a process that is killed while it writes cannot damage what
another one writes after it to the same socket. What is too long for a packet goes through a file of the job's folder.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any, Dict, Optional, Tuple

LONGEST_PACKET = 48 * 1024
"""Bytes. Well below the smallest default socket buffer (SO_SNDBUF, 208 KiB)."""
_READ = 64 * 1024


class Channel:
    """One end of a job's connection. Not for several threads at once."""

    def __init__(self, connection: socket.socket, folder: str) -> None:
        self.connection = connection
        self._folder = folder
        self._spilled = 0

    def send(self, message: Dict[str, Any]) -> None:
        """Send one message. OSError when the other side is gone or the disk is full."""
        packet = json.dumps(message).encode()
        if len(packet) > LONGEST_PACKET:
            self._spilled += 1
            name = "message-{}-{}.json".format(os.getpid(), self._spilled)
            with open(os.path.join(self._folder, name), "wb") as file:
                file.write(packet)
            packet = json.dumps({"spilled": name}).encode()
        self.connection.send(packet, socket.MSG_NOSIGNAL)

    def receive(self) -> Optional[Dict[str, Any]]:
        """The next message, or None when the other side is gone."""
        try:
            packet = self.connection.recv(_READ)
        except ConnectionError:  # the other side went with something of ours unread; what it said before comes after this
            try:
                packet = self.connection.recv(_READ)
            except ConnectionError:
                return None
        if not packet:
            return None
        message = json.loads(packet)
        if "spilled" in message:
            path = os.path.join(self._folder, message["spilled"])
            with open(path, "rb") as file:
                message = json.loads(file.read())
            os.unlink(path)
        return dict(message)


def send_connection(control: socket.socket, message: Dict[str, Any], connection: socket.socket) -> None:
    """Send a short message together with the descriptor of `connection`."""
    descriptors = array.array("i", [connection.fileno()])
    control.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], socket.MSG_NOSIGNAL)


def receive_connection(control: socket.socket) -> Optional[Tuple[Dict[str, Any], socket.socket]]:
    """A message and the connection that came with it, or None when the other side is gone."""
    size = array.array("i", [0]).itemsize
    try:
        packet, ancillary, _, _ = control.recvmsg(_READ, socket.CMSG_SPACE(size))
    except ConnectionError:
        return None
    if not packet:
        return None
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % size])
    return dict(json.loads(packet)), socket.socket(fileno=descriptors[0])
