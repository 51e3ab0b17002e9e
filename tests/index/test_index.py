"""An index kept up and searched: it says what is in the files now, whoever is killed at whatever moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.errors import ChiduError, IndexFolderError, InputError, SettingError, TextError
from chidu.index import Embedder, Index, build_graph, drop_vectors, reading, update_index, words
from chidu.index.ranking import SHARE
from chidu.index.reading import File
from chidu.index.store import FORMAT, hold

TOPICS = {
    "law.md": "# Laws\n\nA law foretells the loss of a larger run from smaller ones.\n",
    "tea.txt": "Green tea is steeped in water of eighty degrees for two minutes.\n",
    "deep/river.rst": "Rivers\n======\n\nThe river carries sand and silt down to the sea.\n",
    "zh/茶.md": "# 茶\n\n绿茶用八十度的水冲泡两分钟。\n\n# 河\n\n河流把泥沙带到大海。\n",
    "code.py": "def read_table(path):\n    return open(path).readlines()\n",
}
THREE = Embedder("planted", 3)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    for name, content in TOPICS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    settle(folder)
    return folder


def settle(folder: Path) -> None:
    """Give files a time long past: what was changed just now is read again, as it should be."""
    for path in folder.rglob("*"):
        os.utime(path, (10**9, 10**9))


def names(index: Index, question: str, vector: Any = None) -> list[str]:
    return [Path(hit.file).name for hit in index.search(question, vector).hits]


def fill(index: Index) -> int:
    """Give each passage a vector of what it is about: tea, rivers, or the rest."""
    wanted = list(index.wanted())
    about = [[any(word in one.text for word in ("tea", "茶")), any(word in one.text for word in ("iver", "河")), 0.1]
             for one in wanted]  # fmt: skip
    return index.fill([one.key for one in wanted], np.array(about, float) * 7)


def content(folder: Path) -> list[tuple[Any, ...]]:
    """All that readers see, but for the numbers that rows happen to have."""
    with sqlite3.connect(folder / "index.sqlite") as database:
        return database.execute(
            "SELECT name, first_line, last_line, heading, text, hex(digest) FROM files JOIN passages USING (content)"
            " ORDER BY name, passages.id"
        ).fetchall()


def test_a_folder_is_found_by_words_in_two_languages(text: Path, tmp_path: Path) -> None:
    updated = update_index(tmp_path / "index", [text])
    assert (updated.files, updated.passages, updated.read, updated.without_vectors) == (5, 6, 5, 6)
    with Index(tmp_path / "index") as index:
        assert names(index, "how is green tea steeped?")[0] == "tea.txt"
        assert names(index, "河流")[0] == names(index, "水")[0] == "茶.md"
        assert names(index, "readTable") == names(index, "READ table") == ["code.py"]
        assert names(index, "nothingness") == []
        found = index.search("泥沙")
        (hit,) = found.hits
        assert (hit.first_line, hit.last_line, hit.heading) == (5, 7, "河")
        assert (hit.words_rank, hit.vector_rank, hit.cosine) == (1, None, None)
        assert (found.passages, found.without_vectors) == (6, 6)
        assert index.search("loss tea").hits == index.search("loss tea").hits


def test_only_what_changed_is_read(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    update_index(index, [text])
    before = content(index)
    opened: list[str] = []
    digest = reading.digest
    monkeypatch.setattr("chidu.index.writing.digest", lambda file: opened.append(file.path.name) or digest(file))
    again = update_index(index, [text])
    assert (again.read, again.unchanged, again.removed, opened) == (0, 5, 0, [])
    assert content(index) == before
    (text / "tea.txt").write_text("Black tea is steeped for four minutes.\n")
    (text / "law.md").unlink()
    (text / "new.txt").write_text("Something else.\n")
    (text / "code.py").touch()
    updated = update_index(index, [text])
    assert sorted(opened) == ["code.py", "new.txt", "tea.txt"]
    assert (updated.read, updated.unchanged, updated.removed) == (3, 2, 1)
    with Index(index) as opened_index:
        assert names(opened_index, "black")[0] == "tea.txt"
        assert names(opened_index, "green") == names(opened_index, "loss") == []
        assert names(opened_index, "something") == ["new.txt"]
    fresh = tmp_path / "fresh"
    update_index(fresh, [text])
    assert content(index) == content(fresh)
    with Index(index) as one, Index(fresh) as other:
        for question in ("the sea and tea", "路 river 水", "a of"):
            assert one.search(question).hits == other.search(question).hits


def test_a_change_within_one_tick_of_the_clock_is_seen(text: Path, tmp_path: Path) -> None:
    """The same size and the same time: a file read so shortly after its change is looked at again."""
    path = text / "tea.txt"
    path.write_text("aaaa")
    moment = path.stat().st_mtime_ns
    update_index(tmp_path / "index", [text])
    path.write_text("bbbb")
    os.utime(path, ns=(moment, moment))
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index") as index:
        assert names(index, "bbbb") == ["tea.txt"]


def test_equal_files_are_one_content_and_a_moved_one_is_not_cut_again(text: Path, tmp_path: Path) -> None:
    (text / "copy.txt").write_text(TOPICS["tea.txt"])
    updated = update_index(tmp_path / "index", [text])
    assert (updated.files, updated.passages) == (6, 6)
    with Index(tmp_path / "index") as index:
        (hit,) = index.search("green").hits
        assert (Path(hit.file).name, [Path(one).name for one in hit.also_in]) == ("copy.txt", ["tea.txt"])
        (text / "tea.txt").rename(text / "moved.txt")
        (text / "copy.txt").unlink()
        assert update_index(tmp_path / "index", [text]).passages == 6
        assert names(index, "green") == ["moved.txt"]


def test_what_is_left_out_is_counted_and_listed(text: Path, tmp_path: Path) -> None:
    (text / "photo.jpg").write_bytes(b"\xff\xd8\0\0")
    (text / "old.txt").write_bytes("尺度".encode("gb18030"))
    (text / "empty.txt").touch()
    (text / ".hidden").write_text("x")
    (text / "lines.jsonl").write_text('{"text": "good"}\nbad\n')
    updated = update_index(tmp_path / "index", [text])
    assert updated.left_out == {
        "hidden file": 1, "no text in it": 1, "not UTF-8": 1, "binary (holds NUL bytes)": 1, "line is not JSON": 1,
    }  # fmt: skip
    with Index(tmp_path / "index") as index:
        left = {Path(one.where).name: one.reason for one in index.left_out()}
    assert left == {
        ".hidden": "hidden file", "empty.txt": "no text in it", "old.txt": "not UTF-8",
        "photo.jpg": "binary (holds NUL bytes)", "lines.jsonl:2": "line is not JSON",
    }  # fmt: skip
    assert "left out: not UTF-8 (1)" in str(updated)


def test_vectors_are_filled_in_later_and_fused(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        assert index.search("tea", [1, 0, 0]).without_vectors == 6
        wanted = list(index.wanted())
        assert [one.heading for one in wanted] == ["def read_table(path)", "Laws", "", "Rivers", "茶", "河"]
        assert index.fill([wanted[3].key], [[0, 2, 0]]) == 1
        assert index.search("tea", [0, 1, 0]).without_vectors == 5
        assert names(index, "nothingness", [0, 1, 0]) == ["river.rst"]
        assert fill(index) == 5
        assert index.fill([wanted[3].key, b"gone"], np.ones((2, 3))) == 0
        found = index.search("tea", [1, 0, 0])
        assert found.without_vectors == 0
        assert [Path(hit.file).name for hit in found.hits[:2]] == ["tea.txt", "茶.md"]
        assert (found.hits[0].words_rank, found.hits[0].vector_rank) == (1, 1)
        first = found.hits[0]
        assert first.cosine is not None
        assert first.words_score is not None
        shares = SHARE * first.cosine, (1 - SHARE) * first.words_score / found.rarities["tea"]
        assert first.score == pytest.approx(sum(shares))
        assert found.hits[0].cosine == pytest.approx(1, abs=0.01)
        assert list(index.wanted()) == []
    with Index(tmp_path / "index", THREE) as index:
        assert index.search("tea", [1, 0, 0]) == found


def test_the_vectors_of_unchanged_text_stay(text: Path, tmp_path: Path) -> None:
    long = "\n\n".join(f"# Part {number}\n\n{'Text of this part. ' * 9}{number}" for number in range(20))
    (text / "law.md").write_text(long)
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        assert fill(index) == 25
        (text / "law.md").write_text(long.replace("this part. 7", "that part. 7"))
        assert update_index(tmp_path / "index", [text]).without_vectors == 1
        assert [one.heading for one in index.wanted()] == ["Part 7"]
        assert index.search("x", [1, 0, 0]).without_vectors == 1


def test_rows_of_vectors_that_nobody_uses_are_cleared_away(tmp_path: Path) -> None:
    text = tmp_path / "text.jsonl"
    source = np.random.default_rng(0).normal(size=(1_500, 3))
    lines = [json.dumps({"text": f"number {number}"}) for number in range(1_500)]
    text.write_text("\n".join(lines))
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        index.fill([one.key for one in index.wanted()], source)
        text.write_text("\n".join(lines[1_000:]))
        update_index(tmp_path / "index", [text])
        assert [path.name for path in (tmp_path / "index").glob("vectors-*")] == ["vectors-1.f32"]
        for number in (1_000, 1_234, 1_499):
            (hit, *_) = index.search("nothingness", source[number]).hits
            assert (hit.text, hit.cosine) == (f"number {number}", pytest.approx(1))


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        ([[1, 2]], r"shape \(1, 2\), but this index holds vectors of 3 dimensions"),
        ([[1, float("nan"), 0]], "row 0 holds NaN"),
        ([[0, 0, 0]], "row 0 is all zeros"),
        ([[1, 0, 0], [1, 0, 0]], "2 rows for 1 passages"),
    ],
)
def test_bad_vectors_are_refused(text: Path, tmp_path: Path, matrix: Any, why: str) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        key = next(index.wanted()).key
        with pytest.raises(InputError, match=why):
            index.fill([key], matrix)
        if len(matrix) == 1:
            with pytest.raises(InputError, match=why):
                index.search("tea", matrix[0])
        assert index.search("tea").without_vectors == 6


def test_another_embedder_is_an_error_that_says_what_to_do(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        fill(index)
    other = Embedder("other", 3)
    with pytest.raises(IndexFolderError, match=r"has vectors of planted \(3 dimensions\), not of other .*drop_vectors"):
        Index(tmp_path / "index", other)
    with Index(tmp_path / "index") as index:
        assert names(index, "green") == ["tea.txt"]
        with pytest.raises(IndexFolderError, match="without an embedder"):
            index.search("green", [1, 0, 0])
        with pytest.raises(IndexFolderError, match="without an embedder"):
            index.fill([], [])
    drop_vectors(tmp_path / "index")
    with Index(tmp_path / "index", other) as index:
        assert fill(index) == 6


def test_other_settings_cut_everything_again(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    assert update_index(tmp_path / "index", [text], stemming="english").read == 5
    with Index(tmp_path / "index") as index:
        assert names(index, "carrying")[0] == "river.rst"
    (text / "tea.txt").write_text("One sentence of tea. " * 20)
    assert update_index(tmp_path / "index", [text], longest=100).passages > 8
    with pytest.raises(SettingError, match="longest is 5"):
        update_index(tmp_path / "index", [text], longest=5)


def test_no_text_is_an_error_and_the_former_index_stays(text: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    update_index(tmp_path / "index", [text])
    before = content(tmp_path / "index")
    with pytest.raises(TextError, match="no file here"):
        update_index(tmp_path / "index", [empty])
    (empty / "a.txt").write_bytes(b"\0")
    with pytest.raises(TextError, match=r"no text to index; left out: binary \(holds NUL bytes\) \(1\)"):
        update_index(tmp_path / "index", [empty])
    with pytest.raises(TextError, match="does not exist"):
        update_index(tmp_path / "index", [tmp_path / "none"])
    assert content(tmp_path / "index") == before
    with Index(tmp_path / "index") as index:
        assert names(index, "green") == ["tea.txt"]
        with pytest.raises(TextError, match="question is empty"):
            index.search(" \n")
        with pytest.raises(SettingError, match="most is 0"):
            index.search("tea", most=0)


def test_folders_that_are_no_index_are_refused_and_left_alone(text: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="holds no index"):
        Index(tmp_path / "none")
    with pytest.raises(IndexFolderError, match="holds other files"):
        update_index(text, [text])
    assert not (text / ".lock").exists()
    with pytest.raises(IndexFolderError, match="is a file"):
        update_index(text / "tea.txt", [text])
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    sqlite3.connect(foreign / "index.sqlite").executescript("CREATE TABLE theirs (x)")
    for attempt in (lambda: Index(foreign), lambda: update_index(foreign, [text])):
        with pytest.raises(IndexFolderError, match="no index of Chidu's"):
            attempt()


def damage_format(folder: Path) -> None:
    sqlite3.connect(folder / "index.sqlite").execute(f"PRAGMA user_version={FORMAT + 1}")


def damage_database(folder: Path) -> None:
    (folder / "index.sqlite").write_bytes(b"not a database at all" * 100)


def damage_postings(folder: Path) -> None:
    path = next(folder.glob("postings-*")) / "weights.npy"
    path.write_bytes(path.read_bytes()[:-3])


def damage_vectors(folder: Path) -> None:
    os.truncate(folder / "vectors-0.f32", 5)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (damage_format, r"newer Chidu \(format 2, this one reads 1\): upgrade"),
        (damage_database, "damaged .*: delete it and make it again"),
        (damage_postings, "postings can't be read .*: delete"),
        (damage_vectors, "missing or too short: forget the vectors"),
    ],
)
def test_a_damaged_index_is_named(text: Path, tmp_path: Path, damage: Any, why: str) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        fill(index)
    damage(tmp_path / "index")
    with pytest.raises(IndexFolderError, match=why):
        Index(tmp_path / "index", THREE)


def test_two_writers_are_kept_apart(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index, hold(tmp_path / "index"):
        for attempt in (lambda: update_index(tmp_path / "index", [text]), lambda: fill(index)):
            with pytest.raises(IndexFolderError, match="being written by another"):
                attempt()
        assert names(index, "green") == ["tea.txt"]


def test_a_folder_that_may_not_be_written_is_named(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(IndexFolderError, match="Permission denied: name a folder that may be written"):
        update_index(tmp_path / "index", [text])


def test_readers_see_the_former_state_until_the_new_one_is_whole(text: Path, tmp_path: Path) -> None:
    """A reader searches all the while an index is updated over and over: it never sees a part."""
    update_index(tmp_path / "index", [text])
    ended = threading.Event()
    seen: set[int] = set()

    def search() -> None:
        with Index(tmp_path / "index") as index:
            while not ended.is_set():
                seen.add(len(index.search("marker", most=50).hits))

    reader = threading.Thread(target=search)
    reader.start()
    for number in range(6):
        for name in range(20):
            (text / f"{name}.txt").write_text(f"marker {name} {number}")
        update_index(tmp_path / "index", [text])
    ended.set()
    reader.join()
    assert seen <= {0, 20}
    assert 20 in seen


KILLED = """
    import sys
    import time
    from chidu.index import update_index, writing
    writing._BATCH = 20
    name = "write_postings" if sys.argv[3] == "postings" else "_batch"
    owner = writing if name == "write_postings" else writing._Update
    real = getattr(owner, name)
    count = 0

    def slow(*given):
        global count
        found = real(*given)
        found = list(found) if found is not None else found
        count += 1
        if count == 3 or name == "write_postings":
            print("now", flush=True)
            time.sleep(60)
        return found

    setattr(owner, name, slow)
    update_index(sys.argv[1], [sys.argv[2]])
