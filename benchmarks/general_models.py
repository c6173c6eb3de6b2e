"""Train a small masked language model and a small encoder-decoder from a general corpus, for zero-shot and t3 on real tasks.

    python benchmarks/general_models.py --corpus corpus.txt --tokenizer TEACHER --to models

If you can reach a hub, `distilbert/distilbert-base-uncased` and `google-t5/t5-small` are better, and need no script. This one
is for machines that cannot: it takes up to an hour on two cores. Both models are made like those of the built-in toy tasks
(`eval.toy`), with word vectors counted from the corpus, which saves most of the training. The masked language model fills a
quarter of a sentence's tokens, the encoder-decoder repairs damaged sentences. A line for each says how good it is on
sentences that it never saw.

Both split words as the teacher does: the masked language model with the teacher's whole vocabulary, the encoder-decoder with
its most frequent pieces. With other pieces, the teacher's tokenizer would split most texts of zero-shot's generator and of
t3's rewriter into other tokens than they were made of, and the student could not learn from those texts.
"""

import argparse
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from distill.common.seeding import random_generator, seeded
from eval.data.sentences import read_sentences
from eval.toy.fit import fit, length_sorted_batches, save
from eval.toy.rewriter import END, HIDDEN, PADDING, PADDING_ID, UNKNOWN, RewriterSettings, damage, ending_tokenizer
from eval.toy.writer import word_vectors

LONGEST, SEED, HELD_OUT, BATCH = 48, 0, 1000, 32
COUNTED = 8_000  # tokens whose neighbours are counted; the memory for it goes with the square
IGNORED = -100
DAMAGE = RewriterSettings()

Loss = Callable[[PreTrainedModel, Tensor, PreTrainedTokenizerFast, torch.Generator], Tensor]


def padded(rows: list[list[int]], padding: int) -> Tensor:
    """Rows of ids (N, L), padded on the right."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=padding)


def counted(texts: list[str], tokenizer: PreTrainedTokenizerFast, hidden: int) -> Tensor:
    """Word vectors (V, hidden), each coordinate of variance 1; of tokens beyond the most frequent ones, random."""
    rows = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    size = len(tokenizer)
    if size <= COUNTED:
        return word_vectors(rows, size, hidden)
    frequent = torch.bincount(torch.tensor([token for row in rows for token in row]), minlength=size).topk(COUNTED - 1).indices
    place = torch.zeros(size, dtype=torch.int64)  # 0 is what word_vectors takes for the end of a text
    place[frequent] = torch.arange(1, COUNTED)
    table = torch.randn(size, hidden)
    table[frequent] = word_vectors([place[row].tolist() for row in rows], COUNTED, hidden)[1:]
    return table


def masked_lm(texts: list[str], tokenizer: PreTrainedTokenizerFast, hidden: int) -> PreTrainedModel:
    """An encoder over the tokenizer's vocabulary, untrained but for its word vectors."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * hidden,
        max_position_embeddings=128,
        initializer_range=0.05,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    with seeded(SEED, "masked-lm"):
        model = BertForMaskedLM(config)
        model.bert.embeddings.word_embeddings.weight.data = config.initializer_range * counted(texts, tokenizer, hidden)
        model.tie_weights()
    return model


