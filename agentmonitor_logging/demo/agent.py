"""A small support agent as an application would write it: it only logs.

Nothing in here knows of handlers, HTTP or a collector, and nothing needs a network or
a model: the latencies are real, the answers are made up.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Any, AsyncIterator, Dict, List

from agentmonitor_logging import agent_context, agent_event, log_agent_call

log = logging.getLogger(__name__)

REQUEST: Dict[str, Any] = {
    "question": "Where is order 4711? My password is: kitten-42-purple",
    "headers": {"Authorization": "Bearer t0ken.of-ann"},
    "card_number": "4000 1234 5678 9010",
}
"""What a customer sends, with more in it than anybody should keep."""

CARRIER_URL = "https://shop:s3same-0pen@carrier.example/4711"

SECRETS = ("kitten-42-purple", "t0ken.of-ann", "4000 1234 5678 9010", "s3same-0pen")
"""What must not arrive anywhere."""


async def run() -> None:
    """Answer one customer, in a session of their own."""
    with agent_context(session_id="session-1", user_id="ann", release="demo"):
        await answer(**REQUEST)


@log_agent_call(event_type="agent_run")
async def answer(question: str, headers: Dict[str, str], card_number: str) -> str:
    """Plan, look things up, write the answer, check it and keep it."""
    await plan(question)
    facts = await gather_facts(question, headers)
    text = await write_answer(facts)
    if not check(text, card_number):
        text = "please call us"
    # A thread sees the trace and the session if it is given the context.
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    await loop.run_in_executor(None, context.run, file_away, text)
    rating = {"event_type": "feedback", "output_data": {"stars": 5}}
    log.info("rated 5 of 5", extra=rating)
    return text


async def plan(question: str) -> None:
    """Let the model decide which tools to use."""
    async with agent_event("decision", {"question": question}, step="plan") as decision:
        async with agent_event("llm_call", step="ask which tools to use") as call:
            await asyncio.sleep(0.012)
            call.set_output({"tools": ["find_order", "search_help", "track"]})
            call.set_cost(0.0006)
        decision.set_output({"chosen": ["find_order", "search_help", "track"]})


@log_agent_call(event_type="retrieval")
async def gather_facts(question: str, headers: Dict[str, str]) -> List[str]:
    """Use the tools, those that do not need each other at the same time."""
    facts = await asyncio.gather(find_order(4711, headers), search_help(question))
    carrier = Carrier()
    try:
        place = carrier.track(CARRIER_URL)
    except TimeoutError:
        log.warning("no answer yet, trying again")
        place = carrier.track(CARRIER_URL)
    return [*facts, place]


@log_agent_call(event_type="tool_call")
async def find_order(number: int, headers: Dict[str, str]) -> str:
    """Read the order of whoever the headers name."""
    await asyncio.sleep(0.006)
    return f"order {number}, sent on Monday" if headers else "not allowed"


@log_agent_call(event_type="tool_call")
async def search_help(question: str) -> str:
    """Search the pages for what is asked."""
    await asyncio.sleep(0.009)
    return "parcels take three days" if "Where" in question else "nothing found"


class Carrier:
    """Answer at the second call only, as carriers do."""

    def __init__(self) -> None:
        self.calls = 0

    @log_agent_call(event_type="tool_call")
    def track(self, url: str) -> str:
        """Ask where the parcel is."""
        self.calls += 1
        time.sleep(0.003 * self.calls)
        if self.calls == 1:
            message = f"no answer from {url}"
            raise TimeoutError(message)
        return "it is in the van and comes today"


async def write_answer(facts: List[str]) -> str:
    """Let the model write, and pass on what it has written so far."""
    async with agent_event("llm_call", {"facts": facts}, step="write answer") as call:
        text = "".join([words async for words in stream(facts)])
        call.set_output(text)
        call.set_cost(0.0042)
    return text


@log_agent_call(event_type="stream")
async def stream(facts: List[str]) -> AsyncIterator[str]:
    """Yield the answer in pieces, as a model does."""
    for fact in facts:
        await asyncio.sleep(0.005)
        yield fact + ". "


@log_agent_call(event_type="guardrail")
def check(text: str, card_number: str) -> bool:
    """Hold the answer against the rules of the house."""
    return is_polite(text) and is_discreet(text, card_number)


@log_agent_call
def is_polite(text: str) -> bool:
    """Tell whether nobody is shouted at."""
    time.sleep(0.001)
    return not text.isupper()


@log_agent_call
def is_discreet(text: str, card_number: str) -> bool:
    """Tell whether the answer keeps to itself what it should."""
    time.sleep(0.001)
    return card_number not in text


@log_agent_call(event_type="tool_call")
def file_away(text: str) -> int:
    """Keep the answer, on a thread; return its length."""
    time.sleep(0.002)
    return len(text)
