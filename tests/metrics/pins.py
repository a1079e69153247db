"""Pins of the code behind each metric; run as a module to write versions.json anew."""

import ast
import hashlib
import json
from pathlib import Path

from stabench.harness.suites import protocols
from stabench.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("versions.json")
UNPINNED = {"stabench.metrics.registry", "stabench.metrics.sets", "stabench.metrics.contract"}
"""Shapes of data, and influence: they decide no value."""


def pins() -> dict[str, dict[str, object]]:
    """Metric -> its version and the fingerprint of its code and what that imports of metrics."""
    return {
        name: {
            "version": metric.version,
            "code": fingerprint(sorted(_sources(metric.measure.split(":")[0]).values())),
        }
        for name, metric in METRICS.items()
    }


def fingerprint(sources: list[str]) -> str:
    """Digest of syntax trees: comments, docstrings and layout do not count."""
    trees = [_plain(_without_docstrings(ast.parse(source))) for source in sources]
    return hashlib.sha256(json.dumps(trees).encode()).hexdigest()[:16]


def _plain(node: object) -> object:
    """A syntax tree as lists; fields that are empty are left out, as versions of Python differ."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *([name, value] for name, value in fields if value)]
    if isinstance(node, list):
        return [_plain(each) for each in node]
    return None if node is None else repr(node)


def _sources(module: str) -> dict[str, str]:
    """The source of a module and of all that it imports of metrics."""
    found: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name in found or name in UNPINNED or not name.startswith("stabench.metrics."):
            continue
        found[name] = (ROOT / f"{name.removeprefix('stabench.').replace('.', '/')}.py").read_text(
            "utf-8"
        )
        imports = (node for node in ast.walk(ast.parse(found[name])))
        todo += [
            node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module
        ]
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                each
                for each in body
                if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
            node.body = kept or [ast.Pass()]
    return tree


def main() -> None:
    read = {name: protocols.load(name) for name in ("paper", "stabench", "pocket")}
    content = {
        "metrics": pins(),
        "protocols": {n: {"version": p.version, "digest": p.digest} for n, p in read.items()},
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
