"""What is logged may be of any size and kind: the caller goes on, the others arrive."""

from __future__ import annotations

import asyncio
import collections
import enum
import gc
import json
import logging
import sys
import threading
import time
import types
import weakref
from typing import Any, Callable, Dict, Iterator, List

import pytest

import oddities
from agentmonitor_logging import agent_event, log_agent_call
from agentmonitor_logging._raised import MAX_ERROR, MAX_TRACEBACK
from agentmonitor_logging._rendering import Renderer
from agentmonitor_logging._snapshot import MAX_TEXT, snapshot, snapshot_record
from agentmonitor_logging.events import encode, event_from_record
from agentmonitor_logging.redaction import Redactor
from servers import DEADLINE, ScriptedServer

MILLION = 1_000_000
LIMIT = 262_144
PROMPT = 0.025
"""Seconds of this thread's own time: a few milliseconds, on any machine."""

log = logging.Logger("agent")
"""Apart from the others, or pytest's own handler would format what is logged here."""


@pytest.fixture
def ship(attach: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Return a maker of queue handlers on `log` alone."""

    def make(url: str, **options: Any) -> Any:
        handler = attach(url, **options)
        logging.getLogger("agent").removeHandler(handler)
        log.addHandler(handler)
        return handler

    yield make
    log.handlers.clear()


def nested(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"down": value}
    return value


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


def noted(note: Any) -> BaseException:
    error = ValueError("x")
    error.__notes__ = note  # type: ignore[attr-defined]
    return error


def shipped(*args: Any, exc_info: Any = None, **extra: Any) -> str:
    """Return the JSON that leaves the process for one record."""
    record = logging.LogRecord("agent", 20, __file__, 1, *args, exc_info)
    record.__dict__.update(extra)
    event = event_from_record(record, agent_id="bot", max_bytes=LIMIT)
    return encode(Redactor().redact(event), LIMIT).decode()


LARGE: Dict[str, Callable[[], Any]] = {
    "a million numbers": lambda: list(range(MILLION)),
    "a tuple": lambda: tuple(range(MILLION)),
    "a set": lambda: set(range(MILLION)),
    "a deque": lambda: collections.deque(range(MILLION)),
    "a dict": lambda: dict.fromkeys(range(MILLION)),
    "a dict of lists": lambda: {str(n): [n] for n in range(100_000)},
    "a view": lambda: dict.fromkeys(range(MILLION)).items(),
    "a read-only view": lambda: types.MappingProxyType(dict.fromkeys(range(MILLION))),
    "nested dicts": lambda: [{"a": n, "b": {"c": [n]}} for n in range(100_000)],
    "tuples in tuples": lambda: [((n,),) for n in range(100_000)],
    "empty lists": lambda: [[] for _ in range(100_000)],
    "sets": lambda: [{n} for n in range(100_000)],
    "exceptions": lambda: [ValueError(n) for n in range(50_000)],
    "objects": lambda: [oddities.Card("x") for _ in range(50_000)],
    "buffers": lambda: [bytearray(200_000) for _ in range(300)],
    "a long string": lambda: "x" * 50_000_000,
    "long strings": lambda: ["x" * 2_000_000] * 1_000,
    "wide characters": lambda: "\U0001f600" * 10_000_000,
    "bytes": lambda: b"x" * 50_000_000,
    "depth": lambda: nested(10_000),
}

LARGE_ERRORS: Dict[str, Callable[[], BaseException]] = {
    "a text": lambda: ValueError("x" * 50_000_000),
    "a key": lambda: KeyError("x" * 20_000_000),
    "two": lambda: ValueError("bad", "x" * 20_000_000),
    "a list": lambda: ValueError(list(range(MILLION))),
    "a dict": lambda: KeyError(dict.fromkeys(range(MILLION))),
    "bytes": lambda: ValueError("bad", b"\x80" * 20_000_000),
    "a file name": lambda: OSError(2, "no", "f" * 20_000_000),
    "many texts": lambda: ValueError(["x" * 4_000] * 250),
    "a note": lambda: noted(["n" * 50_000_000]),
    "notes": lambda: noted(["n"] * MILLION),
}


class TestTheCaller:
    """No call of the application waits for the size of what it logs."""

    @pytest.fixture(autouse=True)
    def _handler(self, server: ScriptedServer, ship: Callable[..., Any]) -> None:
        # The listener must not compete with what is measured.
        self.copies: List[Any] = []
        self.handler = ship(server.url)
        prepare = self.handler.listener.prepare
        self.handler.queue.put_nowait = lambda item: self.copies.append(prepare(item))

    def least(self, call: Callable[[], Any]) -> float:
        times = []
        for _ in range(7):
            started = time.thread_time()
            call()
            times.append(time.thread_time() - started)
            self.copies.clear()
        return min(times)

    @pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
    def test_a_large_payload_costs_milliseconds(self, make: Callable[[], Any]) -> None:
        """As extra, as message or as argument: the call returns at once."""
        value = make()

        assert self.least(lambda: log.info("m", extra={"input_data": value})) < PROMPT
        assert self.least(lambda: log.info(value)) < PROMPT
        assert self.least(lambda: log.info("m %s", (value,))) < PROMPT

    @pytest.mark.parametrize("make", LARGE_ERRORS.values(), ids=LARGE_ERRORS)
    def test_a_large_exception_costs_milliseconds(
        self, make: Callable[[], BaseException]
    ) -> None:
        """What an exception was given is not spelled out in full."""
        exc_info = raised(make())

        assert self.least(lambda: log.error("m", exc_info=exc_info)) < PROMPT
        assert self.least(lambda: log.info("m", extra={"e": exc_info[1]})) < PROMPT

    def test_many_large_fields_cost_no_more_than_one(self) -> None:
        """The bound is that of the record."""
        value = [{"a": n, "b": [n]} for n in range(10_000)]
        extra = {f"field_{number}": value for number in range(50)}

        assert self.least(lambda: log.info("m", extra=extra)) < 2 * PROMPT

    def test_a_mapping_without_end_is_not_read(self) -> None:
        """What would run somebody's iterator is left to the listener."""
        endless = types.MappingProxyType(oddities.EndlessMapping())

        log.info("m", extra={"input_data": endless})

        assert self.copies[0].input_data is endless

    def test_nothing_long_waits_in_memory(self) -> None:
        """Of a long string what can be sent is kept, and the rest let go."""
        text = "word " * 10_000_000
        extra = {"input_data": {"text": text}, "flat": text, "sub": oddities.Text(text)}

        log.info(text, extra=extra)
        log.info("%s", text)
        log_agent_call(logger=log)(lambda text: text)(text)

        kept = [record.__dict__ for record in self.copies]
        texts = [kept[0]["msg"], kept[0]["flat"], kept[0]["sub"], kept[1]["args"][0]]
        texts += [kept[0]["input_data"]["text"]]
        texts += [fields.get("input_data", {}).get("text", "") for fields in kept[2:]]
        assert max(map(len, texts)) < MAX_TEXT + 100

    def test_the_text_of_a_record_is_bounded(self) -> None:
        """A thousand long strings are not a thousand megabytes."""
        copy = snapshot(["x" * 2_000_000] * 1_000)

        assert sum(map(len, copy)) < 8 * MAX_TEXT

    def test_fields_keep_their_share(self) -> None:
        """After a field that takes all there is, the others still come."""
        log.info("m", extra={"big": list(range(MILLION)), "small": [1, [2], {"a": 3}]})

        assert self.copies[0].small == [1, [2], {"a": 3}]

    def test_a_bad_key_costs_its_dict_alone(self) -> None:
        """Where a key can no longer be hashed the neighbours are copied."""
        broken = {oddities.RaisingHash(): [1]}
        oddities.RaisingHash.broken = True
        try:
            copy = snapshot({"bad": broken, "good": [1]})
        finally:
            oddities.RaisingHash.broken = False

        assert copy["bad"].startswith("[not copied: RuntimeError")
        assert copy["good"] == [1]

    def test_generators_are_neither_read_nor_kept(self) -> None:
        """When the application lets one go, its end comes where it was expected."""
        ended = []

        def numbers() -> Iterator[int]:
            try:
                yield 1
                yield 2
            finally:
                ended.append(threading.current_thread())

        stream = numbers()
        first = next(stream)
        log.info("%s", stream, extra={"input_data": {"stream": stream}})
        del stream
        gc.collect()

        assert (first, ended) == (1, [threading.current_thread()])
        assert "generator" in self.copies[0].input_data["stream"]

    def test_coroutines_may_still_be_awaited(self) -> None:
        """A coroutine that is logged is left as it is."""

        async def answer() -> int:
            return 42

        awaitable = answer()
        log.info("m %s", awaitable, extra={"input_data": [awaitable]})

        assert asyncio.run(awaitable) == 42


class _Kind(enum.Enum):
    PASSWORD = 1


ERRORS = [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, RecursionError]


class TestTheListener:
    """Whatever one payload does, its thread goes on and the neighbours arrive."""

    def others(self, server: ScriptedServer) -> List[str]:
        return [text for text in server.messages() if text.startswith("neighbour")]

    @pytest.mark.parametrize("error", ERRORS)
    def test_what_a_value_raises_costs_that_value(
        self, error: Any, server: ScriptedServer, ship: Callable[..., Any]
    ) -> None:
        """Interrupts and exits out of somebody's __repr__ end neither event nor thread.

        99 neighbours and one event with the value in every place, in one batch.
        """
        handler = ship(server.url, batch_size=100)
        poison = oddities.Raiser(error())
        log.info("neighbour 0")
        server.wait_stored(1)
        thread = handler.listener._thread
        extra = {"input_data": {"bad": poison, "good": 1}, "other": [poison]}
        log.info("poison %s", poison, extra=extra)
        log.info(poison)
        for number in range(1, 99):
            log.info("neighbour %d", number)

        server.wait_stored(101)
        assert len(self.others(server)) == 99
        (event,) = [e for e in server.stored if e["input_data"]]
        assert event["input_data"] == {"bad": "[unrepresentable Raiser]", "good": 1}
        assert event["metadata"]["other"] == ["[unrepresentable Raiser]"]
        assert event["metadata"]["message"].startswith("poison %s")
        assert handler.listener._thread is thread

    def test_an_interrupt_of_the_main_thread_is_not_kept(self) -> None:
        """Converting on the application's main thread, Ctrl-C goes through."""
        with pytest.raises(KeyboardInterrupt):
            Renderer().render(oddities.Raiser(KeyboardInterrupt()))

    @pytest.mark.swallows
    def test_every_oddity_arrives(
        self, server: ScriptedServer, ship: Callable[..., Any]
    ) -> None:
        """Each as payload, message and argument; nothing is lost, nothing leaks."""
        handler = ship(server.url, batch_size=100)
        count = 0
        for make in oddities.ODDITIES:
            log.info("odd", extra={"input_data": make(), "thing": make()})
            log.info(make())
            log.info("odd %s %s", 1, make())
            count += 3

        server.wait_stored(count)
        assert len(server.event_ids) == count == handler.stats().accepted

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ["x" * 1_000_000] * 2_000,
            lambda: frozenset(range(3_000_000)),
            lambda: {"k": [b"\x80" * 900_000] * 500},
            lambda: [oddities.HugeRepr() for _ in range(10_000)],
        ],
        ids=["strings", "set", "bytes", "reprs"],
    )
    def test_a_message_is_not_spelled_out_for_minutes(
        self,
        make: Callable[[], Any],
        server: ScriptedServer,
        ship: Callable[..., Any],
    ) -> None:
        """Text of gigabytes that an event cannot hold is not made for it."""
        ship(server.url)
        log.info("large: %s", make())
        log.info("neighbour")

        server.wait_stored(2)
        assert "large: " in server.messages()[0]
        assert server.messages()[1] == "neighbour"

    def test_slow_objects_are_given_two_seconds(self) -> None:
        """What a list of slow objects shows after that is their type."""
        now = [0.0]

        class Slow:
            def __repr__(self) -> str:
                now[0] += 0.1
                return "slow"

        renderer = Renderer(clock=lambda: now[0])
        shown = renderer.render([Slow() for _ in range(1_000)])

        assert now[0] < 3
        assert shown[0] == "slow"
        assert shown[-2:] == ["[unshown Slow]", "[truncated: more items]"]
        assert renderer.render({"plain": [1, "text"]}) == {"plain": [1, "text"]}

    def test_containers_may_change_all_the_time(
        self, server: ScriptedServer, ship: Callable[..., Any]
    ) -> None:
        """Another thread changes a dict, list, set and deque: every event arrives."""
        handler = ship(server.url, batch_size=100)
        done = threading.Event()
        entries: Dict[str, Any] = {}
        items: List[Any] = []
        members: Any = set()
        last: Any = collections.deque(maxlen=100)

        def change() -> None:
            number = 0
            while not done.is_set():
                number += 1
                entries[f"k{number % 500}"] = [number]
                entries.pop(f"k{(number * 7) % 500}", None)
                items.append({"n": number})
                members.symmetric_difference_update((number % 300,))
                last.append(number)
                if number % 1_000 == 0:
                    items.clear()

        changer = threading.Thread(target=change)
        changer.start()
        try:
            for _ in range(100):
                extra = {"input_data": {"d": entries, "l": items}, "s": members}
                log.info("changing", extra={**extra, "q": last})
        finally:
            done.set()
            changer.join()

        server.wait_stored(100)
        assert handler.stats().lost == {}


