"""The cache of a teacher's answers: asked once, the same bits for everybody, and never the end of a run."""

import json
import multiprocessing
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.kinds.names import GivenKind
from distill.teachers import stored_answers
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.config import Asking
from distill.teachers.loading import identity, load_teacher
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from distill.teachers.probabilities import count
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import random_texts

CLASSES = 3


class PickyTeacher:
    """A teacher whose last bits depend on the whole batch, as those of a neural network do; "bad" texts get NaN."""

    kind = SINGLE

    def __init__(self, labels: Sequence[str] = ("a", "b", "c")) -> None:
        self.labels = list(labels)
        self.path = "picky"
        self.queries = self.invalid = 0
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> torch.Tensor:
        self.calls.append(list(texts))
        batch = hash(tuple(texts)) % 1000  # of str, so salted per process, but constant within one
        both = [f"{text}|{pair}" for text, pair in zip(texts, text_pairs or texts, strict=True)]
        logits = torch.tensor([[len(text), sum(map(ord, text)) % 7, 1 + batch * 1e-6] for text in both]).float()
        logits[[text.startswith("bad") for text in texts]] = float("nan")
        return count(self, logits.log_softmax(1), "bad texts")


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = identity
    monkeypatch.setattr(
        "distill.teachers.prediction_cache.identity",
        lambda teacher: " ".join(teacher.labels) if isinstance(teacher, PickyTeacher) else real(teacher),
    )


def fail(line: str) -> None:
    raise AssertionError(line)


def cached(file: Path | None, teacher: object = None, notice: Callable[[str], None] = fail, **more: float) -> CachedTeacher:
    return CachedTeacher(teacher or PickyTeacher(), file, notice, **more)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()


def test_a_text_is_asked_once_and_counted_each_time(tmp_path: Path) -> None:
    file = tmp_path / "new" / "answers.sqlite"
    teacher = cached(file)
    first = teacher(["x", "yy", "x"])
    assert teacher.teacher.calls == [["x", "yy"]]
    assert same(first[0], first[2])
    again = teacher(["yy", "zzz", "x"])
    assert teacher.teacher.calls == [["x", "yy"], ["zzz"]]
    assert same(again[[2, 0]], first[:2])
    assert (teacher.queries, teacher.asked, teacher.invalid) == (6, 3, 0)
    other = cached(file)  # another run
    assert same(other(["x", "yy", "x"]), first)
    assert (other.queries, other.asked, other.teacher.calls) == (3, 0, [])
    assert other([]).shape == (0, CLASSES)


def test_what_a_teacher_was_asked_for_its_labels_was_asked(tmp_path: Path) -> None:
    for file in (None, tmp_path / "a.sqlite"):
        teacher = PickyTeacher()
        teacher.queries = 1
        made = cached(file, teacher)
        made(["x", "yy"])
        assert (made.queries, made.asked) == (3, 3)


def test_pairs_are_told_from_texts_and_from_each_other(tmp_path: Path) -> None:
    teacher = cached(tmp_path / "a.sqlite")
    teacher(["x"])
    teacher(["x", "x", "x"], ["y", "z", "y"])
    teacher(["x"], [""])
    assert teacher.teacher.calls == [["x"], ["x", "x"], ["x"]]
    assert teacher.asked == 4


def test_what_a_call_would_ask_is_known_before(tmp_path: Path) -> None:
    teacher = cached(tmp_path / "a.sqlite")
    teacher(["x", "bad"])
    assert teacher.unknown(["y", "x", "y", "bad"]) == [0, 3]
    assert teacher.unknown(["x", "x"], ["y", "z"]) == [0, 1] and teacher.unknown([]) == []
    assert cached(None).unknown(["y", "y"]) == [0, 1]  # nothing is stored, so each is asked
    assert len(teacher.teacher.calls) == 1


def test_answers_of_one_teacher_are_not_given_for_another(tmp_path: Path) -> None:
    cached(tmp_path / "a.sqlite")(["x"])
    other = cached(tmp_path / "a.sqlite", PickyTeacher(["b", "a", "c"]))
    other(["x"])
    assert other.asked == 1


