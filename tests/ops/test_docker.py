"""ops/docker, as far as it can be looked at without an engine: linted, every path and flag in it is there, ports agree,
and the scripts in the images do what they are for at a live hub. No image is built or pulled here.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import httpx
import pytest
import yaml

from support.hub import hub
from support.programs import OPS, ROOT, free_port, ragpulse, run, system, tool

DOCKER = OPS / "docker"
FILES = [DOCKER / "Dockerfile", DOCKER / "pipeline.Dockerfile"]
COMPOSE = DOCKER / "compose.yaml"
HUBS = DOCKER / "compose.hubs.yaml"


def instructions(file: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with the rest of its line."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


def copied(file: Path) -> list[str]:
    """The paths that a Dockerfile takes from its context."""
    rests = [rest.split() for word, rest in instructions(file) if word == "COPY" and "--from=" not in rest]
    return [source for rest in rests for source in rest[:-1]]


def compose() -> dict[str, Any]:
    """The compose file."""
    read: dict[str, Any] = yaml.safe_load(interpolated())
    return read


def hubs() -> dict[str, Any]:
    """What is put over it for two hubs. `!reset` is compose's own word for leaving out."""
    read: dict[str, Any] = yaml.safe_load(HUBS.read_text().replace(" !reset []", " []"))
    return read


