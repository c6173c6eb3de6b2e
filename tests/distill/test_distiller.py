"""The distillation loop: what it learns, how it continues bit for bit, and what it takes in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.config import DistillConfig
from distill.distiller import REPORT_EVERY, Distiller
from distill.masked_embeddings import MaskedEmbeddings
from distill.replay import pool_batches
from distill.student import Student, load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, embedded_batch, judged, make_tokenizer, random_batch, random_texts

SMALL = DistillConfig(student_updates=40, student_batch_size=8, student_learning_rate=3e-3)


def tiny_student(seed: int = 0, dropout: float = 0.0) -> Student:
    spec = f"bert:layers=1,hidden=32,dropout={dropout}"
    return load_student(spec, labels=LABELS, tokenizer=make_tokenizer(), seed=seed, device="cpu")


def state_of(distiller: Distiller) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in distiller._weights().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_student_learns_the_teacher_from_random_texts(teacher: TransformersTeacher) -> None:
    config = DistillConfig(student_updates=150, student_batch_size=32, student_learning_rate=5e-3)
    student = tiny_student()
    held_out = random_texts(300, 999)
    predictions = teacher(held_out).argmax(dim=1)
    before = (student.answers(held_out).argmax(dim=1) == predictions).float().mean()
    distiller = Distiller(student, config, planned_queries=1500, seed=0)
    batches = (judged(teacher, random_texts(150, i)) for i in range(10))
    last = distiller.run(batches, online=True)
    after = (student.answers(held_out).argmax(dim=1) == predictions).float().mean()
    assert before < 0.6
    assert after > 0.85
    assert last is not None and last["student_loss"] < 0.3
    assert (distiller.updates_done, distiller.seen) == (150, 1500)


@given(
    st.lists(st.integers(0, 30), max_size=8), st.integers(1, 120), st.floats(0, 1), st.integers(1, 40),
)  # fmt: skip
def test_online_updates_keep_pace_with_the_queries(sizes: list[int], planned: int, share: float, updates: int) -> None:
    config = replace(SMALL, student_updates=updates, student_online_share=share)
    distiller = Distiller(tiny_student(), config, planned, seed=0)
    distiller._update = lambda: torch.zeros(())  # type: ignore[method-assign]
    seen = 0
    for i, size in enumerate(sizes):
        before = distiller.updates_done
        result = distiller.consume(random_batch(size, i))
        seen += size
        assert distiller.seen == seen
        if len(distiller.replay):
            assert distiller.updates_done == int(share * updates * min(1.0, seen / planned))
        assert (result is None) == (distiller.updates_done == before)
    if len(distiller.replay):
        distiller.finish()
        assert distiller.updates_done == updates
        assert distiller.finish() is None


def test_progress_reports_now_and_then_and_the_last_update() -> None:
    config = replace(SMALL, student_updates=2 * REPORT_EVERY + 3, student_online_share=0.0)
    reports: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    results = {}
    for singly, seen in reports.items():
        distiller = Distiller(tiny_student(), config, 20, seed=0)
        assert distiller.consume(random_batch(20, 0)) is None
        for _ in range(config.student_updates if singly else 1):
            count = 1 if singly else config.student_updates
            results[singly] = distiller.update(count, lambda done, loss, seen=seen: seen.append((done, loss)))
    assert [done for done, _ in reports[False]] == [REPORT_EVERY, 2 * REPORT_EVERY, 2 * REPORT_EVERY + 3]
    assert set(reports[False]) < set(reports[True])
    losses = [loss for _, loss in reports[True]]
    assert results[False]["student_loss"] == pytest.approx(sum(losses) / len(losses))


def test_a_restart_equals_a_loop_that_never_trained_online() -> None:
    config = replace(SMALL, student_updates=12, student_online_share=0.5)
    online, patient = Distiller(tiny_student(), config, 40, seed=0), Distiller(tiny_student(), config, 40, seed=0)
    for i in range(2):
        online.consume(random_batch(20, i))
        patient.add(random_batch(20, i))
    assert online.updates_done == 6
    first = online.student
    before = {name: weight.clone() for name, weight in first.model.state_dict().items()}
    online.restart(tiny_student())
    online.finish()
    patient.finish()
    assert online.updates_done == 12
    assert same({"inserted": patient.replay.logprobs}, {"inserted": online.replay.logprobs})
    assert same(state_of(online), state_of(patient))
    assert same(before, dict(first.model.state_dict()))  # whoever still asks the first student gets the same answers


def test_each_student_reads_as_many_tokens_as_the_settings_say() -> None:
    loop, fresh = Distiller(tiny_student(), replace(SMALL, student_max_length=7), 8, 0), tiny_student()
    loop.restart(fresh)
    assert loop.student is fresh and fresh.max_length == 7
    assert Distiller(tiny_student(), replace(SMALL, student_max_length=9), 8, 0).student.max_length == 9


def test_one_loop_feeds_the_student_and_finishes() -> None:
    config = replace(SMALL, student_updates=12)
    batches = [random_batch(20, i) for i in range(3)]
    ends = {}
    for online, restart in ((True, False), (False, False), (True, True)):
        distiller = Distiller(tiny_student(), config, 60, seed=0)
        done_after: list[int] = []
        updates: list[int] = []
        distiller.run(
            iter(batches),
            online=online,
            on_batch=lambda batch, d=distiller, seen=done_after: seen.append(d.updates_done),
            on_update=lambda done, loss, seen=updates: seen.append(done),
            fresh=tiny_student if restart else None,
        )
        assert done_after == ([2, 4, 6] if online else [0, 0, 0])
        assert updates == ([12] if online and not restart else [10, 12])
        ends[online, restart] = state_of(distiller)
    assert same(ends[True, True], ends[False, False])
    assert not same(ends[True, False], ends[False, False])


# --- continuing bit for bit ---------------------------------------------------------------------------------------

QUERIES = 300
ALL_TERMS = DistillConfig(
    student_updates=60,
    student_batch_size=8,
    student_hard_label_weight=0.3,
    student_hidden_weight=0.5,
    replay_selection="balanced",
    replay_capacity=150,  # smaller than the number of texts, so that the ring turns over
)


def stream() -> Iterator[SyntheticBatch]:
    for i in range(QUERIES // 25):
        batch = random_batch(25, i)
        batch.teacher_logits[i % 25] = float("nan")
        yield batch


def all_terms(bert_folder: Path) -> Distiller:
    teacher = TransformersTeacher(bert_folder, "cpu")
    student = load_student("bert:layers=1,hidden=16,heads=2,dropout=0.1", teacher=teacher, seed=2, device="cpu")
    return Distiller(student, ALL_TERMS, QUERIES, seed=5, teacher=teacher)


@pytest.fixture(scope="module")
def uninterrupted(bert_folder: Path) -> dict[str, torch.Tensor]:
    distiller = all_terms(bert_folder)
    distiller.run(stream(), online=True)
    return state_of(distiller)


@pytest.mark.parametrize("stop", [0, 13, 60, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 30, 37, 59))])
def test_a_stopped_loop_continues_bit_for_bit(
    stop: int, bert_folder: Path, uninterrupted: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    first = all_terms(bert_folder)
    batches = stream()
    consumed = 0
    while first.updates_done < min(stop, 30):
        first.consume(next(batches))
        consumed += 1
    if stop > 30:
        for batch in batches:
            first.consume(batch)
            consumed += 1
        first.update(stop - first.updates_done)
    first.save(tmp_path / "state")
    torch.rand(3)  # whatever happens to the global generator in between
    second = all_terms(bert_folder)
    second.load(tmp_path / "state")
    assert (second.seen, second.updates_done) == (first.seen, first.updates_done)
    for batch in list(stream())[consumed:]:
        second.consume(batch)
    second.finish()
    assert same(state_of(second), uninterrupted)


CONTINUE = """
import sys
import torch
from pathlib import Path
from distill.distiller import Distiller
from tests.distill.test_distiller import all_terms, state_of
distiller = all_terms(Path(sys.argv[1]))
distiller.load(sys.argv[2])
assert 0 < len(distiller.pool) < 16, "the stop must fall inside a pool"
distiller.finish()
torch.save(state_of(distiller), sys.argv[3])
"""


@pytest.mark.slow
def test_a_fresh_process_continues_inside_a_pool(
    bert_folder: Path, uninterrupted: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    first = all_terms(bert_folder)
    for batch in stream():
        first.consume(batch)
    while not 0 < len(first.pool) < 15:
        first.update(1)
    first.save(tmp_path / "state")
    first.update(3)  # work after the checkpoint, lost in the kill
    command = [sys.executable, "-c", CONTINUE, str(bert_folder), str(tmp_path / "state"), str(tmp_path / "end.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert same(torch.load(tmp_path / "end.pt", weights_only=True), uninterrupted)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop") / "state"
    distiller = Distiller(tiny_student(), SMALL, 60, seed=0)
    distiller.consume(random_batch(40, 0))
    distiller.save(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["distiller.json", "student.safetensors", "optimizer.pt", "pool.safetensors", "replay/texts.jsonl"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_checkpoint_is_refused_and_the_loop_left_as_it_was(
    saved: Path, tmp_path: Path, name: str, damage: str
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "state"))
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    distiller = Distiller(tiny_student(seed=9), SMALL, 60, seed=0)
    before = state_of(distiller)
    with pytest.raises(InputError, match="state"):
        distiller.load(folder)
    assert same(state_of(distiller), before)
    assert (distiller.updates_done, distiller.seen, len(distiller.replay)) == (0, 0, 0)
    distiller.load(saved)  # the caller falls back to an earlier checkpoint
    assert distiller.seen == 40


def test_checkpoint_of_other_settings_names_what_differs(saved: Path) -> None:
    other = Distiller(tiny_student(), replace(SMALL, student_temperature=3.0), 60, seed=1)
    with pytest.raises(InputError, match=r"student_temperature \(2.0, now 3.0\).*seed \(0, now 1\)"):
        other.load(saved)


# --- what enters, and how -------------------------------------------------------------------------------------------


def test_unusable_answers_are_counted_and_never_learnt(teacher: TransformersTeacher) -> None:
    clean = judged(teacher, random_texts(60, 0))
    logits = torch.cat([clean.teacher_logits, torch.full((30, 3), float("nan"))])
    texts = clean.texts + [f"bad {i}" for i in range(30)]
    dirty = SyntheticBatch(texts, logits, torch.full((90,), -1), [""] * 90, "random")
    ends = []
    for batch in (clean, dirty):
        config = replace(SMALL, student_online_share=0.0)
        distiller = Distiller(tiny_student(), config, 100, seed=0)
        distiller.run([batch], online=True)
        assert distiller.seen == len(batch)
        ends.append(state_of(distiller))
    assert same(*ends)


def test_nothing_to_learn_from() -> None:
    distiller = Distiller(tiny_student(), SMALL, 10, seed=0)
    batch = random_batch(10, 0)
    batch.teacher_logits[:] = float("nan")
    assert distiller.consume(batch) is None
    with pytest.raises(InputError, match="no text to learn from"):
        distiller.finish()


def test_teacher_and_student_of_different_classes() -> None:
    with pytest.raises(InputError, match="it has 3 classes, but the teacher's answers have 4"):
        Distiller(tiny_student(), SMALL, 10, seed=0).consume(random_batch(5, 0, classes=4))


def test_a_loss_that_is_not_finite_stops_with_a_remedy() -> None:
    student = tiny_student()
    distiller = Distiller(student, SMALL, 10, seed=0)
    distiller.add(random_batch(10, 0))
    with torch.no_grad():
        student.model.classifier.weight.fill_(float("inf"))
    with pytest.raises(InputError, match="student_loss: not finite .* lower student_learning_rate"):
        distiller.finish()


def test_each_text_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    distiller = Distiller(tiny_student(), SMALL, 60, seed=0)
    calls: list[str] = []
    put = distiller.tokens.put
    monkeypatch.setattr(distiller.tokens, "put", lambda rows, texts, pairs=None: (calls.extend(texts), put(rows, texts)))
    batches = [random_batch(30, 0), random_batch(30, 1), random_batch(30, 0)]
    distiller.run(batches, online=True)
    assert sorted(calls) == sorted({text for batch in batches for text in batch.texts})


def test_pool_batches_hold_texts_of_like_length_and_cover_the_replay() -> None:
    distiller = Distiller(tiny_student(), SMALL, 128, seed=0)
    distiller.add(random_batch(128, 0))
    rows = [distiller._next_batch() for _ in range(16)]
    assert sorted(torch.cat(rows).tolist()) == list(range(128))
    spread = [int(distiller.tokens.lengths[r].max() - distiller.tokens.lengths[r].min()) for r in rows]
    assert max(spread) <= 6  # lengths are 5 to 22
    means = [float(distiller.tokens.lengths[r].float().mean()) for r in rows]
    assert means != sorted(means)  # visited in random order, not from short to long


def test_each_pool_draws_and_orders_anew() -> None:
    config = replace(SMALL, student_batch_size=2)
    few, many = (Distiller(tiny_student(), config, rows, seed=0) for rows in (32, 64))
    for loop in (few, many):
        loop.add(random_batch(loop.planned_queries, 0))
    pools = [[many._next_batch() for _ in range(16)] for _ in range(2)]
    assert set(torch.cat(pools[0]).tolist()) != set(torch.cat(pools[1]).tolist())
    lengths = [[few._lengths(few._next_batch()).tolist() for _ in range(16)] for _ in range(2)]  # each pool holds all rows
    assert sorted(lengths[0]) == sorted(lengths[1]) and lengths[0] != lengths[1]


def test_the_loss_is_made_of_its_terms_as_the_settings_say(teacher: TransformersTeacher) -> None:
    batch = judged(teacher, random_texts(8, 0))

    def first_loss(**changes: float) -> float:
        student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
        distiller = Distiller(student, replace(SMALL, **changes), 8, 0, teacher)
        distiller.add(batch)
        return distiller.update(1)["student_loss"]

    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    logits, taught = student.answers(batch.texts).double(), batch.teacher_logits.double()
    p, q = ((rows / 3).softmax(dim=1) for rows in (taught, logits))
    soft = 9 * float((p * (p.log() - q.log())).sum(dim=1).mean())
    hard = float(torch.nn.functional.cross_entropy(logits, taught.argmax(dim=1)))
    plain = first_loss(student_temperature=3.0)
    assert plain == pytest.approx(soft, rel=1e-4)
    mixed = first_loss(student_temperature=3.0, student_hard_label_weight=0.25)
    assert mixed == pytest.approx(0.75 * soft + 0.25 * hard, rel=1e-4)
    some, more = (first_loss(student_temperature=3.0, student_hidden_weight=weight) - plain for weight in (0.5, 2.0))
    assert more == pytest.approx(4 * some, rel=1e-3) and some > 1e-3


def test_pairs_are_learnt_as_pairs(teacher: TransformersTeacher) -> None:
    texts, pairs = random_texts(60, 0), random_texts(60, 1)
    batch = SyntheticBatch(texts, teacher(texts, pairs), torch.full((60,), -1), [""] * 60, "random", pairs)
    student = tiny_student()
    distiller = Distiller(student, replace(SMALL, student_updates=150, student_batch_size=16), 60, seed=0)
    distiller.run([batch], online=True)
    agreement = (student.answers(texts, pairs).argmax(1) == batch.teacher_logits.argmax(1)).float().mean()
    assert agreement > 0.8
    assert distiller.tokens.types is not None


def test_embeddings_of_texts_teach_what_the_texts_teach(teacher: TransformersTeacher) -> None:
    """The same samples, as texts and as the embeddings of their tokens, end in the same student but for the word table."""
    batch = judged(teacher, random_texts(60, 0))
    ends = []
    for embedded in (False, True):
        student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
        table = student.model.get_input_embeddings().weight.requires_grad_(False)
        before = table.clone()
        given = batch
        if embedded:
            table.requires_grad_(True)
            inputs = student.tokenizer(batch.texts, padding=True, return_tensors="pt")
            given = replace(
                batch,
                texts=["read by nobody"] * 60,
                embeddings=before[inputs["input_ids"]].half().float(),
                lengths=inputs["attention_mask"].sum(dim=1),
            )
        else:
            with torch.no_grad():
                table.copy_(before.half().float())  # as the embeddings are stored
        distiller = Distiller(student, replace(SMALL, student_updates=20), 60, seed=0)
        distiller.run([given], online=True)
        assert embedded == (len(distiller.tokens.lengths) == 0)
        ends.append({name: w for name, w in state_of(distiller).items() if "word_embeddings" not in name})
        if embedded:
            assert torch.equal(before, table)  # neither a gradient nor weight decay reaches it
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-4) for name in ends[0])


def test_pools_of_embeddings_hold_rows_of_like_length() -> None:
    distiller = Distiller(tiny_student(), SMALL, 128, seed=0)
    distiller.add(embedded_batch(128, 0))
    rows = [distiller._next_batch() for _ in range(16)]
    assert sorted(torch.cat(rows).tolist()) == list(range(128))
    lengths = [distiller._lengths(r) for r in rows]
    assert max(int(part.max() - part.min()) for part in lengths) <= 4  # of 3 to 14
    inputs = distiller._inputs(rows[0])
    assert torch.equal(inputs["attention_mask"].sum(dim=1), lengths[0])


def test_sources_keep_their_weights_where_a_loop_goes_on(tmp_path: Path) -> None:
    def begun() -> Distiller:
        config = replace(SMALL, student_updates=6, student_batch_size=4)
        return Distiller(tiny_student(), config, 40, seed=0, source_weights={"a": 20.0, "b": 1.0})

    first, second = begun(), begun()
    for name, rows, seed in (("a", 5, 0), ("b", 35, 1)):
        first.add(replace(random_batch(rows, seed), source=name))
    first.save(tmp_path / "loop")
    second.load(tmp_path / "loop")
    for loop in (first, second):
        loop.finish()
    assert same(state_of(first), state_of(second))


def test_a_student_learns_with_its_dropout_and_answers_without() -> None:
    def updated(dropout: float) -> dict[str, torch.Tensor]:
        distiller = Distiller(tiny_student(dropout=dropout), SMALL, 8, seed=0)
        distiller.add(random_batch(8, 0))
        before = state_of(distiller)
        distiller.update(1)
        assert not distiller.student.model.training
        return before | {f"after {name}": weight for name, weight in state_of(distiller).items()}

    without, some = updated(0.0), updated(0.4)
    differing = [name for name in without if not torch.equal(without[name], some[name])]
    assert differing and all(name.startswith("after ") for name in differing)


def test_each_update_drops_other_features() -> None:
    distiller = Distiller(tiny_student(dropout=0.4), SMALL, 8, seed=0)
    distiller.add(random_batch(8, 0))
    dropped: list[torch.Tensor] = []
    layer = next(module for module in distiller.student.model.modules() if isinstance(module, torch.nn.Dropout))
    layer.register_forward_hook(lambda module, inputs, output: dropped.append(output == 0))
    distiller.update(2)
    assert dropped[0].shape == dropped[1].shape and not torch.equal(*dropped)  # the same texts, twice


def test_forgotten_rows_are_in_no_later_update(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch(64, 0)
    distiller = Distiller(tiny_student(), SMALL, 64, seed=0)
    distiller.add(batch)
    distiller.update(2)  # most of a pool is left
    gone = {distiller.replay.texts[row] for row in range(0, 64, 4)}
    distiller.forget(torch.arange(0, 64, 4))
    seen: set[str] = set()
    inputs = distiller._inputs
    monkeypatch.setattr(
        distiller, "_inputs", lambda rows: seen.update(distiller.replay.texts[i] for i in rows) or inputs(rows)
    )
    distiller.finish()
    assert seen == set(batch.texts) - gone and len(seen) == 48


def test_a_masked_loss_comes_before_the_first_update() -> None:
    distiller = Distiller(tiny_student(), SMALL, 10, seed=0)
    distiller.run([random_batch(10, 0)], online=True)
    with pytest.raises(InputError, match="add the term before the first"):
        distiller.learn_masked(lambda student: MaskedEmbeddings(student, 1.0, 0.2, 0))


def test_a_run_without_queries_is_refused() -> None:
    with pytest.raises(InputError, match="planned_queries"):
        Distiller(tiny_student(), SMALL, 0, seed=0)


@given(st.integers(1, 10**6), st.integers(1, 512))
def test_a_pool_never_asks_for_more_than_is_held_unless_one_batch_does(held: int, size: int) -> None:
    batches = pool_batches(held, size)
    assert 1 <= batches <= 16
    assert batches * size <= held or batches == 1


def test_it_goes_on_with_a_student_whose_folder_is_written_in_another_way_or_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load_student("bert:layers=1,hidden=16", labels=LABELS, tokenizer=make_tokenizer(), device="cpu").save("first")

    def begun(spec: str) -> Distiller:
        return Distiller(load_student(spec, device="cpu"), DistillConfig(student_updates=4, student_batch_size=4), 8, 0)

    loop = begun("first")
    loop.consume(random_batch(4, 0))
    loop.save("checkpoint")
    for spec in ("./first/", str(tmp_path / "first")):
        begun(spec).load("checkpoint")
    (tmp_path / "moved").mkdir()
    Path("first").rename("moved/first")
    begun("moved/first").load("checkpoint")
    Path("moved/first").rename("other")
    with pytest.raises(InputError, match="was made with other settings: student"):
        begun("other").load("checkpoint")
