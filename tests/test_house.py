"""The structure of the code: data flows down, heavy libraries are imported late."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analyzer"
FILES = sorted(PACKAGE.rglob("*.py"))

ROOMS = [
    ["distribution", "moved"],
    ["errors"],
    ["units", "files", "processes", "shown", "seals", "structs", "git_calls", "later"],
    ["figures"],
    ["architecture"],
    ["measurements", "channel_maps"],
    ["records"],
    ["limits", "layout"],
    ["answers"],
    ["reading"],
    ["building"],
    ["tracing"],
    ["graphs"],
    ["space"],
    ["targets"],
    ["images"],
    ["measuring"],
    ["storing"],
    ["executors"],
    ["training"],
    ["exporting"],
    ["compressing"],
    ["reporting"],
    ["sweeping", "searching", "budget"],
    ["api", "pytest_plugin"],
    ["cli"],
    ["__init__", "__main__"],
]
"""From top to bottom; a file may import from rooms above its own and from its own."""
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}
HEAVY = {
    "torch", "pandas", "plotly", "fvcore", "torchinfo", "ray", "optuna", "pyarrow", "PIL", "scipy", "safetensors",
    "onnx", "onnxruntime", "onnxscript", "google", "torch_pruning", "torchao",
}  # fmt: skip
HEAVY_ROOMS = {"building", "tracing", "measuring", "training", "compressing"}
"""The rooms whose files may import torch when they are imported; all others start at once."""
LIGHT = [path for path in FILES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in HEAVY_ROOMS]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [node.module] if node.module != "analyzer" else [f"analyzer.{alias.name}" for alias in node.names]
    return found


def module_level(tree: ast.Module) -> list[str]:
    """Imports that run when the module is imported: outside functions and TYPE_CHECKING."""
    found = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        found += imports(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_above(path: Path) -> None:
    own = room(path)
    assert own in LEVEL, f"{own} has no place in the house"
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "analyzer" and len(parts) > 1:
            assert LEVEL[parts[1]] <= LEVEL[own], f"{path.name} imports {name} from below"


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_light_rooms_import_nothing_heavy_at_module_level(path: Path) -> None:
    heavy = {name.split(".")[0] for name in module_level(ast.parse(path.read_text()))} & HEAVY
    assert not heavy, f"{path.name} imports {heavy}"


def test_the_map_names_what_is_there() -> None:
    """CONTRIBUTING's table: every room has its row, and every file that a row names is in that room."""
    rows = re.findall(r"^\| (`[^|]+) \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    rooms = {name: told for names, told in rows for name in re.findall(r"`(\w+/|\w+\.py)`", names)}
    folders = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(rooms)
    for name, told in rooms.items():
        assert (PACKAGE / name).exists()
        named = re.findall(r"`(\w+(?:\.py|/))`", told) if name in folders else []
        assert [each for each in named if not (PACKAGE / name / each).exists()] == []


# -- sizes -----------------------------------------------------------------------------------------------------

LINES_A_FILE, LINES_A_FUNCTION, PARAMETERS, FILES_A_CHAIN = 350, 40, 8, 15
TREES = {path: ast.parse(path.read_text()) for path in FILES}
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text())
PUBLIC = {
    (node.module, name.name) for node in ast.walk(STUB) if isinstance(node, ast.ImportFrom) for name in node.names
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def functions() -> list[tuple[Path, ast.FunctionDef]]:
    return [
        (path, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]


def parameters(function: ast.FunctionDef) -> int:
    """How many, `self` and `cls` aside."""
    asked = function.args
    each = [*asked.posonlyargs, *asked.args, *asked.kwonlyargs, asked.vararg, asked.kwarg]
    names = [one.arg for one in each if one is not None]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def is_click_command(function: ast.FunctionDef) -> bool:
    calls = [decorator.func for decorator in function.decorator_list if isinstance(decorator, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr == "command" for call in calls)


def test_files_stay_readable() -> None:
    long = {str(path.relative_to(PACKAGE)) for path in FILES if len(path.read_text().splitlines()) > LINES_A_FILE}
    assert long == set()


def test_functions_hold_one_idea() -> None:
    """From `def` to the last line, docstring included."""
    sizes = [(node.end_lineno - node.lineno + 1, module_name(path), node.name) for path, node in functions()]
    assert [each for each in sizes if each[0] > LINES_A_FUNCTION] == []


def test_few_parameters_but_for_what_a_user_calls() -> None:
    """Public verbs and click commands have as many as they have options."""
    many = [(path, node) for path, node in functions() if parameters(node) > PARAMETERS and not is_click_command(node)]
    assert {(module_name(path), node.name) for path, node in many} <= PUBLIC


def test_no_two_classes_share_a_name_nor_take_one_of_torchs() -> None:
    found = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert {name for name in found if found.count(name) > 1} == set()
    assert not {"Tensor", "Node", "Block", "Storage"} & set(found)


# -- the graph of imports --------------------------------------------------------------------------------------


def imported(body: list[ast.stmt], later: bool) -> set[str]:
    """Names of modules that statements import, type checkers' aside; with `later` those of functions too."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            each = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in each}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            names |= imported(node.orelse, later)
        elif later or not isinstance(node, ast.FunctionDef):
            for inner in ("body", "orelse", "handlers", "finalbody"):
                names |= imported(getattr(node, inner, []), later)
    return names


MODULES = {module_name(path) for path in FILES}


def graph(*, later: bool) -> dict[str, set[str]]:
    """Each module with those of ours that it imports."""
    found = {module_name(path): imported(tree.body, later) for path, tree in TREES.items()}
    return {name: (names & MODULES) - {name, "analyzer"} for name, names in found.items()}


@pytest.mark.parametrize("later", [False, True], ids=["at once", "in functions too"])
def test_no_circle_of_imports(later: bool) -> None:
    TopologicalSorter(graph(later=later)).prepare()


def test_no_long_chain_of_imports() -> None:
    imports_of, chain = graph(later=False), {}
    for name in TopologicalSorter(imports_of).static_order():
        chain[name] = [name, *max((chain[other] for other in imports_of[name]), key=len, default=[])]
    assert max(map(len, chain.values())) <= FILES_A_CHAIN, max(chain.values(), key=len)


def test_git_and_processes_are_called_in_one_place_each() -> None:
    """git with one safe environment, and no other program but Python itself."""
    calls = {
        module_name(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and (getattr(node.func.value, "id", ""), node.func.attr) in
        {("subprocess", name) for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput")}
        | {("os", name) for name in ("system", "popen", "posix_spawn", "execv", "execvp", "execve", "fork")}
    }  # fmt: skip
    assert calls == {"analyzer.git_calls", "analyzer.processes"}
    for path, tree in TREES.items():
        words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == "git"]
        assert not words or module_name(path) in ("analyzer.git_calls", "analyzer.budget.git"), path
