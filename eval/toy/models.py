"""The toy world's two models, trained from scratch: a teacher for a task, and a writer that knows only general text.

The teacher is a four-layer BERT-style classifier with a word-level tokenizer built from its private training texts, so
that words of other domains are unknown to it. While it is trained, words of a text are hidden behind the unknown
token at a random rate: it learns how much a text tells when few of its words are known, and is unsure on foreign text for
that reason (a plain classifier would be sure of anything). The writer is a GPT-2-style language model with byte-level
BPE, trained on the general corpus alone. Both are ordinary Hugging Face folders, trained once and then cached.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import distill
from distill.encode import TokenTable
from distill.precision import autocast, has_fast_bf16, resolve_device
from distill.seeding import generator, seeded
from eval.toy.cache import cached_folder, source_hash
from eval.toy.progress import Advance, progress_bar
from eval.toy.world import World

TEACHER_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PAD_ID, UNKNOWN_ID = 0, 1
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class TeacherSettings:
    """Hyper-parameters of the teacher; all of them are part of the cache key."""

    layers: int = 4
    hidden: int = 96
    heads: int = 3
    max_length: int = 64
    train_texts: int = 10000
    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    hidden_words: float = 0.3  # share of texts that have words hidden; each at a rate drawn from [0, 1)
    label_smoothing: float = 0.05


@dataclass(frozen=True)
class WriterSettings:
    """Hyper-parameters of the writer; all of them are part of the cache key."""

    layers: int = 3
    hidden: int = 128
    heads: int = 4
    context: int = 64
    vocabulary: int = 2500
    corpus_texts: int = 30000
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 4e-3


def toy_teacher(
    task: str = "sentiment",
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: TeacherSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the teacher of a toy task, training it first if it is not in the cache.

    Args:
        task: "sentiment" or "topic".
        cache_dir: where trained models are kept; `$PROMPTER_CACHE/toy` or `~/.cache/prompter/toy` if None.
        seed: the world's seed and the model's.
        settings: hyper-parameters; the defaults if None.
        quiet: show no progress bar.

    Raises:
        InputError: unknown task, or a cache folder that cannot be written.
    """
    settings = settings or TeacherSettings()
    world = World(seed)
    world.task(task)  # an unknown task is refused before anything is written

    def build(folder: Path) -> None:
        _train_teacher(world, task, settings, folder, quiet)

    return cached_folder(f"teacher-{task}", _key(settings, seed, task=task), build, cache_dir)


