"""A directory as resources: what is listed, what is read, and that nothing outside ever is."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpserve import Contents, Directory, NotFound, PluginError, ToolError
from mcpserve.features.directory import changes
from mcpserve.features.resource import Resource

MOMENT = 1_784_548_800  # 2026-07-20T12:00:00Z


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with some files, beside one that must not be read."""
    inside = tmp_path / "inside"
    (inside / "sub" / "deep").mkdir(parents=True)
    (inside / "a.txt").write_text("hellö", encoding="utf-8")
    (inside / "sub" / "b c.md").write_text("# b")
    (inside / "sub" / "deep" / "d.png").write_bytes(b"\x89PNG")
    (inside / ".hidden").write_text("secret")
    (inside / ".git").mkdir()
    (inside / ".git" / "config").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (tmp_path / "inside-too.txt").write_text("secret")
    return inside


def built(root: Path, **options: Any) -> tuple[Directory, Resource]:
    """A directory at `docs://h`, and its template."""
    directory = Directory("docs://h", root, **options)
    return directory, directory.build("here.py")


def listed(root: Path, **options: Any) -> list[str]:
    """The URIs of what is listed."""
    return list(built(root, **options)[0].files)


# --- listing


def test_the_list(root: Path) -> None:
    """All files but hidden ones, in order, with their MIME type, size, and time of change."""
    os.utime(root / "a.txt", (MOMENT, MOMENT))
    directory, template = built(root)
    assert list(directory.files) == ["docs://h/a.txt", "docs://h/sub/b%20c.md", "docs://h/sub/deep/d.png"]
    first = directory.files["docs://h/a.txt"].definition
    assert (first.name, first.mime_type, first.size) == ("a.txt", "text/plain", 6)
    assert first.annotations is not None
    assert first.annotations.last_modified == "2026-07-20T12:00:00Z"
    assert template.definition.uri == "docs://h/{+path}"
    assert (template.definition.name, template.options.thread) == ("h", True)


def test_each_that_is_listed_is_read(root: Path) -> None:
    """By its URI, through the template."""
    (root / "%41 ?#ä{x}.txt").write_text("odd")
    directory, template = built(root)
    for uri, file in directory.files.items():
        values = template.match(uri)
        assert values == {"path": file.definition.name}
        assert directory.read(**values).contents


def test_hidden_files(root: Path) -> None:
    """They are served when the author says so."""
    assert "docs://h/.git/config" in listed(root, hidden=True)
    directory, _ = built(root, hidden=True)
    assert directory.read(".hidden").contents == "secret"
    directory, _ = built(root)
    for path in (".hidden", ".git/config"):
        with pytest.raises(NotFound):
            directory.read(path)


def test_no_more_than_so_many(root: Path) -> None:
    """The list has an end; what is beyond it can be read nevertheless."""
    directory, _ = built(root, most=2)
    assert len(directory.files) == 2
    assert directory.read("sub/deep/d.png").contents == b"\x89PNG"


def test_what_is_no_file_is_not_listed(root: Path) -> None:
    """Links, pipes and sockets, and names that no URI brings back."""
    before = listed(root)
    os.symlink(root / "a.txt", root / "link.txt")
    os.symlink(root.parent / "outside", root / "linked")
    os.mkfifo(root / "pipe")
    (root / "back\\slash").write_text("x")
    with open(os.path.join(os.fsencode(root), b"\xff.txt"), "wb"):
        pass
    assert listed(root) == before


@pytest.mark.parametrize(
    ("uri", "template", "name"),
    [
        ("docs://h/", "docs://h/{+path}", "h"),
        ("docs://", "docs://{+path}", "docs"),
        ("docs://a/b", "docs://a/b/{+path}", "b"),
    ],
)
def test_uris(root: Path, uri: str, template: str, name: str) -> None:
    """A slash parts them from the path, whether the author wrote it or not."""
    definition = Directory(uri, root).build("here.py").definition
    assert (definition.uri, definition.name) == (template, name)


@pytest.mark.parametrize(("uri", "missing"), [("docs://h", True), ("no scheme", False), ("docs://{x}", False)])
def test_what_can_not_be_served(root: Path, uri: str, missing: bool) -> None:
    """It is refused when the plugin is loaded."""
    with pytest.raises(PluginError, match=r"here\.py: "):
        Directory(uri, root / "nowhere" if missing else root).build("here.py")


# --- reading


@pytest.mark.parametrize(
    ("name", "data", "contents"),
    [
        ("a.txt", b"x", Contents("x", mime_type="text/plain")),
        ("a.txt", b"\xff", Contents(b"\xff", mime_type="text/plain")),
        ("a.json", b"{}", Contents("{}", mime_type="application/json")),
        ("a.svg", b"<svg/>", Contents("<svg/>", mime_type="image/svg+xml")),
        ("a.png", b"x", Contents(b"x", mime_type="image/png")),
        ("a.tar.gz", b"x", Contents(b"x", mime_type="application/gzip")),
        ("a.txt.br", b"x", Contents(b"x", mime_type="application/octet-stream")),
        ("README", b"x", Contents("x")),
        ("README", b"\xff", Contents(b"\xff")),
        ("empty", b"", Contents("")),
    ],
)
def test_contents(root: Path, name: str, data: bytes, contents: Contents) -> None:
    """A text where the name promises one and the bytes are one, else a blob."""
    (root / name).write_bytes(data)
    assert built(root)[0].read(name) == contents


