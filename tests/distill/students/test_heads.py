import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distill.common.errors import InputError
from distill.students.heads import begin_at, put_in_order


def tiny(labels: int) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=labels)
    )


def test_begins_at_a_value() -> None:
    model = tiny(1)
    begin_at(model, 3.0)
    assert model.classifier.bias.tolist() == [3.0]


def test_outputs_follow_their_names() -> None:
    model = tiny(3)
    weight, bias = model.classifier.weight.detach().clone(), torch.tensor([0.1, 0.2, 0.3])
    model.classifier.bias.data.copy_(bias)
    put_in_order(model, ["a", "b", "c"], ["c", "a", "b"], "mine")
    assert torch.equal(model.classifier.weight, weight[[2, 0, 1]])
    assert torch.equal(model.classifier.bias, bias[[2, 0, 1]])
    for other in (["x", "y", "z"], ["c", "c", "a"]):  # names that say nothing about the order
        put_in_order(model, ["c", "a", "b"], other, "mine")
    assert torch.equal(model.classifier.bias, bias[[2, 0, 1]])


def test_names_that_differ_in_capitals_alone_are_those_of_one_class() -> None:
    model = tiny(2)
    model.classifier.bias.data.copy_(torch.tensor([0.1, 0.2]))
    put_in_order(model, ["NEGATIVE", "POSITIVE"], ["positive", "negative"], "mine")
    assert model.classifier.bias.tolist() == pytest.approx([0.2, 0.1])
    put_in_order(model, ["US", "us"], ["Us", "uS"], "mine")  # which is which, nobody knows
    put_in_order(model, ["US", "us"], ["US", "us"], "mine")
    assert model.classifier.bias.tolist() == pytest.approx([0.2, 0.1])
    put_in_order(model, ["US", "us"], ["us", "US"], "mine")
    assert model.classifier.bias.tolist() == pytest.approx([0.1, 0.2])


def test_a_head_of_another_form_is_refused() -> None:
    model = tiny(2)
    model.classifier = torch.nn.Identity()
    with pytest.raises(InputError, match="student: mine has the teacher's classes in another order, .*'b', 'a'"):
        put_in_order(model, ["b", "a"], ["a", "b"], "mine")
