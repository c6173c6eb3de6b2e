"""Distil a model that is no transformer: any Python function from texts to class probabilities can be the teacher.

python examples/callable_teacher.py     # a scikit-learn pipeline, offline, about a minute
"""

import argparse
from functools import cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from eval.toy import located
from eval.toy.world import World
from prompter import train


@cache
def pipeline() -> Pipeline:
    """Stand for your own model; here one is fitted to the toy task's texts."""
    data = World(0).task("sentiment")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10))
    return model.fit(data.train_texts, data.train_labels)


def sentiment(texts: list[str]) -> np.ndarray:
    """Return (N, 2) probabilities of negative and positive for N texts."""
    return pipeline().predict_proba(texts)


def main(folder: str, budget: int, **settings: Any) -> float:
    """Train a student of the pipeline, and return how often it agrees with its teacher on real test data."""
    # A function has no tokenizer to lend. With a network, any id of the hub serves, such as "distilbert-base-uncased".
    toy = {"generator": "toy", "eval_data": "toy:sentiment", "student_tokenizer": located("toy:sentiment", "teacher")}
    task = toy | {"student": "bert:layers=2,hidden=64", "output_dir": folder, "budget": budget}
    summary = train(teacher=sentiment, teacher_labels=["negative", "positive"], **(task | settings))
    agreement = summary["students"]["prompted"]["agreement"]
    print(f"agreement of student and pipeline: {agreement:.1%}")
    return agreement


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="runs/callable-teacher")
    parser.add_argument("--budget", type=int, default=2000)
    main(**vars(parser.parse_args()))
