"""Settings of the methods: what is refused."""

import pytest

from distill.common.errors import InputError
from distill.methods.config import AsDfdConfig, T3Config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings_batch_size": 0}, "embeddings_batch_size is 0, expected a whole number >= 1 and <= 65536"),
        ({"embeddings_min_length": 2}, "embeddings_min_length is 2, expected a whole number >= 3"),
        (
            {"embeddings_min_length": 30, "embeddings_max_length": 20},
            "embeddings_min_length is 30, expected at most embeddings_max",
        ),
        ({"inner_steps": 2.5}, "inner_steps is 2.5, expected a whole number"),
        ({"inner_step_size": 0.0}, "inner_step_size is 0.0, expected a number > 0"),
        ({"inner_step_size": float("nan")}, "inner_step_size is nan"),
        ({"inner_keep": 0}, "inner_keep is 0"),
        ({"adversarial_every": True}, "adversarial_every is True"),
        ({"masked_weight": -1}, "masked_weight is -1, expected a number >= 0"),
        ({"masked_share": 1.0}, "masked_share is 1.0, expected a number > 0 and <= 0.9"),
    ],
)
def test_as_dfd_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AsDfdConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewriter_batch_size": 1}, "rewriter_batch_size is 1, expected a whole number >= 2"),
        ({"rewriter_batch_size": 8.5}, "rewriter_batch_size is 8.5, expected a whole number"),
        ({"rewriter_temperature": 0.0}, "rewriter_temperature is 0.0, expected a number > 0"),
        ({"rewriter_hidden_share": 1.5}, "<= 1"),
        ({"rewriter_hardness": "much"}, "rewriter_hardness is 'much'"),
    ],
)
def test_t3_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        T3Config(**({"rewriter": "somewhere"} | changes))
