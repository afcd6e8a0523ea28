"""Links lead somewhere, files and names that a page mentions exist, generated pages are current."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose, spans, text_of

ADR = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
NAME = re.compile(r"(flowbus\w*(?:\.\w+)+):([A-Za-z_][\w.]*)")
FILE = re.compile(r"(?:flowbus|plugins|tests|docs|benchmarks|flows)/[\w./-]*\w")

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{name_of(page)}: {target}"


@every_page
def test_files_that_are_mentioned_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    elsewhere = ("benchmarks/results/", "flowbus/connection.py")  # made by a run; explained away
    for span in spans(page):
        if FILE.fullmatch(span) and not span.startswith(elsewhere):
            assert (ROOT / span).exists() or (page.parent / span).exists(), (
                f"{name_of(page)}: {span}"
            )


def test_names_in_the_architecture_resolve() -> None:
    found = [NAME.fullmatch(span) for span in spans(ROOT / "docs" / "architecture.md")]
    names = [match for match in found if match]
    assert len(names) > 30
    for match in names:
        value = importlib.import_module(match[1])
        for step in match[2].split("."):
            value = getattr(value, step)


def test_every_layer_and_file_of_the_core_is_in_the_architecture() -> None:
    page = ROOT / "docs" / "architecture.md"
    text = next(b.text for b in blocks(page) if "receipt\n" in b.text and b.language == "text")
    shown = set(re.findall(r"\w+", text))
    there = {path.stem for path in (ROOT / "flowbus").glob("*.py")} - {"__init__"}
    assert there <= shown


def generate_check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / "generate.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_generated_pages_and_copied_blocks_are_current() -> None:
    ran = generate_check(ROOT)
    assert ran.returncode == 0, ran.stderr


def test_stale_pages_are_named(tmp_path: Path) -> None:
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name != "docs":
            (tmp_path / entry.name).symlink_to(entry)
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    (docs / "faults.md").write_text("# Faults")
    (docs / "nodes" / "debug.md").unlink()
    (docs / "nodes" / "gone.md").write_text("# gone")
    guide = docs / "plugin-guide.md"
    guide.write_text(text_of(guide).replace("config.factor", "config.fact"))
    ran = generate_check(tmp_path)
    assert ran.returncode == 1
    assert [line.partition(":")[0] for line in sorted(ran.stderr.splitlines())] == [
        "docs/faults.md is out of date",
        "docs/nodes/debug.md is missing",
        "docs/nodes/gone.md is of a type that is gone",
        "docs/plugin-guide.md is out of date",
    ]


def test_the_guide_shows_the_whole_example_plugin() -> None:
    guide = text_of(ROOT / "docs" / "plugin-guide.md")
    example = ROOT / "plugins" / "example"
    shown = [example / "pyproject.toml", *sorted((example / "flowbus_example").glob("*.py"))]
    for file in (*shown, *sorted((ROOT / "tests" / "docs" / "examples").glob("*.py"))):
        assert f"\n{text_of(file)}```" in guide, file.name


def test_decisions_are_numbered_and_listed() -> None:
    index = text_of(ROOT / "docs" / "adr" / "README.md")
    assert [int(path.name[:4]) for path in ADR] == [*range(1, len(ADR) + 1)]
    for number, path in enumerate(ADR, 1):
        text = text_of(path)
        title = text.splitlines()[0].removeprefix(f"# {number}. ")
        assert f"| [{number}]({path.name}) | {title} |" in index
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"]
        assert "\nStatus: " in text
