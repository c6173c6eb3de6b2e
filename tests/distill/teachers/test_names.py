"""How a teacher is named where it is stored and shown."""

import functools

import pytest

from distill.teachers.names import FUNCTION_NAME, teacher_name


class Ensemble:
    def __call__(self, texts: list[str]) -> list[list[float]]:
        return [[0.5, 0.5]] * len(texts)


@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        ("me/model", "me/model"),
        ("folder?x", "folder?x"),
        ("https://host/predict?key=secret", "https://host/predict"),
        ("vllm+https://host/classify?key=secret#org/model", "vllm+https://host/classify#org/model"),
        ("openai+http://host/v1#model?x", "openai+http://host/v1#model?x"),
        ("module:function", "module:function"),
        (functools.reduce, "_functools:reduce"),
        (Ensemble(), f"{__name__}:Ensemble"),
        (Ensemble.__call__, f"{__name__}:Ensemble.__call__"),
    ],
)
def test_name_tells_the_teacher_and_no_secret(teacher: object, name: str) -> None:
    assert teacher_name(teacher) == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "is_function"),
    [("a.b:c", True), ("a:b", True), ("http://a:80", False), ("org/model", False), ("a:", False), ("dir/a b.py:f", True),
     (r"C:\my project\a.py:f", True), ("d:/a.py:f.g", True), ("https://host/a.py:f", False), (r"C:\models\a", False)],
)  # fmt: skip
def test_function_names_are_told_from_other_names(text: str, is_function: bool) -> None:
    assert bool(FUNCTION_NAME.fullmatch(text)) == is_function
