"""Compare the engines that a writer can run on: this process's PyTorch, vLLM, a server. All write the same number of tokens.

    OMP_NUM_THREADS=2 python benchmarks/engines.py MODEL --writer transformers vllm http://localhost:8000/v1

MODEL is a folder or hub id of a chat model, such as HuggingFaceTB/SmolLM2-135M-Instruct; a server must serve the same one.
Each engine continues the same openings after the same class prompts. They take turns; the first turn warms up, and the median
of the others counts. Seconds are those of the clock, since vLLM and servers compute in other processes: let nothing else run.
"""

import argparse
import statistics
import time

import torch

from distill.common.precision import DTYPES, use_dtype
from prompter.generation.config import VLLM, PolicyConfig, WriterConfig
from prompter.generation.opening import AnyWriter
from prompter.generation.outside.server_writer import ServerWriter
from prompter.generation.outside.vllm_writer import VLLMWriter
from prompter.generation.prompts import Contexts
from prompter.generation.writer import Writer

CLASSES = ["world events", "sports", "business", "science and technology"]
OPENINGS = ["On Monday", "The first", "In a small town", "After years of work,", "Nobody", "A new", "It was", "According to"]


def opened(engine: str, model: str, config: WriterConfig) -> AnyWriter:
    """Open the writer of an engine."""
    if engine == VLLM:
        return VLLMWriter(model, config)
    return ServerWriter(engine, model, config) if "://" in engine else Writer.load(model, config, "auto")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--writer", nargs="+", default=["transformers", VLLM], help="transformers, vllm, http://HOST/v1#MODEL")
    parser.add_argument("--texts", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    args = parser.parse_args()
    use_dtype(args.dtype)
    new = args.new_tokens
    config = WriterConfig(writer_max_new_tokens=new, writer_min_new_tokens=new, writer_batch_size=max(args.texts))
    writers = {engine: opened(engine, args.model, config) for engine in args.writer}
    for writer in writers.values():
        writer.contexts = Contexts(writer.tokenizer, CLASSES, PolicyConfig(task_description="a news article"))
    for texts in args.texts:
        openings = [OPENINGS[row % len(OPENINGS)] for row in range(texts)]
        targets = torch.arange(texts) % len(CLASSES)
        speeds: dict[str, list[float]] = {engine: [] for engine in writers}
        for turn in range(args.rounds + 1):
            for engine, writer in writers.items():
                begin = time.perf_counter()
                written = writer.write(openings, 0, turn, targets=targets)
                speeds[engine].append(written.new_tokens / (time.perf_counter() - begin))
        first = statistics.median(speeds[args.writer[0]][1:])
        for engine, found in speeds.items():
            median = statistics.median(found[1:])
            print(f"{texts:5d} texts  {median:8.0f} tokens/s  {median / first:5.2f} of the first  {engine}")


if __name__ == "__main__":
    main()
