"""DFKD-T3: a corpus of any kind, rewritten for the task by a model that learns from teacher and student.

Facts (arXiv 2311.01689): a learnable text-to-text model turns a general corpus into texts that serve compression. It is
trained end to end for *specificity* (the teacher recognises its task in a text) and *diversity* (the texts cover all
classes). The texts that it has written can be used to distil other models.

All details are ours. An encoder-decoder with an adapter reads a sentence of the corpus, partly hidden, and rewrites it as x.
The loss of a batch of rewritings is

    w_s mean H(p_T(x)) - w_d H(mean p_T(x)) - w_h mean KL(p_T(x) || p_S(x)) + w_l mean KL(G || G_0)

with teacher T, student S, the rewriter G, and the untuned rewriter G_0; the last divergence is taken at each token. Of a
teacher that gives several labels, the other terms are means over its labels; of one that tags words, the first two are means
over the types of entities (does the text hold one?), and the third is the mean over words. A token is a straight-through
Gumbel choice. First x is drawn token by token. Then one parallel pass gives all distributions again, and the Gumbel noise is
drawn given the tokens, so that choice and sample are the same text (`distill.methods.soft_texts`).
`distill.methods.token_map` connects the vocabularies.

The gradient has two parts. The first passes through what teacher and student read, and reaches the distribution of each token
at its own position: which word would have been better here? It does not see that a word also decides the words after it.
Alone, it learns to insert words that reveal a class into sentences about something else. The second part is the score-function
estimator (REINFORCE, Williams 1992) of the same loss: rewritings that did better than their batch become more likely as a
whole. The sum counts the effect of a token at its own position twice, which does not harm a direction. A weight of 0 switches
the second part off.

The hidden share of a sentence decides what can be learnt. A rewriter that sees all of it must depart from its source to reach
the task, and the last term of the loss forbids that. A rewriter that sees little only has to choose among what it would have
written anyway.

The teacher has answered each text that moved the rewriter. Where the teacher's own tokenizer splits the text as the token map
does, this is its answer to the text, so the student learns from it too, and the query serves twice.

For a teacher of pairs, the sentence itself is the first text and its rewriting the second, so what is hidden of the sentence
decides how close the two can be.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch, joined
from distill.checkpoints.checksums import sample_of_weights
from distill.common import encode
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, same_place, write_json
from distill.common.seeding import random_generator
from distill.distiller import Distiller
from distill.embedded import raw_outputs, word_table
from distill.kinds.found import written
from distill.losses import entropy, kl
from distill.methods import soft_texts
from distill.methods.config import T3Config
from distill.methods.corpus import digest_of, rows_at
from distill.methods.rewriter import REWRITER_MANIFEST, Rewriter, Rewritten, RewrittenTokens
from distill.methods.synthesizer import Step, white_box
from distill.methods.table import T3
from distill.methods.token_map import TokenMap, check_coverage, count_tokens, map_tokens
from distill.optimizer import MAX_GRADIENT_NORM
from distill.student import Student
from distill.teachers.found import remember
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher

SAMPLE = 10_000  # sentences used to measure the share of tokens that the token maps carry


class TextToText:
    """The synthesizer of DFKD-T3; see the module's text and `distill.methods.synthesizer.Synthesizer`.

    Args:
        config: Settings.
        teacher: A teacher whose weights are at hand.
        distiller: Holds the student that the hardness term needs.
        corpus: Sentences; blank ones are left out.
        seed: Decides every random act.
        device: Device of the rewriter.

    Attributes:
        rewriter: The model that is tuned.
        coverage: By "teacher" and "student", the share of the corpus's tokens that the token map carries to each.

    Raises:
        InputError: The teacher is a black box, the corpus is empty, a model cannot be loaded, or a vocabulary differs too
            much from the rewriter's.
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
        # Encoders read two special tokens around a text, and some more between two of them.
        self.pairs = teacher.pairs
        self._half = max(1, (readable - 4) // 2)
        length = max(1, min(config.rewriter_max_length, self._half if self.pairs else readable - 2))
        self.rewriter = Rewriter.untuned(
            config.rewriter, length, config.rewriter_hidden_share, config.rewriter_rank, config.rewriter_alpha, seed, device
        )
        base = Path(config.rewriter).expanduser()
        self._rewriter_weights = sample_of_weights(base) if base.is_dir() else None
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
        self.begins = soft_texts.word_beginnings(tokenizer, size)
        self.teacher_table = self.to_teacher.table(word_table(self.white_box.model))
        self.optimizer = torch.optim.AdamW(
            self.rewriter.parameters, lr=config.rewriter_learning_rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.updates_done = self.steps_done = self.sources_read = 0

    def rows(self, budget: int) -> int:
        """Return about how many rows the batches of a budget hold.

        The share of rewritten texts that serve twice is an estimate, measured on the corpus itself.
        """
        moved = asked = 0
        while moved + asked < budget:
            updates, texts = self._plan(budget - moved - asked)
            moved, asked = moved + updates * self.config.rewriter_batch_size, asked + texts
        return asked + round(moved * self.exact_share)

    def step(self, left: int) -> Step:
        """Update the rewriter, then rewrite a batch and ask the teacher about it.

        Args:
            left: Teacher queries that may be spent, at least 1.

        Returns:
            The rewritten batch, and the texts of the updates that serve twice. Metrics: means over the updates of each
            term of the loss and of `rewriter/reused`, the share that serves twice; and `rewriter/logprob`, the mean
            log-probability per token of the batch, in nats.

        Raises:
            InputError: The loss is no longer finite.
        """
        updates, texts = self._plan(left)
        size = self.config.rewriter_batch_size
        parts: list[SyntheticBatch] = []
        measured: list[dict[str, float]] = []
        if updates:
            # The student does not change within a step, so its table does not either.
            student_table = self.to_student.table(word_table(self.distiller.student.model))
            for _ in range(updates):
                batch, terms = self._update(self._sources(size), student_table)
                parts.append(batch)
                measured.append(terms)
        sources = self._sources(texts)
        written = self.write(sources, self.steps_done, "t3 batch")
        answers = self.teacher(sources, written.texts) if self.pairs else self.teacher(written.texts)
        parts.append(self._batch(sources, written.texts, answers))
        self.steps_done += 1
        metrics = {name: sum(row[name] for row in measured) / len(measured) for name in measured[0]} if measured else {}
        metrics["rewriter/logprob"] = float(written.logprob_mean.mean())
        return Step(joined(parts), updates * size + texts, metrics)

    def write(self, sources: Sequence[str], number: int, purpose: str = "rewriting") -> Rewritten:
        """Rewrite sentences with the current rewriter, without the teacher; see `Rewriter.write`."""
        return self.rewriter.write(sources, number, self.seed, purpose)

    def save_rewriter(self, folder: str | Path, base: str | None = None, **names: str) -> None:
        """Write the rewriter's folder, which `distill.methods.rewriter.Rewriter.load` opens.

        Args:
            folder: The folder; it appears whole or not at all.
            base: Public name of the base model, where `rewriter` is a path of this machine.
            **names: Public names of other inputs: `teacher`, `corpus`.

        Raises:
            InputError: The folder holds something else, or cannot be written.
        """
        details = {
            "method": self.name,
            "teacher": self.teacher.path,
            "labels": self.teacher.kind.targets(self.teacher.labels),
            **written(self.teacher.kind),
            "settings": {name: value for name, value in asdict(self.config).items() if name != "rewriter"},
            "seed": self.seed,
            "updates": self.updates_done,
            "coverage": self.coverage,
            **names,
        }
        self.rewriter.save(folder, details, base)
        remember(Path(folder) / REWRITER_MANIFEST, names.get("teacher", self.teacher.path))

    def save(self, folder: Path) -> None:
        """Write adapter, optimizer and counters."""
        with replace_folder(folder, marker="t3.json") as temporary:
            save_file(self.rewriter.weights(), temporary / "adapter.safetensors")
            torch.save(self.optimizer.state_dict(), temporary / "optimizer.pt")
            write_json(temporary / "t3.json", self._identity() | self._counters())

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote, with the same arguments.

        Raises:
            InputError: A file is missing or damaged, or settings, seed or corpus differ.
        """
        folder = Path(folder)
        state = read_json(folder / "t3.json")
        try:
            state = {"rewriter_weights": self._rewriter_weights} | state  # older checkpoints do not say
            then = {name: state[name] for name in self._identity()}
            counters = {name: int(state[name]) for name in self._counters()}
            weights = load_file(folder / "adapter.safetensors")
            moments = torch.load(folder / "optimizer.pt", weights_only=True, map_location=self.rewriter.device)
        except Exception as error:  # zip, pickle and safetensors each have their own exception for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{folder}: the checkpoint is damaged ({reason}); use an earlier one.") from error
        now = self._identity()
        differing = [name for name in ("corpus", "seed", "rewriter_weights") if then[name] != now[name]]
        differing += [name for name, value in now["config"].items() if not same_place(then["config"].get(name), value)]
        if differing:
            raise InputError(f"{folder}: was made with other settings: {', '.join(differing)}; use the same ones.")
        self.rewriter.set_weights(weights, str(folder))
        self.optimizer.load_state_dict(moments)
        for name, value in counters.items():
            setattr(self, name, value)

    def _identity(self) -> dict[str, Any]:
        inputs = {"corpus": digest_of(self.corpus), "rewriter_weights": self._rewriter_weights}
        return {"config": asdict(self.config), "seed": self.seed} | inputs

    def _counters(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("updates_done", "steps_done", "sources_read")}

    def _plan(self, left: int) -> tuple[int, int]:
        """Return how many updates and how many texts, at least 1, the next step has, for at most `left` queries."""
        size = self.config.rewriter_batch_size
        updates = min(self.config.rewriter_updates, (left - 1) // size)
        return updates, min(size, left - updates * size)

    def _sources(self, count: int) -> list[str]:
        """Return the next sentences of the corpus; each pass reads it in a new order."""
        rows = rows_at(len(self.corpus), self.sources_read, count, self.seed, "t3", "corpus")
        self.sources_read += count
        return [self.corpus[row] for row in rows]

    def _update(self, sources: list[str], student_table: Tensor) -> tuple[SyntheticBatch, dict[str, float]]:
        """Update the rewriter once.

        Args:
            sources: Sentences to rewrite.
            student_table: (V, H), the embedding that the student reads at each token of the rewriter.

        Returns:
            The texts that serve twice with the teacher's answers, and metrics.
        """
        rewriter = self.rewriter
        inputs = rewriter.encode(sources, random_generator(self.seed, "t3", "hidden", self.updates_done))
        tokens = rewriter.sample(inputs, self.seed, "t3", "sample", self.updates_done)
        logits = rewriter.logits(inputs, tokens)
        noise = random_generator(self.seed, "t3", "gumbel", self.updates_done, device=logits.device)
        soft = soft_texts.soft_choice(logits, tokens.ids, self.config.rewriter_temperature, noise)
        embedded = self._embedded(sources, tokens, soft, self.white_box, self.teacher_table, self.to_teacher)
        outputs = raw_outputs(self.white_box.model, *embedded)
        answers = self._answers(outputs, tokens)
        loss, parts, terms = self._task_terms(sources, tokens, soft, answers, student_table)
        log_probs = logits.log_softmax(dim=-1)
        if self.config.rewriter_language:
            untuned = rewriter.logits(inputs, tokens, tuned=False).log_softmax(dim=-1)
            divergence = (kl(log_probs, untuned) * tokens.drawn).sum(dim=1) * len(sources) / tokens.drawn.sum()
            terms["language"] = divergence.mean()
            loss = loss + self.config.rewriter_language * terms["language"].to(loss.device)
            parts = parts + self.config.rewriter_language * divergence.to(parts.device)
        if self.config.rewriter_score:
            chosen = log_probs.gather(2, tokens.ids[:, :, None]).squeeze(2)
            of_texts = (chosen * tokens.drawn).sum(dim=1).to(parts.device)
            loss = loss + self.config.rewriter_score * soft_texts.score_loss(parts, of_texts)
        self._descend(loss)
        texts = rewriter.decode(tokens, sources)
        exact = self._read_alike(sources, tokens, texts)
        metrics = {f"rewriter/{name}": float(term.detach()) for name, term in terms.items()}
        metrics["rewriter/reused"] = float(exact.float().mean())
        kept, kind = exact.nonzero()[:, 0].tolist(), self.white_box.kind
        alike, known = [texts[row] for row in kept], outputs.detach().cpu()[exact]
        if kind.of_words:
            known = soft_texts.of_words(known, alike, self.white_box.tokenizer, self.white_box.max_length)
        return self._batch([sources[row] for row in kept], alike, kind.answers(known)), metrics

    def _answers(self, outputs: Tensor, tokens: RewrittenTokens) -> Tensor:
        """Return the answers of outputs of teacher or student about rewritten texts."""
        kind = self.white_box.kind
        return kind.answers(soft_texts.of_beginnings(outputs, tokens, self.begins) if kind.of_words else outputs)

    def _embedded(
        self,
        sources: list[str],
        tokens: RewrittenTokens,
        soft: Tensor,
        reader: TransformersTeacher | Student,
        table: Tensor,
        mapped: TokenMap,
    ) -> tuple[Tensor, ...]:
        """Return what teacher or student reads of rewritten texts, for `raw_outputs`."""
        if not self.pairs:
            return soft_texts.embed_texts(tokens, soft, table, reader.model, mapped)
        firsts = soft_texts.before_second(reader.tokenizer, sources, mapped, self._half)
        embeddings, mask, types = soft_texts.embed_pairs(tokens, soft, table, reader.model, reader.tokenizer, firsts)
        return (embeddings, mask) if types is None else (embeddings, mask, types)

    def _task_terms(
        self, sources: list[str], tokens: RewrittenTokens, soft: Tensor, answers: Tensor, student_table: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Compute specificity, diversity and hardness of a batch of N rewritings.

        Returns:
            Their sum in the loss, a scalar; what each rewriting adds to it, (N,); and the terms by name.
        """
        config, student, kind = self.config, self.distiller.student, self.white_box.kind
        p_teacher = kind.outcomes(answers)
        assert p_teacher is not None  # a teacher without was refused
        mean_answer = p_teacher.logsumexp(dim=0, keepdim=True) - math.log(len(p_teacher))
        unsure = entropy(p_teacher).mean(dim=1)  # over the labels, where there are several
        terms = {"specificity": unsure.mean(), "diversity": entropy(mean_answer).mean()}
        loss = config.rewriter_specificity * terms["specificity"] - config.rewriter_diversity * terms["diversity"]
        # The share of a rewriting in the entropy of the mean answer is the cross-entropy of its own answer with that mean.
        parts = config.rewriter_specificity * unsure
        parts = parts + config.rewriter_diversity * (p_teacher.exp() * mean_answer).sum(dim=2).mean(dim=1)
        if config.rewriter_hardness:
            read = self._embedded(sources, tokens, soft, student, student_table, self.to_student)
            said = self._answers(raw_outputs(student.model, *read), tokens)
            divergence = kind.divergence(answers, said.to(answers.device))
            terms["hardness"] = divergence.mean()
            loss = loss - config.rewriter_hardness * terms["hardness"]
            parts = parts - config.rewriter_hardness * divergence
        return loss, parts, terms

    def _descend(self, loss: Tensor) -> None:
        """Move the rewriter down the gradient of a loss.

        Raises:
            InputError: The loss or its gradient is not finite.
        """
        parameters = self.rewriter.parameters
        # `backward()` would also fill the gradients of the student's weights, which belong to the distiller.
        gradients = torch.autograd.grad(loss, parameters)
        if not math.isfinite(float(loss.detach())) or not all(bool(g.isfinite().all()) for g in gradients):
            raise InputError(
                f"rewriter: the loss or its gradient is not finite at update {self.updates_done}; lower "
                f"rewriter_learning_rate ({self.config.rewriter_learning_rate})."
            )
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates_done += 1

    def _read_alike(self, sources: list[str], tokens: RewrittenTokens, texts: list[str]) -> Tensor:
        """Return, (N,) bool, whether the teacher's tokenizer splits a text as the map did, so that its answer is known."""
        single = self.to_teacher.single
        rows = [single[ids[mask]].tolist() for ids, mask in zip(tokens.ids.cpu(), tokens.mask.cpu(), strict=True)]
        tokenizer, prefixes = self.white_box.tokenizer, [self.to_teacher.prefix] * len(texts)
        if self.pairs:
            prefixes = soft_texts.before_second(tokenizer, sources, self.to_teacher, self._half)
        columns = (sources, texts) if self.pairs else (texts,)
        own = tokenizer(*columns, truncation=True, max_length=self.white_box.max_length)["input_ids"]
        return torch.tensor([prefix + row == ids for prefix, row, ids in zip(prefixes, rows, own, strict=True)])

    def _measure_exact_share(self, texts: list[str]) -> float:
        """Return the share of sentences that the teacher's tokenizer splits as the map does."""
        encoded = self.rewriter.tokenizer(texts, add_special_tokens=False)["input_ids"]
        single, end = self.to_teacher.single, self.to_teacher.suffix
        own = self.white_box.tokenizer(texts)["input_ids"]
        alike = [
            self.to_teacher.prefix + single[torch.tensor(ids, dtype=torch.int64)].tolist() + end == whole
            for ids, whole in zip(encoded, own, strict=True)
        ]
        return sum(alike) / len(alike)

    def _batch(self, sources: list[str], texts: list[str], predictions: Tensor) -> SyntheticBatch:
        columns = (sources, texts) if self.pairs else (texts, None)
        nothing, topics, kind = torch.full((len(texts),), -1), [""] * len(texts), self.white_box.kind
        return SyntheticBatch(columns[0], predictions, nothing, topics, "rewritten", columns[1], kind=kind)
