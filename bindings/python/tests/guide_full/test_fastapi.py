"""`fastapi_app.py` of the guide, as FastAPI runs it: started, asked, and shut down."""

import subprocess
import sys
from pathlib import Path

from guide_support import environment, examples, told, write
from support import Hub, hub

_CLIENT = """
import asyncio

import httpx

from fastapi_app import app


async def main():
    # What a server does with the application: its lifespan, and requests within it.
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for name, content in (("good.txt", b"three words here"), ("bad.txt", b"\\xff")):
                try:
                    answer = await client.post(f"/documents/{name}", content=content)
                    print(answer.status_code, answer.json()["file_id"])
                except UnicodeDecodeError:
                    print("failed", "after the answer")


asyncio.run(main())
"""


def test_uploads_are_reported_from_queue_to_end(tmp_path: Path) -> None:
    write(tmp_path, [one for one in examples() if one.file == "fastapi_app.py"])
    with hub() as own:
        _check(own, tmp_path)


def _check(own: Hub, folder: Path) -> None:
    command = [sys.executable, "-c", _CLIENT]
    done = subprocess.run(command, cwd=folder, env=environment(own, folder), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    status, id = done.stdout.splitlines()[0].split()
    assert status == "202"
    assert told(own, "uploads") == [
        "pipeline:online",
        *("file:queued good.txt", "file:processing good.txt", "file:completed good.txt"),
        *("file:queued bad.txt", "file:processing bad.txt", "file:failed bad.txt"),
        "pipeline:offline",
    ]
    files = {file["name"]: file for file in own.state("uploads")["files"]}
    assert files["good.txt"]["id"] == id
    assert files["good.txt"]["results"]["chunks_created"] == 3
    assert files["bad.txt"]["error"]["type"] == "UnicodeDecodeError"
