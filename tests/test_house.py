"""The house rules, read from the source: layers, public names, light imports, the README's map."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "chidu"
FLOORS = {
    "errors": -1, "units": 0, "parallel": 0,
    "runs": 1, "safety": 1,
    "corpus": 2, "model": 2, "laws": 2,
    "tokens": 3, "index": 3,
    "training": 4, "inference": 4,
    "evaluation": 5,
    "apps": 6, "studies": 6, "report": 6,
    "serving": 7,
    "work": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Every room that a file names in an import, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "chidu":
            assert node.level == 0, f"{path}: relative import"
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("chidu.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_lower_rooms(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for other in imported_rooms(path) - {room}:
        assert FLOORS[other] < FLOORS[room], f"{path.name} in {room}/ imports {other}/"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__"}
    assert rooms == set(FLOORS)


def test_laws_need_numpy_alone() -> None:
    for path in (PACKAGE / "laws").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names | {"numpy", "chidu"}, f"{path.name} imports {name}"
                assert top != "multiprocessing", f"{path.name}: threads, never processes"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_is_the_public_face(path: Path) -> None:
    """What __all__ names is there; nothing else in a room's front is public."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__main__":
        return
    module = importlib.import_module(".".join(("chidu", *(part for part in parts if part != "__init__"))))
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(module, name), f"{module.__name__}.__all__ names {name}, which is not there"


def test_every_public_name_of_chidu_has_a_docstring() -> None:
    chidu = importlib.import_module("chidu")
    for name in chidu.__all__:
        if name != "__version__":
            assert getattr(chidu, name).__doc__, name


@pytest.mark.parametrize("statement", ["import chidu", "import chidu.cli", "import chidu.report"])
def test_imports_are_light(statement: str) -> None:
    heavy = ["numpy", "torch", "transformers", "pandas", "plotly", "tokenizers", "pyarrow"]
    if statement != "import chidu":
        heavy.remove("numpy")
    program = f"{statement}; import sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['chidu', '--help']\n"
        "from chidu.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print([name for name in ('numpy', 'torch', 'rich.console') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_readme_maps_every_room(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    mapped = set(re.findall(r"^(?:src/chidu/)?(\w+)(?:/|\.py)\s", text, flags=re.MULTILINE))
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= mapped, f"{readme} does not map {sorted(rooms - mapped)}"


def test_nothing_names_a_machine_or_a_host() -> None:
    """No absolute path of a machine, no package host, no lock file with addresses."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "/wo" + "rk/", "/ro" + "ot/"]
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".png", ".bin") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        for host in hosts:
            assert host not in text, f"{name} names {host}"


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by name alone: of two of one name, both get the first."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
