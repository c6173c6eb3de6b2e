"""AS-DFD: samples that are not texts, crafted from the teacher alone (arXiv 2010.04883, EMNLP 2020).

What the paper states: pseudo *embeddings* replace text, and are guessed from the teacher's knowledge ("plug and play embedding
guessing"). A self-supervised module measures the student's ability, and the difficulty of the embeddings is adapted to it
adversarially. The student is distilled on them. No text, corpus or language model is needed.

What is ours: every formula. A sample begins as noise with the mean and spread of the teacher's word embeddings, between the
embeddings of the tokenizer's two special tokens, which stay. An inner loop then moves it. At each step the teacher is asked
about the sample and differentiated. The sample goes down the gradient of `CE(T(E), y)` for a class y drawn uniformly, by a
step of fixed size. (For teachers of other kinds, y is a label that shall be given, or a step of a range of values; see
`Kind.target_loss`.) After every k-th step it also goes up the gradient of the student's masked-embedding loss
(`distill.masked_embeddings`), towards what the student understands least. The student learns from the last few stages of each
sample, whose answers were paid for on the way, and from the masked-embedding loss.

The teacher was never trained on noise, and gives almost the same answer to most of it. The inner loop makes the answers
differ: samples cross the borders between the classes, and these borders are what the student has to learn.

Teacher and student must share the space of word embeddings, so the student is built from layers of the teacher.

For a teacher of pairs a sample has two segments: the special tokens between two texts stand at a random place and stay, and
teacher and student read the token types of a pair.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.encode import length_step, padded_length, usable_length
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.precision import autocast
from distill.common.seeding import random_generator
from distill.distiller import Distiller
from distill.embedded import inner_positions, nearest_texts, padding_mask, raw_outputs, segment_types, word_table
from distill.masked_embeddings import MaskedEmbeddings
from distill.methods.config import AsDfdConfig
from distill.methods.synthesizer import Step, white_box
from distill.methods.table import AS_DFD
from distill.student import Student
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher


class AsDfd:
    """The synthesizer of AS-DFD; see the module's text and `distill.methods.synthesizer.Synthesizer`.

    With `masked_weight` > 0 it adds the masked-embedding loss to the distiller's objective. Make it before the distiller
    makes an update or loads a checkpoint.

    Args:
        config: Settings.
        teacher: A BERT-like encoder whose weights are at hand. It is not changed.
        distiller: Trains the student. Each step reads the current student from it, which `restart` may have replaced.
        seed: Decides every random act.

    Attributes:
        name: "as-dfd".
        steps: Number of steps made.
        coverage: {}, because teacher and student read the same embeddings.

    Raises:
        InputError: The teacher is a black box or does not put one special token at each end of a text, the student has
            other word embeddings, or the samples would be longer than teacher or student can read.
    """

    name = AS_DFD.name

    def __init__(self, config: AsDfdConfig, teacher: CachedTeacher, distiller: Distiller, seed: int) -> None:
        self.config = config
        self.seed = seed
        self.distiller = distiller
        self.steps = 0
        self.coverage: dict[str, float] = {}
        self._judge = teacher.judge
        self._teacher = white_box(teacher, self.name)
        self._table = word_table(self._teacher.model)
        table = self._table.float()
        self._mean, self._std = table.mean(dim=0), table.std(dim=0)
        self._between: list[int] = []
        self._shortest = config.embeddings_min_length
        ends = self._teacher.tokenizer("")["input_ids"]
        if teacher.pairs and len(ends) == 2:
            ends, self._between = self._around_pairs()
        if len(ends) != 2:
            raise InputError(
                f"method: '{self.name}' needs a teacher that puts one special token on either side of a text, as BERT does; "
                f"the tokenizer of {self._teacher.path} adds {len(ends)}. Use another method."
            )
        self._first, self._last, self._middle = table[ends[0]], table[ends[1]], table[self._between]
        check_shared_space(self._teacher, distiller.student)
        self._check_length()
        if config.masked_weight:
            distiller.learn_masked(self._masked_embeddings)

    def rows(self, budget: int) -> int:
        """Return how many rows the batches of a budget hold: the last stages of each sample."""
        whole, rest = divmod(budget, self.config.inner_steps)
        return whole * min(self.config.inner_keep, self.config.inner_steps) + min(self.config.inner_keep, rest)

    def step(self, left: int) -> Step:
        """Craft a batch of samples.

        Where `left` does not pay for a full batch, the batch holds fewer samples. Where it does not pay for one sample, one
        sample makes fewer inner steps. So a budget is spent exactly.

        Args:
            left: Teacher queries that may be spent, at least 1.

        Returns:
            The kept stages with the teacher's answers to them, stage by stage. `topics` are the first stages of the samples
            as text. Metrics: see `_craft`.

        Raises:
            InputError: The loss is no longer finite, or the teacher's answers are those of another kind.
        """
        config = self.config
        samples = min(config.embeddings_batch_size, max(1, left // config.inner_steps))
        stages = min(config.inner_steps, left)
        embeddings, lengths, targets = self._start(samples)
        kept, metrics = self._craft(embeddings, lengths, targets.to(embeddings.device), stages)
        if not math.isfinite(metrics["inner_loss_last"]):
            raise InputError(
                f"as-dfd: the teacher's answers are not finite at step {self.steps}; lower inner_step_size "
                f"({config.inner_step_size}), or check the teacher's weights."
            )
        batch = self._batch(kept, embeddings, lengths, targets)
        self.steps += 1
        return Step(batch, samples * stages, metrics)

    def _craft(
        self, embeddings: Tensor, lengths: Tensor, targets: Tensor, stages: int
    ) -> tuple[list[tuple[Tensor, Tensor]], dict[str, float]]:
        """Move samples towards their targets, and ask the teacher at each stage.

        Args:
            embeddings: (N, L, H), the first stages.
            lengths: (N,), their lengths.
            targets: (N,), the target that each sample is moved to, on the device of the embeddings.
            stages: Number of stages, at least 1.

        Returns:
            The last `inner_keep` stages with the teacher's answers (N, C), and metrics: `inner_loss_first` and
            `inner_loss_last`, the cross-entropy with the target, or its counterpart, at the first and the last stage;
            `wanted_confidence`, the mean of `exp(-loss)` at the last stage, which is the probability of a target class;
            `masked_loss` of the student, before the last move that raised it.
        """
        config = self.config
        mask = padding_mask(lengths, embeddings.shape[1]).to(embeddings.device)
        inner = (inner_positions(mask) & ~self._fixed(embeddings))[..., None].float()
        kept: list[tuple[Tensor, Tensor]] = []
        metrics: dict[str, float] = {}
        for stage in range(stages):
            answers, losses, gradient = self._ask(embeddings, mask, targets, stage < stages - 1)
            if stage == 0:  # later stages were moved towards the range that the kind says
                self._judge(answers.cpu())
            if stage >= stages - config.inner_keep:
                kept.append((embeddings, answers))
            if stage in (0, stages - 1):
                metrics["inner_loss_first" if stage == 0 else "inner_loss_last"] = float(losses.mean())
                metrics["wanted_confidence"] = float((-losses).exp().mean())
            if gradient is None:
                continue
            embeddings = embeddings - self._move(gradient, inner)
            masked = self.distiller.masked
            if masked is not None and config.adversarial_every and (stage + 1) % config.adversarial_every == 0:
                embeddings, metrics["masked_loss"] = self._ascend(masked, embeddings, mask, inner, stage)
        metrics.setdefault("inner_loss_last", metrics["inner_loss_first"])
        return kept, metrics

    def save(self, folder: Path) -> None:
        """Write the number of steps made into a new folder.

        Raises:
            InputError: The folder cannot be written.
        """
        with replace_folder(folder, marker="as_dfd.json") as temporary:
            write_json(temporary / "as_dfd.json", self._settings() | {"steps": self.steps})

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            InputError: The file is missing or damaged, or was written with other settings.
        """
        file = Path(folder) / "as_dfd.json"
        state = read_json(file)
        if not isinstance(state, dict) or not isinstance(state.get("steps"), int):
            raise InputError(f"{file}: the checkpoint is damaged (no number of steps); use an earlier one.")
        now = self._settings()
        differing = [f"{name} ({state.get(name)!r}, now {now[name]!r})" for name in now if state.get(name) != now[name]]
        if differing:
            raise InputError(f"{file}: was made with other settings: {', '.join(differing)}; use the same ones.")
        self.steps = state["steps"]

    def _start(self, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first stages (N, L, H) on the teacher's device, their lengths (N,) and their target labels (N,)."""
        config = self.config
        source = random_generator(self.seed, "as-dfd", self.steps)
        lengths = torch.randint(self._shortest, config.embeddings_max_length + 1, (samples,), generator=source)
        targets = torch.randint(self._teacher.kind.groups(len(self._teacher.labels)), (samples,), generator=source)
        device = self._teacher.device
        width = padded_length(int(lengths.max()), config.embeddings_max_length, length_step(device))
        noise = torch.randn(samples, width, len(self._mean), generator=source).to(device)
        embeddings = self._mean + self._std * noise
        embeddings[:, 0] = self._first
        embeddings[torch.arange(samples), lengths - 1] = self._last
        for row in range(samples if self._between else 0):
            begin = int(torch.randint(2, int(lengths[row]) - len(self._between) - 1, (1,), generator=source))
            embeddings[row, begin : begin + len(self._between)] = self._middle
        return embeddings * padding_mask(lengths, width).to(device)[..., None], lengths, targets

    def _ask(
        self, embeddings: Tensor, mask: Tensor, targets: Tensor, differentiate: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the teacher's answers (N, C), the losses (N,) and, if asked for, the gradient (N, L, H) of the losses.

        The loss is a sum over the batch, so that the gradient of a sample does not depend on the size of the batch.
        """
        with torch.set_grad_enabled(differentiate):
            embeddings = embeddings.detach().requires_grad_(differentiate)
            types = segment_types(self._teacher.model, embeddings, mask)
            answers = self._teacher.answers_of(raw_outputs(self._teacher.model, embeddings, mask, types))
            losses = self._teacher.kind.target_loss(answers, targets)
        gradient = torch.autograd.grad(losses.sum(), embeddings)[0] if differentiate else None
        return answers.detach(), losses.detach(), gradient

    def _around_pairs(self) -> tuple[list[int], list[int]]:
        """Return the special tokens at the ends of a pair, and those between its texts.

        Raises:
            InputError: The one that closes a pair does not stand between its texts.
        """
        (ids,) = self._teacher.tokenizer([""], [""])["input_ids"]  # one empty second text counts as none
        ends, between = [ids[0], ids[-1]], ids[1:-1]
        if ends[1] not in between:
            raise InputError(
                f"method: '{self.name}' needs a teacher that closes both texts of a pair with the same special token, as BERT "
                f"does; that of {self._teacher.path} does not. Use another method."
            )
        self._shortest = max(self._shortest, len(between) + 4)
        if self.config.embeddings_max_length < self._shortest:
            raise InputError(
                f"embeddings_max_length is {self.config.embeddings_max_length}, expected at least {self._shortest} for pairs "
                "of texts"
            )
        return ends, between

    def _fixed(self, embeddings: Tensor) -> Tensor:
        """Return the positions (N, L) bool that hold the special tokens between two texts, which stay as they are."""
        fixed = torch.zeros(embeddings.shape[:2], dtype=torch.bool, device=embeddings.device)
        for row in self._middle:
            fixed |= (embeddings == row).all(dim=2)
        return fixed

    def _ascend(
        self, masked: MaskedEmbeddings, embeddings: Tensor, mask: Tensor, inner: Tensor, stage: int
    ) -> tuple[Tensor, float]:
        """Return the samples moved up the student's masked-embedding loss, and that loss before the move."""
        student = self.distiller.student
        start = embeddings.to(student.device).requires_grad_(True)
        seen = mask.to(student.device)
        hidden = masked.choose(seen, f"ascent-{stage}", self.steps)
        with autocast(student.device, trained=True):
            loss = masked.loss(student.model, start, seen, hidden)
        gradient = torch.autograd.grad(loss, start)[0].to(embeddings.device)
        return embeddings.detach() + self._move(gradient, inner), float(loss.detach())

    def _move(self, gradient: Tensor, inner: Tensor) -> Tensor:
        """Return a move along a gradient (N, L, H), of equal size for each sample and 0 at special tokens and padding."""
        # In units of the table's spread: a feature that hardly varies between words hardly moves.
        scaled = gradient * self._std * inner
        size = (scaled.square().sum(dim=(1, 2), keepdim=True) / (inner.sum(dim=(1, 2), keepdim=True) * len(self._std))).sqrt()
        return self.config.inner_step_size * self._std * scaled / size.clamp_min(1e-20)

    def _batch(self, kept: list[tuple[Tensor, Tensor]], start: Tensor, lengths: Tensor, targets: Tensor) -> SyntheticBatch:
        stages = [stage for stage, _ in kept]
        # Finding the nearest words costs nearly as much as the teacher does, so the first stages are not searched twice.
        searched = stages if stages[0] is start else [start, *stages]
        texts = nearest_texts(torch.cat(searched), lengths.repeat(len(searched)), self._table, self._teacher.tokenizer)
        topics, embeddings, lengths = texts[: len(targets)], torch.cat(stages), lengths.repeat(len(kept))
        return SyntheticBatch(
            texts=texts[-len(embeddings) :],
            teacher_logits=torch.cat([predictions for _, predictions in kept]).cpu(),
            targets=targets.repeat(len(kept)),
            topics=topics * len(kept),
            source=self.name,
            embeddings=embeddings.cpu(),
            lengths=lengths,
            kind=self._teacher.kind,
        )

    def _masked_embeddings(self, student: Student) -> MaskedEmbeddings:
        return MaskedEmbeddings(student, self.config.masked_weight, self.config.masked_share, self.seed)

    def _settings(self) -> dict[str, Any]:
        return {**asdict(self.config), "seed": self.seed}

    def _check_length(self) -> None:
        longest = self.config.embeddings_max_length
        for name, reader in (("teacher", self._teacher), ("student", self.distiller.student)):
            readable = usable_length(reader.model, reader.tokenizer, reader.max_length)
            if longest > readable:
                raise InputError(f"embeddings_max_length: {longest}; the {name} reads at most {readable} tokens: lower it.")


def check_shared_space(teacher: TransformersTeacher, student: Student) -> None:
    """Make sure that an embedding means the same to teacher and student.

    A student with random embeddings would learn to read points that are far from its own words, even at the same width.

    Raises:
        InputError: Their tokenizers or word embeddings differ.
    """
    theirs, mine = word_table(teacher.model), word_table(student.model)
    same_words = student.tokenizer.get_vocab() == teacher.tokenizer.get_vocab()
    if not same_words or theirs.shape != mine.shape or not torch.equal(theirs.float().cpu(), mine.float().cpu()):
        raise InputError(
            f"student: {student.spec} has its own word embeddings, but 'as-dfd' needs those of the teacher; "
            "build the student from the teacher's layers, for instance teacher-layers:0,2."
        )
