"""Follows with python-socketio over WebSockets alone, and hands over what it is given, a line of JSON each. It subscribes as
it is told by lines on its input, and ends with that."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import socketio  # type: ignore[import-untyped]

# It comes back by itself, but not where either side said goodbye.
client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.8)
goodbye = threading.Event()
writing = threading.Lock()
# How many connections there were: what was asked on one that is gone is not answered on the next.
connections = 0


def say(*what: Any) -> None:
    with writing:
        sys.stdout.write(json.dumps(what, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def on_connect() -> None:
    global connections
    connections += 1
    say("connect")


def on_disconnect(reason: str) -> None:
    say("lost", reason)
    if reason in (client.reason.SERVER_DISCONNECT, client.reason.CLIENT_DISCONNECT):
        goodbye.set()


def on_any(name: str, payload: Any = None) -> None:
    say("message", name, payload)


def connect(url: str) -> None:
    """Connects, and again after each goodbye."""
    while True:
        try:
            client.connect(url, transports=["websocket"], wait_timeout=3, retry=True)
        except Exception as error:
            say("lost", f"cannot connect: {error}")
            time.sleep(0.2)
            continue
        goodbye.wait()
        goodbye.clear()
        time.sleep(0.2)


def subscribe(request: Any) -> None:
    asked = connections
    try:
        reply = client.call("subscribe", request, timeout=5)
    except Exception as error:
        say("lost", f"subscribe was not answered: {error}")
        if asked == connections and client.connected:
            client.disconnect()
        return
    if asked == connections:
        say("answer", reply)


def in_order() -> None:
    """Has each message handled before the next is read: the client would start a thread for each, and order be lost."""
    trigger = client.eio._trigger_event

    def one_by_one(event: str, *args: Any, run_async: bool = False, **more: Any) -> Any:
        return trigger(event, *args, run_async=run_async and event != "message", **more)

    client.eio._trigger_event = one_by_one


def main() -> None:
    in_order()
    client.on("connect", on_connect)
    client.on("disconnect", on_disconnect)
    client.on("*", on_any)
    threading.Thread(target=connect, args=(sys.argv[1],), daemon=True).start()
    for line in sys.stdin:
        told = json.loads(line)
        if told.get("again"):
            client.disconnect()
        else:
            threading.Thread(target=subscribe, args=(told["subscribe"],), daemon=True).start()
    # Threads of the client may be in the middle of something, and nobody waits for it.
    os._exit(0)


if __name__ == "__main__":
    main()
