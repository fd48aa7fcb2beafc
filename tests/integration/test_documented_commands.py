"""Every shell block that the pages mark with `<!-- run -->` runs, and says what the page says it does."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from controlplane.cli.demo.installation import Installation
from controlplane.cli.demo.members import MEMBERS, simulated_arguments
from controlplane.client import write_context
from tests.circle import eventually

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGE_SECONDS = 90
START_SECONDS = 60
_MARKED = re.compile(
    r"^(?P<indent> *)<!-- (?P<mark>run|says) -->\n+ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_WORD = re.compile(r"[^\s\d]{3,}")
_MARK = "@@@ block"
QUICK = ("--report-seconds", "0.2", "--ready-seconds", "0.4", "--termination-seconds", "0.2")
"""No page says how long a pod takes; the demo's take longer, for people who look on."""


@dataclass(frozen=True)
class Block:
    """line: where its mark stands in the page. says: what its output has in it, word by word."""

    line: int
    script: str
    says: tuple[str, ...] = ()


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found: list[Block] = []
    for match in _MARKED.finditer(text):
        body = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        if match["mark"] == "run":
            assert match["language"] == "sh", (page, match.group())
            found.append(Block(text.count("\n", 0, match.start()) + 1, body))
        else:
            assert match["language"] == "text", (page, match.group())
            found[-1] = Block(found[-1].line, found[-1].script, tuple(_WORD.findall(body)))
    return found


def script_of(blocks: list[Block]) -> str:
    """All blocks in one shell, as a reader types them in one terminal; the first that fails ends it."""
    lines = ["set -eu"]
    for number, block in enumerate(blocks):
        lines += [f"echo '{_MARK} {number}'", block.script]
    return "\n".join(lines)


def outputs_of(said: str) -> dict[int, str]:
    parts = re.split(rf"^{_MARK} (\d+)$", said, flags=re.MULTILINE)[1:]
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


WITH_BLOCKS = [page for page in PAGES if blocks_of(page)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader() -> AsyncGenerator[dict[str, str], None]:
    """The environment of a reader's terminal, beside an installation as the demo's, samples running."""
    folder = _open_folder()
    installation = Installation(folder, durable=False)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MUSTER_CONTEXT": str(folder / "context.json"),
        "MUSTER_URL": installation.url,
        "MUSTER_TOKEN": installation.token,
    }
    try:
        await installation.start_centre()
        write_context(installation.context, environment)
        with installation.client() as client:
            for seed, member in enumerate(MEMBERS, start=1):
                joining = installation.invite(client, member.name, member.labels)
                await installation.start_agent(
                    member.name, [*simulated_arguments(member, seed), *QUICK, *joining]
                )
            await eventually(
                "all clusters are ready",
                lambda: [row["status"] for row in client.pages("/clusters")],
                lambda seen: seen == ["Ready"] * len(MEMBERS),
            )
        yield environment
    finally:
        await installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    """Postgres does not run as root; its own account must be able to get in."""
    folder = Path(tempfile.mkdtemp(prefix="muster-docs-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader stands: what is written there is not the checkout."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    return tmp_path


def run_script(script: str, environment: dict[str, str], folder: Path, seconds: float) -> tuple[int, str]:
    """Exit code, and both outputs as they came. Ends what it started, also what runs in the background."""
    with (folder / ".said").open("w+") as said:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            code = shell.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            _end_group(shell.pid)
            shell.wait()
        said.seek(0)
        return code, said.read()


def _end_group(group: int) -> None:
    try:
        os.killpg(group, 9)
    except ProcessLookupError:
        pass


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(START_SECONDS + PAGE_SECONDS + 30)
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.relative_to(ROOT).as_posix())
async def test_what_a_page_tells_to_type_works(page: Path, reader: dict[str, str], folder: Path) -> None:
    blocks = blocks_of(page)
    if shutil.which("curl") is None and any("curl" in block.script for block in blocks):
        pytest.skip("curl is not here")
    code, said = run_script(
        f"muster apply -q -f deploy/samples --wait --timeout {START_SECONDS - 5}",
        reader,
        folder,
        START_SECONDS,
    )
    assert code == 0, said
    code, said = run_script(script_of(blocks), reader, folder, PAGE_SECONDS)
    outputs = outputs_of(said.replace(f"{_MARK} ", f"\n{_MARK} "))
    reached = blocks[max(outputs, default=0)]
    assert code == 0, f"{page}:{reached.line} ended with {code}:\n{said}"
    for number, block in enumerate(blocks):
        missing = [word for word in block.says if word not in outputs[number]]
        assert not missing, f"{page}:{block.line} does not say {missing}:\n{outputs[number]}"


def test_the_pages_have_blocks_to_run() -> None:
    assert {page.name for page in WITH_BLOCKS} >= {
        "README.md",
        "api.md",
        "join-a-cluster.md",
        "move-from-karmada.md",
        "place-a-workload.md",
        "quota.md",
        "recover.md",
        "serve.md",
        "troubleshooting.md",
    }
