"""A tiny student, and all its programs, made once for all processes, since the exporters need seconds."""

from pathlib import Path

import pytest
from filelock import FileLock

from distill.student import load_student
from distill.teachers.loading import load_teacher
from prompter.cli import main
from prompter.deploying import checking, conversion
from tests.distill.portable.programs import save_sums

WORDS = [f"w{i}" for i in range(25)] + ["good", "bad"]


def some_texts(count: int) -> list[str]:
    """Texts of 1 to 20 words."""
    return [" ".join(WORDS[(i * j + i) % 27] for j in range(1, 2 + i % 20)) for i in range(count)]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str, teacher_folder: Path) -> Path:
    """Folder with `student`, and its programs in `programs`."""
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "deploying"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            place.mkdir()
            student = load_student("teacher-layers:0", teacher=load_teacher(str(teacher_folder), "cpu"), device="cpu")  # type: ignore[arg-type]
            student.max_length = 12
            student.save(place / "student")
            (place / "texts.txt").write_text("\n".join(some_texts(120)))
            line = ["export-student", str(place / "student"), "--format", "onnx", "onnx-int8", "openvino", "--quiet"]
            assert main([*line, "--texts", str(place / "texts.txt"), "--to", str(place / "programs")]) == 0
    return place


@pytest.fixture
def student_folder(shared: Path) -> Path:
    return shared / "student"


@pytest.fixture
def exported(shared: Path) -> Path:
    return shared / "programs"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a program that was made by hand, and let it pass."""

    def write(model: object, inputs: object, file: Path, kind: str) -> None:
        save_sums(file, model.config.vocab_size, model.config.num_labels)  # type: ignore[attr-defined]

    monkeypatch.setitem(conversion._WRITERS, "onnx", write)
    monkeypatch.setattr(checking, "LEAST_AGREEMENT", 0.0)
    monkeypatch.setattr(checking, "TIMED_TEXTS", 4)
    monkeypatch.setattr(checking, "ROUNDS", 1)