def interpolated() -> str:
    """The compose file, with the defaults where it has variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_linter_has_nothing_to_say(file: Path) -> None:
    assert run([tool("hadolint"), "--failure-threshold", "style", str(file)]).strip() == ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_copied_is_there_and_let_through(file: Path) -> None:
    ignored = file.with_name(f"{file.name}.dockerignore").read_text().splitlines()
    assert "*" in ignored
    let_through = [line[1:] for line in ignored if line.startswith("!")]
    assert copied(file)
    for source in copied(file):
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_through), f"{source} is ignored"
    for one in let_through:
        assert (ROOT / one).exists(), one
        assert any(source == one or source.startswith(f"{one}/") for source in copied(file)), f"nothing takes {one}"


def test_the_build_has_all_that_cargo_and_the_crates_read(tmp_path: Path) -> None:
    """Cargo reads its workspace from what is copied, and every file outside that is compiled in is copied too."""
    sources = copied(FILES[0])
    for source in sources:
        listed = run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", source])
        for name in listed.splitlines():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    said = run(
        [system("cargo", "cargo"), "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"], cwd=tmp_path
    )
    metadata = json.loads(said[said.index("{") :])
    assert "ragpulse-cli" in {package["name"] for package in metadata["packages"]}
    outside = set()
    for package in (tmp_path / "crates").iterdir():
        for code in package.glob("src/**/*.rs"):
            for named in re.findall(r'include_(?:str|bytes)!\("((?:\.\./)+[\w./-]+)"\)', code.read_text()):
                outside.add((code.parent / named).resolve())
        for code in package.glob("build.rs"):
            for named in re.findall(r'"((?:\.\./)+[\w./-]+)"', code.read_text()):
                outside.add((package / named).resolve())
    assert outside, "some files are compiled in"
    assert [str(path) for path in outside if not path.exists()] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_images_are_pinned_and_run_by_nobody_special(file: Path) -> None:
    bases = [rest.split()[0] for word, rest in instructions(file) if word == "FROM"]
    assert all(re.search(r":[\w.-]*(\d|bookworm)", base) for base in bases), bases
    (user,) = [rest for word, rest in instructions(file) if word == "USER"]
    assert int(user.split(":")[0]) > 1_000


def test_commands_are_known_to_what_they_call() -> None:
    known = run([ragpulse(), "serve", "--help"])
    over = hubs()["services"]
    for called in (compose()["services"]["hub"]["command"], over["hub"]["command"], over["hub-2"]["command"]):
        assert called[0] == "serve"
        for flag in [one for one in called if one.startswith("--")]:
            assert re.search(rf"{flag} <", known), flag
    variables = re.findall(r"\b(RAGPULSE_\w+)=", dict(instructions(FILES[0]))["ENV"])
    assert variables
    for name in variables:
        assert re.search(rf"\[env: {name}[=\]]", known), name
    pipeline = (ROOT / "examples/python-pipeline/pipeline.py").read_text()
    (command,) = [json.loads(rest) for word, rest in instructions(FILES[1]) if word == "CMD"]
    assert f'"{command[0]}"' in pipeline
    for flag in [one for one in command if one.startswith("--")]:
        assert f'"{flag}"' in pipeline, flag


def test_ports_and_names_agree() -> None:
    words = dict(instructions(FILES[0]))
    port = words["EXPOSE"]
    assert f"RAGPULSE_LISTEN=0.0.0.0:{port}" in words["ENV"]
    assert words["HEALTHCHECK"].endswith(f'CMD ["healthcheck", "{port}"]')
    services = compose()["services"]
    assert services["hub"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert services["pipeline"]["environment"]["RAGPULSE_URL"] == f"http://hub:{port}"
    scraped = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"hub:{port}"]}]
    assert "hub" in services["hub"]["command"], "it goes by the name by which the others call it"
    # But for the target and its token it is the other one.
    alone = yaml.safe_load((OPS / "prometheus/prometheus.yml").read_text())
    (other,) = alone["scrape_configs"]
    assert {**scraped, "scrape_configs": []} == {**alone, "scrape_configs": []}
    assert job["job_name"] == other["job_name"]
    run([system("promtool", "prometheus"), "check", "config", "--syntax-only", str(DOCKER / "prometheus.yml")])
    (source,) = [
        yaml.safe_load(file.read_text())["datasources"][0]
        for file in (OPS / "grafana/provisioning/datasources").glob("*.yml")
    ]
    assert source["url"] == "http://prometheus:9090"
    assert services["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    assert source["jsonData"]["timeInterval"] == alone["global"]["scrape_interval"]


def test_the_compose_file_is_one() -> None:
    parsed = compose_spec.PyCompose.from_yaml(interpolated())
    parsed.validate()
    read = compose()
    services = read["services"]
    assert set(parsed.service_names()) == set(services)
    for name, service in services.items():
        for mounted in service.get("volumes", []):
            source = mounted.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name}: {source}"
            else:
                assert source in read["volumes"], f"{name}: {source}"
        if "build" in service:
            context = (DOCKER / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).is_file()
        else:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: {service['image']} is not pinned"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} listens beyond this machine"
        for needed in service.get("depends_on", []):
            assert needed in services, f"{name}: {needed}"
    provider = yaml.safe_load((OPS / "grafana/provisioning/dashboards/ragpulse.yml").read_text())["providers"][0]
    places = [mounted.split(":")[1] for mounted in services["grafana"]["volumes"]]
    assert any(place.startswith(f"{provider['options']['path']}/") and place.endswith(".json") for place in places)


def test_what_is_put_over_it_for_two_hubs_fits(tmp_path: Path) -> None:
    one, over = compose(), hubs()
    services = one["services"] | over["services"]
    assert over["services"]["hub"]["ports"] == [], "the balancer has its port"
    assert over["services"]["balancer"]["ports"] == one["services"]["hub"]["ports"]
    for name, service in over["services"].items():
        image = service.get("image", one["services"].get(name, {}).get("image"))
        assert image == "ragpulse" or re.search(r":v?\d+\.\d+", image) or name in one["services"], image
        for mounted in service.get("volumes", []):
            source = mounted.split(":")[0]
            assert (DOCKER / source).exists() if source.startswith(".") else source in one["volumes"] | over["volumes"]
        for needed in service.get("depends_on", []):
            assert needed in services, f"{name}: {needed}"
    # Both hubs go by their own name, by which Prometheus calls them, and by the balancer's.
    scraped = yaml.safe_load((DOCKER / "prometheus.hubs.yml").read_text())
    alone = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    (job,), (other,) = scraped.pop("scrape_configs"), alone.pop("scrape_configs")
    assert (scraped, job["authorization"]) == (alone, other["authorization"])
    assert job["static_configs"] == [{"targets": ["hub:8103", "hub-2:8103"]}]
    for name in ("hub", "hub-2"):
        command = over["services"][name]["command"]
        names = {command[at + 1] for at, word in enumerate(command) if word == "--host"}
        assert names == {name, "balancer"}
    # nginx takes the configuration, where the names are known.
    text = (DOCKER / "nginx.hubs.conf").read_text()
    text, named = re.subn(r"server hub(-2)?:8103;", "server 127.0.0.1:8103;", text)
    assert named == len(job["static_configs"][0]["targets"])
    config = tmp_path / "nginx.conf"
    places = "".join(f"{name}_temp_path {tmp_path};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"pid {tmp_path / 'pid'}; error_log stderr;\nevents {{}}\nhttp {{ access_log off; {places}\n{text}\n}}\n"
    )
    run([system("nginx", "nginx-light"), "-p", str(tmp_path), "-c", str(config), "-t"])


def test_the_keys_it_makes_are_for_what_they_are_called(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("hub", "metrics", "reporter")]
    for folder in folders:
        folder.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ragpulse").symlink_to(ragpulse())
    make = ["env", f"PATH={programs}:/usr/bin:/bin", "sh", str(DOCKER / "make-keys"), *map(str, folders)]
    assert run(make) == "", "no token is printed"
    made = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    run(make)
    assert made == {path: path.read_bytes() for folder in folders for path in folder.iterdir()}, "keys stay as they are"
    admin, metrics, reporter = (
        (folder / name).read_text().strip()
        for folder, name in zip(folders, ("admin.token", "token", "token"), strict=True)
    )
    online = [{"event": "pipeline:online", "data": {"pipeline_type": "local_files"}}]
    with hub(tmp_path, "--keys", str(folders[0] / "keys.toml")) as live:

        def status(token: str, method: str, path: str, body: Any = None) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.request(method, f"{live.url}{path}", headers=headers, json=body, trust_env=False).status_code

        assert status(metrics, "GET", "/metrics") == 200
        assert status(reporter, "GET", "/metrics") == 403
        assert status(reporter, "POST", "/api/pipelines/example/events", online) == 200
        assert status(reporter, "POST", "/api/pipelines/other/events", online) == 403
        assert status(metrics, "POST", "/api/pipelines/example/events", online) == 403
        assert status(admin, "DELETE", "/api/pipelines/example") in {200, 204}


def test_the_health_check_tells_a_hub_from_none() -> None:
    check = [system("bash", "bash"), str(DOCKER / "healthcheck")]
    assert subprocess.run([*check, str(free_port())], capture_output=True, timeout=20).returncode != 0


def test_the_health_check_is_content_with_a_live_hub(tmp_path: Path) -> None:
    with hub(tmp_path) as live:
        run([system("bash", "bash"), str(DOCKER / "healthcheck"), live.address.split(":")[1]], timeout=20)


def test_a_token_is_handed_on_from_its_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("rp_abc\n")
    handed = ["env", f"RAGPULSE_TOKEN_FILE={token}", str(DOCKER / "with-token"), "sh", "-c", 'echo "$RAGPULSE_TOKEN"']
    assert run(handed) == "rp_abc\n"
