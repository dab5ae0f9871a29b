"""Which module of a changed model was which before: by path, by place in a sequence, by structure hash where it moved.

So a renamed module is no growth, a layer put in front of others does not make all of them new, and what grew is named.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from analyzer.budget.lock_file import natural, structure_hash
from analyzer.budget.verdict import Payer
from analyzer.figures import FIGURES
from analyzer.reading.layers import LayerNode, tree
from analyzer.records import LayerRow


class Alignment:
    """`before` of a path now: the path it had, None where the module is new. `gone` are the rows that are no more."""

    def __init__(self, before: Sequence[LayerRow], after: Sequence[LayerRow]) -> None:
        self._was, self._now = {row.path: row for row in before}, {row.path: row for row in after}
        self._hashes: dict[int, str] = {}
        self._pairs: dict[str, str] = {}
        self._gone: list[LayerNode] = []
        self._new: list[LayerNode] = []
        self._both(tree(before), tree(after))
        # Parents stand before their children in both lists, so that the largest subtree is matched first.
        self._gone = [node for top in self._gone for _, node in top.walk()]
        self._new = [node for top in self._new for _, node in top.walk()]
        self._match_subtrees(self._hash)
        left = {id(node) for node in (*self._gone, *self._new)}
        self._match_subtrees(
            lambda node: _skeleton(node) if all(id(below) in left for _, below in node.walk()) else None
        )
        self._match_renamed()

    def before(self, path: str) -> LayerRow | None:
        """The row that a module of now had before."""
        return self._was.get(self._pairs.get(path, "\0"))

    @property
    def gone(self) -> list[LayerRow]:
        """Rows from before that no module of now continues."""
        continued = {self._pairs[path] for path in self._now if path in self._pairs}
        return [row for path, row in self._was.items() if path not in continued]

    def changes(self, figure: str, paths: set[str] | None = None, were: set[str] | None = None) -> tuple[Payer, ...]:
        """Modules whose share of a figure changed, the largest growth first; of `paths` now and `were` alone."""
        payers, of = [], FIGURES[figure].of
        for path, row in self._now.items():
            was = self.before(path)
            inside = paths is None or path in paths
            was_inside = was is not None and (were is None or was.path in were)
            payers.append(_change(row, of(row) if inside else None,
                                  of(was) if was is not None and was_inside else None))  # fmt: skip
        gone = [row for row in self.gone if were is None or row.path in were]
        payers += [_change(row, None, of(row)) for row in gone]
        return tuple(sorted((c for c in payers if c.delta), key=lambda change: -change.delta))

    @property
    def moved(self) -> list[tuple[str, str, int]]:
        """What has another path now: from, to, how many modules; a renamed container is one entry."""
        ends: Counter[tuple[str, str]] = Counter()
        for path in self._now:
            was = self.before(path)
            if was is not None and was.path != path:
                ends[_without_common_end(was.path, path)] += 1
        return [(old, new, number) for (old, new), number in ends.items()]

    # -- matching ----------------------------------------------------------------------------------------------

    def _both(self, was: LayerNode, now: LayerNode) -> None:
        """The two are one module: pairs them, and their children."""
        self._pairs[now.path] = was.path
        if _is_sequence(was) and _is_sequence(now) and len(was.children) != len(now.children):
            self._sequence(_ordered(was), _ordered(now))
            return
        for name, child in now.children.items():
            if name in was.children:
                self._both(was.children[name], child)
            else:
                self._new.append(child)
        self._gone += [child for name, child in was.children.items() if name not in now.children]

    def _sequence(self, was: list[LayerNode], now: list[LayerNode]) -> None:
        matcher = difflib.SequenceMatcher(None, [*map(self._hash, was)], [*map(self._hash, now)], autojunk=False)
        for _, i, i_end, j, j_end in matcher.get_opcodes():
            for a, b in itertools.zip_longest(was[i:i_end], now[j:j_end]):
                if a is not None and b is not None and _kind(a) == _kind(b):
                    self._both(a, b)
                else:
                    self._gone += [a] if a is not None else []
                    self._new += [b] if b is not None else []

    def _match_subtrees(self, key: Callable[[LayerNode], str | None]) -> None:
        """Pairs what is gone with what is new where the keys are equal, the largest subtrees first (None: never)."""
        places: dict[str, list[LayerNode]] = defaultdict(list)
        for node in self._gone:
            if (known := key(node)) is not None:
                places[known].append(node)
        matched: set[int] = set()

        def whole(node: LayerNode) -> bool:
            return not any(id(below) in matched for _, below in node.walk())

        for node in self._new:
            known = key(node)
            match = next((m for m in places[known] if whole(m)), None) if known is not None and whole(node) else None
            if match is not None:
                matched.update(id(below) for top in (match, node) for _, below in top.walk())
                self._both(match, node)
        self._gone = [node for node in self._gone if id(node) not in matched]
        self._new = [node for node in self._new if id(node) not in matched]

    def _match_renamed(self) -> None:
        """What is left, where its neighbours say how its container is called now."""
        votes = Counter(_without_common_end(was, now) for now, was in self._pairs.items() if was != now and now and was)
        gone = {node.path: node for node in self._gone if node.row is not None}
        for node in self._new:
            if node.row is None:
                continue
            for (old, new), _ in votes.most_common():
                path = _with_start(node.path, new, old)
                if path in gone and gone[path].row is not None:
                    self._pairs[node.path] = path
                    del gone[path]
                    break

    def _hash(self, node: LayerNode) -> str:
        """Of a module and all below it; names count but for places in a sequence."""
        known = self._hashes.get(id(node))
        if known is None:
            parts = [structure_hash(node.row) if node.row is not None else "-"]
            for child in _ordered(node):
                parts += ["#" if child.name.isdecimal() else child.name, self._hash(child)]
            known = self._hashes[id(node)] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return known


def _change(row: LayerRow, after: int | None, before: int | None) -> Payer:
    return Payer(path=row.path, type=row.type, before=before, after=after)


def _skeleton(node: LayerNode) -> str | None:
    """Of a container: names and types below it, whatever they cost. A single layer is too little to be known by."""
    if not node.children:
        return None
    below = [(_path_below(node, child), child.row.type if child.row else "") for _, child in node.walk()]
    return repr(sorted(below))


def _path_below(node: LayerNode, child: LayerNode) -> str:
    return child.path[len(node.path) :]


def _is_sequence(node: LayerNode) -> bool:
    return bool(node.children) and all(name.isdecimal() for name in node.children)


def _ordered(node: LayerNode) -> list[LayerNode]:
    return sorted(node.children.values(), key=lambda child: natural(child.path))


def _kind(node: LayerNode) -> object:
    """What must be the same for one module to have become another in its place."""
    return node.row.type if node.row is not None and not node.children else bool(node.children)


def _without_common_end(old: str, new: str) -> tuple[str, str]:
    olds, news = old.split("."), new.split(".")
    while len(olds) > 1 and len(news) > 1 and olds[-1] == news[-1]:
        olds.pop()
        news.pop()
    return ".".join(olds), ".".join(news)


def _with_start(path: str, start: str, other: str) -> str | None:
    if path == start:
        return other
    return other + path[len(start) :] if path.startswith(start + ".") else None
