"""DFKD-T3: a corpus of any kind, rewritten for the task by a model that learns from teacher and student.

Facts (arXiv 2311.01689): a learnable text-to-text model turns a general corpus into texts that serve compression; it is
trained end to end for *specificity* (the teacher recognises something of its task) and *diversity* (of all its
classes); the texts it has written can be used to distil other models.

Everything in detail is ours. A sentence u of the corpus is read, partly hidden, and rewritten as x by an
encoder-decoder with an adapter. The loss of a batch of rewritings is

    w_s mean H(p_T(x)) - w_d H(mean p_T(x)) - w_h mean KL(p_T(x) || p_S(x)) + w_l mean KL(G || G_0)

with teacher T, student S, and the rewriter G beside its untuned self G_0, whose divergence is taken at each token. A token
is a straight-through Gumbel choice: x is first drawn token by token, then one parallel pass gives all distributions
again, and the Gumbel noise that would have led to the tokens drawn is drawn *afterwards*, so that choice and sample are
the same text (`distill.methods.soft_texts`). Vocabularies are bridged by `distill.methods.token_map`.

The gradient has two parts. Through what teacher and student read it reaches each token's distribution at its own place:
which word would have been better here. It does not know that a word also decides what is written after it, and alone it
learns to put telling words into sentences about something else. The second part is the score-function estimator (REINFORCE,
Williams 1992) of the same loss: rewritings that turned out well, measured against their batch, become likelier as a whole.
The sum counts what happens at a token's own place twice, which is harmless for a direction; a weight of 0 switches it off.

How much of u is hidden decides what is learnt: shown all of it, the rewriter must leave its source to reach the task, and
the last term forbids that; shown little, it need only choose among what it would have written anyway.

A row that moved the rewriter was answered by the teacher. Where the teacher's own tokenizer spells the text as the map
did, this is its answer to the text, so the student gets the row too: it was paid for once and serves twice.
Texts are single ones: tasks on pairs of texts are not served.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch, joined
from distill.common import encode
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.seeding import random_generator
from distill.distiller import Distiller
from distill.embedded import classify, word_table
from distill.losses import entropy, kl
from distill.methods.config import T3Config
from distill.methods.corpus import rows_at
from distill.methods.rewriter import Rewriter, Rewritten, Tokens
from distill.methods.soft_texts import embed_texts, score_loss, soft_choice
from distill.methods.synthesizer import Step, white_box
from distill.methods.table import T3
from distill.methods.token_map import check_coverage, count_tokens, map_tokens
from distill.optimizer import MAX_GRADIENT_NORM
from distill.teachers.prediction_cache import CachedTeacher

# Sentences from which the share of tokens that cross between vocabularies is measured.
SAMPLE = 10_000


class TextToText:
    """DFKD-T3, at work; see the module.

    Args:
        config: Settings.
        teacher: A model whose weights are at hand.
        distiller: Holds the student, which the hardness term looks at.
        corpus: Sentences; blank ones are left out.
        seed: Decides every random act.
        device: Of the rewriter.

    Attributes:
        rewriter: The model that is being tuned.
        coverage: By "teacher" and "student", the share of the corpus's tokens that cross to each.

    Raises:
        InputError: The teacher is a black box, the corpus is empty, a model cannot be loaded, or a vocabulary is too
            different from the rewriter's.
    """

    name = T3.name

    def __init__(
        self, config: T3Config, teacher: CachedTeacher, distiller: Distiller, corpus: Sequence[str], seed: int, device: str
    ) -> None:
        self.config = config
        self.teacher = teacher
        self.white_box = white_box(teacher, self.name)
        self.distiller = distiller
        self.seed = seed
        self.corpus = [text.strip() for text in corpus if text.strip()]
        if not self.corpus:
            raise InputError("corpus: it has no sentences to rewrite; give a text file with one sentence a line.")
        student = distiller.student
        readable = min(
            encode.usable_length(self.white_box.model, self.white_box.tokenizer, self.white_box.max_length),
            encode.usable_length(student.model, student.tokenizer, student.max_length),
        )
        # Two special tokens around a text is what encoders read; one goes to the end token, which has a place of its own.
        length = max(1, min(config.rewriter_max_length, readable - 2))
        self.rewriter = Rewriter.untuned(
            config.rewriter, length, config.rewriter_hidden_share, config.rewriter_rank, config.rewriter_alpha, seed, device
        )
        tokenizer, size = self.rewriter.tokenizer, self.rewriter.vocabulary
        sample = self.corpus[:: max(1, len(self.corpus) // SAMPLE)]
        counts = count_tokens(tokenizer, sample, size)
        self.to_teacher = map_tokens(tokenizer, self.white_box.tokenizer, size, "teacher")
        self.to_student = map_tokens(tokenizer, student.tokenizer, size, "student")
        self.coverage = {
            "teacher": check_coverage(self.to_teacher, counts, "teacher", "rewriter"),
            "student": check_coverage(self.to_student, counts, "student", "rewriter"),
        }
        self.exact_share = self._measure_exact_share(sample[:256])
        self.teacher_table = self.to_teacher.table(word_table(self.white_box.model))
        self.optimizer = torch.optim.AdamW(
            self.rewriter.parameters, lr=config.rewriter_learning_rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.updates_done = 0
        self.steps_done = 0
        self.sources_read = 0

    def rows(self, budget: int) -> int:
        """How many rows all batches of a budget hold together.

        Exact but for the rows that moved the rewriter and are learnt from as well: their share is that measured on
        the corpus itself.
        """
        moved = asked = 0
        while moved + asked < budget:
            updates, texts = self._plan(budget - moved - asked)
            moved, asked = moved + updates * self.config.rewriter_batch_size, asked + texts
        return asked + round(moved * self.exact_share)

    def step(self, left: int) -> Step:
        """Update the rewriter some times, then rewrite a batch and ask the teacher about it.

        Raises:
            InputError: The loss is no longer finite.
        """
        updates, texts = self._plan(left)
        size = self.config.rewriter_batch_size
        parts: list[SyntheticBatch] = []
        figures: list[dict[str, float]] = []
        if updates:
            student = self.distiller.student
            # The student stands still within a step, and so does what it reads at each token.
            student_table = self.to_student.table(word_table(student.model))
            for _ in range(updates):
                rows, metrics = self._update(self._sources(size), student_table)
                parts.append(rows)
                figures.append(metrics)
        written = self.write(self._sources(texts), self.steps_done, "t3 batch")
        parts.append(self._batch(written.texts, self.teacher(written.texts)))
        self.steps_done += 1
        metrics = {name: sum(row[name] for row in figures) / len(figures) for name in figures[0]} if figures else {}
        metrics["rewriter/logprob"] = float(written.logprob_mean.mean())
        return Step(joined(parts), updates * size + texts, metrics)

    def write(self, sources: Sequence[str], number: int, purpose: str = "rewriting") -> Rewritten:
        """Rewrite sentences with the rewriter as it is; see `Rewriter.write`. The teacher is not asked."""
        return self.rewriter.write(sources, number, self.seed, purpose)

    def save_rewriter(self, folder: str | Path, base: str | None = None, **names: str) -> None:
        """Write the rewriter's folder, which `distill.methods.rewriter.Rewriter.load` opens without teacher and trainer.

        Args:
            folder: Appears whole or not at all.
            base: The base's name for others, where `rewriter` is a path of this machine.
            **names: The names of other things for others: `teacher`, `corpus`.

        Raises:
            InputError: The folder holds something else, or cannot be written.
        """
        details = {
            "method": self.name,
            "teacher": self.teacher.path,
            "labels": list(self.teacher.labels),
            "settings": {name: value for name, value in asdict(self.config).items() if name != "rewriter"},
            "seed": self.seed,
            "updates": self.updates_done,
            "coverage": self.coverage,
            **names,
        }
        self.rewriter.save(folder, details, base)

    def save(self, folder: Path) -> None:
        """Write adapter, optimizer and counters."""
        with replace_folder(folder, marker="t3.json") as temporary:
            save_file(self.rewriter.weights(), temporary / "adapter.safetensors")
            torch.save(self.optimizer.state_dict(), temporary / "optimizer.pt")
            write_json(temporary / "t3.json", self._identity() | self._counters())

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote, with the same arguments.

        Raises:
            InputError: A file is missing or damaged, or the settings, the seed or the corpus were others.
        """
        folder = Path(folder)
        state = read_json(folder / "t3.json")
        try:
            then = {name: state[name] for name in self._identity()}
            counters = {name: int(state[name]) for name in self._counters()}
            weights = load_file(folder / "adapter.safetensors")
            moments = torch.load(folder / "optimizer.pt", weights_only=True, map_location=self.rewriter.device)
        except Exception as error:  # zip, pickle and safetensors each have their own for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{folder}: the checkpoint is damaged ({reason}); use an earlier one.") from error
        now = self._identity()
        differing = [name for name in ("corpus", "seed") if then[name] != now[name]]
        differing += [name for name in now["config"] if now["config"][name] != then["config"].get(name)]
        if differing:
            raise InputError(f"{folder}: was made with other settings: {', '.join(differing)}; use the same ones.")
        self.rewriter.set_weights(weights, str(folder))
        self.optimizer.load_state_dict(moments)
        for name, value in counters.items():
            setattr(self, name, value)

    def _identity(self) -> dict[str, Any]:
        corpus = hashlib.sha256("\n".join(self.corpus).encode()).hexdigest()
        return {"config": asdict(self.config), "seed": self.seed, "corpus": corpus}

    def _counters(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("updates_done", "steps_done", "sources_read")}

    def _plan(self, left: int) -> tuple[int, int]:
        """How many updates the next step makes, and how many texts it asks about, at least 1, for at most `left` queries."""
        size = self.config.rewriter_batch_size
        updates = min(self.config.rewriter_updates, (left - 1) // size)
        return updates, min(size, left - updates * size)

    def _sources(self, count: int) -> list[str]:
        """The next sentences of the corpus, which is read in a new order each time it has been read through."""
        rows = rows_at(len(self.corpus), self.sources_read, count, self.seed, "t3", "corpus")
        self.sources_read += count
        return [self.corpus[row] for row in rows]

    def _update(self, sources: list[str], student_table: Tensor) -> tuple[SyntheticBatch, dict[str, float]]:
        """Move the rewriter once; returns the rows whose answers are the teacher's own, and figures."""
        config, rewriter, student = self.config, self.rewriter, self.distiller.student
        inputs = rewriter.encode(sources, random_generator(self.seed, "t3", "hidden", self.updates_done))
        tokens = rewriter.sample(inputs, self.seed, "t3", "sample", self.updates_done)
        logits = rewriter.logits(inputs, tokens)
        noise = random_generator(self.seed, "t3", "gumbel", self.updates_done, device=logits.device)
        soft = soft_choice(logits, tokens.ids, config.rewriter_temperature, noise)
        p_teacher = classify(
            self.white_box.model, *embed_texts(tokens, soft, self.teacher_table, self.white_box.model, self.to_teacher)
        )
        mean_answer = p_teacher.logsumexp(dim=0, keepdim=True) - math.log(len(sources))
        terms = {"specificity": entropy(p_teacher).mean(), "diversity": entropy(mean_answer)[0]}
        loss = config.rewriter_specificity * terms["specificity"] - config.rewriter_diversity * terms["diversity"]
        # What each rewriting adds to the loss; the entropy of a mean falls to its members as their cross-entropy with it.
        parts = config.rewriter_specificity * entropy(p_teacher)
        parts = parts + config.rewriter_diversity * (p_teacher.exp() * mean_answer).sum(dim=1)
        if config.rewriter_hardness:
            p_student = classify(student.model, *embed_texts(tokens, soft, student_table, student.model, self.to_student))
            apart = kl(p_teacher, p_student.to(p_teacher.device))
            terms["hardness"] = apart.mean()
            loss, parts = loss - config.rewriter_hardness * terms["hardness"], parts - config.rewriter_hardness * apart
        log_probs = logits.log_softmax(dim=-1)
        if config.rewriter_language:
            untuned = rewriter.logits(inputs, tokens, tuned=False).log_softmax(dim=-1)
            strange = (kl(log_probs, untuned) * tokens.drawn).sum(dim=1) * len(sources) / tokens.drawn.sum()
            terms["language"] = strange.mean()
            loss = loss + config.rewriter_language * terms["language"].to(loss.device)
            parts = parts + config.rewriter_language * strange.to(parts.device)
        if config.rewriter_score:
            written = log_probs.gather(2, tokens.ids[:, :, None]).squeeze(2)
            loss = loss + config.rewriter_score * score_loss(parts, (written * tokens.drawn).sum(dim=1).to(parts.device))
        # Not backward(): it would leave gradients at the student's weights, where the distillation loop keeps its own.
        gradients = torch.autograd.grad(loss, rewriter.parameters)
        if not math.isfinite(float(loss.detach())) or not all(bool(g.isfinite().all()) for g in gradients):
            raise InputError(
                f"rewriter: the loss or its gradient is not finite at update {self.updates_done}; lower "
                f"rewriter_learning_rate ({config.rewriter_learning_rate})."
            )
        for parameter, gradient in zip(rewriter.parameters, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(rewriter.parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates_done += 1
        texts = rewriter.decode(tokens, sources)
        exact = self._read_alike(tokens, texts)
        metrics = {f"rewriter/{name}": float(term.detach()) for name, term in terms.items()}
        metrics["rewriter/reused"] = float(exact.float().mean())
        kept = [text for text, alike in zip(texts, exact.tolist(), strict=True) if alike]
        return self._batch(kept, p_teacher.detach().cpu()[exact]), metrics

    def _read_alike(self, tokens: Tokens, texts: list[str]) -> Tensor:
        """(N,) bool: whether the teacher's tokenizer spells a text as the map did, so that its answer is known."""
        single = self.to_teacher.single
        rows = [single[ids[mask]].tolist() for ids, mask in zip(tokens.ids.cpu(), tokens.mask.cpu(), strict=True)]
        own = self.white_box.tokenizer(texts, truncation=True, max_length=self.white_box.max_length)["input_ids"]
        prefix = self.to_teacher.prefix
        return torch.tensor([prefix + row == ids for row, ids in zip(rows, own, strict=True)])

    def _measure_exact_share(self, texts: list[str]) -> float:
        """The share of sentences that the teacher's tokenizer spells as the map does."""
        encoded = self.rewriter.tokenizer(texts, add_special_tokens=False)["input_ids"]
        single, end = self.to_teacher.single, self.to_teacher.suffix
        own = self.white_box.tokenizer(texts)["input_ids"]
        alike = [
            self.to_teacher.prefix + single[torch.tensor(ids, dtype=torch.int64)].tolist() + end == whole
            for ids, whole in zip(encoded, own, strict=True)
        ]
        return sum(alike) / len(alike)

    def _batch(self, texts: list[str], predictions: Tensor) -> SyntheticBatch:
        return SyntheticBatch(texts, predictions, torch.full((len(texts),), -1), [""] * len(texts), "rewritten")
