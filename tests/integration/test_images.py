"""The images: what their Dockerfiles promise, what is locked, and that what is locked is enough.

No image is built here: that takes a builder and a base image. What comes of it is tried in a folder:
only the packages of the image's lock, nothing that may be written, nobody's account.
"""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
NOBODY = 65532
VERSION = metadata.version("muster")
DOCKERFILES = ("centre", "agent")
PACKAGES = {"centre": ("schemas", "agents", "controlplane"), "agent": ("schemas", "agents")}
UNKNOWN_TO_AGENT = ROOT / "schemas" / "manifests"


def instructions(image: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, the rest), lines that go on joined."""
    text = (IMAGES / f"{image}.Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [
        (word, rest.strip())
        for line in joined.splitlines()
        if line
        for word, _, rest in [line.partition(" ")]
    ]


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """(version, hashes) by distribution."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in text.splitlines():
        match = re.match(r"([a-zA-Z0-9._-]+)==(\S+)", line)
        if match:
            found[canonical(match[1])] = match[2], frozenset(re.findall(r"--hash=(\S+)", line))
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("image", DOCKERFILES)
def test_a_dockerfile_keeps_its_promises(image: str) -> None:
    steps = instructions(image)
    last = steps[max(at for at, (word, _) in enumerate(steps) if word == "FROM") :]
    words = [word for word, _ in steps]
    assert ("ARG", "BASE=python:3.11-slim") in steps, "no registry's host, and a digest can be given"
    assert {rest.split(" ")[0] for word, rest in steps if word == "FROM"} == {"${BASE}"}
    assert words.count("FROM") == 2, "what builds stays behind"
    assert ("USER", f"{NOBODY}:{NOBODY}") in last, "a number: Kubernetes can see that it is not root"
    assert "ADD" not in words
    assert any(word == "HEALTHCHECK" for word, _ in last)
    assert all(rest.startswith("[") for word, rest in last if word in ("ENTRYPOINT", "CMD")), "signals arrive"
    for word, rest in steps:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
        if word == "RUN" and "pip" in rest:
            for command in re.split(r"&&", rest):
                if re.search(r"pip (install|wheel)|python install", command):
                    assert re.search(r"--require-hashes|--no-index|--no-deps", command), command
                if "pip wheel" in command:
                    assert "--no-build-isolation" in command, "what builds is locked, too"


@pytest.mark.parametrize("name", ["centre", "agent", "build"])
def test_an_image_has_the_versions_of_the_lock(name: str) -> None:
    whole, own = locked("requirements.lock"), locked(f"deploy/images/{name}.lock")
    assert own
    assert all(hashes for _, hashes in own.values())
    tools = {"setuptools", "wheel"} if name == "build" else set[str]()
    differs = {each: found for each, found in own.items() if each not in tools and whole.get(each) != found}
    assert not differs, "make lock"


def test_the_lock_of_the_centre_has_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {canonical(re.split(r"[\s;\[<>=]", each)[0]) for each in project["dependencies"]}
    assert asked <= locked("deploy/images/centre.lock").keys(), "make lock"
    wanted = {line for line in (IMAGES / "agent.in").read_text().splitlines() if not line.startswith("#")}
    assert wanted <= asked, "of the project's own, with its versions"
    assert wanted <= locked("deploy/images/agent.lock").keys(), "make lock"


_IMPORT = re.compile(r"^\s*(?:from ([a-z]\w*)\S* import|import ([a-z]\w*))", re.MULTILINE)


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.py")):
        if UNKNOWN_TO_AGENT not in path.parents:
            for module, plain in _IMPORT.findall(path.read_text()):
                yield path, module or plain


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_has_what_its_code_imports(image: str) -> None:
    own, providers = locked(f"deploy/images/{image}.lock").keys(), metadata.packages_distributions()
    ours = {"agents", "schemas", "controlplane"}
    for package in PACKAGES[image]:
        for path, module in imported(ROOT / package):
            if module in sys.stdlib_module_names or module in ours:
                continue
            names = {canonical(each) for each in providers.get(module, ())}
            assert names & own, f"{path} imports {module}, which {image}.lock does not bring"