def rewriter(texts: list[str], tokenizer: PreTrainedTokenizerFast, hidden: int) -> PreTrainedModel:
    """An encoder-decoder over the tokenizer's vocabulary, untrained but for its word vectors."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=hidden,
        d_kv=hidden // 4,
        d_ff=4 * hidden,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=PADDING_ID,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=PADDING_ID,
    )
    with seeded(SEED, "rewriter"):
        model = T5ForConditionalGeneration(config)
        model.shared.weight.data.copy_(counted(texts, tokenizer, hidden))
    return model


def frequent_pieces(texts: list[str], whole: PreTrainedTokenizerFast, size: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer's `size` most frequent pieces and its letters, with T5's end and a token for what is hidden."""
    backend = whole.backend_tokenizer
    if not isinstance(backend.model, WordPiece):
        raise SystemExit("--tokenizer: its pieces are not WordPiece's; name a teacher of BERT's kind")
    rows = whole(texts, add_special_tokens=False, verbose=False)["input_ids"]
    counts = torch.bincount(torch.tensor([token for row in rows for token in row]), minlength=len(whole))
    known = {token: index for token, index in whole.get_vocab().items() if index not in whole.all_special_ids}
    written = set("".join(texts).lower())
    letters = [token for token in known if token.removeprefix("##") in written]
    frequent = sorted(known, key=lambda token: (-int(counts[known[token]]), token))[:size]
    pieces = dict.fromkeys([PADDING, END, UNKNOWN, HIDDEN, *frequent, *letters])
    tokenizer = Tokenizer(WordPiece({token: index for index, token in enumerate(pieces)}, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    tokenizer.decoder = backend.decoder
    return ending_tokenizer(tokenizer, 128)


def filling_loss(model: PreTrainedModel, ids: Tensor, tokenizer: PreTrainedTokenizerFast, draws: torch.Generator) -> Tensor:
    """Cross-entropy of hidden tokens, a quarter of all."""
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    hide = (torch.rand(ids.shape, generator=draws) < 0.25) & ~special
    shown = ids.masked_fill(hide, int(tokenizer.mask_token_id))
    states = model.bert(input_ids=shown, attention_mask=(ids != tokenizer.pad_token_id).long()).last_hidden_state
    # Only the hidden places are multiplied with the vocabulary.
    return torch.nn.functional.cross_entropy(model.cls(states[hide]), ids[hide])


def repairing_loss(model: PreTrainedModel, ids: Tensor, tokenizer: PreTrainedTokenizerFast, draws: torch.Generator) -> Tensor:
    """Cross-entropy of whole sentences, read as they were damaged."""
    source = damage(ids, len(tokenizer), DAMAGE, draws)
    labels = ids.masked_fill(ids == PADDING_ID, IGNORED)
    return model(input_ids=source, attention_mask=(source != PADDING_ID).long(), labels=labels).loss


def train(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], loss_of: Loss, folder: Path
) -> None:
    """Train on all texts but the last `HELD_OUT`, once; say the loss on those; save."""
    ids = [row[:LONGEST] for row in tokenizer(texts, verbose=False)["input_ids"]]
    training = ids[:-HELD_OUT]
    lengths = torch.tensor([len(row) for row in training])
    batches = length_sorted_batches(lengths, BATCH, random_generator(SEED, name, "order"))

    def losses() -> Iterator[Tensor]:
        for number, rows in enumerate(batches):
            batch = padded([training[i] for i in rows.tolist()], int(tokenizer.pad_token_id))
            yield loss_of(model, batch, tokenizer, random_generator(SEED, name, number))

    fit(model, losses(), len(batches), 2e-3, name, quiet=False)
    with torch.inference_mode():
        held_out = [
            loss_of(
                model,
                padded(ids[-begin - BATCH : -begin], int(tokenizer.pad_token_id)),
                tokenizer,
                random_generator(SEED, begin),
            )
            for begin in range(BATCH, HELD_OUT - BATCH, BATCH)
        ]
    mean = float(torch.stack(held_out).mean())
    save(model, tokenizer, folder / name)
    print(
        f"{folder / name}: {len(training):,} sentences, perplexity {math.exp(mean):.1f} on {BATCH * len(held_out)} others",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="general text, as prompter distill takes it")
    parser.add_argument("--tokenizer", required=True, help="the teacher, or any model with its tokenizer")
    parser.add_argument("--to", required=True, type=Path, help="folder for masked-lm/ and rewriter/")
    parser.add_argument("--texts", type=int, default=120_000, help="sentences to train on")
    parser.add_argument("--vocabulary", type=int, default=20_000, help="pieces of the encoder-decoder")
    parser.add_argument("--hidden", type=int, default=128)
    args = parser.parse_args()
    texts = read_sentences(args.corpus)
    random.Random(SEED).shuffle(texts)
    texts = texts[: args.texts + HELD_OUT]
    words = AutoTokenizer.from_pretrained(args.tokenizer)
    train("masked-lm", masked_lm(texts, words, args.hidden), words, texts, filling_loss, args.to)
    pieces = frequent_pieces(texts, words, args.vocabulary)
    train("rewriter", rewriter(texts, pieces, args.hidden), pieces, texts, repairing_loss, args.to)


if __name__ == "__main__":
    main()
