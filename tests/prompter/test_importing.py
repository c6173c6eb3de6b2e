"""The garbage collector rests while libraries load, and is as it was afterwards."""

import gc

import pytest

from prompter.importing import quick_imports


def test_the_collector_is_as_it_was() -> None:
    with pytest.raises(ImportError), quick_imports():
        assert not gc.isenabled()
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
