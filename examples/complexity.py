r"""How complex are the functions of a Python source file? A task for ``corewise map``, and a table of what it found.

Run it over every source file of this Python's standard library::

    corewise map examples.complexity:analyse -o complexity.jsonl \
        --files "$(python examples/complexity.py --where)/**/*.py" --exclude '*/site-packages/*'
    python examples/complexity.py complexity.jsonl
"""

from __future__ import annotations

import ast
import heapq
import json
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What the files of others are warned of is not this program's business.
warnings.filterwarnings("ignore", category=SyntaxWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)

BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)
"""Each is one more way through a function (McCabe, A Complexity Measure, 1976)."""
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def analyse(path: str) -> dict[str, Any]:
    """Parse a source file and measure every function in it.

    Args:
        path: Of the file; it is read in the encoding that it declares.

    Returns:
        ``path`` and, for each function, its name, line, cyclomatic complexity and deepest nesting.

    Raises:
        SyntaxError: The file is not Python, or not of the encoding that it declares.

    Example:
        >>> [function["name"] for function in analyse(__file__)["functions"]][0]
        'analyse'
    """
    with tokenize.open(path) as file:
        tree = ast.parse(file.read(), path)
    return {"path": path, "functions": [measure(name, function) for name, function in functions(tree)]}


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function below a node with its qualified name."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            name = f"{prefix}.{child.name}" if prefix else child.name
        if isinstance(child, FUNCTIONS):
            yield name, child
        yield from functions(child, name)


def measure(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
    """Return name, line, complexity and nesting of a function."""
    complexity = 1 + sum(weight(node) for node in own_nodes(function))
    return {"name": name, "line": function.lineno, "complexity": complexity, "nesting": deepest(function)}


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def weight(node: ast.AST) -> int:
    """Return how many ways a node adds: one for a branch, one for each further operand of ``and`` and ``or``."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return isinstance(node, BRANCHES)


def deepest(node: ast.AST) -> int:
    """Return how many blocks deep the deepest statement of a function is; ``elif`` is as deep as its ``if``."""
    depth = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            continue
        else_if = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        depth = max(depth, deepest(child) + (isinstance(child, NESTING) and not else_if))
    return depth


def show_most_complex(results: Path, count: int = 10) -> None:
    """Print a table of the most complex functions in a file that ``corewise map`` wrote."""
    with results.open(encoding="utf-8") as file:
        files = [json.loads(line)["result"] for line in file]
    found = [(function["complexity"], function, each["path"]) for each in files for function in each["functions"]]
    print(f"{len(found):,} functions in {len(files):,} files; the {count} most complex:\n")
    print(f"{'complexity':>10} {'nesting':>7}  function")
    for complexity, function, path in heapq.nlargest(count, found, key=lambda each: each[0]):
        print(f"{complexity:>10} {function['nesting']:>7}  {function['name']} ({path}:{function['line']})")


if __name__ == "__main__":
    if sys.argv[1:] == ["--where"]:
        print(sysconfig.get_path("stdlib"))
    else:
        show_most_complex(Path(sys.argv[1]))
