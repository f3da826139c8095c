"""What reads the Event Socket, twice: in Python alone, and with the part in C where that is built."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import SimpleNamespace
from unittest.mock import patch

import pytest

import esl.framing  # noqa: F401  # with all that it imports, of which there is one for both


def load(pure: bool) -> SimpleNamespace:
    """Its names as they are in a process that was started with or without `ESL_PURE_PYTHON`."""
    names: dict[str, object] = {}
    with patch.dict(os.environ, ESL_PURE_PYTHON="1" if pure else ""), patch.dict(sys.modules):
        for name in ("esl.headers", "esl.event", "esl.framing"):
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            names |= vars(module)
    return SimpleNamespace(**names)


IN_PYTHON, IN_C = load(pure=True), load(pure=False)
IS_BUILT = IN_C.Headers.__module__ == "esl._fast"
needs_c = pytest.mark.skipif(not IS_BUILT, reason="the part in C is not built: it needs a compiler at `make setup`")
BOTH = [pytest.param(IN_PYTHON, id="python"), pytest.param(IN_C, id="c", marks=needs_c)]
