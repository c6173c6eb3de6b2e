"""What a writer returns, and how its tokens become texts: on one line, and trimmed after their last sentence."""

import re
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prompter.generation.config import WriterConfig

# Closing quotes and brackets belong to the sentence. Western marks need a space after them ("3.5" is no end).
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+[」』”’）]*")


@dataclass(frozen=True)
class Written:
    """Texts of the writer.

    Attributes:
        texts: N texts, topic and continuation on one line, edited where asked for, in the order of the topics.
        logprob_mean: (N,) float32 on the CPU: mean log-probability of the sampled tokens, before trimming, under the
            untruncated model at temperature 1. Its negative, exponentiated, is the continuation's perplexity.
        new_tokens: Number of all sampled tokens.
    """

    texts: list[str]
    logprob_mean: Tensor
    new_tokens: int


def trim_to_sentence(text: str, floor: int = 0) -> str:
    """Cut a text after its last sentence end at or after character `floor`; return it unchanged if there is none.

    Examples:
        >>> trim_to_sentence('It rose 3.5 points. "Why?" Nobody')
        'It rose 3.5 points. "Why?"'
        >>> trim_to_sentence("Mind the gap. And the", floor=15)
        'Mind the gap. And the'
    """
    ends = [match.end() for match in SENTENCE_END.finditer(text) if match.end() >= floor]
    return text[: ends[-1]] if ends else text


def to_texts(
    tokenizer: PreTrainedTokenizerBase,
    config: WriterConfig,
    eos_token_ids: list[int],
    topics: list[list[int]],
    new: list[list[int]],
) -> list[str]:
    """Turn topics and continuations, both token ids, into texts on one line, trimmed if `config` asks for it.

    A continuation that ends with one of `eos_token_ids` is complete and never trimmed.
    """

    def decoded(rows: list[list[int]]) -> list[str]:
        return tokenizer.batch_decode(rows, skip_special_tokens=True)

    texts = decoded([topic + row for topic, row in zip(topics, new, strict=True)])
    if config.writer_trim_sentence:
        # At least one new token stays. Otherwise a topic that is a sentence would come back unchanged.
        fewest = max(1, config.writer_min_new_tokens)
        floors = map(len, decoded([topic + row[:fewest] for topic, row in zip(topics, new, strict=True)]))
        texts = [
            text if row and row[-1] in eos_token_ids else trim_to_sentence(text, floor)
            for text, floor, row in zip(texts, floors, new, strict=True)
        ]
    return [" ".join(text.split()) for text in texts]
