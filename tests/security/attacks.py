"""What a hostile client sends: each attack is a function of a hub and a source of chance, so that a seed repeats it.

What may come in: any seed. What it never does: look whether the hub survives; frames.py does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
from collections.abc import Callable

from hub import Hub
from socketio import BINARY, CLOSE, PING, TEXT, Gone, Link, frame

POLLING = "/socket.io/?EIO=4&transport=polling"
SHORT = 2.0
"""For how long an attack waits for an answer that need not come, in seconds."""

PACKETS = [
    "40",
    '40{"token":"x"}',
    "40/ingest,",
    "40/local_files,",
    "41",
    "41/local_files,",
    '420["subscribe",{"pipeline_id":"noise"}]',
    '421["subscribe",{"pipeline_ids":["noise","nobody"],"cursors":{"noise":{"epoch":"e","seq":7}}}]',
    '422["subscribe",{"all":true}]',
    '423["subscribe",{"pipeline_type":"local_files"}]',
    '424["unsubscribe",{"all":true}]',
    '425["ping",1]',
    '426["client:status",{"client_id":"c","status":"active","transport":"websocket","latency":1.5}]',
    '427["auth:refresh",{"token":"t"}]',
    '42/ingest,8["publish",{"pipeline_id":"noise","reporter_id":"r","events":[{"event":"heartbeat"}]}]',
    '42/ingest,9["publish",{"pipeline_id":"noise","events":{"event":"x:noise","data":{}}}]',
    '451-["subscribe",{"_placeholder":true,"num":0}]',
    "430[1]",
    '461-0[{"_placeholder":true,"num":0}]',
    '44{"message":"x"}',
    "2probe",
    "3",
    "5",
    "6",
    "1",
]
BITS = [
    "0",
    "4",
    "40",
    "42",
    "45",
    "/",
    ",",
    "[",
    "]",
    "{",
    "}",
    '"',
    "\\",
    "\x1e",
    "\0",
    "\u202e",
    "9" * 30,
    "-",
    "e999",
    "null",
    "b",
]


def mutated(chance: random.Random) -> str:
    """A packet that is not quite one."""
    text = chance.choice(PACKETS)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(text))
        end = min(len(text), at + chance.randint(0, 8))
        way = chance.randrange(5)
        if way == 0:
            text = text[:at] + chance.choice(BITS) + text[at:]
        elif way == 1:
            text = text[:at] + text[end:]
        elif way == 2:
            text = text[:end] + text[at:]
        elif way == 3:
            text = text[:at] + chr(chance.randint(1, 0xD7FF)) + text[end:]
        else:
            text = text[:at] + chance.choice(PACKETS)
    return text


def linked(hub: Hub, *, joined: bool = True) -> Link:
    """A session over WebSocket."""
    link = Link(hub, timeout=SHORT)
    if joined:
        link.connect()
    return link


def drain(link: Link, most: int = 20) -> None:
    """Reads what comes until nothing more does."""
    link.socket.settimeout(0.02)
    with contextlib.suppress(TimeoutError, Gone, UnicodeDecodeError, ValueError):
        for _ in range(most):
            link.next()


def mutated_packets(hub: Hub, chance: random.Random) -> None:
    """Packets with errors in them, before and after connecting."""
    link = linked(hub, joined=chance.random() < 0.7)
    for _ in range(chance.randint(1, 30)):
        link.packet(mutated(chance))
    drain(link)
    link.close(abort=chance.random() < 0.3)


def random_frames(hub: Hub, chance: random.Random) -> None:
    """Frames of any kind with anything in them."""
    link = linked(hub, joined=chance.random() < 0.5)
    for _ in range(chance.randint(1, 10)):
        link.send(frame(chance.randbytes(chance.randint(0, 2_000)), chance.choice([TEXT, BINARY])))
    drain(link)
    link.close()


def bad_framing(hub: Hub, chance: random.Random) -> None:
    """What RFC 6455 forbids."""
    link = linked(hub, joined=chance.random() < 0.5)
    link.send(
        chance.choice(
            [
                frame(b"40", masked=False),
                frame(b"40", first=chance.choice([0xC0, 0xA0, 0x90, 0xF0])),
                frame(b"x", chance.choice([3, 4, 5, 6, 7, 0xB, 0xC, 0xF])),
                frame(b"x" * 126, PING),
                frame(b"42[", first=0) + frame(b'"x"', TEXT),
                frame(b"42[", 0) * chance.randint(1, 50),
                frame(b"42[", first=0) + frame(b"x", 0, first=0) * chance.randint(1, 200),
                frame(b"\x03\xe8" + b"\xff\xfe", CLOSE),
                frame(b"\x00", CLOSE),
                frame(b"\xff\xfe\xc0\x80"),
                frame(b"", PING) * chance.randint(1, 500),
                chance.randbytes(chance.randint(1, 4_000)),
            ]
        )
    )
    drain(link)
    link.close()


def lying_lengths(hub: Hub, chance: random.Random) -> None:
    """A length that never comes, or beyond what there is; then nothing more, or the end."""
    link = linked(hub)
    length = chance.choice([1_000, 100_000, 4_194_303, 4_194_305, 1 << 31, (1 << 62) + 1, (1 << 63) - 1])
    link.send(frame(b"42" + b"x" * chance.randint(0, 5_000), length=length))
    drain(link)
    link.close(abort=True)


def huge(hub: Hub, chance: random.Random) -> None:
    """Packets near and beyond the limits."""
    link = linked(hub)
    size = chance.choice([70_000, 500_000, 1_000_000, 1_100_000, 4_100_000, 6_000_000])
    link.packet(f'420["subscribe",{{"pipeline_id":"{"x" * size}"}}]')
    drain(link)
    link.close()


def deep(hub: Hub, chance: random.Random) -> None:
    """JSON within JSON within JSON."""
    depth = chance.choice([100, 127, 128, 129, 1_000, 20_000, 100_000])
    left, right = chance.choice([("[", "]"), ('{"a":', "}")])
    body = left * depth + chance.choice(["", "1"]) + right * depth
    ending = body if chance.random() < 0.8 else left * depth
    link = linked(hub)
    link.packet(f'420["{chance.choice(["subscribe", "client:status", "ping"])}",{ending}]')
    link.connect("/ingest")
    link.packet(
        f'42/ingest,1["publish",{{"pipeline_id":"noise","events":[{{"event":"x:deep","data":{{"a":{ending}}}}}]}}]'
    )
    drain(link)
    link.close()
    hub.ask("POST", "/api/pipelines/noise/events", ending.encode())


def namespaces(hub: Hub, chance: random.Random) -> None:
    """Namespaces that are none, connecting twice, and leaving what was never entered."""
    link = linked(hub, joined=chance.random() < 0.5)
    for _ in range(chance.randint(1, 60)):
        name = chance.choice(
            ["/", "/ingest", "/local_files", "/nowhere", "/" + "n" * 300, "//", "/\u202e", "/a?b=c", "/ingest/"]
        )
        link.packet(
            chance.choice(["40", "41", "42", "43", "44"])
            + name
            + ","
            + chance.choice(["", "{}", '["subscribe",{}]', "0[]"])
        )
    drain(link)
    link.close()


def ack_flood(hub: Hub, chance: random.Random) -> None:
    """Answers that nobody asked for, and questions whose answers nobody reads."""
    link = linked(hub)
    for number in range(chance.randint(100, 1_500)):
        link.packet(f"43{number}[{number}]" if chance.random() < 0.5 else f'42{number}["ping",{number}]')
    if chance.random() < 0.7:
        drain(link, 100)
    link.close(abort=chance.random() < 0.5)


def churn(hub: Hub, chance: random.Random) -> None:
    """Subscribing to whatever there is not, and ending it again, as fast as it goes."""
    link = linked(hub)
    for number in range(chance.randint(10, 200)):
        ids = [f"none-{chance.randrange(5_000)}" for _ in range(chance.randint(1, 20))]
        command = chance.choice(["subscribe", "subscribe", "unsubscribe"])
        link.packet(f"42{number}" + json.dumps([command, {"pipeline_ids": ids}]))
    drain(link, 300)
    link.close()


def before_opening(hub: Hub, chance: random.Random) -> None:
    """What is no request, or not all of one."""
    with socket.create_connection((hub.host, hub.port), SHORT) as link:
        text = chance.choice(
            [
                b"",
                b"GET",
                b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(100),
                b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2_000 + b"\r\n",
                b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
                chance.randbytes(3_000),
            ]
        )
        with contextlib.suppress(OSError):
            link.sendall(text)
            link.settimeout(0.02)
            link.recv(4_096)


def polls(hub: Hub, chance: random.Random) -> None:
    """A session over polling with anything in its payloads; some are left without a word."""
    opened = checked(hub.ask("GET", POLLING))
    session = f"{POLLING}&sid={json.loads(opened[1:])['sid']}"
    with contextlib.suppress(TimeoutError, ConnectionError, http.client.HTTPException):
        for _ in range(chance.randint(1, 6)):
            parts = [chance.choice([mutated(chance), chance.choice(PACKETS)]) for _ in range(chance.randint(1, 20))]
            body = "\x1e".join(parts).encode()
            if chance.random() < 0.2:
                body = chance.randbytes(chance.randint(0, 3_000))
            kind = chance.choice(["text/plain;charset=UTF-8", "application/octet-stream", "application/json"])
            checked(hub.ask("POST", session, body, {"Content-Type": kind}))
            if chance.random() < 0.5:
                checked(hub.ask("GET", session, timeout=0.1))
    if chance.random() < 0.9:
        with contextlib.suppress(TimeoutError, ConnectionError, http.client.HTTPException):
            checked(hub.ask("POST", session, b"1", {"Content-Type": "text/plain"}, timeout=SHORT))


def upgrades(hub: Hub, chance: random.Random) -> None:
    """Going over to a WebSocket in the wrong order, twice, or to somebody else's session."""
    opened = checked(hub.ask("GET", POLLING))
    sid = json.loads(opened[1:])["sid"]
    sid = chance.choice([sid, sid, sid[:-1] + "x", "../../x", "%00", ""])
    links = []
    with contextlib.suppress(Gone, TimeoutError):
        for _ in range(chance.randint(1, 3)):
            link = Link(hub, f"EIO=4&transport=websocket&sid={sid}", timeout=0.5)
            links.append(link)
            if link.status >= 500:
                raise AssertionError(f"an upgrade is answered {link.status}")
            for _ in range(chance.randint(1, 4)):
                link.packet(chance.choice(["2probe", "5", "40", "2", mutated(chance)]))
    for link in links:
        link.close(abort=chance.random() < 0.5)
    with contextlib.suppress(TimeoutError, ConnectionError, http.client.HTTPException):
        checked(hub.ask("POST", f"{POLLING}&sid={sid}", b"1", {"Content-Type": "text/plain"}, timeout=SHORT))


def checked(answer: object) -> bytes:
    """The body, where the hub does not say that something went wrong within it."""
    status, body = getattr(answer, "status", 0), getattr(answer, "body", b"")
    if status >= 500:
        raise AssertionError(f"the hub answers {status}: {body[:300]!r}")
    return bytes(body)


Attack = Callable[[Hub, random.Random], None]

ATTACKS: list[Attack] = [
    mutated_packets,
    random_frames,
    bad_framing,
    lying_lengths,
    huge,
    deep,
    namespaces,
    ack_flood,
    churn,
    before_opening,
    polls,
    upgrades,
]