def test_unusable_answers_are_counted_and_asked_again(tmp_path: Path) -> None:
    teacher = cached(tmp_path / "a.sqlite")
    predictions = teacher(["bad", "x", "bad"])
    assert predictions.isnan().any(1).tolist() == [True, False, True]
    assert (teacher.queries, teacher.invalid, teacher.asked) == (3, 2, 2)
    teacher(["x", "bad"])
    assert teacher.teacher.calls[1] == ["bad"]
    assert (teacher.queries, teacher.invalid, teacher.asked) == (5, 3, 3)


@pytest.mark.parametrize("warm", [False, True])
def test_a_run_stops_at_the_same_call_whatever_is_known(tmp_path: Path, warm: bool) -> None:
    texts = [f"{'bad ' * (i % 2)}{i}" for i in range(200)]
    if warm:
        cached(tmp_path / "a.sqlite")(texts)
    teacher = cached(tmp_path / "a.sqlite")
    for start in range(0, 200, 20):
        teacher(texts[start : start + 20])  # half of them are bad, and only these are asked anew
    assert (teacher.queries, teacher.invalid) == (200, 100)
    with pytest.raises(InputError, match="102 of 202 answers of picky were unusable"):
        teacher(["bad", "bad too"])


def test_known_answers_do_not_put_off_the_stop(tmp_path: Path) -> None:
    good = [f"good {i}" for i in range(10)]
    cached(tmp_path / "a.sqlite")(good)
    teacher = cached(tmp_path / "a.sqlite")
    teacher([f"bad {i}" for i in range(54)])
    with pytest.raises(InputError, match="54 of 64"):
        teacher(good)


words = st.text("abé\udc80 ", max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(words, max_size=12), max_size=6))
def test_any_calls_give_each_text_one_answer_and_lose_none(tmp_path_factory: pytest.TempPathFactory, calls: list) -> None:
    teacher = cached(tmp_path_factory.mktemp("any") / "a.sqlite")
    seen: dict[str, bytes] = {}
    for texts in calls:
        predictions = teacher(texts)
        assert predictions.shape == (len(texts), CLASSES)
        for text, answer in zip(texts, predictions, strict=True):
            assert seen.setdefault(text, answer.numpy().tobytes()) == answer.numpy().tobytes()
            torch.testing.assert_close(answer, PickyTeacher()([text])[0], atol=1e-2, rtol=1e-2)
    assert (teacher.queries, teacher.asked) == (sum(map(len, calls)), len(seen))
    asked = [text for call in teacher.teacher.calls for text in call]
    assert sorted(asked) == sorted(seen)


def test_more_texts_than_one_statement_takes(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(3001)]
    predictions = cached(tmp_path / "a.sqlite")(texts)
    other = cached(tmp_path / "a.sqlite")
    assert same(other(texts[::-1]), predictions.flip(0))
    assert other.asked == 0


def test_bits_survive_the_disk(tmp_path: Path) -> None:
    odd = np.array([[-0.0, 1e-45, -3.4e38]], dtype=np.float32)

    class Odd(PickyTeacher):
        def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> torch.Tensor:
            return torch.from_numpy(odd.copy())

    for _ in range(2):
        assert cached(tmp_path / "a.sqlite", Odd())(["x"]).numpy().tobytes() == odd.tobytes()
    assert cached(tmp_path / "a.sqlite")(["x"]).numpy().tobytes() == odd.tobytes()


@pytest.mark.parametrize("checkpoint", range(6))
def test_a_killed_run_goes_on_with_the_same_answers(tmp_path: Path, checkpoint: int) -> None:
    """Texts recur between calls, so an answer's batch depends on what was known when it was asked."""
    calls = [[f"t{(i * 7 + j * j) % 40}" if j % 5 else f"bad {j}" for j in range(15)] for i in range(6)]
    start = tmp_path / "start.sqlite"
    cached(start)(["t1", "t8", "t30"])

    def run(file: Path, first: int, last: int) -> list[torch.Tensor]:
        if not file.exists():
            shutil.copy(start, file)
        teacher = cached(file)
        return [teacher(texts) for texts in calls[first:last]]

    whole = run(tmp_path / "whole.sqlite", 0, 6)
    for killed_in in range(checkpoint, 6):
        file = tmp_path / f"killed-{killed_in}.sqlite"
        before = run(file, 0, killed_in)  # the call `killed_in` was never finished
        after = run(file, checkpoint, 6)
        assert all(same(one, other) for one, other in zip(whole, before[:checkpoint] + after, strict=True))