def toy_writer(
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: WriterSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the toy writer, training it on the general corpus first if it is not in the cache.

    Its tokenizer has one special token, "<|endoftext|>", which both begins and ends a text and pads.
    Arguments and errors are as in `toy_teacher`.
    """
    settings = settings or WriterSettings()

    def build(folder: Path) -> None:
        _train_writer(World(seed), settings, folder, quiet)

    return cached_folder("writer", _key(settings, seed), build, cache_dir)


def _key(settings: TeacherSettings | WriterSettings, seed: int, **more: Any) -> dict[str, Any]:
    """Name everything a trained model depends on."""
    here, shared = Path(__file__).parent, Path(distill.__file__).parent
    sources = [here / f"{name}.py" for name in ("words", "grammar", "reviews", "world", "models")]
    sources += [shared / f"{name}.py" for name in ("seeding", "precision", "encode")]
    device = resolve_device("auto")
    return {
        **more,
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "sources": source_hash(sources),
        "versions": {module.__name__: str(module.__version__) for module in (torch, transformers, tokenizers)},
        "device": device.type,
        "bf16": has_fast_bf16(device),
    }


def _train_teacher(world: World, task_name: str, settings: TeacherSettings, folder: Path, quiet: bool) -> None:
    task = world.task(task_name)
    texts, labels = task.train_texts[: settings.train_texts], torch.tensor(task.train_labels[: settings.train_texts])
    tokenizer = _word_tokenizer(texts, settings.max_length)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden,
        max_position_embeddings=settings.max_length,
        hidden_dropout_prob=0.0,  # hidden words already regularise
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD_ID,
        id2label=dict(enumerate(task.labels)),
        label2id={label: index for index, label in enumerate(task.labels)},
    )
    with seeded(world.seed, "toy-teacher", "weights"):
        model = BertForSequenceClassification(config)
    device = resolve_device("auto")
    table = TokenTable(tokenizer, settings.max_length, token_types=False)
    table.put(torch.arange(len(texts)), texts)

    def losses() -> Iterator[Tensor]:
        for epoch in range(settings.epochs):
            random = generator(world.seed, "toy-teacher", "epoch", epoch)
            for rows in _length_sorted_batches(table.lengths[: len(texts)], settings.batch_size, random):
                inputs = table.gather(rows, torch.device("cpu"))
                inputs["input_ids"] = _hide_words(inputs["input_ids"], settings.hidden_words, random)
                inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
                with autocast(device):
                    logits = model(**inputs).logits
                yield torch.nn.functional.cross_entropy(
                    logits.float(), labels[rows].to(device), label_smoothing=settings.label_smoothing
                )

    steps = settings.epochs * -(-len(texts) // settings.batch_size)
    with progress_bar(f"teacher ({task_name})", steps, quiet) as advance:
        _fit(model.to(device), losses(), steps, settings.learning_rate, advance)
    _save(model, tokenizer, folder)


def _train_writer(world: World, settings: WriterSettings, folder: Path, quiet: bool) -> None:
    texts = world.general_corpus(settings.corpus_texts)
    tokenizer = _bpe_tokenizer(texts, settings.vocabulary, settings.context)
    end = int(tokenizer.eos_token_id)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=settings.context,
        n_embd=settings.hidden,
        n_layer=settings.layers,
        n_head=settings.heads,
        resid_pdrop=0.0,  # every text is seen once or twice: there is nothing to overfit
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    with seeded(world.seed, "toy-writer", "weights"):
        model = GPT2LMHeadModel(config)
    device = resolve_device("auto")
    encoded: list[list[int]] = tokenizer(texts)["input_ids"]

    def rows_of(epoch: int) -> Tensor:
        """Pack the texts, in a new order, into rows of one context each, every row starting with the end token."""
        random = generator(world.seed, "toy-writer", "epoch", epoch)
        stream = [token for index in torch.randperm(len(texts), generator=random) for token in (*encoded[index], end)]
        width = settings.context - 1
        kept = len(stream) // width * width
        rows = torch.tensor(stream[:kept]).view(-1, width)
        return torch.nn.functional.pad(rows, (1, 0), value=end)

    per_epoch = -(-((sum(map(len, encoded)) + len(texts)) // (settings.context - 1)) // settings.batch_size)

    def losses() -> Iterator[Tensor]:
        for epoch in range(settings.epochs):
            for rows in rows_of(epoch).split(settings.batch_size):
                ids = rows.to(device)
                with autocast(device):
                    logits = model(input_ids=ids[:, :-1]).logits
                yield torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    steps = settings.epochs * per_epoch
    with progress_bar("writer", steps, quiet) as advance:
        _fit(model.to(device), losses(), steps, settings.learning_rate, advance)
    model.generation_config.do_sample = True
    _save(model, tokenizer, folder)


def _fit(model: PreTrainedModel, losses: Iterator[Tensor], steps: int, learning_rate: float, advance: Advance) -> None:
    """Take one AdamW step for each loss; the rate rises over the first tenth and falls to zero along a cosine."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate,
        betas=(0.9, 0.98),
    )
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, max(1, steps // 10), steps)
    model.train()
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        advance(loss.item())
    model.eval()


def _length_sorted_batches(lengths: Tensor, batch_size: int, random: torch.Generator) -> list[Tensor]:
    """Cut a random order of the rows into batches of similar length (sorted within pools of 16 batches)."""
    batches: list[Tensor] = []
    for pool in torch.randperm(len(lengths), generator=random).split(16 * batch_size):
        batches += pool[lengths[pool].argsort(stable=True)].split(batch_size)
    return [batches[index] for index in torch.randperm(len(batches), generator=random).tolist()]


def _hide_words(ids: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Replace words of a `share` of the texts by the unknown token, each at its own uniform rate; ids are (N, L)."""
    rate = torch.rand(len(ids), 1, generator=random) * (torch.rand(len(ids), 1, generator=random) < share)
    hide = (torch.rand(ids.shape, generator=random) < rate) & (ids >= len(TEACHER_TOKENS))
    return ids.masked_fill(hide, UNKNOWN_ID)


def _word_tokenizer(texts: list[str], max_length: int) -> PreTrainedTokenizerFast:
    """Build a lower-casing tokenizer with one token per word or punctuation mark of `texts`."""
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[.,:;?!]"), "isolated")]
    )
    tokenizer.train_from_iterator(texts, WordLevelTrainer(special_tokens=TEACHER_TOKENS, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, TEACHER_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def _bpe_tokenizer(texts: list[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE; like GPT-2's, but a word has the same token at the start of a text as inside it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=context,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.to("cpu").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
