"""Attributes of torch's and Python's own that are others for as long as a forward runs, to the thread that runs it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any


class _Replaced:
    """One attribute, as it was and as it is meanwhile."""

    def __init__(self, kind: Any, name: str, value: Any) -> None:
        self.kind, self.name, self.value = kind, name, value
        self.own = inspect.getattr_static(kind, name) if name in vars(kind) else None

    def put(self) -> None:
        setattr(self.kind, self.name, self.value)

    def put_back(self) -> None:
        if self.own is None:
            delattr(self.kind, self.name)  # it was inherited
        else:
            setattr(self.kind, self.name, self.own)


_now: list[_Replaced] = []


@contextlib.contextmanager
def exchanged(kind: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of a class or module that is another for a while, and gone after where it was inherited."""
    one = _Replaced(kind, name, value)
    one.put()
    _now.append(one)
    try:
        yield
    finally:
        _now.remove(one)
        one.put_back()


@contextlib.contextmanager
def replaced(kind: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """A function or method that is another for a while, where this thread calls it."""
    here, original = threading.get_ident(), getattr(kind, name)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return (function if threading.get_ident() == here else original)(*args, **kwargs)

    with exchanged(kind, name, called):
        yield


@contextlib.contextmanager
def all_put_back() -> Iterator[None]:
    """Everything that is replaced now is as it was, for a while."""
    these = list(_now)
    for one in reversed(these):
        one.put_back()
    try:
        yield
    finally:
        for one in these:
            one.put()
