"""Settings of the three methods that follow the teacher's gradients."""

from dataclasses import dataclass

from distill.common.errors import InputError
from distill.common.settings import check, setting

AS_DFD_GROUP, ZERO_SHOT_GROUP, T3_GROUP = "Method as-dfd", "Method zero-shot", "Method t3"


@dataclass
class AsDfdConfig:
    """Settings of AS-DFD.

    The defaults were chosen on the toy task (docs/log.md). A few large moves per sample, with every stage learnt from, did
    better than many small moves. Learning from the last stage alone did far worse. The masked-embedding loss belongs to the
    method and is on with a small weight, although it brought nothing there: the positions of a sample are independent, so
    what is hidden can hardly be guessed.

    Raises:
        InputError: A value is out of its range.
    """

    embeddings_batch_size: int = setting(64, "Samples crafted at once.", AS_DFD_GROUP, low=1, high=65536)
    embeddings_min_length: int = setting(
        4, "Shortest sample in tokens, special tokens included.", AS_DFD_GROUP, low=3, high=8192
    )
    embeddings_max_length: int = setting(
        24, "Longest sample in tokens, special tokens included.", AS_DFD_GROUP, low=3, high=8192
    )
    inner_steps: int = setting(
        4, "Teacher queries per sample; after each but the last the sample is moved.", AS_DFD_GROUP, low=1, high=1000
    )
    inner_step_size: float = setting(
        0.4, "Root mean square of a move, in standard deviations of the embedding table.", AS_DFD_GROUP, above=0, high=100
    )
    inner_keep: int = setting(
        4,
        "How many of a sample's last stages the student learns from; at most inner_steps count.",
        AS_DFD_GROUP,
        low=1,
        high=1000,
    )
    adversarial_every: int = setting(
        2, "Moves between two that raise the student's masked-embedding loss; 0: none.", AS_DFD_GROUP, low=0, high=1000
    )
    masked_weight: float = setting(
        0.02,
        "Weight of the student's masked-embedding loss; 0: no such loss, and no move by it.",
        AS_DFD_GROUP,
        low=0,
        high=100,
    )
    masked_share: float = setting(
        0.15, "Share of a sample's embeddings that this loss hides.", AS_DFD_GROUP, above=0, high=0.9
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if self.embeddings_min_length > self.embeddings_max_length:
            raise InputError(
                f"embeddings_min_length is {self.embeddings_min_length}, expected at most embeddings_max_length = "
                f"{self.embeddings_max_length}"
            )


@dataclass
class ZeroShotConfig:
    """Settings of zero-shot distillation.

    The published schedule is 10 steps of the filler (the masked language model) to 100 student batches, and the student never
    sees the texts of a filler's step. Here it does, because those texts were paid for. Rounds therefore consist mostly of the
    filler's steps: on the toy task at 6,000 queries that gives 82 %, the corpus alone 80 % (docs/log.md).

    Raises:
        InputError: A value is missing or out of its range.
    """

    masked_lm: str = setting(
        "", "Masked language model that fills the gaps: folder, hub id, or toy.", ZERO_SHOT_GROUP, path=True
    )
    mask_share: float = setting(0.3, "Share of a text's tokens that are masked.", ZERO_SHOT_GROUP, above=0, high=1)
    fill_temperature: float = setting(
        1.0, "Temperature of the straight-through Gumbel choice.", ZERO_SHOT_GROUP, above=0, high=100
    )
    fill_batch_size: int = setting(
        32, "Texts per update of the masked language model, and per batch for the student.", ZERO_SHOT_GROUP, low=1, high=65536
    )
    fill_max_length: int = setting(
        64,
        "Longer texts are cut to this many of its tokens, or to what all models can read.",
        ZERO_SHOT_GROUP,
        low=4,
        high=8192,
    )
    fill_learning_rate: float = setting(5e-5, "AdamW's learning rate for it.", ZERO_SHOT_GROUP, above=0, high=1)
    fill_steps: int = setting(10, "Updates of it per round; 0: it stays as it is.", ZERO_SHOT_GROUP, low=0, high=10_000)
    student_batches: int = setting(
        2,
        "Batches of texts for the student per round, beside the texts of these updates.",
        ZERO_SHOT_GROUP,
        low=1,
        high=10_000,
    )
    clean_text: bool = setting(True, "The student learns from the corpus's own texts.", ZERO_SHOT_GROUP)
    filled_text: bool = setting(True, "The student learns from the filled texts.", ZERO_SHOT_GROUP)
    masked_lm_weight: float = setting(0.1, "Weight of the masked language model's own loss.", ZERO_SHOT_GROUP, low=0)
    sentence_pairs: bool = setting(False, "Make pairs of texts; for a teacher of pairs it is on by itself.", ZERO_SHOT_GROUP)

    def __post_init__(self) -> None:
        """Check ranges and that there is text to learn from."""
        check(self)
        if not self.masked_lm and self.filled_text:
            raise InputError("masked_lm is missing: give --masked_lm with a masked language model, or --no_filled_text")
        if not (self.clean_text or self.filled_text):
            raise InputError("clean_text and filled_text are both off, so the student has no text: leave one on")


@dataclass
class T3Config:
    """Settings of DFKD-T3.

    Raises:
        InputError: A value is missing or out of its range.
    """

    rewriter: str = setting(
        "",
        "Encoder-decoder that rewrites the corpus: folder, hub id (facebook/bart-base), or toy.",
        T3_GROUP,
        required="give --rewriter with an encoder-decoder, for example facebook/bart-base",
        path=True,
    )
    rewriter_batch_size: int = setting(64, "Sentences per update of the rewriter, and per batch.", T3_GROUP, low=2, high=65536)
    rewriter_updates: int = setting(
        2, "Updates of the rewriter before each batch of texts; 0: it stays as it is.", T3_GROUP, low=0, high=10_000
    )
    rewriter_learning_rate: float = setting(3e-3, "AdamW's learning rate for the adapter.", T3_GROUP, above=0, high=1)
    rewriter_temperature: float = setting(
        1.0, "Temperature of the soft choice; the lower, the more the gradient belongs to the chosen token.", T3_GROUP,
        above=0, high=100,
    )  # fmt: skip
    rewriter_specificity: float = setting(1.0, "Weight of the teacher's certainty on each rewriting; 0: off.", T3_GROUP, low=0)
    rewriter_diversity: float = setting(
        1.0, "Weight of the entropy of the teacher's mean prediction, which balances classes; 0: off.", T3_GROUP, low=0
    )
    rewriter_hardness: float = setting(0.3, "Weight of the divergence between teacher and student; 0: off.", T3_GROUP, low=0)
    rewriter_language: float = setting(
        1.5, "Weight of the divergence from the untuned rewriter, in nats per token; 0: off.", T3_GROUP, low=0
    )
    rewriter_score: float = setting(
        1.0, "Weight of the score-function part of the gradient; 0: the straight-through part alone.", T3_GROUP, low=0
    )
    rewriter_hidden_share: float = setting(
        0.9, "Share of a sentence's tokens hidden from the rewriter, which leaves it more to invent.", T3_GROUP, low=0, high=1
    )
    rewriter_max_length: int = setting(64, "Most tokens of a sentence read, and written.", T3_GROUP, low=2, high=8192)
    rewriter_rank: int = setting(16, "Rank of the rewriter's LoRA adapter.", T3_GROUP, low=1, high=4096)
    rewriter_alpha: int = setting(32, "LoRA's scale times its rank.", T3_GROUP, low=1, high=65536)

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