def test_a_transformers_teacher_answers_alike_through_the_cache(teacher: TransformersTeacher, tmp_path: Path) -> None:
    texts = random_texts(40, 0)
    through = cached(tmp_path / "a.sqlite", teacher)
    predictions = [through(texts[:20]), through(texts[10:])]
    torch.testing.assert_close(
        torch.cat([predictions[0], predictions[1][10:]]), TransformersTeacher(teacher.path, "cpu")(texts)
    )
    again = cached(tmp_path / "a.sqlite", TransformersTeacher(teacher.path, "cpu"))
    assert same(again(texts), torch.cat([predictions[0], predictions[1][10:]]))
    assert (again.queries, again.asked) == (40, 0)


def ask_in_a_process(file: Path, number: int, results: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)  # a forked process that starts threads waits for those of its parent, which it has not

    class Other(PickyTeacher):
        def __call__(self, texts, text_pairs=None):
            return super().__call__(texts) + number * 1e-6  # each process computes other last bits

    teacher = CachedTeacher(Other(), file, results.put)
    predictions = [teacher([f"text {(i * 3 + j) % 50}" for j in range(10)]).numpy().tobytes() for i in range(30)]
    results.put((predictions, teacher.asked))


def test_several_processes_agree_on_every_answer(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=ask_in_a_process, args=(tmp_path / "a.sqlite", n, results)) for n in range(4)]
    for process in processes:
        process.start()
    said = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(isinstance(one, tuple) for one in said), said  # no notices
    assert all(predictions == said[0][0] for predictions, _ in said)
    assert all(asked <= 50 for _, asked in said)


def without_the_cache(file: Path, reason: str, **more: float) -> None:
    """A teacher whose cache cannot be used answers as if there was none, and says so once."""
    notices: list[str] = []
    teacher = cached(file, notice=notices.append, **more)
    for _ in range(2):
        assert same(teacher(["x", "x"]), PickyTeacher()(["x", "x"]))
    assert (teacher.queries, teacher.asked) == (4, 4)
    [notice] = notices
    assert reason in notice
    assert str(file) in notice


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    file, notices = tmp_path / "a.sqlite", []
    for name in ("a.sqlite.damaged", "a.sqlite.damaged1"):
        file.write_bytes(b"something else, and quite long" * 100)
        assert cached(file, notice=notices.append)(["x"]).isfinite().all()
        assert "not a database" in notices[-1] and f"now called {name}" in notices[-1]
        assert (tmp_path / name).read_bytes().startswith(b"something else")
        assert cached(file)(["x"]).isfinite().all()  # the new file is in use
    assert len(notices) == 2


