"""Engine.IO over WebSocket by hand, so that what no library would send can be sent: bare frames and bare bytes.

What may come in: anything from a hub. What it never does: repair what it is told to send.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from typing import Any

from hub import PATIENCE, Hub

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(
    payload: bytes, opcode: int = TEXT, *, first: int = 0x80, masked: bool = True, length: int | None = None
) -> bytes:
    """A frame as a client sends it: `first` has FIN and the reserved bits, `length` may lie."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first | opcode, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first | opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, mask | 127, size)
    # Masking by zeros is masking: what is sent is what stands here.
    return head + (b"\0\0\0\0" if masked else b"") + payload


class Gone(Exception):
    """The hub has ended the connection."""


class Link:
    """A WebSocket to a hub, with its Engine.IO session opened."""

    def __init__(self, hub: Hub, query: str = "EIO=4&transport=websocket", timeout: float = PATIENCE) -> None:
        self.socket = socket.create_connection((hub.host, hub.port), timeout)
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            f"GET /socket.io/?{query} HTTP/1.1\r\nHost: {hub.host}:{hub.port}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(head.split(b" ")[1])

    def _more(self) -> None:
        try:
            more = self.socket.recv(65_536)
        except ConnectionError as error:
            raise Gone from error
        if not more:
            raise Gone
        self.buffer += more

    def send(self, data: bytes) -> None:
        """Bare bytes."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError) as error:
            raise Gone from error

    def packet(self, text: str) -> None:
        """A packet in a frame as it should be."""
        self.send(frame(text.encode()))

    def receive(self) -> tuple[int, bytes]:
        """The next frame: its kind and what is in it."""
        while True:
            if len(self.buffer) >= 2:
                kind, size, at = self.buffer[0] & 0x0F, self.buffer[1] & 0x7F, 2
                extra = {126: 2, 127: 8}.get(size, 0)
                if len(self.buffer) >= at + extra:
                    if extra:
                        size = int.from_bytes(self.buffer[at : at + extra], "big")
                    end = at + extra + size
                    if len(self.buffer) >= end:
                        payload, self.buffer = self.buffer[at + extra : end], self.buffer[end:]
                        return kind, payload
            self._more()

    def next(self) -> str:
        """The next packet, pings answered."""
        while True:
            kind, payload = self.receive()
            if kind == CLOSE:
                raise Gone
            if kind != TEXT:
                continue
            text = payload.decode()
            if text == "2":
                self.packet("3")
                continue
            return text

    def connect(self, namespace: str = "/") -> None:
        """Connects to a namespace, as a client should."""
        self.packet("40" if namespace == "/" else f"40{namespace},")
        while not self.next().startswith(("40", "44")):
            pass

    def close(self, *, abort: bool = False) -> None:
        """Ends the connection; with `abort`, in the middle of things."""
        if abort:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def event(text: str) -> tuple[str, Any] | None:
    """The name and the payload, where a packet is an event of the root."""
    if not text.startswith("42["):
        return None
    packet: list[Any] = json.loads(text[2:])
    return str(packet[0]), packet[1] if len(packet) > 1 else None
