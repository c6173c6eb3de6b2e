import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.replay import Replay, selection_weights
from tests.distill.tiny import embedded_batch, random_batch

Rows = list[tuple[int, bool]]  # text number, whether the teacher's answer is usable


def batch_of(rows: Rows, source: str = "s") -> SyntheticBatch:
    logits = torch.tensor([[float(n), 0.0] if good else [float("nan"), 0.0] for n, good in rows]).view(-1, 2)
    targets = torch.tensor([n % 3 - 1 for n, _ in rows], dtype=torch.int64)
    return SyntheticBatch([f"t{n}" for n, _ in rows], logits, targets, [f"o{n}" for n, _ in rows], source)


batches = st.lists(st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=12), max_size=8)


@given(batches, st.integers(1, 12))
@settings(deadline=None)
def test_holds_the_newest_distinct_usable_texts(history: list[Rows], capacity: int) -> None:
    replay = Replay(capacity, seed=0)
    expected: list[tuple[int, int]] = []  # (text number, update), oldest first: the plain way to say it
    for update, rows in enumerate(history):
        placed = replay.add(batch_of(rows), update)
        for number, good in rows:
            if good and number not in [n for n, _ in expected]:
                expected = [*expected, (number, update)][-capacity:]
        assert len(set(placed.tolist())) == len(placed)
        assert len(replay) == len(expected) <= capacity
        order = sorted(range(len(replay)), key=lambda i: (i - replay.next_row) % max(len(replay), 1))
        held = [(replay.texts[i], int(replay.inserted[i])) for i in order]
        assert held == [(f"t{n}", u) for n, u in expected]
        for row, text in enumerate(replay.texts):  # every part of a row belongs to its text
            number = int(text[1:])
            assert replay.topics[row] == f"o{number}"
            assert replay.logprobs[row].tolist() == [number, 0.0]
            assert int(replay.targets[row]) == number % 3 - 1


@given(batches, st.integers(1, 12), batches)
@settings(deadline=None, max_examples=30)
def test_saved_replay_goes_on_as_if_never_stopped(before: list[Rows], capacity: int, after: list[Rows]) -> None:
    replay = Replay(capacity, seed=4)
    for update, rows in enumerate(before):
        replay.add(batch_of(rows), update)
    with tempfile.TemporaryDirectory() as folder:
        replay.save(Path(folder) / "replay")
        loaded = Replay.load(Path(folder) / "replay")
    for rows in after:
        assert torch.equal(replay.add(batch_of(rows), 99), loaded.add(batch_of(rows), 99))
    size = len(replay)
    assert (replay.texts, replay.text_pairs, replay.topics, replay.sources) == (
        loaded.texts, loaded.text_pairs, loaded.topics, loaded.sources)  # fmt: skip
    for name in ("logprobs", "targets", "inserted"):
        assert torch.equal(getattr(replay, name)[:size], getattr(loaded, name)[:size])
    if size:
        assert torch.equal(replay.sample(5, 3), loaded.sample(5, 3))


def test_odd_texts_and_pairs_survive_saving(tmp_path: Path) -> None:
    texts = ["", "a\nb\r\u2028c", 'quote " and \\', "emoji 🙂", "half \ud83d", "same", "same"]
    pairs = ["x"] * 6 + ["y"]  # the same text with another second text is another row
    rows = len(texts)
    batch = SyntheticBatch(texts, torch.zeros(rows, 2), torch.zeros(rows, dtype=torch.int64), texts, "s", pairs)
    replay = Replay(20, seed=0)
    assert len(replay.add(batch, 0)) == rows
    replay.save(tmp_path / "r")
    loaded = Replay.load(tmp_path / "r")
    assert (loaded.texts, loaded.text_pairs, loaded.topics) == (texts, pairs, texts)
    assert len(loaded.add(batch, 1)) == 0


@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 1000), st.sampled_from(["uniform", "balanced"]))
@settings(deadline=None)
def test_a_draw_repeats_nothing_until_it_must(held: int, count: int, counter: int, selection: str) -> None:
    replay = Replay(100, seed=1)
    replay.add(batch_of([(n, True) for n in range(held)]), 0)
    rows = replay.sample(count, counter, selection)  # type: ignore[arg-type]
    assert rows.shape == (count,)
    assert 0 <= int(rows.min()) and int(rows.max()) < held
    if count <= held:
        assert len(set(rows.tolist())) == count
    assert torch.equal(rows, replay.sample(count, counter, selection))  # type: ignore[arg-type]


