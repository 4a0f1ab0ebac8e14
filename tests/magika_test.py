#!/usr/bin/env python3
"""examples/magika on the files that come with Magika: every label is the one that Magika's own program gives, in each of
its three modes, and the scores agree. Of 116 cases the network judges 111; the others are too short for it."""
import base64
import gzip
import json
import subprocess
import sys

from harness import FUSEE, corpus, fusee, workdir

CASES, JUDGED = 116, 111
MODES = ("high_confidence", "medium_confidence", "best_guess")
SCORE_TOLERANCE = 1e-4
LIMIT_S = 300


def examples(pack, mode, where):
    """Magika's answers in a mode: [(file, {"dl", "output", "score"})]. Contents that are given are written to files."""
    found = []
    for kind in ("path", "content"):
        name = f"tests_data/reference/standard_v3_3-inference_examples_by_{kind}.json.gz"
        for example in json.loads(gzip.open(pack / name).read()):
            if example["prediction_mode"] != mode:
                continue
            file = pack / example["path"] if kind == "path" else where / f"content{len(found)}"
            if kind == "content":
                file.write_bytes(base64.b64decode(example["content_base64"]))
            found.append((str(file), example["prediction"]))
    return found


def identify(plan, pack, mode, files):
    """[(label, score)] of the example."""
    config, types = pack / "assets/models/standard_v3_3/config.min.json", pack / "assets/content_types_kb.min.json"
    command = [FUSEE.parent / "magika", "--mode", mode.replace("_", "-"), plan, config, types, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise AssertionError(f"magika: exit status {done.returncode}\n{done.stderr}")
    answers = [line.rsplit("\t", 2) for line in done.stdout.splitlines()]
    assert [file for file, _, _ in answers] == files
    return [(label, float(score)) for _, label, score in answers]


def judge(mode, cases, answers):
    right = judged = judged_right = 0
    worst = 0.0
    for (file, want), (label, score) in zip(cases, answers):
        same = label == want["output"]
        right += same
        judged += want["dl"] != "undefined"
        judged_right += same and want["dl"] != "undefined"
        worst = max(worst, abs(score - want["score"]))
        if not same:
            print(f"{file}: {label} {score}, Magika says {want['output']} {want['score']}")
    print(f"{mode}: {right} of {len(cases)} labels are Magika's, {judged_right} of the {judged} that the network judges; "
          f"scores differ by at most {worst:.1e}")
    return right == len(cases) == CASES and judged_right == judged == JUDGED and worst <= SCORE_TOLERANCE


def main():
    pack, model = corpus("data", "magika"), corpus("golden", "magika_v3_3", "model.onnx")
    with workdir() as where:
        plan = where / "magika.plan"
        fusee("build", model, "--shape-profile", "bytes:1x2048,16x2048", "--save-plan", plan)
        ok = True
        for mode in MODES:
            cases = examples(pack, mode, where)
            ok &= judge(mode, cases, identify(plan, pack, mode, [file for file, _ in cases]))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
