"""Many questions to the compiler, several at once; every answer is kept as it comes, so that an interrupted survey goes on.

    survey = Survey(Path("probe"), jobs=2)
    answers = survey.run(configurations, target, ("fp16", "int8"), progress)

Kept in `<folder>/<target>.jsonl`, one answer a line, under the hash of what was asked: another release of the toolkit,
or another way of writing a model, is another question.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from rknn_ep.graph import View
from rknn_ep.records import Target
from rknn_ep_toolkit2.environment import current
from rknn_ep_toolkit2.probing.asking import Answer, Question, ask, prepare, view_of
from rknn_ep_toolkit2.probing.configuration import Configuration
from rknn_ep_toolkit2.worker.pool import jobs_at_once

Progress = Callable[[str, float], None]
Answers = Mapping[tuple[str, str], Answer]
"""(name of the configuration, precision) -> answer."""


class Survey:
    """Asks, and remembers what was asked before."""

    def __init__(self, folder: Path, jobs: int | None = None) -> None:
        """`folder` is where answers are kept; `jobs`, how many builds run at once (the worker's own limit)."""
        self._folder = folder
        self._jobs = jobs or jobs_at_once()
        self._lock = threading.Lock()
        self._views: dict[str, View] = {}

    def run(
        self, configurations: Mapping[str, Configuration], target: Target, precisions: Sequence[str], progress: Progress
    ) -> dict[tuple[str, str], Answer]:
        """Ask for each configuration at each precision. Those of which normalisation leaves nothing are left out.

        Raises:
            ToolkitError: the toolkit cannot be used. What was answered before is kept.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._kept(target.name)
        questions: dict[tuple[str, str], tuple[str, Question]] = {}
        for name, configuration in configurations.items():
            view = self._views.get(name) or self._views.setdefault(name, view_of(configuration))
            for precision in precisions if view.nodes else ():
                question = prepare(name, view, target, precision)
                questions[name, precision] = (_key(question), question)
        missing = {place: asked for place, asked in questions.items() if asked[0] not in kept}
        done = len(questions) - len(missing)
        with ThreadPoolExecutor(self._jobs) as pool:

            def one(key: str, question: Question) -> None:
                nonlocal done
                answer = ask(question)
                with self._lock:
                    kept[key] = answer
                    self._keep(target.name, key, question, answer)
                    done += 1
                    progress(f"{target.name}: {question.name} {answer.unit}", done / len(questions))

            asked = [pool.submit(one, key, question) for key, question in missing.values()]
            try:
                wait(asked, return_when=FIRST_EXCEPTION)
            finally:
                for future in asked:
                    future.cancel()
            for future in asked:
                if not future.cancelled():
                    future.result()
        return {place: kept[key] for place, (key, _) in questions.items()}

    def _kept(self, target: str) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        path = self._folder / f"{target}.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                found[entry["key"]] = Answer.of(entry["answer"])
            except (ValueError, KeyError, TypeError):
                continue  # the last line of an interrupted survey
        return found

    def _keep(self, target: str, key: str, question: Question, answer: Answer) -> None:
        entry = {"key": key, "name": question.name, "precision": question.settings.precision, "answer": answer.to_dict()}
        with (self._folder / f"{target}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _key(question: Question) -> str:
    """What was asked: the model, the settings, the toolkit."""
    settings = json.dumps(question.settings.config(), sort_keys=True)
    return hashlib.sha256(b"\0".join([question.model, settings.encode(), current().version.encode()])).hexdigest()[:32]