"""


@pytest.mark.parametrize("where", ["reading", "postings"])
def test_a_killed_update_leaves_the_former_index_and_the_next_goes_on(
    text: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    update_index(index, [text])
    before = content(index)
    for number in range(100):
        (text / f"{number:03d}.txt").write_text(f"Many files, and this is number {number}.")
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(index), str(text), where]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    with Index(index) as opened:
        assert names(opened, "green") == ["tea.txt"]
        assert names(opened, "many") == []
        assert opened.search("tea").passages == 6
    assert content(index) == before
    cut: list[str] = []
    read = reading.read_passages

    def note(file: File, *limits: int) -> Any:
        cut.append(file.name)
        return read(file, *limits)

    monkeypatch.setattr("chidu.index.writing.read_passages", note)
    assert update_index(index, [text]).passages == 106
    assert 0 < 100 - len(cut) < 100 if where == "reading" else cut == []
    update_index(tmp_path / "fresh", [text])
    assert content(index) == content(tmp_path / "fresh")
    assert len(list(index.glob("postings-*"))) == 1


def test_an_index_whose_first_update_was_killed_says_so(text: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "index"), str(text), "postings"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    with pytest.raises(IndexFolderError, match="never finished: run the same update again"):
        Index(tmp_path / "index")
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index") as index:
        assert names(index, "green") == ["tea.txt"]


def test_rows_that_a_killed_process_left_are_written_over(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index", THREE) as index:
        wanted = list(index.wanted())
        index.fill([wanted[0].key], [[1, 0, 0]])
        with (tmp_path / "index" / "vectors-0.f32").open("ab") as file:
            file.write(b"\xff" * 30)
        index.fill([wanted[1].key], [[0, 1, 0]])
        assert names(index, "nothingness", [0, 1, 0])[0] == "law.md"


def test_the_record_names_versions_settings_and_what_was_read(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    record = json.loads((tmp_path / "index/record.json").read_text("utf-8"))
    assert record["settings"] == {"longest": 1_000, "most_bytes": 20_000_000, "stemming": ""}
    assert set(record["versions"]) == {"python", "chidu", "numpy"}
    assert record["result"]["files"] == 5
    settle(text)
    first = record["inputs"]
    (text / "tea.txt").write_text("Other tea.")
    update_index(tmp_path / "index", [text])
    assert json.loads((tmp_path / "index/record.json").read_text("utf-8"))["inputs"] != first


def test_an_index_within_the_folder_it_is_of_passes_itself_over(text: Path) -> None:
    update_index(text / "index", [text])
    assert update_index(text / "index", [text]).left_out == {"the index itself": 1}


def test_a_large_text_is_cut_or_left_out_by_the_limit(text: Path, tmp_path: Path) -> None:
    (text / "large.txt").write_text("A line that is one of very many in this file.\n" * 60_000)
    assert update_index(tmp_path / "index", [text], most_bytes=10**6).left_out == {"larger than 1.0 MB": 1}
    assert update_index(tmp_path / "index", [text]).passages > 2_500


def test_the_words_of_headings_count(text: Path, tmp_path: Path) -> None:
    update_index(tmp_path / "index", [text])
    with Index(tmp_path / "index") as index:
        assert names(index, "河")[0] == "茶.md"
    assert "河" in words("河")
    assert issubclass(IndexFolderError, ChiduError)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """An index of 3,000 passages with vectors of 24 dimensions around 60 centres, and their file."""
    folder = tmp_path_factory.mktemp("large")
    source = np.random.default_rng(0)
    centres = source.normal(size=(60, 24))
    vectors = centres[source.integers(0, 60, 3_200)] + 0.6 * source.normal(size=(3_200, 24))
    (folder / "text.jsonl").write_text("\n".join(json.dumps({"text": f"number {one}"}) for one in range(3_000)))
    update_index(folder / "index", [folder / "text.jsonl"])
    with Index(folder / "index", WIDE) as index:
        index.fill([one.key for one in index.wanted()], vectors[:3_000])
    return folder / "index", folder / "text.jsonl", vectors


WIDE = Embedder("planted", 24)


def test_a_graph_finds_what_the_exact_search_finds(large: tuple[Path, Path, Any], tmp_path: Path) -> None:
    folder, lines, vectors = large
    shutil.copytree(folder, tmp_path / "index")
    asked = vectors[3_000:]
    with Index(folder, WIDE) as index:
        exact = [{hit.text for hit in index.search("x", one).hits} for one in asked]
    graph = build_graph(tmp_path / "index")
    assert graph.is_used
    with Index(tmp_path / "index", WIDE) as index:
        found = [{hit.text for hit in index.search("x", one).hits} for one in asked]
        assert np.mean([len(one & other) for one, other in zip(exact, found, strict=True)]) >= 9.8
        # What comes later is found, and what goes is not, though the graph knows of neither.
        text = lines.read_text().split("\n")
        (tmp_path / "text.jsonl").write_text("\n".join([*text[500:], '{"text": "new"}']))
        update_index(tmp_path / "index", [tmp_path / "text.jsonl"])
        index.fill([one.key for one in index.wanted()], asked[:1])
        hits = index.search("x", asked[0]).hits
        assert (hits[0].text, hits[0].cosine) == ("new", pytest.approx(1))
        for one in asked[:50]:
            hits = index.search("x", one).hits
            assert len(hits) == 10
            assert all(hit.text == "new" or int(hit.text.split()[1]) >= 500 for hit in hits)
    next((tmp_path / "index").glob("graph-*")).unlink()
    with pytest.raises(IndexFolderError, match="missing or damaged: make the graph again"):
        Index(tmp_path / "index", WIDE)
    drop_vectors(tmp_path / "index")
    with pytest.raises(IndexFolderError, match="no vectors yet"):
        build_graph(tmp_path / "index")


def test_a_graph_that_finds_too_little_is_not_used(
    large: tuple[Path, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(large[0], tmp_path / "index")
    monkeypatch.setattr("chidu.index.graph._measure", lambda *_: (0.97, 1_024))
    assert not build_graph(tmp_path / "index").is_used
    assert not list((tmp_path / "index").glob("graph-*"))
