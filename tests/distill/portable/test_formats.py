"""Names and files of the formats, and one line where a library is missing."""

import importlib.util
from pathlib import Path

import pytest

from distill.common.errors import InputError
from distill.portable import formats
from distill.portable.formats import FORMATS, LIBRARIES, check_installed, find_program


def test_weights_of_pytorch_go_before_a_program(tmp_path: Path) -> None:
    assert find_program(tmp_path) is None and find_program(tmp_path / "none") is None
    (tmp_path / "model.onnx").touch()
    assert find_program(tmp_path) == tmp_path / "model.onnx"
    (tmp_path / "model.safetensors").touch()
    assert find_program(tmp_path) is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_library_is_one_line_with_the_remedy(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(LIBRARIES[kind]))
    found = importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name == first else found(name))
    with pytest.raises(InputError, match=rf"^export names '{kind}', which needs {first}: pip install 'topic-prompter\["):
        check_installed([kind], "export")


@pytest.mark.parametrize("kind", FORMATS)
def test_transformers_that_is_too_old_is_one_line_with_the_remedy(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed([kind], "export")
    monkeypatch.setattr(formats.importlib.metadata, "version", lambda name: "5.17.0")
    with pytest.raises(InputError, match=rf"^export names '{kind}', which needs transformers 5.20 or newer, and 5.17.0 is"):
        check_installed([kind], "export")
