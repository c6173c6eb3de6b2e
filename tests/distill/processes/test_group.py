"""What processes exchange, and that sums of their gradients are those of one process."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.processes.group import Processes
from distill.student import Student, load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.processes.two import in_two
from tests.distill.tiny import LABELS, judged, random_texts


@given(st.integers(0, 50), st.integers(1, 9))
def test_parts_follow_each_other_and_differ_by_one_row_at_most(count: int, size: int) -> None:
    parts = [range(count)[Processes(rank, size).part(count)] for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_exchanges_nothing() -> None:
    alone = Processes()
    assert alone.share(lambda texts: texts, ["a", "b"]) == ["a", "b"]
    assert (alone.gather(3), alone.from_first(lambda: 4), alone.any(False)) == ([3], 4, False)
    assert alone.purpose("writer") == "writer"
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    assert alone.sum_gradients([weight], torch.tensor(2.0)) == 2
    assert weight.grad.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="connection closed"), alone.together():
        raise RuntimeError("connection closed by peer")


def exchanges(processes: Processes) -> dict:
    rank = processes.rank
    calls: list[list[int]] = []

    def doubled(rows: list[int], more: torch.Tensor) -> list[int]:
        calls.append(rows)
        return [2 * row + int(extra) for row, extra in zip(rows, more, strict=True)]

    weights = [torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(2))]
    weights[0].grad, weights[2].grad = torch.full((2, 3), 1.0 + rank), torch.tensor([rank, 5.0])
    loss = processes.sum_gradients(weights, torch.tensor(0.25 + rank))
    with pytest.raises(InputError) as refused:
        processes.check_same({"seed": 0, "device": "cpu", "budget": 100 + rank})
    processes.check_same({"seed": 0})
    with pytest.raises(InputError, match="has lost the others"), processes.together():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:21")
    found = {
        "gather": processes.gather(rank),
        "first": processes.from_first(lambda: {"made by": rank}),
        "any": [processes.any(rank == 1), processes.any(False)],
        "rows": processes.share(doubled, [1, 2, 3, 4, 5], torch.arange(5)),
        "one row": processes.share(lambda rows: torch.tensor(rows) + rank, [1]).tolist(),
        "no row": processes.share(lambda rows: list(rows), []),
        "calls": calls,
        "gradients": [None if weight.grad is None else weight.grad.tolist() for weight in weights],
        "loss": float(loss),
        "refused": str(refused.value),
        "purpose": processes.purpose("writer"),
    }
    processes.leave()
    return found | {"size": processes.size}


def test_two_processes_exchange_rows_choices_and_gradients() -> None:
    one, other = in_two(exchanges)
    assert (one.pop("calls"), other.pop("calls")) == ([[1, 2]], [[3, 4, 5]])
    assert (one.pop("purpose"), other.pop("purpose")) == ("writer", "writer, process 1")
    assert one == other
    assert (one["gather"], one["first"], one["any"]) == ([0, 1], {"made by": 0}, [True, False])
    assert (one["rows"], one["one row"], one["no row"]) == ([2, 5, 8, 11, 14], [2], [])
    assert one["gradients"] == [[[3.0] * 3] * 2, None, [1.0, 10.0]]
    assert (one["loss"], one["size"]) == (1.5, 1)
    assert "budget is 100 in process 0, but 101 in process 1" in one["refused"]


CONFIG = DistillConfig(
    student_updates=3, student_batch_size=7, student_hard_label_weight=0.3, student_hidden_weight=0.5, student_online_share=0
)


def gradients_of_updates(teacher: TransformersTeacher, batch: SyntheticBatch, processes: Processes) -> list:
    """The gradients of each of three updates with every term of the loss, the losses, and the weights after them."""
    student: Student = load_student("bert:layers=1,hidden=32", labels=LABELS, teacher=teacher, device="cpu")
    distiller = Distiller(student, CONFIG, len(batch), 0, teacher, processes=processes)
    distiller.add(batch)
    losses: list[float] = []
    gradients = []
    for _ in range(3):
        distiller.update(1, lambda _, loss: losses.append(loss))
        gradients.append([weight.grad.clone() for weight in distiller.optimizer.parameters])
    return [gradients, losses, distiller._weights()]


def test_two_processes_make_the_student_updates_of_one(teacher: TransformersTeacher) -> None:
    batch = judged(teacher, random_texts(30, 0))
    gradients, losses, weights = gradients_of_updates(teacher, batch, Processes())
    shared = in_two(lambda processes: gradients_of_updates(teacher, batch, processes))
    for mine, theirs in zip(gradients, shared[0][0], strict=True):
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(other, one, rtol=2e-4, atol=1e-6)
    assert shared[0][1] == pytest.approx(losses, rel=1e-5)
    assert shared[0][1] == shared[1][1]
    for name, weight in shared[0][2].items():
        assert torch.equal(weight, shared[1][2][name]), name
        torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-3)