def test_draws_differ_by_counter_and_seed() -> None:
    replays = [Replay(100, seed=seed) for seed in (0, 1)]
    for replay in replays:
        replay.add(batch_of([(n, True) for n in range(100)]), 0)
    draws = [replays[0].sample(20, 0), replays[0].sample(20, 1), replays[1].sample(20, 0)]
    assert len({tuple(draw.tolist()) for draw in draws}) == 3


def test_balanced_gives_a_rare_class_its_share() -> None:
    logits = torch.zeros(1000, 2)
    logits[:, 0] = 1.0
    logits[:50] = torch.tensor([0.0, 1.0])
    replay = Replay(2000, seed=0)
    targets = torch.full((1000,), -1)
    replay.add(SyntheticBatch([str(i) for i in range(1000)], logits, targets, [""] * 1000, "s"), 0)
    for selection, low, high in (("uniform", 0.03, 0.07), ("balanced", 0.45, 0.55)):
        weights = selection_weights(replay, selection)  # type: ignore[arg-type]
        assert low < float(weights[:50].sum() / weights.sum()) < high
    # A small draw, so that the 50 rows are not used up.
    share = torch.cat([replay.sample(20, i, "balanced") < 50 for i in range(100)]).float().mean()
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("selection", ["uniform", "balanced"])
def test_each_source_gets_its_share_of_the_draws_of_few_texts(selection: str) -> None:
    replay = Replay(2000, seed=0, source_weights={"own": 1.0, "written": 3.0})
    random = torch.Generator().manual_seed(0)
    for source, rows in (("own", 10), ("written", 90)):
        answers, none = torch.randn(rows, 2, generator=random).log_softmax(1), torch.full((rows,), -1)
        replay.add(SyntheticBatch([f"{source} {row}" for row in range(rows)], answers, none, [""] * rows, source), 0)
    share = torch.cat([replay.sample(100, counter, selection) < 10 for counter in range(50)]).float().mean()
    assert share == pytest.approx(0.25, abs=0.02)


