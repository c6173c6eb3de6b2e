"""The optional hidden-state term of the loss: the student also imitates the teacher's layers.

It needs a teacher whose weights are at hand. A learned projection maps the student's width to the teacher's where they differ.
The term costs a second pass of the teacher over every training batch, so it is off by default. It counts no query, because
the texts were counted when the teacher answered them.
"""

from torch import Tensor, nn

from distill.common.encode import takes_token_types
from distill.common.errors import InputError
from distill.common.seeding import seeded
from distill.losses import hidden_state_loss, layer_pairs
from distill.student import Student
from distill.teachers.base import Teacher
from distill.teachers.transformers_teacher import TransformersTeacher


class HiddenMatch(nn.Module):
    """The hidden-state loss of a student against its teacher, with the learned projection.

    Both models must read the same token ids, so that position i is the same token in both.

    Args:
        student: The student.
        teacher: A Hugging Face teacher.
        seed: Decides the projection's first weights.

    Raises:
        InputError: The teacher is a black box, or its vocabulary differs from the student's, or the student has no layers, or
            is not told which token belongs to which text of a pair.
    """

    def __init__(self, student: Student, teacher: Teacher | None, seed: int) -> None:
        super().__init__()
        if not isinstance(teacher, TransformersTeacher):
            raise InputError("student_hidden_weight: a teacher that is a model folder or id is needed; set it to 0.")
        if student.tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
            raise InputError("student_hidden_weight: student and teacher need the same tokenizer; set it to 0.")
        mine, theirs = student.model.config, teacher.model.config
        if not hasattr(mine, "num_hidden_layers"):
            raise InputError(f"student_hidden_weight: {student.spec} has no layers; set it to 0.")
        if student.kind.texts == 2 and takes_token_types(teacher.model) and not takes_token_types(student.model):
            raise InputError(
                f"student_hidden_weight: the teacher tells the texts of a pair apart by token types, which {student.spec} "
                "does not read; set it to 0."
            )
        self.pairs = layer_pairs(mine.num_hidden_layers, theirs.num_hidden_layers)
        self.states_of = teacher.hidden_states
        self.keeps_types = takes_token_types(teacher.model)
        with seeded(seed, "hidden-projection"):
            equal = mine.hidden_size == theirs.hidden_size
            self.projection = None if equal else nn.Linear(mine.hidden_size, theirs.hidden_size, bias=False)
        self.to(student.device)

    def loss(self, inputs: dict[str, Tensor], student_hidden: tuple[Tensor, ...]) -> Tensor:
        """Return the loss of a batch, a scalar >= 0, from the student's `hidden_states` on `inputs`."""
        kept = {name: t for name, t in inputs.items() if name != "token_type_ids" or self.keeps_types}
        teacher_hidden = self.states_of(kept)
        return hidden_state_loss(
            [student_hidden[mine] for mine, _ in self.pairs],
            [teacher_hidden[theirs] for _, theirs in self.pairs],
            inputs["attention_mask"],
            self.projection,
        )
