"""Teachers that a file names: which of them may be asked, and that nothing else is done with their names."""

import importlib
import importlib.util
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.teachers.config import Asking
from distill.teachers.found import FoundTeacher, found_teacher, made_here, remember
from distill.teachers.loading import load_teacher
from eval.toy.files import toy_path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "prompter.json"
    file.write_text('{"teacher": "me:predict"}')
    return file


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("subprocess:getoutput", "--teacher subprocess:getoutput"),
        ("http://evil.example/predict", "--trust_teacher to ask it, without your token"),
        ("vllm+http://evil.example/classify", "--trust_teacher to ask it, without your token"),
        ("org/model", "--trust_teacher"),
        ("models/teacher", "--trust_teacher"),
        ("none", "--trust_teacher"),
        ("a b; rm -rf /", "--teacher 'a b; rm -rf /'"),
    ],
)
def test_a_name_from_a_file_is_not_asked(manifest: Path, name: str, way: str) -> None:
    with pytest.raises(InputError) as error:
        FoundTeacher(name, manifest).check(trust=False)
    assert "names its teacher" in str(error.value) and way in str(error.value)


def test_a_toy_task_needs_no_question(manifest: Path) -> None:
    assert not FoundTeacher("toy:sentiment", manifest).check(trust=False)


def test_trust_opens_models_and_services_and_never_functions(manifest: Path) -> None:
    assert FoundTeacher("org/model", manifest).check(trust=True)
    assert FoundTeacher("https://host/predict", manifest).check(trust=True)
    with pytest.raises(InputError, match="never run") as error:
        FoundTeacher("os:system", manifest, ["no", "yes"]).check(trust=True)
    for name in ("evil.py:run", "a/evil.py:run", "module:object.method"):
        with pytest.raises(InputError, match="never run"):
            FoundTeacher(name, manifest).check(trust=True)
    assert "--teacher_labels no yes" in str(error.value) and "--trust_teacher" not in str(error.value)
    with pytest.raises(InputError, match="never run"):
        load_teacher("os:system", own=False)


def test_what_this_user_made_here_is_their_own(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not made_here(manifest)
    remember(manifest, "me:predict")
    assert made_here(manifest) and not FoundTeacher("me:predict", manifest).check(trust=False)
    moved = tmp_path / "moved.json"
    moved.write_bytes(manifest.read_bytes())
    assert made_here(moved)
    folder = tmp_path / "prompter-cache" / "made-here"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # anybody could have noted it
    assert not made_here(manifest)
    folder.chmod(0o700)
    (tmp_path / "elsewhere").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")  # another module may have the name there
        assert not made_here(manifest)
    manifest.write_text('{"teacher": "os:system"}')
    assert not made_here(manifest)


@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "\x1b[2J", "a/" * 1500, 5, None, ["a"]])
def test_what_is_no_name_is_refused(manifest: Path, name: object) -> None:
    with pytest.raises(InputError, match="'teacher' is no name"):
        FoundTeacher(name, manifest)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="teacher_labels"):
        FoundTeacher("a", manifest, {"a": 1})  # type: ignore[arg-type]


def test_how_a_teacher_is_asked_comes_from_the_file_where_the_user_says_nothing(manifest: Path) -> None:
    said = {"teacher": "openai+http://host/v1#m", "teacher_labels": ["a", "b"], "teacher_prompt": "{text}?"}
    found = found_teacher(said, manifest)
    assert found.asking(Asking(rate=2.0)) == Asking(prompt="{text}?", rate=2.0)
    assert found.asking(Asking(prompt="{text}!")).prompt == "{text}!"
    assert found.asking(Asking(), "openai+http://host/v1?key=k#m").prompt == "{text}?"
    assert found.asking(Asking(), "openai+http://host/v1#other") == Asking()
    for damaged in (5, ["{text}"], "x" * 20_001):
        with pytest.raises(InputError, match="'teacher_prompt' is no request"):
            found_teacher(said | {"teacher_prompt": damaged}, manifest)


HOSTILE = st.one_of(
    st.sampled_from(
        ["evil.py:run", "./a/evil.py:run", "m:object.method", "os:system",
         "subprocess:getoutput", "builtins:exec", "a.b.c:d", "http://127.0.0.1:1/x", "https://x", "HTTP://x",
         "//x/y", "openai+http://127.0.0.1:1/v1#m", 
         "vllm+https://x/y.py:run", "endpoint+http://x",
         "file:///etc/passwd", "antigravity:x", "..", "/", "", ":", "toy:", "toy:../x", "toy:os:system", "hub:x",
         "C:\\x:y"]
    ),
    st.text(max_size=40),
    st.from_regex(r"[A-Za-z_]\w{0,5}(\.[A-Za-z_]\w{0,5}){0,3}:[A-Za-z_]\w{0,5}", fullmatch=True),
    st.from_regex(r"https?://[a-z]{1,5}(:[0-9]{1,5})?/[a-z]{0,5}", fullmatch=True),
    st.none(), st.integers(), st.lists(st.text(max_size=3)), st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=HOSTILE, trust=st.booleans())
def test_no_name_out_of_a_file_reaches_an_import_or_without_trust_a_socket(manifest: Path, name: object, trust: bool) -> None:
    def reached(*arguments: object, **named: object) -> None:
        raise AssertionError(f"reached with {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib, "import_module", reached)
        patch.setattr(importlib.util, "find_spec", reached)
        patch.setattr(socket.socket, "connect", reached)
        patch.setattr(socket, "getaddrinfo", reached)
        try:
            found = FoundTeacher(name, manifest)  # type: ignore[arg-type]
            trusted = found.check(trust)
        except InputError:
            return
        assert trust or found.name.startswith("toy:")
        if not trusted and found.name not in ("toy:sentiment", "toy:topic"):
            with pytest.raises(InputError):
                toy_path(found.name, "teacher")  # what `open_teacher` does first with a name that begins with "toy:"


def test_a_trusted_name_gets_no_token(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.teachers.services.http_teacher import HttpTeacher

    monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", "secret-token")
    assert HttpTeacher("http://a.example/predict", ["no", "yes"])._line.token == "secret-token"
    opened = load_teacher("http://a.example/predict", labels=["no", "yes"], own=False)
    assert isinstance(opened, HttpTeacher) and opened._line.token == ""
