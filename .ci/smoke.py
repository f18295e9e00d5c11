"""Prove an installed wheel: one record arrives at the end of a program that returns."""

import http.server
import json
import subprocess
import sys
import threading

PROGRAM = """
import logging, logging.config, sys
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"agentmonitor": {"()": "agentmonitor_logging.AgentMonitorQueueHandler",
        "api_key": "k" * 32, "agent_id": "smoke", "api_url": sys.argv[1]}},
    "root": {"handlers": ["agentmonitor"], "level": "INFO"},
})
import agentmonitor_logging
assert "site-packages" in agentmonitor_logging.__file__, agentmonitor_logging.__file__

@agentmonitor_logging.log_agent_call
def answer(question):
    return "42"

answer("password=hunter2")
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Keep what is posted."""

    events = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.events.extend(json.loads(body)["events"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Stay quiet."""


with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d/api/v1" % server.server_port
    subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", PROGRAM, url],
        check=True,
        timeout=60,
    )
    server.shutdown()
(event,) = Handler.events
assert "answer" == event["metadata"]["function_name"], event
assert {"value": "42"} == event["output_data"], event
assert "hunter2" not in json.dumps(event), event

# Without its extra the command line says in one line what to install.
told = subprocess.run(
    [sys.executable, "-I", "-m", "agentmonitor_logging"],
    stderr=subprocess.PIPE,
    timeout=60,
)
assert 2 == told.returncode, told
assert b"agentmonitor-logging[collector]" in told.stderr, told
assert b"Traceback" not in told.stderr, told
print("ok:", event["event_type"], "from", sys.version.split()[0])
