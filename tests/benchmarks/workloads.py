"""What is measured: calls and records as agents make them.

Each call carries one marker, `call-<7 digits>-end`, in its input only, so that the
sink can tell distinct events from repeated ones without reading any format.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, NamedTuple

from clients import Client

NAMES = {
    "W1": "a decorated function, a short question in, a short answer out",
    "W2": "a decorated function, 20 chat messages (4 kB) in, 1 kB out",
    "W3": "logger.info with 12 extra fields: texts, numbers and a flag",
    "W4": "as W2, with secrets in three of the messages",
}

WORDS = (
    "order van customer invoice agent model prompt answer tool call retry later "
    "address parcel number refund depot morning evening carrier label weight please "
    "could would should where when because although system price delivery window"
).split()


class Task(NamedTuple):
    """One workload on one client: *argument* is made outside the time taken."""

    argument: Callable[[str], Any]
    call: Callable[[Any], Any]


def marker(number: int) -> str:
    """Return the marker of a measured call."""
    return f"call-{number:07d}-end"


def warm_marker(number: int) -> str:
    """Return the marker of a call of the warm-up."""
    return f"call-w{number:06d}-end"


def task(name: str, client: Client, *, is_async: bool = False) -> Task:
    """Return the workload *name* for *client*."""
    if name == "W3":
        return Task(_fields, _logging(client, is_async=is_async))
    function = _function(name, is_async=is_async)
    wrapped = client.wrap_async(function) if is_async else client.wrap(function)
    if name == "W1":
        return Task(lambda mark: f"Where is my order, {mark}", wrapped)
    history = conversation(with_secrets=name == "W4")

    def messages(mark: str) -> List[Dict[str, str]]:
        return [*history, {"role": "user", "content": f"{_QUESTION} {mark}"}]

    return Task(messages, wrapped)


def _logging(client: Client, *, is_async: bool) -> Callable[[Any], Any]:
    log = client.log

    def call(fields: Dict[str, Any]) -> None:
        log("tool call finished", extra=fields)

    async def call_async(fields: Dict[str, Any]) -> None:
        call(fields)

    return call_async if is_async else call


def _fields(mark: str) -> Dict[str, Any]:
    number = int(mark.strip("-endcalw"))
    return {
        "request": mark,
        "tool": "find_order",
        "tenant": "north",
        "model": "m-1",
        "step": number,
        "attempt": 1,
        "tokens_in": 812 + number % 97,
        "tokens_out": 64,
        "latency": 12.5 + number % 89,
        "cost": 0.0004,
        "cached": number % 2 == 0,
        "region": "eu-west",
    }


def _function(name: str, *, is_async: bool) -> Callable[..., Any]:
    def ask(question: str) -> str:
        return f"It is in the van, {question[-11:-4]}"

    def chat(messages: List[Dict[str, str]]) -> Dict[str, str]:
        number = messages[-1]["content"][-11:-4]
        return {"role": "assistant", "content": f"Number {number}: {_ANSWER}"}

    async def ask_async(question: str) -> str:
        return ask(question)

    async def chat_async(messages: List[Dict[str, str]]) -> Dict[str, str]:
        return chat(messages)

    if name == "W1":
        return ask_async if is_async else ask
    return chat_async if is_async else chat


def conversation(*, with_secrets: bool = False) -> List[Dict[str, str]]:
    """Return 19 messages, each of its own text."""
    source = random.Random(19)
    told = [_text(source, 160) for _ in range(19)]
    if with_secrets:
        for at, secret in zip((3, 9, 15), _secrets()):
            told[at] = f"{told[at][:110]} {secret}"
    return [
        {"role": "assistant" if at % 2 else "user", "content": text}
        for at, text in enumerate(told)
    ]


def _secrets() -> List[str]:
    # Put together here, so that no scanner takes this file for a leak.
    return [
        "password" + "=" + "kitten-42-purple",
        "sk-" + "a1B2c3D4e5F6" * 4,
        "Authorization: " + "Bearer " + "Zm9vYmFyYmF6" * 3,
    ]


def _text(source: random.Random, size: int) -> str:
    text = ""
    while len(text) < size:
        text += source.choice(WORDS) + " "
    return text[:size].strip().capitalize() + "."


_QUESTION = _text(random.Random(20), 140)
_ANSWER = _text(random.Random(21), 960)