SECRETS = {
    "anthropic": "sk-ant-api03-" + "Zx9" * 20,
    "aws": "AKIA" + "Z7QX" * 4,
    "jwt": f"eyJ{'hbGc9' * 6}.{'eyJzd1' * 8}.{'SflKx9' * 6}",
    "url": "postgres://admin:correct-Horse9battery@db.example.com/app",
    "assigned": "password=correct-Horse9battery",
}


def leaks(shown: str, secret: str) -> bool:
    """Tell whether a telling part of *secret* is in *shown*."""
    told = secret.rpartition("=")[2].partition("admin:")[2].partition("@")[0]
    told = told or secret.rpartition("=")[2]
    return any(told[at : at + 12] in shown for at in range(4, len(told) - 11, 4))


class TestSecrets:
    """Cutting comes before redaction, and no half of a secret is left by it."""

    @pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
    @pytest.mark.parametrize("filler", ["word ", "-", '"v",'])
    def test_where_a_string_is_cut(self, secret: str, filler: str) -> None:
        """A secret across the end of what is kept of a long string."""
        for border in (LIMIT, MAX_TEXT):
            for before in range(4, len(secret) + 4, 12):
                text = (filler * (border // len(filler) + 1))[: border - before]
                text = f"{text} {secret} {'more ' * 200_000}"
                copy = snapshot([text])[0]
                shown = Renderer(LIMIT).text(copy)
                redacted = Redactor().redact({"text": shown})["text"]
                assert not leaks(redacted, secret), before

    @pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
    def test_where_a_full_event_cuts(self, secret: str) -> None:
        """Strings that come late are cut short, and cleanly."""
        fill = ["y " * LIMIT] * 2
        for before in range(4, len(secret) + 4, 6):
            late = "a " * 512
            late = f"{late[: 1024 - before]} {secret} {'more ' * 200}"
            assert not leaks(shipped("m", (), input_data=[*fill, late]), secret)

    @pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
    def test_where_an_exception_is_cut(self, secret: str) -> None:
        """Its text and its traceback are cut on the caller's thread, unredacted."""
        for border in (MAX_ERROR, MAX_TRACEBACK // 2, MAX_TRACEBACK):
            for before in range(-40, len(secret) + 8, 6):
                text = ("at " * (border // 3 + 1))[: border - before]
                error = ValueError(f"{text} {secret} {'more ' * 10_000}")
                assert not leaks(shipped("m", (), exc_info=raised(error)), secret)

                class Talkative(Exception):
                    text = str(error)

                    def __str__(self) -> str:
                        return self.text

                assert not leaks(shipped("m", (), exc_info=raised(Talkative())), secret)

    @pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
    def test_where_a_key_or_a_repr_is_cut(self, secret: str) -> None:
        """Keys and reprs have narrow bounds."""
        for border in (256, 1024):
            for before in range(4, len(secret) + 4, 6):
                text = f"{('k ' * border)[: border - before]} {secret} {'x' * 2_000}"
                odd = types.SimpleNamespace(text=text)
                assert not leaks(
                    shipped("m", (), input_data={text: 1, "o": odd}), secret
                )

    @pytest.mark.parametrize(
        "value",
        [
            {("user", "password"): "hunter2x"},
            {b"password": "hunter2x"},
            {oddities.Text("password"): "hunter2x"},
            {_Kind.PASSWORD: "hunter2x"},
            oddities.Frame(password=["hunter2x", "hunter2x"], n=[1, 2]),
            oddities.Series(["password", "n"], ["hunter2x", 1]),
            json.dumps({"a": json.dumps({"password": "hunter2x"})}),
            b'{"password": "hunter2x"}',
            ValueError("no login with password=hunter2x"),
            [{"deep": [{"password": "hunter2x"}]}],
            types.MappingProxyType({"password": "hunter2x"}),
            collections.OrderedDict(password="hunter2x"),
            collections.UserDict(password="hunter2x"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_in_odd_places(self, value: Any) -> None:
        """A secret is known by its name, whatever kind of thing bears the name."""
        for extra in (
            {"input_data": value},
            {"thing": value},
            {"metadata": {"m": value}},
        ):
            shown = shipped("m", (), **extra)
            assert "hunter2x" not in shown
            assert "REDACTED" in shown

    def test_fields_of_a_structured_array_have_names(self) -> None:
        """A numpy record is told by the names of its fields."""
        np = pytest.importorskip("numpy")
        kind = [("password", "U10"), ("n", "i4")]
        rows = np.array([("hunter2x", 1), ("hunter2x", 2)], dtype=kind)

        for value in (rows, rows[0], rows.reshape(2, 1)[0]):
            shown = shipped("m", (), input_data={"rows": value})
            assert "hunter2x" not in shown
            assert "REDACTED" in shown


class TestWhatIsTold:
    """What is left out is said, and what fits is as it was."""

    def test_the_count_is_that_of_the_whole(self) -> None:
        """Cut three times, a string still tells how much of it is missing."""
        event = json.loads(shipped("m", (), input_data={"text": "x" * 5_000_000}))

        text, _, rest = event["input_data"]["text"].partition("…")
        assert int(rest.split()[1]) + len(text) == 5_000_000
        assert len(text) > 100_000

    def test_keys_that_look_alike_are_all_there(self) -> None:
        """1 and "1" are two keys here and one in JSON."""
        shown = Renderer().render({1: "a", "1": "b", True: "c", "k" * 300: 1})
        long = Renderer().render({"k" * 300: 1, "k" * 301: 2})

        assert sorted(map(str, shown.values())) == ["1", "b", "c"]
        assert sorted(long.values()) == [1, 2]

    def test_a_large_frame_tells_how_large(self) -> None:
        """The first rows of a data frame, and the number of the others."""
        frame = oddities.Frame(a=list(range(5_000)))

        assert "more rows" in Renderer().render(frame)["[truncated]"]

    def test_messages_of_normal_size_are_not_touched(self) -> None:
        """Python's own formatting makes the text of a message."""
        value = {
            "a": (1, {2}),
            3: [None, 1.5, "x" * 1_000],
            "o": types.SimpleNamespace(),
        }
        event = json.loads(shipped("is %s and %r", (value, [value])))

        assert event["metadata"]["message"] == "is {!s} and {!r}".format(value, [value])

    def test_notes_of_a_large_exception_are_kept(self) -> None:
        """What is too large for the standard formatting is still told."""
        error = ValueError("x" * 100_000)
        error.__notes__ = ["first note", 5]  # type: ignore[attr-defined]
        copy = snapshot_record(
            logging.LogRecord("n", 40, "p", 1, "m", (), raised(error))
        )

        assert "first note" in copy.exc_text


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_decorated_calls_take_anything(
    make: Callable[[], Any], server: ScriptedServer, ship: Callable[..., Any]
) -> None:
    """Arguments and results of any size are logged, and passed on as they are."""
    ship(server.url)
    value = make()

    @log_agent_call(logger=log)
    def echo(argument: Any) -> Any:
        return argument

    with agent_event("step", value, logger=log, big=value) as event:
        assert echo(value) is value
        event.set_output(value)

    server.wait_stored(2, DEADLINE)
    assert [e["status"] for e in server.stored] == ["success", "success"]


@pytest.mark.parametrize("make", oddities.ODDITIES)
def test_decorated_calls_take_oddities(
    make: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    """Whatever is passed and returned, the decorated function behaves as without."""
    value, seen = make(), []
    handler = logging.NullHandler()
    handler.handle = lambda record: seen.append(snapshot_record(record))  # type: ignore
    log.addHandler(handler)
    request.addfinalizer(log.handlers.clear)

    @log_agent_call(logger=log)
    def echo(argument: Any, **keywords: Any) -> Any:
        return argument

    assert echo(value, other=value) is value
    with agent_event("step", value, logger=log, odd=value) as event:
        event.set_output(value)
    assert len(seen) == 2


def test_an_object_whose_class_cannot_be_hashed(
    server: ScriptedServer, ship: Callable[..., Any]
) -> None:
    """To ask for the type of a value must not need a hash."""
    ship(server.url)
    value = oddities.UnhashableClass()

    @log_agent_call(logger=log)
    def echo(argument: Any, **keywords: Any) -> Any:
        return argument

    log.info("m", extra={"input_data": {"a": 1}, "odd": value, "odds": [value]})
    assert echo(value, other=1) is value
    with agent_event("step", value, logger=log, odd=value, other=1) as event:
        event.set_output(value)

    server.wait_stored(3)
    assert server.stored[0]["input_data"] == {"a": 1}
    assert server.stored[1]["input_data"]["other"] == 1
    assert server.stored[2]["metadata"]["other"] == 1


def test_streams_as_arguments_are_not_consumed(
    server: ScriptedServer, ship: Callable[..., Any]
) -> None:
    """A generator passed to a decorated function yields all it has there."""
    ship(server.url)

    @log_agent_call(logger=log)
    def total(numbers: Iterator[int], lines: Any) -> int:
        return sum(numbers) + len(list(lines))

    stream = (n for n in range(5))
    gone = weakref.ref(stream)

    assert total(stream, map(str, range(3))) == 13
    server.wait_stored(1)
    del stream
    gc.collect()
    assert gone() is None
