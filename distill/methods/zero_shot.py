"""Zero-shot distillation: a general corpus, and a masked language model that learns where teacher and student part.

    corpus text -> some tokens masked -> filled by the generator -> teacher and student read it
                                             ^                               |
                                             +--- towards higher KL(T || S) -+

The generator G, a masked language model, fills the gaps so that the two disagree; the student then learns the teacher's
answers to the corpus text and to its filled version, and so the ground moves on. Facts of the method (Rashid et al.,
arXiv 2012.15495): out-of-domain text plus adversarial training. Facts of the code that its authors published for the
sibling MATE-KD (arXiv 2105.05912): 30 % of the tokens are masked, filled with straight-through Gumbel choices at
temperature 1; 10 generator steps, then 100 student steps; the student learns from clean and filled text alike.

Ours: the generator climbs the true `KL(p_T || p_S) - w L_MLM`, where L_MLM is the cross-entropy of the tokens that were
masked. (The published code climbs a cross-entropy, which is larger by the teacher's entropy and so also rewards texts
that the teacher is unsure about.) A text that the teacher has read for a generator step is the student's as well, since its
answer is paid for. A generator of another vocabulary than the classifiers' reaches them through a token map.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, PreTrainedModel

from distill.batch import SyntheticBatch, joined
from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.common.hub import load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device
from distill.common.seeding import random_generator
from distill.distiller import Distiller
from distill.embedded import classify, word_table
from distill.methods.config import ZeroShotConfig
from distill.methods.corpus import rows_at, second_sentences
from distill.methods.relaxed import embed_choice, gumbel_choice, kl
from distill.methods.synthesizer import Step, white_box
from distill.methods.table import ZERO_SHOT
from distill.methods.token_map import TokenMap, check_coverage, count_tokens, map_tokens
from distill.optimizer import MAX_GRADIENT_NORM
from distill.teachers.prediction_cache import CachedTeacher


@dataclass(frozen=True)
class Gaps:
    """Texts with gaps, as the generator reads them.

    Attributes:
        ids: (N, L) int64, the whole texts.
        mask: (N, L) int64, 1 at tokens, 0 at padding.
        types: (N, L) int64, 1 in the second text of a pair.
        hidden: (N, L) bool, the gaps.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor
    hidden: Tensor


