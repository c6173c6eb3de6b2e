"""Zero-shot distillation: a general corpus, and a masked language model that learns where teacher and student disagree.

    corpus text -> mask some tokens -> the filler fills them -> teacher and student classify the text
                                            ^                               |
                                            +---- towards higher KL(T || S) +

The filler F, a masked language model, fills gaps so that the two disagree. Then the student learns the teacher's answers to
the corpus text and to its filled version, and the disagreement moves elsewhere. Facts of the method (Rashid et al., arXiv
2012.15495): out-of-domain text plus adversarial training. Facts of the code that its authors published for the sibling MATE-KD
(arXiv 2105.05912): 30 % of the tokens are masked, and filled with straight-through Gumbel choices at temperature 1; 10 steps
of the filler, then 100 steps of the student; the student learns from clean and filled text alike.

Ours: the filler ascends the true `KL(p_T || p_S) - w L_MLM`, where L_MLM is the cross-entropy of the masked tokens. (The
published code ascends a cross-entropy. That is larger by the teacher's entropy, and so also rewards texts that the teacher is
unsure about.) The KL is `Kind.divergence` where the teacher is of another kind. The student also learns from the texts of the
filler's steps, whose answers are paid for. A token map connects a filler to classifiers with another vocabulary.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.batch import SyntheticBatch, joined
from distill.common.encode import usable_length
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.seeding import random_generator
from distill.distiller import Distiller
from distill.embedded import raw_outputs, word_table
from distill.methods.config import ZeroShotConfig
from distill.methods.corpus import digest_of, rows_at, second_sentences
from distill.methods.filler import Filler, Gaps
from distill.methods.soft_texts import embed_choice, gumbel_choice
from distill.methods.synthesizer import Step, white_box
from distill.methods.table import ZERO_SHOT
from distill.methods.token_map import TokenMap, check_coverage, count_tokens, map_tokens
from distill.optimizer import MAX_GRADIENT_NORM
from distill.teachers.prediction_cache import CachedTeacher


class ZeroShot:
    """The synthesizer of zero-shot distillation; see the module's text and `distill.methods.synthesizer.Synthesizer`.

    Args:
        config: Settings.
        teacher: A teacher whose weights are at hand.
        distiller: Trains the student that the filler works against.
        corpus: General sentences, at least one.
        seed: Decides every random act.
        device: Device of the filler.

    Attributes:
        filler: The masked language model, where the settings ask for filled text.
        steps: Rounds made.
        updates: Steps of the filler made.
        read: Texts of the corpus read.
        coverage: By "teacher" and "student", the share of the corpus's tokens that the token map carries to each.

    Raises:
        InputError: The teacher is a black box, the corpus is empty, the filler cannot be loaded, or its vocabulary has too
            little in common with the teacher's or the student's.
    """

    name = ZERO_SHOT.name

    def __init__(
        self,
        config: ZeroShotConfig,
        teacher: CachedTeacher,
        distiller: Distiller,
        corpus: Sequence[str],
        seed: int,
        device: str,
    ) -> None:
        self.config, self.teacher, self.distiller, self.seed = config, teacher, distiller, seed
        self.white_box = white_box(teacher, self.name)
        self.corpus = corpus
        if not corpus:
            raise InputError("corpus: it holds no text; give one with at least one sentence.")
        self.steps = self.updates = self.read = 0
        self.coverage: dict[str, float] = {}
        if config.filled_text:
            self._load_filler(device)

    def _load_filler(self, device: str) -> None:
        """Load the filler, its optimizer, and the token maps to teacher and student."""
        config, corpus = self.config, self.corpus
        self.filler = Filler(config.masked_lm, config.fill_max_length, config.mask_share, device)
        for reader in (self.white_box, self.distiller.student):  # they read filled texts token by token
            self.filler.max_length = usable_length(reader.model, reader.tokenizer, self.filler.max_length)
        self.optimizer = torch.optim.AdamW(
            self.filler.parameters(), lr=config.fill_learning_rate, weight_decay=0.0, fused=True
        )
        counts = count_tokens(self.filler.tokenizer, corpus[:: max(1, len(corpus) // 1000)], self.filler.size)
        readers = {"teacher": self.white_box.tokenizer, "student": self.distiller.student.tokenizer}
        maps = {
            setting: map_tokens(self.filler.tokenizer, tokenizer, self.filler.size, setting)
            for setting, tokenizer in readers.items()
        }
        self.maps = list(maps.values())
        self.coverage |= {setting: check_coverage(mapped, counts, setting, "masked_lm") for setting, mapped in maps.items()}
        # The teacher's token at each token of the filler, to check what the teacher reads.
        self.read_as = maps["teacher"].single
        for own, theirs in self._ends(maps["teacher"]):
            self.read_as[own] = theirs

    def rows(self, budget: int) -> int:
        """Return at most how many texts the batches of a budget hold; some texts of the filler's steps cannot be used."""
        return budget

    def step(self, left: int) -> Step:
        """Make one round: steps of the filler, then clean and filled texts for the student.

        Args:
            left: Teacher queries that may be spent, at least 1.

        Returns:
            All texts of the round with the teacher's answers. Metrics: `disagreement`, `masked_lm_loss` and `kept`, means
            over the filler's steps; see `_update`.

        Raises:
            InputError: The objective of the filler is no longer finite.
        """
        updates, texts = self._plan(left)
        classifiers = []
        if updates:  # the student's embeddings have changed since the last round
            models = (self.white_box.model, self.distiller.student.model)
            classifiers = [(model, self._table(model, mapped)) for model, mapped in zip(models, self.maps, strict=True)]
        answered: list[SyntheticBatch] = []
        rows = [self._update(classifiers, answered) for _ in range(updates)]
        batch = joined([*answered, self._texts(texts)])
        self.steps += 1
        metrics = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
        return Step(batch, updates * self.config.fill_batch_size + texts, metrics)

    def save(self, folder: Path) -> None:
        """Write the filler, its optimizer and the counters."""
        state = {"steps": self.steps, "updates": self.updates, "read": self.read, "corpus": digest_of(self.corpus)}
        with replace_folder(folder, marker="zero_shot.json") as temporary:
            if self.config.filled_text:
                weights = {name: weight.contiguous() for name, weight in self.filler.weights().items()}
                save_file(weights, temporary / "generator.safetensors")
                torch.save(self.optimizer.state_dict(), temporary / "optimizer.pt")
            write_json(temporary / "zero_shot.json", state)

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            InputError: A file is missing or damaged, or the corpus differs.
        """
        state = read_json(folder / "zero_shot.json")
        try:
            same = state.get("corpus") in (None, digest_of(self.corpus))  # older checkpoints do not say
            counters = [int(state[name]) for name in ("steps", "updates", "read")]
            if self.config.filled_text:
                weights = load_file(folder / "generator.safetensors")
                moments = torch.load(folder / "optimizer.pt", weights_only=True, map_location=self.filler.device)
                with torch.no_grad():
                    for name, parameter in self.filler.weights().items():
                        parameter.copy_(weights[name])
                self.optimizer.load_state_dict(moments)
        except Exception as error:  # zip, pickle and safetensors each have their own exception for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{folder}: the checkpoint is damaged ({reason}); use an earlier one.") from error
        if not same:
            raise InputError(f"{folder}: was made with another corpus; use the same one, or begin anew in another folder.")
        self.steps, self.updates, self.read = counters

    def _table(self, model: PreTrainedModel, mapped: TokenMap) -> Tensor:
        """Return the embedding that a classifier reads at each token of the filler, (V, H) float32."""
        words = word_table(model)
        table = mapped.table(words)
        for own, theirs in self._ends(mapped):
            table[own] = words[theirs].float()
        return table

    def _ends(self, mapped: TokenMap) -> list[tuple[int, int]]:
        """Pair the filler's special tokens before and after a text with those of the classifier."""
        tokenizer = self.filler.tokenizer
        pairs = ((tokenizer.cls_token_id, mapped.prefix), (tokenizer.sep_token_id, mapped.suffix))
        return [(own, theirs[0]) for own, theirs in pairs if own is not None and theirs]

    def _plan(self, left: int) -> tuple[int, int]:
        """Return how many steps of the filler and how many texts the next round has, for at most `left` queries."""
        size = self.config.fill_batch_size
        updates = self.config.fill_steps if self.config.filled_text else 0
        texts = self.config.student_batches * size
        if updates * size + texts > left:  # the last round keeps the proportion
            updates = updates * left // (updates * size + texts)
            texts = left - updates * size
        return updates, texts

    def _update(self, classifiers: list[tuple[PreTrainedModel, Tensor]], answered: list[SyntheticBatch]) -> dict[str, float]:
        """Make one step of the filler against teacher and student.

        Args:
            classifiers: Teacher and student, each with the embedding that it reads at each token of the filler.
            answered: Gets the texts with the teacher's answers, which are paid for, for the student.

        Returns:
            `disagreement`: mean divergence of teacher and student before the step, in nats for classes; `masked_lm_loss`: the
            cross-entropy of the masked tokens; `kept`: the share of the texts that the student gets.
        """
        config = self.config
        texts, pairs = self._read(config.fill_batch_size)
        gaps = self._gaps(texts, pairs, "update", self.updates)
        logits = self.filler.logits(gaps)
        random = random_generator(self.seed, "zero-shot choice", self.updates)
        tokens, soft = gumbel_choice(logits, config.fill_temperature, random)
        of_teacher, of_student = (self._predictions(model, table, gaps, tokens, soft) for model, table in classifiers)
        disagreement = self.white_box.kind.divergence(of_teacher, of_student).mean()
        masked_lm_loss = nn.functional.cross_entropy(logits, gaps.ids[gaps.hidden])
        self._descend(config.masked_lm_weight * masked_lm_loss - disagreement)
        answered.append(self._answered(gaps, tokens, of_teacher.detach().float().cpu()))
        kept = len(answered[-1]) / len(texts)
        return {"disagreement": disagreement.item(), "masked_lm_loss": masked_lm_loss.item(), "kept": kept}

    def _descend(self, loss: Tensor) -> None:
        """Move the filler down the gradient of a loss."""
        if not math.isfinite(loss.item()):
            raise InputError(
                f"fill_learning_rate: the objective of the masked language model is not finite at its step {self.updates}; "
                f"lower it ({self.config.fill_learning_rate})."
            )
        parameters = self.filler.parameters()
        # `backward()` would also fill the gradients of the student's weights, which belong to the distiller.
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()  # the student trains next, and needs the memory
        self.updates += 1

    def _predictions(self, model: PreTrainedModel, table: Tensor, gaps: Gaps, tokens: Tensor, soft: Tensor) -> Tensor:
        """Return a classifier's (N, C) answers to filled texts, with gradients to the filler."""
        embeddings = table[gaps.ids]
        embeddings[gaps.hidden] = embed_choice(tokens, soft, table)
        outputs = raw_outputs(model, embeddings, gaps.mask, gaps.types if self.config.sentence_pairs else None)
        own = model is self.white_box.model
        return self.white_box.answers_of(outputs) if own else self.white_box.kind.answers(outputs)

    def _answered(self, gaps: Gaps, tokens: Tensor, predictions: Tensor) -> SyntheticBatch:
        """Return the texts of a step of the filler with the teacher's answers.

        The teacher read token embeddings. Written out as text, some of them split into other tokens, so that the teacher
        would read something else. Such texts are left out.
        """
        filled, seconds = self.filler.decode(gaps, tokens)
        pairs = seconds if self.config.sentence_pairs else None
        again = self.white_box.tokenizer(filled, pairs)["input_ids"]
        ids = gaps.ids.masked_scatter(gaps.hidden, tokens)
        read = [self.read_as[row[mask]].tolist() for row, mask in zip(ids.cpu(), gaps.mask.bool().cpu(), strict=True)]
        same = [row for row, (one, other) in enumerate(zip(read, again, strict=True)) if one == other]
        batch = self._batch(filled, pairs, predictions)
        return batch.select(same)

    def _texts(self, count: int) -> SyntheticBatch:
        """Return texts for the student with the teacher's answers; each clean text is followed by its filled version."""
        config = self.config
        both = config.clean_text and config.filled_text
        texts, pairs = self._read(-(-count // 2) if both else count)
        versions = [(texts, pairs)] if config.clean_text else []
        if config.filled_text:
            versions.append(self._filled(texts, pairs))
        mixed = [text for row in zip(*(version[0] for version in versions), strict=True) for text in row][:count]
        seconds = None
        if pairs is not None:
            seconds = [text for row in zip(*(version[1] or [] for version in versions), strict=True) for text in row][:count]
        predictions = self.teacher(mixed, seconds)
        return self._batch(mixed, seconds, predictions)

    @torch.no_grad()
    def _filled(self, texts: list[str], pairs: list[str] | None) -> tuple[list[str], list[str] | None]:
        """Return the texts, and the second texts, with some tokens drawn from the filler."""
        filled: list[str] = []
        seconds: list[str] = []
        for start in range(0, len(texts), self.config.fill_batch_size):
            part = slice(start, start + self.config.fill_batch_size)
            gaps = self._gaps(texts[part], pairs[part] if pairs else None, f"texts {self.steps}", start)
            random = random_generator(self.seed, "zero-shot fill", self.steps, start)
            tokens, _ = gumbel_choice(self.filler.logits(gaps), self.config.fill_temperature, random)
            first, second = self.filler.decode(gaps, tokens)
            filled += first
            seconds += second
        return filled, seconds if pairs else None

    def _gaps(self, texts: Sequence[str], pairs: Sequence[str] | None, purpose: str, number: int) -> Gaps:
        return self.filler.gaps(texts, pairs, random_generator(self.seed, "zero-shot gaps", purpose, number))

    def _read(self, count: int) -> tuple[list[str], list[str] | None]:
        """Return the next texts of the corpus, and second texts where the teacher classifies pairs."""
        rows = rows_at(len(self.corpus), self.read, count, self.seed, "corpus pass")
        pairs = second_sentences(self.corpus, rows, self.seed, self.read) if self.config.sentence_pairs else None
        self.read += count
        return [self.corpus[row] for row in rows], pairs

    def _batch(self, texts: list[str], pairs: list[str] | None, answers: Tensor) -> SyntheticBatch:
        none, rows = torch.full((len(texts),), -1), len(texts)
        return SyntheticBatch(texts, answers, none, [""] * rows, self.name, pairs, kind=self.white_box.kind)
