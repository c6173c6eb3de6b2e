"""Serve a converted student over HTTP, in the `/predict` format of text-embeddings-inference; no torch, no transformers.

pip install fastapi uvicorn numpy onnxruntime tokenizers
python examples/serve.py runs/demo/student/onnx --port 8000
curl localhost:8000/predict -H 'Content-Type: application/json' -d '{"inputs": [["the staff was lovely."]]}'
prompter evaluate http://localhost:8000/predict --task toy_sentiment
"""

import argparse
import re

import uvicorn
from fastapi import FastAPI, HTTPException
from run_without_torch import Classifier  # the example beside this one


def is_text(row: object) -> bool:
    return isinstance(row, str) and not re.search("[\ud800-\udfff]", row)  # half of a character is no text


def make_app(folder: str, most: int = 32) -> FastAPI:
    classify, app = Classifier(folder), FastAPI()
    width = 2 if classify.pairs else 1
    expected = '[["text", "other text"], ...]' if classify.pairs else 'a text, or [["text"], ...]'

    def fits(row: object) -> bool:
        return isinstance(row, list) and len(row) == width and all(map(is_text, row))

    @app.post("/predict")
    def predict(body: dict) -> list:
        inputs = body.get("inputs")
        rows = [[inputs]] if isinstance(inputs, str) else inputs
        if not isinstance(rows, list) or not 0 < len(rows) <= most or not all(map(fits, rows)):
            raise HTTPException(422, f"inputs: expected {expected} with at most {most}")
        found = classify([tuple(row) if classify.pairs else row[0] for row in rows])
        answers = [[{"label": k, "score": p} for k, p in answer.items()] for answer in found]
        return answers[0] if isinstance(inputs, str) else answers

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(make_app(arguments.folder), port=arguments.port)
