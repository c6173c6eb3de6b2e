"""Answer with the student where it is sure, and ask the teacher otherwise.

prompter distill --from texts.txt --teacher toy:sentiment --student bert:layers=2,hidden=128 --to students/small
python examples/cascade.py students/small toy:sentiment "the staff was lovely." "the room, well."
"""

import argparse

from prompter import Cascade


def main(student: str, teacher: str, texts: list[str], threshold: float | None = None) -> Cascade:
    cascade = Cascade(student, teacher, threshold=threshold)
    for text, answer in zip(texts, cascade(texts), strict=True):
        print(f"{answer.label} ({answer.probability:.0%}, by the {answer.by}): {text}")
    print(f"The teacher was asked about {cascade.asked} of {cascade.texts} texts ({cascade.share:.0%}).")
    if cascade.calibration:
        print(
            f"Calibrated on {cascade.calibration.texts} {cascade.calibration.on}; on other texts it may be wrong more often."
        )
    return cascade


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", help="folder of a student, or of its ONNX or OpenVINO program")
    parser.add_argument("teacher", help="folder, hub id, URL, module:function or toy:TASK")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--threshold", type=float, help="confidence from which the student answers; default: calibrated")
    arguments = parser.parse_args()
    main(arguments.student, arguments.teacher, arguments.texts, arguments.threshold)
