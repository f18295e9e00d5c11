"""Log an agent's calls to a collector: run `agentmonitor collector`, then this."""

import logging.config
import os

from agentmonitor_logging import log_agent_call

os.environ.setdefault("AGENTMONITOR_API_URL", "http://127.0.0.1:3002/api/v1")
os.environ.setdefault("AGENTMONITOR_API_KEY", "on-loopback-any-32-characters-do")

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "agentmonitor": {
                "()": "agentmonitor_logging.AgentMonitorQueueHandler",
                "agent_id": "support-bot",
            },
        },
        "root": {"handlers": ["console", "agentmonitor"], "level": "INFO"},
    }
)


@log_agent_call(event_type="tool_call")
def find_order(number: int) -> str:
    """Look the order up."""
    return f"order {number} is in the van"


@log_agent_call
def answer(question: str) -> str:
    """Answer with the help of a tool."""
    return "Good news: " + find_order(int(question[-4:]))


print(answer("My password is: kitten-42-purple, where is order 4711"))
