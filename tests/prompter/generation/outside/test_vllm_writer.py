"""The vLLM writer, against a stand-in for vLLM: what it asks for, and what it makes of the answers."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from distill.common.errors import InputError
from prompter import Prompter
from prompter.generation.config import WriterConfig
from prompter.generation.outside.vllm_policy import VLLMPolicy
from prompter.generation.outside.vllm_writer import ENVIRONMENT, VLLMWriter
from prompter.generation.policy import TopicPolicy
from prompter.saved.on_vllm import copy_adapter
from tests.prompter.tiny import WORDS

EOS = WORDS.index("<eos>")


class FakeLLM:
    """Continues each prompt with w1 w2 w3 . and either stops or goes on to the limit."""

    model_config = SimpleNamespace(max_model_len=64)

    def __init__(self, **options: object) -> None:
        self.options, self.asked, self.adapters = options, [], []

    def generate(self, prompts: list[dict], sampling: list, use_tqdm: bool, lora_request: object = None) -> list:
        self.asked.append((prompts, sampling))
        self.adapters.append(lora_request)
        predictions = []
        for number, parameters in enumerate(sampling):
            ids = [WORDS.index(word) for word in ("w1", "w2", "w3", ".", "w4", "w5")][: parameters.max_tokens]
            stopped = number % 2 == 0
            ids = ids[:5] if stopped else ids
            output = SimpleNamespace(
                token_ids=ids, cumulative_logprob=-2.0 * len(ids), finish_reason="stop" if stopped else "length"
            )
            predictions.append(SimpleNamespace(outputs=[output]))
        return predictions


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ENVIRONMENT:  # so that what a writer sets is gone after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = FakeLLM, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setitem(sys.modules, "vllm.lora", ModuleType("vllm.lora"))
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda name, number, path: SimpleNamespace(name=name, number=number, path=path)  # type: ignore
    monkeypatch.setitem(sys.modules, "vllm.lora.request", request)
    return module


CONFIG = WriterConfig(writer_max_new_tokens=6, writer_min_new_tokens=3, writer_top_p=0.9, writer_temperature=0.7)


def test_it_takes_less_of_a_gpu_that_others_use(vllm: ModuleType, lm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for free, share in ((90, 0.7), (40, 0.34)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda free=free: (free, 100))
        assert VLLMWriter(str(lm_folder), CONFIG).engine.options["gpu_memory_utilization"] == share


def test_it_writes_as_the_writer_does(vllm: ModuleType, lm_folder: Path) -> None:
    writer = VLLMWriter(str(lm_folder), CONFIG)
    assert writer.engine.options["trust_remote_code"] is False
    written = writer.write(["good bad", "", " good\n"], 1, 2)
    assert written.texts == ["good bad w1 w2 w3 . w4", "w1 w2 w3 .", "good w1 w2 w3 . w4"]  # only the cut one is trimmed
    assert written.logprob_mean.tolist() == [-2.0, -2.0, -2.0] and written.new_tokens == 16
    prompts, sampling = writer.engine.asked[0]
    assert [prompt["prompt_token_ids"] for prompt in prompts] == [[EOS, 3, 4], [EOS], [EOS, 3]]
    assert {(s.max_tokens, s.min_tokens, s.top_p, s.temperature, s.logprobs) for s in sampling} == {(6, 3, 0.9, 0.7, 0)}
    writer.write(["good bad", "", "good"], 1, 2)
    writer.write(["good bad", "", "good"], 1, 3)
    seeds = [[s.seed for s in sampling] for _, sampling in writer.engine.asked]
    assert seeds[0] == seeds[1] != seeds[2] and len(set(seeds[0])) == 3
    assert writer.write([], 0, 0).texts == []


def test_a_long_topic_loses_its_beginning_in_the_prompt_alone(vllm: ModuleType, lm_folder: Path) -> None:
    writer = VLLMWriter(str(lm_folder), CONFIG)
    topic = " ".join(f"w{i % 25}" for i in range(80))
    assert writer.write([topic], 0, 0).texts[0].startswith(topic)
    assert len(writer.engine.asked[0][0][0]["prompt_token_ids"]) == 64 - 6


def test_a_prompter_uses_it(vllm: ModuleType, run_folder: Path) -> None:
    prompter = Prompter.load(run_folder, device="cpu", backend="vllm")
    assert isinstance(prompter.writer, VLLMWriter) and isinstance(prompter.policy, VLLMPolicy)
    assert all(len(text.split()) > 3 for text in prompter.texts("good", 3))
    engine = prompter.writer.engine
    assert (engine.options["enable_lora"], engine.options["max_lora_rank"]) == (True, 8)
    adapter, none = engine.adapters  # the openings with the adapter, the texts without
    assert none is None and (adapter.name, adapter.number) == ("prompter", 1)
    prompts, sampling = engine.asked[0]
    assert {tuple(prompt["prompt_token_ids"]) for prompt in prompts} == {tuple(prompter.policy.prompts.ids[0])}
    assert {(s.max_tokens, s.min_tokens, s.temperature) for s in sampling} == {(3, 2, 1.0)}
    assert len({s.seed for s in sampling}) == 3
    said = json.loads((Path(adapter.path) / "adapter_config.json").read_text())
    assert said["r"] == 2 and said["peft_type"] == "LORA" and said["target_modules"]
    assert (Path(adapter.path) / "adapter_model.safetensors").read_bytes() == (
        run_folder / "prompter" / "adapter_model.safetensors"
    ).read_bytes()
    assert all(name.startswith("transformer.h.") for name in said["target_modules"])


def test_an_adapter_that_vllm_cannot_take_stays_here(
    vllm: ModuleType, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prompter"
    folder.mkdir()
    for file in (run_folder / "prompter").iterdir():
        if file.name != "checksums.json":
            (folder / file.name).write_bytes(file.read_bytes())
    config = folder / "adapter_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps(said | {"rank_pattern": {"c_attn": 4}}))
    assert copy_adapter(folder, tmp_path) == (0, "it uses rank_pattern")
    config.write_text(json.dumps(said | {"megatron_core": "os"}))  # what is not known is not passed on
    copy_adapter(folder, tmp_path)
    assert "megatron_core" not in json.loads((tmp_path / "adapter_config.json").read_text())
    init = FakeLLM.__init__

    def without_lora(self: FakeLLM, **options: object) -> None:
        if options.get("enable_lora"):
            raise ValueError("GPT2LMHeadModel does not support LoRA yet.")
        init(self, **options)

    monkeypatch.setattr(FakeLLM, "__init__", without_lora)
    prompter = Prompter.load(run_folder, device="cpu", backend="vllm")
    assert isinstance(prompter.policy, TopicPolicy) and isinstance(prompter.writer, VLLMWriter)
    assert "cannot take the prompter's adapter" in caplog.text and "does not support LoRA yet" in caplog.text


def test_vllm_is_quiet_and_tells_nobody_unless_the_user_says_so(
    vllm: ModuleType, lm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    VLLMWriter(str(lm_folder), CONFIG)
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT | {"VLLM_LOGGING_LEVEL": "DEBUG"}


def test_prompts_are_read_at_once_on_a_cpu(vllm: ModuleType, lm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "enable_chunked_prefill" not in VLLMWriter(str(lm_folder), CONFIG).engine.options
    monkeypatch.setattr(sys.modules["vllm.platforms"].current_platform, "is_cpu", lambda: True)
    assert VLLMWriter(str(lm_folder), CONFIG).engine.options["enable_chunked_prefill"] is False


def test_an_engine_that_dies_ends_in_one_line(vllm: ModuleType, lm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class EngineDeadError(Exception):
        """vLLM's own, which is no RuntimeError."""

    def dead(*args: object, **options: object) -> list:
        raise EngineDeadError("EngineCore encountered an issue.\nSee above")

    writer = VLLMWriter(str(lm_folder), CONFIG)
    monkeypatch.setattr(writer.engine, "generate", dead)
    with pytest.raises(InputError, match=r"vLLM failed while it wrote \(EngineCore encountered an issue\.\); .* call again"):
        writer.write(["good"], 0, 0)


def test_mistakes_are_named(vllm: ModuleType, lm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="writer_max_new_tokens is 64, expected at most 63"):
        VLLMWriter(str(lm_folder), WriterConfig(writer_max_new_tokens=64))
    monkeypatch.setattr(FakeLLM, "__init__", lambda self, **options: (_ for _ in ()).throw(RuntimeError("no GPU\nmore")))
    with pytest.raises(InputError, match=r"vLLM cannot load .* \(no GPU\); try --writer transformers"):
        VLLMWriter(str(lm_folder), CONFIG)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"not installed here .*: pip install 'topic-prompter\[vllm\]'"):
        VLLMWriter(str(lm_folder), CONFIG)
