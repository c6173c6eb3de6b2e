"""Every family of transformers with a sequence classifier builds from a spec, trains, saves and reloads, or is one line."""

import re
from pathlib import Path

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

from distill.common import encode
from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, make_tokenizer

REFUSED = {
    "canine": "get_input_embeddings",
    "cohere_compass_text": "no model can be built",
    "deepseek_v2": "cannot classify a text",
    "diffllama": "to be even",
    "doge": "num_experts = 16,384; at most 1,000",
    "funnel": "a funnel has no layers= of its own",
    "gemma3": "has no layers=",
    "gpt_neo": "has no layers=",
    "gptj": "cannot classify a text",
    "jamba": "cannot classify a text",
    "layoutlmv2": "detectron2",
    "layoutlmv3": "cannot classify a text",
    "lilt": "cannot classify a text",
    "modernvbert": "has no layers=",
    "perceiver": "has no layers=",
    "qwen2": "reads every folder of a qwen2 with a Qwen2Tokenizer",
    "qwen3_5": "reads every folder of a qwen3_5 with a",
    "qwen3_5_text": "cannot classify a text",
    "qwen3_next": "cannot classify a text",
    "reformer": "axial_pos_embds",
    "t5gemma": "has no layers=",
    "t5gemma2": "has no layers=",
    "ultravbert": "has no layers=",
    "xmod": "Input language unknown",
    "zamba": "num_hidden_layers",
    "zamba2": "num_hidden_layers",
}
"""What cannot be built from layers and hidden alone, and a part of the line that says so."""

COMMON = {"albert", "bart", "bert", "big_bird", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra",
          "ernie", "eurobert", "fnet", "funnel", "gemma", "gpt2", "gpt_neox", "gte", "llama", "megatron-bert", "mistral",
          "mobilebert", "modernbert", "modernbert-decoder", "mpnet", "nomic_bert", "opt", "phi3", "qwen2", "qwen3", "roberta",
          "roformer", "squeezebert", "t5", "xlm-roberta", "xlnet"}  # fmt: skip
"""Tested each time; the others are slow together, some of them because their other sizes stay as large as they are."""

READS_PADDING = {"fnet", "longformer", "nystromformer", "yoso"}
"""Their attention looks at padding, or at the length of a batch, so an answer depends on the batch."""

TEXTS = ["boat and cow", "cow " * 40, "net"]


@pytest.mark.parametrize(
    "family", [name if name in COMMON else pytest.param(name, marks=pytest.mark.slow) for name in sorted(CLASSIFIERS)]
)
def test_a_family_works_or_is_refused_in_one_line(family: str, tmp_path: Path) -> None:
    def make():
        return load_student(f"{family}:layers=2,hidden=32", labels=LABELS, tokenizer=make_tokenizer(), device="cpu")

    if family in REFUSED:
        with pytest.raises(InputError, match=re.escape(REFUSED[family])) as caught:
            make()
        assert "\n" not in str(caught.value) and str(caught.value).startswith("student: ")
        return
    student = make()
    assert student.num_parameters() and "dropout" not in {
        name for name, value in student.model.config.to_dict().items() if "dropout" in name and value
    }
    table = encode.token_table(student.model, student.tokenizer, student.max_length)
    table.put(torch.arange(3), TEXTS)
    optimizer = torch.optim.SGD(student.model.parameters(), lr=0.1)
    student.model.train()
    before = student.model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    student.model(**table.gather(torch.arange(3), student.device)).logits.log_softmax(1)[:, 0].mean().neg().backward()
    optimizer.step()
    student.model.eval()
    assert any(not torch.equal(value, before[name]) for name, value in student.model.state_dict().items())
    answers = student.answers(TEXTS)
    assert answers.shape == (3, 3) and answers.isfinite().all()
    if family not in READS_PADDING:
        torch.testing.assert_close(torch.cat([student.answers([text]) for text in TEXTS]), answers, atol=1e-3, rtol=0)
    student.save(tmp_path / "student")
    again = TransformersTeacher(tmp_path / "student", "cpu")
    torch.testing.assert_close(again(TEXTS), answers, atol=1e-4, rtol=0)
    assert again.labels == LABELS


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("bart:layers=2,hidden=32,heads=2", {"encoder_layers": 2, "decoder_layers": 2, "d_model": 32, "encoder_ffn_dim": 128}),
        ("t5:layers=2,hidden=32,heads=2", {"num_layers": 2, "num_decoder_layers": 2, "d_model": 32, "d_kv": 16, "d_ff": 128}),
        ("qwen3:layers=2,hidden=32,heads=2", {"head_dim": 16, "num_key_value_heads": 2, "intermediate_size": 128}),
        ("qwen3:layers=2,hidden=64,heads=2,num_key_value_heads=1,head_dim=8", {"head_dim": 8, "num_key_value_heads": 1}),
        ("mistral:layers=2,hidden=32,heads=2", {"head_dim": 16, "num_key_value_heads": 2}),
        ("modernbert:layers=4,hidden=32", {"num_hidden_layers": 4, "num_attention_heads": 1}),
        ("deberta-v2:layers=2,hidden=32", {"pooler_hidden_size": 32, "num_attention_heads": 1}),
    ],
)
def test_short_names_mean_the_fields_of_the_family(spec: str, fields: dict[str, int]) -> None:
    config = load_student(spec, labels=LABELS, tokenizer=make_tokenizer(), device="cpu").model.config
    assert {name: getattr(config, name) for name in fields} == fields