def test_empty_replay_and_unknown_selection() -> None:
    with pytest.raises(InputError, match="no text"):
        Replay(5, seed=0).sample(1, 0)
    replay = Replay(5, seed=0)
    replay.add(random_batch(3, 0), 0)
    with pytest.raises(InputError, match="replay_selection.*uniform, balanced"):
        replay.sample(1, 0, "newest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="classes"):
        replay.add(random_batch(3, 0, classes=4), 0)
    with pytest.raises(InputError, match="replay_capacity"):
        Replay(0, seed=0)


@pytest.mark.parametrize("name", ["replay.json", "texts.jsonl", "answers.safetensors"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    replay = Replay(50, seed=0)
    replay.add(random_batch(30, 0), 0)
    replay.save(tmp_path / "r")
    assert load_file(tmp_path / "r" / "answers.safetensors")["logprobs"].shape == (30, 3)
    damaged = tmp_path / "r" / name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Replay.load(tmp_path / "r")
    damaged.unlink()
    with pytest.raises(InputError, match=str(tmp_path)):
        Replay.load(tmp_path / "r")


@pytest.mark.parametrize("selection", ["uniform", "balanced"])
def test_source_weights_are_the_shares_drawn(selection: str) -> None:
    replay = Replay(1000, 0, source_weights={"a": 1.0, "b": 3.0})
    for source, count, counter in (("a", 300, 0), ("b", 60, 1)):
        batch = random_batch(count, counter)
        replay.add(SyntheticBatch(batch.texts, batch.teacher_logits, batch.targets, batch.topics, source), 0)
    weights = selection_weights(replay, selection)
    of_b = torch.tensor([source == "b" for source in replay.sources])
    assert float(weights[of_b].sum() / weights.sum()) == pytest.approx(0.75)
    if selection == "uniform":
        assert len(weights[of_b].unique()) == len(weights[~of_b].unique()) == 1


def test_a_source_without_texts_does_not_disturb_the_others() -> None:
    replay = Replay(1000, 0, source_weights={"random": 1.0, "none": 5.0})
    replay.add(random_batch(50, 0), 0)
    weights = selection_weights(replay, "uniform")
    assert torch.isfinite(weights).all() and len(weights.unique()) == 1


def test_embeddings_are_kept_by_their_own_length_and_never_as_repetitions() -> None:
    replay = Replay(10, seed=0)
    newest: list[tuple[torch.Tensor, torch.Tensor]] = []
    for counter in range(4):  # 16 usable rows into a ring of 10, all with the same text
        batch = embedded_batch(5, counter)
        batch.teacher_logits[2] = float("nan")
        rows = replay.add(batch, counter)
        assert len(rows) == 4
        assert batch.embeddings is not None and batch.lengths is not None
        for index in (0, 1, 3, 4):
            newest.append((batch.embeddings[index, : batch.lengths[index]], batch.teacher_logits[index]))
    assert len(replay) == len(replay.embeddings) == 10
    newest = newest[-10:]
    for age, (embeddings, logits) in enumerate(newest):
        row = (replay.next_row + age) % 10
        assert torch.equal(replay.embeddings[row], embeddings.half())
        assert torch.equal(replay.logprobs[row], logits)


def test_saved_embeddings_go_on_as_if_never_stopped(tmp_path: Path) -> None:
    replay = Replay(12, seed=0)
    for counter in range(3):
        replay.add(embedded_batch(6, counter), counter)
    replay.save(tmp_path / "r")
    loaded = Replay.load(tmp_path / "r")
    for later in (replay, loaded):
        later.add(embedded_batch(5, 9), 9)
    assert all(torch.equal(a, b) for a, b in zip(replay.embeddings, loaded.embeddings, strict=True))
    assert (loaded.texts, loaded.next_row) == (replay.texts, replay.next_row)
    assert torch.equal(replay.logprobs, loaded.logprobs)
    file = tmp_path / "r" / "embeddings.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError, match="the replay is damaged"):
        Replay.load(tmp_path / "r")


def test_texts_and_embeddings_do_not_mix() -> None:
    for first, second, message in (
        (random_batch(3, 0), embedded_batch(3, 0), "it holds texts, but the batch holds embeddings"),
        (embedded_batch(3, 0), random_batch(3, 0), "it holds embeddings, but the batch holds texts"),
        (embedded_batch(3, 0), embedded_batch(3, 1, width=16), "of 16 features; the stored ones have 32"),
    ):
        replay = Replay(20, seed=0)
        replay.add(first, 0)
        with pytest.raises(InputError, match=message):
            replay.add(second, 0)
        assert len(replay) == 3


def test_a_replay_of_texts_has_no_file_of_embeddings(tmp_path: Path) -> None:
    replay = Replay(5, seed=0)
    replay.add(random_batch(3, 0), 0)
    replay.save(tmp_path / "r")
    assert sorted(file.name for file in (tmp_path / "r").iterdir()) == ["answers.safetensors", "replay.json", "texts.jsonl"]


def test_without_keeps_the_other_rows_from_the_oldest_to_the_newest() -> None:
    replay = Replay(5, seed=0)
    for update in range(8):
        replay.add(batch_of([(update, True)]), update)
    dropped = torch.tensor([replay.texts.index("t4"), replay.texts.index("t6")])
    left = replay.without(dropped)
    assert left.texts == ["t3", "t5", "t7"] and left.inserted.tolist() == [3, 5, 7]
    assert left.logprobs[:, 0].tolist() == [3.0, 5.0, 7.0] and ("t4", None) not in left
    left.add(batch_of([(4, True), (8, True), (9, True)]), 9)
    assert sorted(left.texts) == ["t4", "t5", "t7", "t8", "t9"]  # t3 was the oldest
    assert left.classes.tolist() == [0] * 5


def test_without_knows_embeddings() -> None:
    replay, batch = Replay(50, seed=0), embedded_batch(6, 0)
    replay.add(batch, 0)
    left = replay.without(torch.tensor([0, 2]))
    assert left.topics == [batch.topics[i] for i in (1, 3, 4, 5)]
    assert torch.equal(left.embeddings[0], replay.embeddings[1]) and len(left.embeddings) == 4