class ZeroShot:
    """The synthesizer `zero-shot`; see the module's text and `distill.methods.synthesizer.Synthesizer`.

    Args:
        config: Its settings.
        teacher: A model whose weights are at hand.
        distiller: Whose student the generator is set against.
        corpus: General sentences, at least one.
        seed: Of everything drawn.
        device: Where the generator works.

    Raises:
        InputError: The teacher is a black box, the generator cannot be loaded, or its vocabulary has too little in common
            with the teacher's or the student's.
    """

    name = ZERO_SHOT.name

    def __init__(
        self, config: ZeroShotConfig, teacher: CachedTeacher, distiller: Distiller, corpus: list[str], seed: int, device: str
    ) -> None:
        self.config, self.teacher, self.distiller, self.corpus, self.seed = config, teacher, distiller, corpus, seed
        self.inside = white_box(teacher, self.name)
        if not corpus:
            raise InputError("corpus holds no text: give one with at least one sentence")
        self.steps = self.updates = self.read = 0
        self.coverage: dict[str, float] = {}
        if not config.filled_text:
            return
        self.device = resolve_device(device)
        self.generator = load_model(AutoModelForMaskedLM, config.masked_lm, "masked_lm", self.device, torch.float32)
        self.tokenizer = load_tokenizer(config.masked_lm, "masked_lm")
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"masked_lm: the tokenizer of {config.masked_lm} has no mask token; use a masked language model.")
        self.special = torch.tensor(self.tokenizer.all_special_ids)
        self.optimizer = torch.optim.AdamW(self._parameters(), lr=config.fill_learning_rate, weight_decay=0.0, fused=True)
        size = int(self.generator.config.vocab_size)
        counts = count_tokens(self.tokenizer, corpus[:: max(1, len(corpus) // 1000)], size)
        student = distiller.student
        self.maps = [
            map_tokens(self.tokenizer, tokenizer, size, setting)
            for tokenizer, setting in ((self.inside.tokenizer, "teacher"), (student.tokenizer, "student"))
        ]
        self.coverage |= {
            setting: check_coverage(mapped, counts, setting, "masked_lm")
            for mapped, setting in zip(self.maps, ("teacher", "student"), strict=True)
        }
        self.read_as = self.maps[0].single
        for own, theirs in self._ends(self.maps[0]):
            self.read_as[own] = theirs

    def rows(self, budget: int) -> int:
        """How many texts the batches of a budget hold together, at most: generator steps give some that cannot be used."""
        return budget

    def step(self, left: int) -> Step:
        """One round: generator steps, then texts for the student, clean and filled ones in turns."""
        updates, texts = self._plan(left)
        classifiers = []
        if updates:  # the student's embeddings have moved since the last round
            models = (self.inside.model, self.distiller.student.model)
            classifiers = [(model, self._table(model, mapped)) for model, mapped in zip(models, self.maps, strict=True)]
        judged: list[SyntheticBatch] = []
        metrics = [self._update(classifiers, judged) for _ in range(updates)]
        batch = joined([*judged, self._texts(texts)])
        self.steps += 1
        named = {name: sum(row[name] for row in metrics) / len(metrics) for name in metrics[0]} if metrics else {}
        return Step(batch, updates * self.config.fill_batch_size + texts, named)

    def save(self, folder: Path) -> None:
        """Write the generator, its optimizer and the counters."""
        folder.mkdir(parents=True)
        if self.config.filled_text:
            save_file(
                {name: weight.contiguous() for name, weight in self._weights().items()}, folder / "generator.safetensors"
            )
            torch.save(self.optimizer.state_dict(), folder / "optimizer.pt")
        write_json(folder / "zero_shot.json", {"steps": self.steps, "updates": self.updates, "read": self.read})

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            InputError: A file is missing or damaged.
        """
        state = read_json(folder / "zero_shot.json")
        try:
            counters = [int(state[name]) for name in ("steps", "updates", "read")]
            if self.config.filled_text:
                weights = load_file(folder / "generator.safetensors")
                moments = torch.load(folder / "optimizer.pt", weights_only=True, map_location=self.device)
                with torch.no_grad():
                    for name, parameter in self._weights().items():
                        parameter.copy_(weights[name])
                self.optimizer.load_state_dict(moments)
        except Exception as error:  # zip, pickle and safetensors each have their own for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{folder}: the checkpoint is damaged ({reason}); use an earlier one.") from error
        self.steps, self.updates, self.read = counters

    def _table(self, model: PreTrainedModel, mapped: TokenMap) -> Tensor:
        """What a classifier reads at each token of the generator, (V, H) float32."""
        words = word_table(model)
        table = mapped.table(words)
        for own, theirs in self._ends(mapped):
            table[own] = words[theirs].float()
        return table

    def _ends(self, mapped: TokenMap) -> list[tuple[int, int]]:
        """The generator's special tokens before and after a text, each with the classifier's own."""
        pairs = ((self.tokenizer.cls_token_id, mapped.prefix), (self.tokenizer.sep_token_id, mapped.suffix))
        return [(own, theirs[0]) for own, theirs in pairs if own is not None and theirs]

    def _plan(self, left: int) -> tuple[int, int]:
        """Generator steps and texts of the next round, with `left` queries to spend."""
        size = self.config.fill_batch_size
        updates = self.config.fill_steps if self.config.filled_text else 0
        texts = self.config.student_batches * size
        if updates * size + texts > left:  # the last round keeps the proportion
            updates = updates * left // (updates * size + texts)
            texts = left - updates * size
        return updates, texts

    def _update(self, classifiers: list[tuple[PreTrainedModel, Tensor]], judged: list[SyntheticBatch]) -> dict[str, float]:
        """One generator step against teacher and student.

        Args:
            classifiers: Both, with what they read at each token of the generator.
            judged: Gets the texts, for the student: the teacher's answers are there and paid for.

        Returns:
            The disagreement that the generator met, its masked-word loss, and the share of the texts that the student gets.
        """
        config = self.config
        texts, pairs = self._read(config.fill_batch_size)
        gaps = self._gaps(texts, pairs, "update", self.updates)
        logits = self._logits(gaps)
        random = random_generator(self.seed, "zero-shot choice", self.updates)
        tokens, soft = gumbel_choice(logits, config.fill_temperature, random)
        theirs, students = (self._predictions(model, table, gaps, tokens, soft) for model, table in classifiers)
        disagreement = kl(theirs, students).mean()
        own_loss = nn.functional.cross_entropy(logits, gaps.ids[gaps.hidden])
        loss = config.masked_lm_weight * own_loss - disagreement
        if not math.isfinite(loss.item()):
            raise InputError(
                f"fill_learning_rate: the generator's objective is not finite at its step {self.updates}; "
                f"lower it ({config.fill_learning_rate})."
            )
        parameters = self._parameters()
        # Not backward(): the student's weights are on the way, and their gradients are none of the generator's business.
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.updates += 1
        judged.append(self._judged(gaps, tokens, theirs.detach().float().cpu()))
        kept = len(judged[-1]) / len(texts)
        return {"disagreement": disagreement.item(), "masked_lm_loss": own_loss.item(), "kept": kept}

    def _predictions(self, model: PreTrainedModel, table: Tensor, gaps: Gaps, tokens: Tensor, soft: Tensor) -> Tensor:
        """What a classifier says of filled texts, (N, K) log-probabilities with the generator's gradients."""
        embeddings = table[gaps.ids]
        embeddings[gaps.hidden] = embed_choice(tokens, soft, table)
        return classify(model, embeddings, gaps.mask, gaps.types if self.config.sentence_pairs else None)

    def _judged(self, gaps: Gaps, tokens: Tensor, predictions: Tensor) -> SyntheticBatch:
        """The texts of a generator step that the teacher would read as it has read them, with its answers.

        Written out, a text may be cut into other tokens than those it was put together from; the answer is not its answer
        then, and it is left out.
        """
        ids = gaps.ids.masked_scatter(gaps.hidden, tokens)
        filled, seconds = self._written(gaps, ids)
        pairs = seconds if self.config.sentence_pairs else None
        again = self.inside.tokenizer(filled, pairs)["input_ids"]
        read = [self.read_as[row[mask]].tolist() for row, mask in zip(ids.cpu(), gaps.mask.bool().cpu(), strict=True)]
        same = [row for row, (one, other) in enumerate(zip(read, again, strict=True)) if one == other]
        batch = SyntheticBatch(filled, predictions, torch.full((len(filled),), -1), [""] * len(filled), self.name, pairs)
        return batch.select(same)

    def _written(self, gaps: Gaps, ids: Tensor) -> tuple[list[str], list[str]]:
        """Texts whose gaps are filled, (N, L) token ids, written out; and the second texts, "" where there are none."""
        texts, seconds = [], []
        for row, mask, types in zip(ids.cpu(), gaps.mask.bool().cpu(), gaps.types.bool().cpu(), strict=True):
            texts.append(self.tokenizer.decode(row[mask & ~types], skip_special_tokens=True))
            seconds.append(self.tokenizer.decode(row[mask & types], skip_special_tokens=True))
        return texts, seconds

    def _texts(self, count: int) -> SyntheticBatch:
        """Texts for the student with the teacher's answers: clean and filled versions beside each other."""
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
        return SyntheticBatch(mixed, predictions, torch.full((count,), -1), [""] * count, self.name, seconds)

    @torch.no_grad()
    def _filled(self, texts: list[str], pairs: list[str] | None) -> tuple[list[str], list[str] | None]:
        """The texts with some of their tokens drawn anew from the generator, and the second texts likewise."""
        filled: list[str] = []
        seconds: list[str] = []
        for start in range(0, len(texts), self.config.fill_batch_size):
            part = slice(start, start + self.config.fill_batch_size)
            gaps = self._gaps(texts[part], pairs[part] if pairs else None, f"texts {self.steps}", start)
            random = random_generator(self.seed, "zero-shot fill", self.steps, start)
            tokens, _ = gumbel_choice(self._logits(gaps), self.config.fill_temperature, random)
            written = self._written(gaps, gaps.ids.masked_scatter(gaps.hidden, tokens))
            filled += written[0]
            seconds += written[1]
        return filled, seconds if pairs else None

    def _gaps(self, texts: Sequence[str], pairs: Sequence[str] | None, purpose: str, number: int) -> Gaps:
        """Encode texts and choose the gaps: of each text's ordinary tokens the share `mask_share`, at least one."""
        encoded = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self.config.fill_max_length,
            padding=True,
            padding_side="right",
            return_token_type_ids=True,
            return_tensors="pt",
        )
        ids = encoded["input_ids"]
        ordinary = ~torch.isin(ids, self.special) & encoded["attention_mask"].bool()
        random = random_generator(self.seed, "zero-shot gaps", purpose, number)
        rank = torch.rand(ids.shape, generator=random).masked_fill(~ordinary, 2.0).argsort(dim=1).argsort(dim=1)
        targets = (self.config.mask_share * ordinary.sum(dim=1)).round().clamp_min(1)
        hidden = (rank < targets[:, None]) & ordinary
        parts = (ids, encoded["attention_mask"], encoded["token_type_ids"], hidden)
        return Gaps(*(part.to(self.device) for part in parts))

    def _logits(self, gaps: Gaps) -> Tensor:
        """The generator's logits at the gaps, (number of gaps, V) float32; no gap is filled with a special token."""
        masked = gaps.ids.masked_fill(gaps.hidden, int(self.tokenizer.mask_token_id))
        inputs = {"input_ids": masked, "attention_mask": gaps.mask}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = gaps.types
        # The layer over the vocabulary is most of a small model's work, and three of four of its rows would be thrown away.
        head = self.generator.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, states: (states[0][gaps.hidden], *states[1:]))
        try:
            with autocast(self.device, trained=True):
                logits = self.generator(**inputs).logits
        finally:
            hook.remove()
        # MobileBERT uses the layer's weights and not the layer, so that it answers at every place.
        logits = (logits[gaps.hidden] if logits.ndim == 3 else logits).float()
        return logits.index_fill(1, self.special.to(self.device), -math.inf)

    def _read(self, count: int) -> tuple[list[str], list[str] | None]:
        """The next texts of the corpus, and second ones where the teacher judges pairs."""
        rows = rows_at(len(self.corpus), self.read, count, self.seed, "corpus pass")
        pairs = second_sentences(self.corpus, rows, self.seed, self.read) if self.config.sentence_pairs else None
        self.read += count
        return [self.corpus[row] for row in rows], pairs

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.generator.parameters() if parameter.requires_grad]

    def _weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.generator.named_parameters()}
