"""The words that a tagger answers about, and the words that the data has.

Data for taggers comes as words already; the text is these words with spaces between them. A tagger divides a text into words
of its own: runs of letters and digits, and every other visible character by itself. Both are found again by their characters.
A word of the data takes the answer of the first of the tagger's words that lie in it, as evaluations of taggers by word pieces
take the first piece.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.kinds.words import Span, first_within, words_of


def joined(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Return the text of words with spaces between them, and where each word is in it.

    Examples:
        >>> joined(["It", "'s", "me"])
        ("It 's me", [(0, 2), (3, 5), (6, 8)])
    """
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), spans


def of_given_words(answers: Tensor, words: Sequence[Sequence[str]]) -> Tensor:
    """Return a tagger's answers for the words of the data.

    Args:
        answers: (N, W, K) for the tagger's own words of the joined texts; rows of zeros after the last word that it read.
        words: The words of N texts.

    Returns:
        (N, V, K), where V is the largest number of words: rows of zeros where there is no word, or where the tagger gave no
        answer because it does not read that far or the word has no visible character.
    """
    longest = max(map(len, words))
    places = torch.full((len(words), longest), -1)
    for row, given in enumerate(words):
        text, spans = joined(given)
        places[row, : len(given)] = torch.tensor(first_within(spans, words_of(text)))
    places[places >= answers.shape[1]] = -1
    picked = answers.gather(1, places.clamp(min=0)[:, :, None].expand(-1, -1, answers.shape[2]))
    return picked.masked_fill((places < 0)[:, :, None], 0.0)