def test_a_database_of_another_kind(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as database:
        database.execute("CREATE TABLE answers (question TEXT)")
    notices: list[str] = []
    teacher = cached(tmp_path / "a.sqlite", notice=notices.append)
    assert teacher(["x"]).isfinite().all()
    assert "no such column" in notices[0]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    without_the_cache(tmp_path / "file" / "a.sqlite", "File exists")


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_database_that_someone_keeps_locked(tmp_path: Path, opened: str) -> None:
    file, notices = tmp_path / "a.sqlite", []
    cached(file)(["x"])
    teacher = cached(file, notice=notices.append, patience=0.05) if opened == "before" else None
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    teacher = teacher or cached(file, notice=notices.append, patience=0.05)
    for _ in range(2):
        assert teacher(["x", "y"]).isfinite().all()
    assert len(notices) == 1
    assert "locked" in notices[0]
    holder.close()


def test_a_damaged_database_is_set_aside_and_the_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    texts = [f"text {i}" for i in range(2000)]
    notices: list[str] = []
    cached(file)(texts)
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    teacher = cached(file, notice=notices.append)
    assert teacher(texts).isfinite().all()
    assert teacher(texts[:5]).isfinite().all()
    assert len(notices) == 1
    assert "malformed" in notices[0]
    other = cached(file)
    other(texts)
    assert other.asked == 0


def test_a_damaged_answer_is_asked_for_and_stored_again(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    whole = cached(file)(["x", "y", "z"])
    notices: list[str] = []
    opened = cached(file, notice=notices.append)
    with sqlite3.connect(file) as database:
        (row,) = database.execute("SELECT log_probs FROM answers").fetchone()
        database.execute("UPDATE answers SET log_probs = ?", (row,))  # of the right length, but of one text only
    for teacher in (opened, cached(file, notice=notices.append)):
        torch.testing.assert_close(teacher(["x", "y", "z"]), whole, atol=0.01, rtol=0)
    assert opened.asked == 2
    assert len(notices) == 1 and "2 of the teacher's stored answers" in notices[0]
    assert cached(file)(["x"]).isfinite().all()


def test_a_large_file_is_checked_at_each_look_up_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_answers, "CHECKED_AT_ONCE", 2)
    file = tmp_path / "a.sqlite"
    whole = cached(file)(["x", "y", "z"])
    with sqlite3.connect(file) as database:
        (row,) = database.execute("SELECT log_probs FROM answers").fetchone()
        database.execute("UPDATE answers SET log_probs = ?", (row,))
    notices: list[str] = []
    teacher = cached(file, notice=notices.append)
    assert notices == []
    torch.testing.assert_close(teacher(["x", "y", "z"]), whole, atol=0.01, rtol=0)
    assert teacher.asked == 2 and len(notices) == 1


def test_an_answer_that_damage_gave_to_another_text_or_teacher_is_missed(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    for column, value in (("text", b"other"), ("teacher", "other")):
        cached(file)(["x", "y", "z"])
        with sqlite3.connect(file) as database:
            database.execute(f"UPDATE answers SET {column} = ? WHERE text = (SELECT max(text) FROM answers)", (value,))
        notices: list[str] = []
        teacher = cached(file, notice=notices.append)
        teacher(["x", "y", "z"])
        assert teacher.asked == 1 and "1 of the teacher's stored answers" in notices[0]


def test_damaged_and_lost_answers_are_counted_together(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    cached(file)(["x", "y", "z"])
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM answers WHERE text = (SELECT max(text) FROM answers)")
        database.execute("UPDATE answers SET log_probs = x'00' WHERE text = (SELECT max(text) FROM answers)")
    notices: list[str] = []
    teacher = cached(file, notice=notices.append)
    teacher(["x", "y", "z"])
    assert teacher.asked == 2 and len(notices) == 1 and "2 of the teacher's stored answers" in notices[0]
    cached(file)


def test_answers_of_an_earlier_version_are_taken_over_once(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    whole = cached(file)(["x", "y", "z"])
    with sqlite3.connect(file) as database:
        database.execute("UPDATE answers SET log_probs = substr(log_probs, 1, 12)")
        database.execute(
            "UPDATE answers SET log_probs = x'000000000000000000000000' WHERE text = (SELECT max(text) FROM answers)"
        )
        database.execute("DROP TABLE stored")
        database.execute("PRAGMA user_version = 0")
    notices: list[str] = []
    teacher = cached(file, notice=notices.append)
    torch.testing.assert_close(teacher(["x", "y", "z"]), whole, atol=0.01, rtol=0)
    assert teacher.asked == 1 and len(notices) == 1
    with sqlite3.connect(file) as database:
        database.execute("UPDATE answers SET log_probs = substr(log_probs, 1, 12)")
    teacher = cached(file, notice=notices.append)
    teacher(["x", "y", "z"])
    assert teacher.asked == 3 and len(notices) == 2


@pytest.mark.parametrize("number", ["'abc'", "NULL", "x'ff'", "1.5"])
def test_a_count_that_is_no_number_does_not_end_a_run(tmp_path: Path, number: str) -> None:
    file = tmp_path / "answers.sqlite"
    first = cached(file)(["a", "b"])
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE stored SET answers = {number}")
    again = cached(file)
    assert same(again(["a", "b", "c"])[:2], first) and again.asked == 1


@pytest.mark.parametrize(
    "damage", ["log_probs = 5", "log_probs = 'abcd'", "text = 7, log_probs = zeroblob(8)", "teacher = x'ff'"]
)
def test_a_value_of_another_type_in_an_earlier_version_is_asked_again(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "answers.sqlite"
    first = cached(file)(["a"])
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE answers SET {damage}")
        database.execute("PRAGMA user_version = 0")
    said: list[str] = []
    again = cached(file, notice=said.append)
    assert same(again(["a"]), first) and again.asked == 1


@pytest.mark.parametrize("seed", range(20))
def test_any_damage_is_named_or_changes_nothing(tmp_path: Path, seed: int) -> None:
    rng, file = random.Random(seed), tmp_path / "a.sqlite"
    texts = [f"text {i}" for i in range(100)]
    whole = cached(file)(texts)
    cached(file, PickyTeacher(["b", "a", "c"]))(texts)
    content = bytearray(file.read_bytes())
    place, kind = rng.randrange(len(content)), rng.choice(["bit", "zeros", "cut"])
    if kind == "bit":
        content[place] ^= 1 << rng.randrange(8)
    content[place:] = b"" if kind == "cut" else content[place:]
    if kind == "zeros":
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    file.write_bytes(content)
    notices: list[str] = []
    teacher = cached(file, notice=notices.append)
    answers = teacher(texts)
    torch.testing.assert_close(answers, whole, atol=0.01, rtol=0)
    assert notices or (same(answers, whole) and teacher.asked == 0)


def test_no_file_passes_calls_on_as_they_are(tmp_path: Path) -> None:
    teacher = cached(None)
    teacher(["x", "x"])
    teacher(["x"])
    assert teacher.teacher.calls == [["x", "x"], ["x"]]
    assert (teacher.queries, teacher.asked) == (3, 3)


def test_the_file_lies_in_the_cache_folder(own_cache: Path) -> None:
    assert predictions_file() == own_cache / "answers.sqlite"


def test_identity_of_a_folder_follows_its_content(bert_folder: Path, tmp_path: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    known = identity(teacher)
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    (copy / "README.md").write_text("A copy.")
    assert identity(TransformersTeacher(copy, "cpu")) == known
    assert identity(TransformersTeacher(bert_folder, "cpu", max_length=16)) != known
    assert identity(load_teacher(str(bert_folder), "cpu", ["x", "y", "z"])) != known
    config = json.loads((copy / "config.json").read_text()) | {"attention_probs_dropout_prob": 0.2}
    (copy / "config.json").write_text(json.dumps(config))
    assert identity(TransformersTeacher(copy, "cpu")) != known
    for name in ("tokenizer.json", "model.safetensors"):
        changed = Path(shutil.copytree(bert_folder, tmp_path / name))
        teacher = TransformersTeacher(changed, "cpu")
        content = (changed / name).read_bytes()
        (changed / name).write_bytes(content + b" ")
        assert identity(teacher) != known


def test_identity_of_a_hub_id_is_that_of_its_snapshot(
    bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--org--model"
    shutil.copytree(bert_folder, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert identity(TransformersTeacher("org/model", "cpu")) == identity(TransformersTeacher(bert_folder, "cpu"))


def test_a_model_whose_files_are_gone_is_asked_without_a_cache(bert_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bert_folder, tmp_path / "copy"))
    teacher = TransformersTeacher(copy, "cpu")
    shutil.rmtree(copy)
    notices: list[str] = []
    assert cached(tmp_path / "a.sqlite", teacher, notices.append)(["boat"]).isfinite().all()
    assert len(notices) == 1


def test_identity_of_a_function_follows_its_source_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(folder: str, source: str, labels: list[str]) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "someones_teacher.py").write_text(source)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / folder)
            patch.delitem(sys.modules, "someones_teacher", raising=False)
            name = identity(CallableTeacher("someones_teacher:answer", labels))
            sys.modules.pop("someones_teacher")
            return name

    source = "def answer(texts): return [[0.5, 0.5]] * len(texts)\n"
    known = names("one", source, ["a", "b"])
    assert names("one", source, ["a", "b"]) == known
    others = [names("one", source + "#", ["a", "b"]), names("one", source, ["b", "a"]), names("two", source, ["a", "b"])]
    assert len({known, *others}) == 4


def test_identity_of_a_service_heeds_its_whole_address_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    says: dict[str, str] = {}
    monkeypatch.setattr(HttpTeacher, "info", lambda self: dict(says))
    known = identity(HttpTeacher("http://host/predict?key=1", ["a", "b"]))
    assert identity(HttpTeacher("http://host/predict?key=1", ["a", "b"])) == known
    assert identity(HttpTeacher("http://host/predict?key=2", ["a", "b"])) != known  # a query may name another model
    assert identity(HttpTeacher("http://host/predict?key=1", ["b", "a"])) != known
    assert identity(HttpTeacher("http://host/other?key=1", ["a", "b"])) != known
    says["model_sha"] = "abc"
    assert identity(HttpTeacher("http://host/predict?key=1", ["a", "b"])) != known


def test_counters_go_into_a_checkpoint_and_come_back(tmp_path: Path) -> None:
    first = cached(tmp_path / "a.sqlite")
    first(["x", "bad", "x"])
    assert first.state() == {"teacher_queries": 3, "teacher_invalid": 1, "teacher_calls": 2}
    second = cached(tmp_path / "a.sqlite")
    second(["y"])  # asked before the checkpoint was read, for instance for labels
    second.restore({**first.state(), "other": "entries"})
    assert second.state() == {"teacher_queries": 3, "teacher_invalid": 1, "teacher_calls": 3}
    second.restore({})  # a checkpoint of a run without these counters
    assert (second.queries, second.invalid) == (0, 0)


def test_counters_of_a_model_that_was_trained_again_in_its_place_are_refused(bert_folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(bert_folder, tmp_path / "model")
    before = cached(None, TransformersTeacher(model, "cpu")).state()
    moved = cached(None, TransformersTeacher(shutil.copytree(model, tmp_path / "moved"), "cpu"))
    moved.restore(before)
    assert moved.state() == before and before["teacher_weights"]
    tensors = load_file(model / "model.safetensors")
    save_file(tensors | {"classifier.bias": tensors["classifier.bias"] + 1}, model / "model.safetensors", {"format": "pt"})
    again = cached(None, TransformersTeacher(model, "cpu"))
    with pytest.raises(InputError, match="teacher: .*model has other weights than when this was begun"):
        again.restore({**before, "teacher_queries": 5})
    assert again.queries == 0
    again.restore({"teacher_queries": 5})  # of an earlier version
    assert again.queries == 5


def test_the_file_of_a_function_that_was_changed_is_named_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    states, said = [], []
    for body, folder in (("[[0.5, 0.5]]", "one"), ("[[0.5, 0.5]]", "two"), ("[[0.25, 0.75]]", "three")):
        Path(folder).mkdir()  # as where a project is moved
        file = Path(folder) / "rates.py"
        file.write_text(f"def ask(texts):\n    return {body} * len(texts)\n")
        teacher = CachedTeacher(CallableTeacher(f"{file}:ask", ["a", "b"]), None, said.append)
        file.write_text("edited while it runs")
        if states:
            teacher.restore(states[-1])
        states.append(teacher.state())
    assert len(said) == 1 and said[0].startswith("teacher: rates.py, which three/rates.py:ask is written in, was changed")
    teacher.restore({"teacher_queries": 5})  # of an earlier version
    assert len(said) == 1


def of_module(texts: list[str]) -> list[list[float]]:
    return [[0.5, 0.5]] * len(texts)


def test_answers_of_a_function_are_kept_where_its_source_decides_them(tmp_path: Path) -> None:
    named = CallableTeacher(f"{__name__}:of_module", ["a", "b"])
    assert identity(CallableTeacher(of_module, ["a", "b"])) == identity(named)
    for again in (2, 0):
        teacher = cached(tmp_path / "a.sqlite", CallableTeacher(of_module, ["a", "b"]))
        teacher(["x", "y"])
        assert teacher.asked == again
    notices: list[str] = []
    for _ in range(2):
        teacher = cached(tmp_path / "a.sqlite", CallableTeacher(lambda texts: of_module(texts), ["a", "b"]), notices.append)
        teacher(["x"])
        assert teacher.asked == 1
    assert "not kept: " in notices[0] and "<lambda> is not a function at the top level" in notices[0]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
def test_the_answers_are_private(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "answers.sqlite"
    cached = CachedTeacher(CallableTeacher("tests.distill.teachers.test_prediction_cache:even"), file, pytest.fail)
    cached(["a text"])
    modes = {path.name: path.stat().st_mode & 0o777 for path in (file.parent, *file.parent.iterdir())}
    assert modes.pop("cache") == 0o700 and set(modes.values()) == {0o600} and len(modes) > 1


def even(texts: list[str]) -> list[list[float]]:
    return [[0.5, 0.5]] * len(texts)


def wide(texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


def test_answers_of_another_kind_are_told_whether_they_are_stored_or_not(tmp_path: Path) -> None:
    def opened(high: float, file: Path | None = tmp_path / "a.sqlite") -> CachedTeacher:
        return CachedTeacher(load_teacher(wide, asking=Asking(kind=GivenKind("score", 0, high))), file, print, name="wide")

    texts = ["x" * length for length in range(3, 23)]
    for _ in range(2):  # the second time all are stored
        with pytest.raises(InputError, match="most of its 20 values lie beyond 0 to 1 "):
            opened(1)(texts)
        assert opened(30)(texts).shape == (20, 1)
    with pytest.raises(InputError, match="most of its 20 values lie beyond 0 to 1 "):
        opened(1, None)(texts)


@pytest.mark.parametrize("file", [None, "a.sqlite"])
def test_the_kind_is_judged_by_all_answers_of_a_run(tmp_path: Path, file: str | None) -> None:
    def labels(texts: list[str]) -> list[list[float]]:
        return [[0.7, 0.2, 0.1] if text.startswith("one") else [0.9, 0.8, 0.1] for text in texts]

    def opened(name: str) -> CachedTeacher:
        teacher = load_teacher(labels, labels=["a", "b", "c"], asking=Asking(kind=GivenKind("multi_label")))
        return CachedTeacher(teacher, file and tmp_path / file, print, name=name)

    late = [f"one {i}" for i in range(10)]
    teacher = opened("a")
    teacher(["two"])
    assert teacher(late).shape == (10, 3)  # they add up to 1, but an earlier one did not
    resumed = opened("b")
    resumed.restore({"teacher_queries": 9})
    assert resumed(late).shape == (10, 3)
    with pytest.raises(InputError, match="all of its 10 answers add up to 1"):
        opened("c")(late)
    few = opened("d")
    few(late[:5])
    with pytest.raises(InputError, match="all of its 10 answers add up to 1"):
        few(late[5:])


class OneByOne:
    """A function of one text that fails at some, as a model behind a network does."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error: type[BaseException] | None = error
        self.asked: list[str] = []

    def __call__(self, text: str) -> list[float]:
        if isinstance(text, list):
            raise TypeError("one text")
        if text == "7" and self.error:
            raise self.error
        self.asked.append(text)
        return [0.25, 0.75]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("every", [0.0, 60.0])
def test_what_a_function_of_one_text_has_answered_survives_its_failure(
    error: type[BaseException], every: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.teachers.callable_teacher.STORED_EVERY", every)
    texts, function = [str(number) for number in range(10)], OneByOne(error)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
        CachedTeacher(CallableTeacher(function, ["a", "b"]), tmp_path / "a.sqlite", fail, name="one")(texts)
    function.error = None
    again = CachedTeacher(CallableTeacher(function, ["a", "b"]), tmp_path / "a.sqlite", fail, name="one")
    torch.testing.assert_close(again(texts).exp(), torch.tensor([[0.25, 0.75]] * 10))
    assert function.asked == texts and again.asked == 3 and again.queries == 10


def test_identity_of_a_function_follows_the_module_that_defines_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "reexports").mkdir()
    (tmp_path / "reexports" / "__init__.py").write_text("from .core import answer\n")
    core, names = tmp_path / "reexports" / "core.py", set()
    for source in ("", "#", "##"):
        core.write_text(f"def answer(texts): return [[0.5, 0.5]] * len(texts)  {source}\n")
        for name in [name for name in sys.modules if name.startswith("reexports")]:
            monkeypatch.delitem(sys.modules, name)
        names.add(identity(CallableTeacher("reexports:answer", ["a", "b"])))
    assert len(names) == 3
