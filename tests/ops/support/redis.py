"""A real redis-server with ops/redis/redis.conf, in a folder of its own, on a free port.

What may come in: nothing. What it never does: read or write /etc/redis or /var/lib/redis.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from support.programs import OPS, alive, free_port, running, system, wait_until

CONFIG = OPS / "redis/redis.conf"


@contextlib.contextmanager
def redis(folder: Path, port: int | None = None) -> Iterator[int]:
    """A server as long as the block lasts; gives its port. What it wrote is there for the next one in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = port or free_port(), folder / "redis.log"
    command = [system("redis-server", "redis-server"), str(CONFIG), "--port", str(port), "--dir", str(folder)]
    with running(command, log) as process:

        def answers() -> bool:
            alive(process, log)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
            return False

        wait_until("redis-server answers", answers)
        yield port
