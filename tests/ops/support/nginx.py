"""A real nginx with a certificate of its own making, in a folder of its own, on a free port.

What may come in: a configuration for inside of `http { }`. What it never does: read or write /etc/nginx, /var or /run.
"""

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.hub import Hub
from support.programs import OPS, alive, free_port, run, running, system, wait_until

CONFIG = OPS / "nginx/ragpulse.conf"


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    port: int
    plain: int
    certificate: Path

    @property
    def url(self) -> str:
        """Its address. The certificate is for this name."""
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts its certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    made, key = folder / "fullchain.pem", folder / "privkey.pem"
    run(
        [
            *(system("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(made)),
        ]
    )
    return made, key


def committed(hubs: list[Hub], port: int, plain: int, cert: Path, key: Path) -> str:
    """ops/nginx/ragpulse.conf for these hubs: other addresses and paths, and nothing else."""
    text = CONFIG.read_text()
    servers = " ".join(f"server {hub.address};" for hub in hubs)
    for pattern, replacement, times in (
        (r"\bserver 127\.0\.0\.1:8103;", servers, 1),
        (r"listen 80;", f"listen 127.0.0.1:{plain};", 1),
        (r"listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;", 1),
        (r"^ *listen \[::\]:.*\n", "", 2),
        (r"server_name status\.example;", "server_name localhost;", 2),
        (r"/etc/ssl/ragpulse/fullchain\.pem", str(cert), 1),
        (r"/etc/ssl/ragpulse/privkey\.pem", str(key), 1),
    ):
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == times, f"{pattern} stands {count} times in {CONFIG.name}"
    return text


def naive(hubs: list[Hub], port: int, plain: int, cert: Path, key: Path) -> str:
    """What one writes who knows nothing of WebSockets and streams."""
    (hub,) = hubs
    return f"""
        server {{
            listen 127.0.0.1:{port} ssl;
            listen 127.0.0.1:{plain};
            server_name localhost;
            ssl_certificate {cert};
            ssl_certificate_key {key};
            location / {{ proxy_pass http://{hub.address}; proxy_set_header Host $http_host; }}
        }}"""


@contextlib.contextmanager
def nginx(folder: Path, *hubs: Hub, well: bool = True) -> Iterator[Proxy]:
    """An nginx before these hubs as long as the block lasts: as ops/ has it, or as who does not know would write it."""
    program, log = system("nginx", "nginx-light"), folder / "nginx.log"
    cert, key = certificate(folder)
    port, plain = free_port(), free_port()
    places = "".join(
        f"{name}_temp_path {folder / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    inside = (committed if well else naive)(list(hubs), port, plain, cert, key)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder / 'nginx.pid'}; error_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}\n{inside}\n}}\n"
    )
    command = [program, "-p", str(folder), "-c", str(config)]
    run([*command, "-t"])
    with running(command, log) as process:

        def listens() -> bool:
            alive(process, log)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_until("nginx listens", listens)
        yield Proxy(port, plain, cert)