def test_a_file_that_is_too_large(root: Path) -> None:
    """The client reads how large it is, and what the limit is; nothing is read beyond it."""
    (root / "large").write_bytes(b"x" * 11)
    directory, _ = built(root, limit=10)
    with pytest.raises(ToolError, match="The file has 11 bytes; no more than 10 are read"):
        directory.read("large")
    (root / "large").write_bytes(b"x" * 10)
    assert directory.read("large").contents == "x" * 10


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "../inside-too.txt",
        "../outside/secret.txt",
        "sub/../../outside/secret.txt",
        "sub/../a.txt",
        "./a.txt",
        "/etc/passwd",
        "//etc/passwd",
        "sub//b c.md",
        "a.txt/",
        "a.txt/x",
        "sub",
        "sub/",
        "nowhere",
        "a.txt\0",
        "a.txt\0.png",
        "\ud800",
        "x" * 5000,
        "x/" * 3000,
    ],
)
def test_paths_of_nothing(root: Path, path: str) -> None:
    """What is not below the directory, is no file, or is not there: none of them is told from the others."""
    with pytest.raises(NotFound):
        built(root, hidden=True)[0].read(path)


def test_links_are_not_followed(root: Path) -> None:
    """Not to a file, not to a directory, not within the directory either."""
    os.symlink(root.parent / "outside" / "secret.txt", root / "file")
    os.symlink(root.parent / "outside", root / "folder")
    os.symlink("a.txt", root / "within")
    os.symlink("sub", root / "folder-within")
    os.symlink("/", root / "slash")
    directory, _ = built(root)
    for path in ("file", "folder/secret.txt", "within", "folder-within/b c.md", "slash/etc/passwd", "folder"):
        with pytest.raises(NotFound):
            directory.read(path)


def test_a_directory_that_becomes_a_link(root: Path) -> None:
    """Whoever exchanges it after it was listed gains nothing."""
    directory, _ = built(root)
    assert directory.read("sub/b c.md").contents == "# b"
    (root / "sub").rename(root / "moved")
    os.symlink(root.parent / "outside", root / "sub")
    with pytest.raises(NotFound):
        directory.read("sub/secret.txt")


def test_what_would_block(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without a writer, and a socket, are no files: reading them does not wait."""
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        directory, _ = built(root)
        for name in ("pipe", "socket"):
            with pytest.raises(NotFound):
                directory.read(name)


def test_a_directory_behind_a_link(root: Path) -> None:
    """The operator's own path may lead over links: it is not the client's."""
    os.symlink(root, root.parent / "link")
    directory, _ = built(root.parent / "link")
    assert len(directory.files) == 3
    assert directory.read("a.txt").contents == "hellö"


def test_no_descriptor_is_left(root: Path) -> None:
    """However a reading ends."""
    directory, _ = built(root, limit=3)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a.txt", "sub/b c.md", "sub", "nowhere/x", "sub/nowhere", "../x"):
        with suppress(ToolError):
            directory.read(path)
    assert len(os.listdir("/proc/self/fd")) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["..", ".", "", "sub", "deep", "outside", "secret.txt", "a.txt", "link", "%2e"])))
def test_no_path_leads_out(root: Path, parts: list[str]) -> None:
    """Whatever is put together, what is read is none of the secrets."""
    link = root / "link"
    if not link.is_symlink():
        link.symlink_to(root.parent)
    directory = Directory("docs://h", root)
    with suppress(NotFound):
        assert directory.read("/".join(parts)).contents != "secret"


# --- changes


def test_changes(root: Path) -> None:
    """Files that changed or are gone, and whether the list is another."""
    directory, template = built(root)
    before = directory.files
    assert changes(before, directory.scan(template)) == changes(before, before)
    (root / "a.txt").write_text("other")
    found = changes(before, directory.scan(template))
    assert (found.updated, found.listed) == (["docs://h/a.txt"], False)
    (root / "new.txt").write_text("new")
    (root / "sub" / "b c.md").unlink()
    found = changes(before, directory.scan(template))
    assert (found.updated, found.listed) == (["docs://h/a.txt", "docs://h/sub/b%20c.md"], True)


def test_paths_are_completed(root: Path) -> None:
    """While somebody types a path, those that begin with it are suggested."""
    _, template = built(root)
    completer = template.completers["path"]
    assert completer.function(**completer.bind({"value": "sub/", "chosen": {}})) == ["sub/b c.md", "sub/deep/d.png"]
