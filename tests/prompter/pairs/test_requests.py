"""What the writer reads before a second text."""

import pytest
import torch

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.pairs.requests import Continued, PairRequests
from tests.prompter.tiny import word_tokenizer

WORDS = PolicyConfig(label_descriptions="{equivalent: good, not_equivalent: bad}", task_description="w9 w9")


def requests(longest: int | None = None, chat: bool = False, **changes: str) -> PairRequests:
    tokenizer = word_tokenizer()
    if chat:
        tokenizer.chat_template = "{% for m in messages %}w8 {{ m['content'] }} :{% endfor %}"
    return PairRequests(tokenizer, ["equivalent", "not_equivalent"], WORDS, WriterConfig(**changes), longest)


def test_a_request_holds_the_first_text_and_the_words_of_the_class() -> None:
    made = requests(pair_control="{text} w7 {label} {task}")
    (one, begun), (other, _) = made.rows(["w1 w2", "w3"], torch.tensor([0, 1]))
    assert made.tokenizer.decode(one) == "w1 w2 w7 good w9 w9" and begun == []
    assert made.tokenizer.decode(other) == "w3 w7 bad w9 w9"
    chat = requests(chat=True, pair_request="{text} w6 {label}")
    assert chat.tokenizer.decode(chat.request("{label} w1", 0)).endswith("w1 w6 good :")  # braces of a text stay


def test_a_first_text_that_is_too_long_is_cut_in_the_request() -> None:
    made = requests(longest=6, pair_control="{text} : {label}")
    assert made.tokenizer.decode(made.request("w1 w2 w3 w4 w5 w6 w7", 1)) == "w1 w2 w3 w4 : bad"
    made.check_room(4)
    with pytest.raises(InputError, match="2 tokens beside a first text of up to 5, but the writer can read 6"):
        made.check_room(5)


def test_going_on_reads_the_end_of_the_first_text() -> None:
    rows = Continued(word_tokenizer(), 0, 4).rows(["w1 w2 w3 w4 w5", "w1"], torch.tensor([0, 0]))
    assert [word_tokenizer().decode(ids) for ids, _ in rows] == ["<eos> w3 w4 w5", "<eos> w1"]