@pytest.fixture(scope="module")
def installed(open_folder: Path) -> Path:
    """Per image a folder of packages as the image has them: there is nothing else to import."""
    for image in DOCKERFILES:
        site = open_folder / "images" / image
        site.mkdir(parents=True)
        for name in locked(f"deploy/images/{image}.lock"):
            try:
                distribution = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                join(Path(str(distribution.locate_file(top))), site / top)
        for package in PACKAGES[image]:
            join(ROOT / package, site / package)
        ours = Path(str(metadata.distribution("muster").locate_file(f"muster-{VERSION}.dist-info")))
        join(ours, site / ours.name)
    shutil.copy(IMAGES / "healthy.py", open_folder / "images" / "healthy.py")
    return open_folder / "images"


def join(source: Path, target: Path) -> None:
    """A link; of a namespace that several distributions share, links to what each has."""
    if target.is_symlink() and target.is_dir() and target.resolve() != source.resolve():
        raise AssertionError(f"{target} comes from two places")
    if not target.exists():
        target.symlink_to(source)


def in_image(
    site: Path, home: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """As the container runs it: no packages but these, no account that owns anything but `home`."""
    home.mkdir(parents=True, exist_ok=True)
    as_nobody: dict[str, object] = {}
    if os.geteuid() == 0 and all_may_enter(Path(interpreter())) and all_may_enter(ROOT):
        os.chown(home, NOBODY, NOBODY)
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    # -S: not the packages of this test's own interpreter; -B: what is read-only has no room for bytecode.
    return subprocess.run(
        [interpreter(), "-S", "-B", *arguments],
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        **as_nobody,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


def interpreter() -> str:
    """One of this version that an account without rights may run; else our own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        Path(sys.executable).resolve(),
        *(Path(each) / version for each in ("/usr/local/bin", "/usr/bin")),
    ]
    return str(next((each for each in candidates if all_may_enter(each)), candidates[0]))


def all_may_enter(path: Path) -> bool:
    return path.exists() and all(each.stat().st_mode & 0o001 for each in (path, *path.resolve().parents))


def test_the_agent_starts_from_its_own_packages_alone(installed: Path, open_folder: Path) -> None:
    found = in_image(
        installed / "agent",
        open_folder / "agent",
        "-m",
        "agents",
        MUSTER_AGENT_STATE_DIR="state",
        MUSTER_AGENT_SIMULATE="edge",
    )
    assert found.returncode == 2, found.stderr
    assert "this agent has not joined yet" in found.stderr, "all of it is there, down to what joins"
    without = in_image(installed / "agent", open_folder / "agent", "-c", "import controlplane")
    assert "No module named 'controlplane'" in without.stderr


def test_the_centre_starts_from_its_own_packages_alone(installed: Path, open_folder: Path) -> None:
    run = ("-c", "from controlplane.cli.main import main; main()")
    home = open_folder / "centre"
    assert in_image(installed / "centre", home, *run, "version").stdout.startswith(f"muster {VERSION}")
    # What is named and cannot be had ends it, after everything that it runs was loaded.
    found = in_image(installed / "centre", home, "-m", "controlplane", MUSTER_ALERTS_CONFIG="none.yml")
    assert found.returncode == 1, found.stderr
    assert "none.yml" in found.stderr


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_health_check_is_what_the_address_says(
    installed: Path, open_folder: Path, status: int, code: int
) -> None:
    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/healthz"
        check = [sys.executable, str(installed / "healthy.py")]
        proxied = {**os.environ, "http_proxy": "http://127.0.0.1:1"}
        assert subprocess.run([*check, address], env=proxied, capture_output=True).returncode == code
    finally:
        server.shutdown()
        server.server_close()
    assert subprocess.run([*check, address], capture_output=True).returncode == 1, "nobody there"
