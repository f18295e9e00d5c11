"""An async agent: tools at the same time, a streamed answer, one session around it."""

import asyncio
import logging
import os
from typing import AsyncIterator, List

import agentmonitor_logging
from agentmonitor_logging import agent_context, agent_event, log_agent_call

os.environ.setdefault("AGENTMONITOR_API_URL", "http://127.0.0.1:3002/api/v1")
os.environ.setdefault("AGENTMONITOR_API_KEY", "on-loopback-any-32-characters-do")


@log_agent_call(event_type="tool_call")
async def weather(city: str) -> str:
    """Ask for the weather; not every city has one."""
    await asyncio.sleep(0.01)
    if city == "Atlantis":
        raise LookupError(f"no weather station in {city}")
    return f"sunny in {city}"


@log_agent_call(event_type="llm_stream")
async def summarise(reports: List[str]) -> AsyncIterator[str]:
    """Stream a summary; the event holds all of it, and the time to its first piece."""
    for report in reports:
        await asyncio.sleep(0.005)
        yield f"It is {report}. "


async def answer(cities: List[str]) -> None:
    """Ask for all cities at once, and print the answer as it comes."""
    async with agent_event("agent_run", {"cities": cities}, plan="ask all") as run:
        reports = await asyncio.gather(*map(weather, cities), return_exceptions=True)
        found = [report for report in reports if isinstance(report, str)]
        async for piece in summarise(found):
            print(piece, end="", flush=True)
        print()
        run.set_output({"cities_found": len(found)})
        run.set_cost(0.003)


async def main() -> None:
    """Answer two users at the same time; their events do not mix."""

    async def serve(user: str, *cities: str) -> None:
        async with agent_context(session_id=f"session-of-{user}", user_id=user):
            await answer(list(cities))

    await asyncio.gather(
        serve("ann", "Lisbon", "Oslo"), serve("bob", "Rome", "Atlantis")
    )
    await agentmonitor_logging.aflush(timeout=2)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    agentmonitor_logging.configure(agent_id="weather-bot")
    asyncio.run(main())
