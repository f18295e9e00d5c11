"""What never leaves the process, and what must not be touched."""

from __future__ import annotations

import copy
import json
import logging
import pprint
import re
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmonitor_logging._config import Secret
from agentmonitor_logging._encoding import _plain_json, encode
from agentmonitor_logging._plain import AnyEvent, PlainEvent
from agentmonitor_logging._shortcut import plain_event
from agentmonitor_logging._snapshot import snapshot_record
from agentmonitor_logging.exceptions import ConfigError
from agentmonitor_logging.formatter import AgentEventFormatter
from agentmonitor_logging.redaction import (
    DEFAULT_REDACT_KEYS,
    DEFAULT_REDACT_PATTERNS,
    MAX_JSON_CHARS,
    REDACTED,
    Redactor,
)

HEX = "0123456789abcdef"
MIXED = "aB3dE5gH7jK9mN1pQ2sT4vW6xY8zC0fL"
JWT = ".".join(("ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxIn0", "c2lnbmF0dXJl"))
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEowIBAAKCAQEAx\n{}-----END RSA "
PEM = PEM.format("q9" * 30 + "==\n") + "PRIVATE KEY-----"

# name -> (text with a secret, the secret), near misses. Put together from pieces so that
# secret scanners do not take this file for a leak.
Corpus = Dict[str, Tuple[List[Tuple[str, str]], List[str]]]
CORPUS: Corpus = {
    "private_key": (
        [
            (PEM, "MIIEowIBAAKCAQEAx"),
            (PEM.replace("\n", "\\n"), "MIIEowIBAAKCAQEAx"),
            (PEM.replace("\n", "\\\\n"), "MIIEowIBAAKCAQEAx"),
            (PEM[:80], "MIIEowIBAAKCAQEAx"),
            (
                PEM.replace("\nM", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,9\n\nM", 1),
                "MIIEowIBAAKCAQEAx",
            ),
        ],
        [
            "a file starts with -----BEGIN " + "PRIVATE KEY----- and so on",
            "-----BEGIN " + "PUBLIC KEY-----\n" + MIXED + "\n-----END PUBLIC KEY-----",
        ],
    ),
    "jwt": (
        [(f"got {JWT}, thanks", JWT), (JWT.rpartition(".")[0], JWT.split(".")[1])],
        ["eyJust.a.word", "ey" + "JhbGciOiJIUzI1NiJ9", "x-eyJhbGciOiJI.abc.def"],
    ),
    "url_password": (
        [
            ("postgres://bob:" + "hunter2@db.example/x", "hunter2"),
            ("redis://:" + "p@ss@localhost:6379/0", "p@ss"),
            ("mysql://bob:" + "hunt/er2@db/x?mail=a@b", "hunt/er2"),
            ("mysql://bob:" + "hunt/er2@p@ss@db/x", "p@ss"),
        ],
        [
            "https://example.com:8080/a?to=bob@example.com",
            "https://bob@example.com/",
            "http://localhost:8080/@scope/package",
            "write to mailto:bob@example.com",
        ],
    ),
    "query_secret": (
        [
            ("https://x.example/a?sig=" + "aBcDeFgH%3D&sv=2020", "aBcDeFgH%3D"),
            ("/cb?code=1&token=" + "abcdef#top", "abcdef"),
            ("/v1?key=" + MIXED, MIXED),
        ],
        ["/list?key=name&sort=asc", "?page_token=abcdef", "?tokens=12", "?token=a"],
    ),
    "authorization": (
        [
            ("Authorization: Basic " + "Ym9iOmh1bnRlcjI= sent", "Ym9iOmh1bnRlcjI="),
            ('{"Authorization": "Bearer ' + "abcdef", "abcdef"),
            ("authorization=" + MIXED, MIXED),
            (
                'Authorization: Digest username="bob", response="' + '1234abcd"',
                "1234abcd",
            ),
        ],
        ["Authorization: required", "authorization: users need it", "authorized: yes"],
    ),
    "bearer": (
        [
            ("send Bearer " + "abc123 along", "abc123"),
            ("bearer " + "x.y_z-q and", "x.y_z-q"),
        ],
        ["the bearer of bad news", "Bearer authentication is used", "bearer tokens"],
    ),
    "cookie": (
        [
            ("Cookie: " + "sid=abc; theme=dark\nHost: x", "sid=abc; theme=dark"),
            ("curl -H 'Set-Cookie: " + "sid=abc; Path=/' https://x.example", "sid=abc"),
        ],
        ["Cookie: chocolate chip", "a cookie=1 is set", "cookie_consent: a=b"],
    ),
    "password": (
        [
            ("password: " + "hunter2", "hunter2"),
            ("DB_PASSWORD=" + "hunter2;Port=5", "hunter2"),
            ('password: str = "' + 'hunt er2"', "hunt er2"),
            ("Pwd=" + "aB3(kd9$x", "aB3(kd9$x"),
            ('{\\"passwd\\": \\"' + 'hunter2\\"}', "hunter2"),
            ('"password": "' + 'pa\\"ss"', 'pa\\"ss'),
        ],
        [
            "my password is important to me",
            "Password: must be 8 characters",
            "password: str, password: Optional[str] = None",
            "password = getpass.getpass()",
            "password=${DB_PASSWORD} or $DB_PASSWORD",
            "password=self.password",
            "PWD=/home/bob",
            "password: ********",
            'password=""',
            "compass: north",
        ],
    ),
    "password_told": (
        [
            ("my password is " + "hunter2, ok?", "hunter2"),
            ("The Password is: " + "P@ssword!", "P@ssword"),
        ],
        [
            "my password is important to me",
            "the password is 256-bit encrypted",
            "the password is required.",
        ],
    ),
    "secret": (
        [
            ("client_secret=" + "abc12345", "abc12345"),
            ("AWS_SECRET_ACCESS_KEY=" + MIXED + "/+kL", MIXED + "/+kL"),
            ("{'secret': '" + "abcdef'}", "abcdef"),
            ("client_secret=" + "abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuv"),
        ],
        ["the secret: never give up", "secretary: Bob2000000", "secret=None"],
    ),
    "api_key": (
        [
            ("x-api-key: " + "abc12345", "abc12345"),
            ('text "api_key": "' + 'abcdefgh" text', "abcdefgh"),
            ("OPENAI_API_KEY=" + "abcd1234efgh", "abcd1234efgh"),
        ],
        [
            "api_key: str",
            "api_key=os.environ['OPENAI_API_KEY_1']",
            "the key: 12345678",
            "monkey: 12345678",
        ],
    ),
    "token": (
        [
            ("token: " + "abcdefgh1234", "abcdefgh1234"),
            ("access_token=" + "abcdefgh1234", "abcdefgh1234"),
        ],
        [
            "max_tokens: 4096",
            "token: 4096",
            "token_count=123456789",
            "eos_token: 123456789",
            "total_tokens=123456789",
            "token: Optional[str]",
        ],
    ),
    "command_flag": (
        [
            ("--password " + "hunter2", "hunter2"),
            ("login \\\n  --api-key " + "abc12345 -v", "abc12345"),
        ],
        [
            "--password --verbose",
            "--token TOKEN",
            "--password $DB_PASSWORD",
            "--a 1234",
        ],
    ),
    "azure_account_key": (
        [("Protocol=https;AccountKey=" + MIXED + "==;Suffix=x", MIXED)],
        ["AccountKey=short"],
    ),
    "anthropic": ([("sk-ant-" + "api03-" + MIXED, MIXED)], ["sk-ant-" + "short"]),
    "langfuse": (
        [("sk-lf-" + "12345678-1234-1234-1234-123456789abc", "12345678-1234")],
        ["sk-lf-" + "1234", "pk-lf-12345678-1234-1234-1234-123456789abc"],
    ),
    "openai": (
        [("use sk-" + MIXED, MIXED), ("sk-proj-" + MIXED + "-_x", MIXED)],
        ["sk-learn-pipeline-with-standard-scaler", "task-" + MIXED, "sk-" + "abc123"],
    ),
    "google_api_key": ([("AIza" + "SyA-" + MIXED, MIXED)], ["AIza" + "short12"]),
    "google_client_secret": ([("GOCSPX-" + MIXED, MIXED)], ["GOCSPX-" + "short"]),
    "aws_access_key_id": (
        [("id AKIA" + "IOSFODNN7EXAMPLE.", "IOSFODNN7"), ("ASIA" + "Q" * 16, "QQQQ")],
        ["AKIA" + "IOSFODNN7", "AKIA" + "Q" * 30, "ASIAN CUISINE"],
    ),
    "github": (
        [("gh" + f"{kind}_" + MIXED + "abcd", MIXED) for kind in "pousr"]
        + [("github_" + "pat_" + MIXED, MIXED)],
        ["gh" + "p_short", "github_" + "pat_short", "high" + "p_" + MIXED],
    ),
    "gitlab": ([("glpat-" + MIXED[:20], MIXED[:20])], ["glpat-" + "short"]),
    "slack": (
        [("xox" + f"{kind}-1234567890-{MIXED}", MIXED) for kind in "abeoprs"]
        + [("xapp-" + "1-A1234-" + MIXED, MIXED)],
        ["xox" + "b-short", "xoxo-", "boxoxb-1234567890123"],
    ),
    "slack_webhook": (
        [("https://hooks.slack.com/services/" + "T1234/B1234/" + MIXED, MIXED)],
        ["https://hooks.slack.com/services/", "https://slack.com/help/" + MIXED],
    ),
    "stripe": (
        [
            ("sk_" + "live_" + MIXED, MIXED),
            ("rk_" + "test_" + MIXED, MIXED),
            ("whsec_" + MIXED, MIXED),
        ],
        ["pk_" + "live_" + MIXED, "sk_" + "live_short", "task_" + "live_" + MIXED],
    ),
    "huggingface": (
        [("hf_" + MIXED, MIXED)],
        ["hf_" + "hub_download", "surf_" + MIXED],
    ),
    "groq": ([("gsk_" + MIXED + MIXED, MIXED)], ["gsk_" + "short"]),
    "replicate": ([("r8_" + MIXED, MIXED)], ["r8_" + "short", "var8_" + MIXED]),
    "xai": ([("xai-" + MIXED + MIXED, MIXED)], ["xai-" + "explainable"]),
    "perplexity": ([("pplx-" + MIXED + MIXED, MIXED)], ["pplx-" + "70b-online"]),
    "nvidia": ([("nvapi-" + MIXED + MIXED, MIXED)], ["nvapi-" + "short"]),
    "tavily": ([("tvly-" + "dev-" + MIXED, MIXED)], ["tvly-" + "short"]),
    "pinecone": ([("pcsk_" + MIXED + MIXED, MIXED)], ["pcsk_" + "short"]),
    "langsmith": (
        [("lsv2_" + "pt_" + HEX + HEX + "_0123456789", HEX)],
        ["lsv2_" + "pt_short", "lsv2_" + "xx_" + HEX + HEX],
    ),
    "sendgrid": (
        [("SG." + MIXED[:22] + "." + MIXED, MIXED[:22])],
        ["SG.Sales.Report", "SG." + MIXED],
    ),
    "twilio": ([("SK" + HEX + HEX, HEX)], ["SK" + HEX, "SK" + HEX + HEX + "0"]),
    "npm": ([("npm_" + MIXED + "abcd", MIXED)], ["npm_" + "config_registry"]),
    "pypi": ([("pypi-" + "AgE" + MIXED + MIXED, MIXED)], ["pypi-" + "publish-action"]),
    "digitalocean": ([("dop_" + "v1_" + HEX * 4, HEX)], ["dop_" + "v1_" + HEX]),
    "databricks": ([("dapi" + HEX * 2, HEX)], ["dapi" + HEX, "rapidapi.com"]),
    "shopify": ([("shpat_" + HEX * 2, HEX)], ["shpat_" + HEX]),
    "telegram": (
        [("123456789:" + "AA" + MIXED + "x", MIXED)],
        ["123456789:" + "AA", "12:30:AAbc", "123456789:" + "BB" + MIXED],
    ),
}

POSITIVES = [
    pytest.param(text, secret, id=f"{name}-{number}")
    for name, (hits, _) in CORPUS.items()
    for number, (text, secret) in enumerate(hits)
]
NEAR_MISSES = [
    pytest.param(text, id=f"{name}-{number}")
    for name, (_, misses) in CORPUS.items()
    for number, text in enumerate(misses)
]
PROSE = [
    "550e8400-e29b-41d4-a716-446655440000",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    HEX * 2,
    "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40,
    "https://example.com/a/b?c=d&e=f#g",
    "bob.smith+news@example.com",
    "$12.50, 1,234.56 and 4096 tokens; 2026-10-16T12:00:00.123456Z",
    "key: value, session_id: abc12345, secretary: Ann, authorized: yes",
    "for token in tokens: count += 1",
    'Traceback (most recent call last):\n  File "/a/b.py", line 1, in <module>\n',
    "Forgot your password? Write to us.",
]

NOT_SECRET_KEYS = [
    *("max_tokens", "token_count", "tokens", "total_tokens", "secretary", "authorized"),
    *("cookie_consent", "key", "session_id", "keyboard", "author", "passport_country"),
    *("input_tokens", "prompt_tokens", "public_key", "password_reset", "next_token"),
]


def redact_text(text: str, **options: Any) -> str:
    """Return what becomes of *text* as a value of an event."""
    redacted = Redactor(**options).redact({"input_data": {"prompt": text}})
    return redacted["input_data"]["prompt"]  # type: ignore[no-any-return]


def test_the_corpus_knows_every_pattern() -> None:
    """A built-in pattern without examples is not accepted."""
    assert CORPUS.keys() == DEFAULT_REDACT_PATTERNS.keys()
    assert all(hits and misses for hits, misses in CORPUS.values())


@pytest.mark.parametrize(("text", "secret"), POSITIVES)
def test_a_secret_in_text_is_replaced_and_the_rest_stays(
    text: str, secret: str
) -> None:
    """A prompt around a secret stays readable; the secret is gone."""
    redacted = redact_text(f"Please look: {text}\nand tell me why.")

    assert secret not in redacted
    assert REDACTED in redacted
    assert redacted.startswith("Please look: ")
    assert redacted.endswith("and tell me why.") or "PRIVATE KEY" in text


@pytest.mark.parametrize(("text", "secret"), POSITIVES)
def test_each_pattern_finds_its_own_examples(text: str, secret: str) -> None:
    """Without any surroundings, and without the key names, the secret is still found."""
    assert secret not in redact_text(text)


@pytest.mark.parametrize("name", CORPUS)
def test_a_pattern_replaces_its_examples_by_itself(name: str) -> None:
    """No pattern lives from its neighbours: given alone, it does its own work."""
    regex = re.compile(DEFAULT_REDACT_PATTERNS[name].regex, re.ASCII)
    for text, secret in CORPUS[name][0]:
        assert secret not in redact_text(text, patterns=[regex], defaults=False)


@pytest.mark.parametrize("text", [*NEAR_MISSES, *PROSE])
def test_what_is_no_secret_stays(text: str) -> None:
    """Near misses and ordinary text come out as they went in."""
    assert redact_text(text) == text
    assert redact_text(f"Well, {text} indeed") == f"Well, {text} indeed"


def test_only_the_secret_is_replaced() -> None:
    """The words around it tell what was there."""
    assert redact_text("Bearer " + "abc123 x") == f"Bearer {REDACTED} x"
    assert redact_text("a://u:" + "pw@h/x") == f"a://u:{REDACTED}@h/x"
    assert redact_text("password=" + "hunter2.") == f"password={REDACTED}."
    assert (
        redact_text('so "api_key": "' + 'hunter2", "n": 1')
        == f'so "api_key": "{REDACTED}", "n": 1'
    )
    assert (
        redact_text("Authorization: Basic " + "Ym9iOmJvYg==")
        == f"Authorization: Basic {REDACTED}"
    )
    assert (
        redact_text("Cookie: " + "a=b; c=d\nHost: x") == f"Cookie: {REDACTED}\nHost: x"
    )


@pytest.mark.parametrize("key", DEFAULT_REDACT_KEYS)
def test_the_value_under_a_secret_key_is_replaced(key: str) -> None:
    """Keys match in every spelling, whatever the type of the value."""
    camel = "".join(part.title() for part in key.split("_"))
    camel = camel[:1].lower() + camel[1:]
    for spelling in (key, key.upper(), key.replace("_", "-").title(), camel):
        for value in ("x", 12345, 1.5, ["x"], {"a": "x"}):
            event = Redactor().redact({"input_data": {"a": [{spelling: value}]}})

            assert event == {"input_data": {"a": [{spelling: REDACTED}]}}


@pytest.mark.parametrize("key", ['("Cookie", "{}")', '[["Cookie", "{}"]]'])
def test_a_key_may_name_a_secret_and_hold_one(key: str) -> None:
    """What stands under such a key is hidden, and so is what stands in it."""
    secret = "sk-" + MIXED
    event = Redactor().redact({"input_data": {key.format(secret): "abc"}})

    assert secret not in str(event)
    assert [REDACTED] == list(event["input_data"].values())


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_name_counts_in_a_list_of_pairs_too(kind: Any) -> None:
    """Headers are often listed as pairs, as they are in ASGI, and in JSON in a text."""
    given = [("Host", "h"), ("Set-Cookie", "a=b"), ("apiKey", ["x"]), ("token", None)]
    hidden = [["Host", "h"], ["Set-Cookie", REDACTED], ["apiKey", REDACTED]]
    hidden += [["token", None]]

    listed = Redactor().redact({"a": {"b": [kind(pair) for pair in given]}})
    assert listed == {"a": {"b": hidden}}
    for indent in (None, 2):
        text = redact_text(json.dumps(given, indent=indent))
        assert json.loads(text) == hidden


@pytest.mark.parametrize(
    "given",
    [
        [("Host", "h"), ("Set-Cookie", "a=b; c=d"), ("x", "y")],
        (("Cookie", "a=b; c=d"), ("x", "y")),
        [["Host", 'it"s'], ["apiKey", "a=b; c=d"]],
        [(b"authorization", b"a=b; c=d"), (b"x", b"y")],
    ],
    ids=repr,
)
@pytest.mark.parametrize("write", [repr, pprint.pformat, "{0!r} and {0!r}".format])
def test_a_name_counts_in_the_repr_of_pairs(given: Any, write: Any) -> None:
    """So headers are often printed; the rest of them stays."""
    text = f"sent {write(given)} (twice)"

    assert redact_text(text) == text.replace("a=b; c=d", REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        """d.get("password", "x") [("a", "b")]""",
        """[("token", "b", "c"), ("n", 1)]""",
        """[("tokens", "b"), ("max_tokens", "c")]""",
        """["token", "b"], [("a", "token")]""",
        """[("token", None)] (("cookie", ""),)""",
    ],
)
def test_what_is_no_pair_in_a_text_stays(text: str) -> None:
    """A call, a triple, or a name that only contains a secret one hides nothing."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "tree",
    [
        ["password", "reset"],
        [["token", 1, 2]],
        ["password", ["token", "x"]],
        [["token", "a word"], "not a pair"],
        [{"token": None}, ["token", "a word"]],
        [],
    ],
    ids=repr,
)
def test_words_that_are_no_pairs_are_no_names(tree: Any) -> None:
    """A list of keywords or of columns stays as it is."""
    assert Redactor().redact({"a": copy.deepcopy(tree)}) == {"a": tree}


@pytest.mark.parametrize("pair", [("Cookie", "a=b"), (b"cookie", b"a=b")], ids=repr)
def test_a_pair_goes_no_way_round(pair: Any) -> None:
    """Whatever a record is taken for, a value beside a secret name is not in it."""
    for listed in ([pair], [list(pair)], [pair, ("Host", "h")]):
        assert plain(listed) is None
        record = logging.makeLogRecord({"msg": "m", "headers": listed})
        assert "a=b" not in AgentEventFormatter(agent_id="bot").format(record)


@pytest.mark.parametrize("key", NOT_SECRET_KEYS)
def test_keys_match_whole(key: str) -> None:
    """A name which only contains a secret one is not secret."""
    event = {"metadata": {key: "some words", key.upper(): 12}}

    assert Redactor().redact(copy.deepcopy(event)) == event


def test_values_which_tell_nothing_stay() -> None:
    """That a password is missing, empty or a flag is worth knowing, and no secret."""
    event = {
        "input_data": {"password": None, "token": "", "secret": True, "pwd": False}
    }

    assert Redactor().redact(copy.deepcopy(event)) == event


FIELDS = ["agent_id", "event_type", "status", "error_message", "timestamp", "novel"]


@pytest.mark.parametrize("field", FIELDS)
def test_every_plain_field_is_covered(field: str) -> None:
    """No field is trusted because of its name."""
    event = Redactor().redact({field: "ValueError: sk-" + MIXED})

    assert event == {field: f"ValueError: {REDACTED}"}


@pytest.mark.parametrize("field", ["input_data", "output_data", "metadata"])
@pytest.mark.parametrize("key", ["message", "traceback", "x", "event_id", "trace_id"])
def test_every_nested_field_is_covered(field: str, key: str) -> None:
    """Input, output and metadata are covered with message and traceback."""
    event = Redactor().redact({field: {"a": [[{key: "sk-" + MIXED}]]}})

    assert event == {field: {"a": [[{key: REDACTED}]]}}


def test_a_secret_used_as_a_key_is_replaced() -> None:
    """A dictionary by API key does not give the keys away, nor lose an entry."""
    keys = {"sk-" + MIXED: 1, "sk-" + MIXED[::-1]: 2, "plain": 3}
    event = Redactor().redact({"metadata": keys})

    assert event == {"metadata": {REDACTED: 1, f"{REDACTED} (2)": 2, "plain": 3}}


def test_json_in_a_string_is_redacted_by_key() -> None:
    """Keys count inside JSON held in a string, and inside JSON held in that."""
    inner = json.dumps({"ssn": "12 34", "n": 1, "\xe9": "\u20ac"})
    outer = json.dumps({"arguments": inner, "pwd": ["a", "b"], "max_tokens": 9})

    redacted = json.loads(redact_text(outer))

    assert redacted["pwd"] == REDACTED
    assert redacted["max_tokens"] == 9
    assert json.loads(redacted["arguments"]) == {
        "ssn": REDACTED,
        "n": 1,
        "\xe9": "\u20ac",
    }


@pytest.mark.parametrize(
    "text",
    [
        '{ "a" : 1.0,"b":[ ]}\n',
        '[{"tokens": 12e3, "x": "\\u00e9"}]',
        '{"password": null, "token": ""}',
        '"{}"',
        "{not json}",
        "[1] and [2]",
        "{",
        '""',
    ],
)
def test_a_clean_json_string_stays_byte_for_byte(text: str) -> None:
    """JSON is only written anew when something in it was replaced."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"cvv": "hunter2"}\n```',
        "{'ssn': 'hunter2', 'b': None}",
        '{"ssn": "hunter2", "ssn": null}',
        '{"ssn": "hunter2", "b": [1, 2',
        '{\\"ssn\\": \\"hunter2\\"}',
        '{"ssn": "hunter2", "b": ' + "9" * 5000 + "}",
        '{"ssn": "hunter2", "b": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"ssn": "hunter2", "b": "' + "x" * MAX_JSON_CHARS + '"}',
        '{"\\u0073sn": "hunter2"}',
        '{"ssn": "hunter2", "b": "\\ud800"}',
    ],
)
def test_a_key_in_quotes_is_a_key_wherever_it_stands(text: str) -> None:
    """JSON in prose, a repr, broken, repeated, deep, huge: the value is found."""
    redacted = redact_text(text)

    assert "hunter2" not in redacted
    assert REDACTED in redacted
    assert redacted.encode()


def test_own_keys_add_to_the_built_in_ones() -> None:
    """`redact_keys` are names like the built-in ones, in data and in quotes."""
    redactor = Redactor(keys=["Customer Name"])
    event = {"input_data": {"customerName": "Ann", "password": "x", "name": "Ann"}}
    event["metadata"] = {"message": "got {'customer-name': 'Ann'}"}

    assert redactor.redact(event) == {
        "input_data": {"customerName": REDACTED, "password": REDACTED, "name": "Ann"},
        "metadata": {"message": f"got {{'customer-name': '{REDACTED}'}}"},
    }


def test_own_patterns_add_to_the_built_in_ones() -> None:
    """The group named secret, or else the whole match, is replaced."""
    patterns = ["order-[0-9]+", re.compile("(?i)name=(?P<secret>[a-z]+)?")]
    text = "order-17 for NAME=Ann and name= with sk-" + MIXED

    assert (
        redact_text(text, patterns=patterns)
        == f"{REDACTED} for NAME={REDACTED} and {REDACTED} with {REDACTED}"
    )


def test_a_pattern_that_matches_nothing_in_particular_does_no_harm() -> None:
    """An empty match replaces nothing, so that the text does not grow."""
    assert redact_text("abc", patterns=["x*"]) == "abc"
    assert Redactor(patterns=[".*"]).redact({"status": "abc"}) == {"status": REDACTED}


def test_no_pattern_takes_the_name_of_a_field_for_a_secret() -> None:
    """An event stays one, whatever the user's pattern matches; other keys are text."""
    redactor = Redactor(patterns=["[a-z]+_(?:data|7)"])
    event = {"input_data": {"customer_7": 1}, "error_message": "some_data"}

    assert redactor.redact(event) == {
        "input_data": {REDACTED: 1},
        "error_message": REDACTED,
    }


def test_the_defaults_can_be_left_out() -> None:
    """Without defaults only what the user named is secret."""
    redactor = Redactor(["mine"], ["zzz"], defaults=False)
    event = {"input_data": {"password": "x", "mine": "y", "a": "zzz sk-" + MIXED}}

    assert redactor.redact(event) == {
        "input_data": {"password": "x", "mine": REDACTED, "a": f"{REDACTED} sk-{MIXED}"}
    }
    assert Redactor(defaults=False).redact({"a": JWT}) == {"a": JWT}


@pytest.mark.parametrize(
    "patterns", ["abc", b"abc", ["("], [""], [b"a"], [1], 7, [None]]
)
def test_a_wrong_pattern_is_told_at_once(patterns: Any) -> None:
    """The error names the option, what was given and what is allowed."""
    with pytest.raises(ConfigError, match="redact_patterns.*regular expression"):
        Redactor(patterns=patterns)


def test_a_compiled_pattern_of_bytes_is_refused() -> None:
    """Events hold text, in which a pattern of bytes finds nothing."""
    with pytest.raises(ConfigError, match="redact_patterns"):
        Redactor(patterns=[re.compile(b"a")])  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", ["password", b"x", [1], [""], ["-_ "], 7, [None]])
def test_a_wrong_key_is_told_at_once(keys: Any) -> None:
    """One text is not a list of names, though Python would take it for one."""
    with pytest.raises(ConfigError, match="redact_keys.*names"):
        Redactor(keys=keys)


def test_an_error_shows_a_bounded_part_of_what_was_given() -> None:
    """A pattern of a megabyte does not fill the terminal."""
    with pytest.raises(ConfigError) as caught:
        Redactor(patterns=["(" * 10_000])

    assert len(str(caught.value)) < 400


def test_the_redactor_sees_every_text_after_the_built_ins() -> None:
    """It is asked for each leaf, once, and never for a secret already found."""
    asked: List[str] = []

    def shout(text: str) -> str:
        asked.append(text)
        return text.upper()

    event = {
        "input_data": {"a": ["x", {"b": "sk-" + MIXED}], "n": 1},
        "agent_id": "bot",
    }

    assert Redactor(redactor=shout).redact(event) == {
        "input_data": {"a": ["X", {"b": REDACTED}], "n": 1},
        "agent_id": "BOT",
    }
    assert sorted(asked) == sorted([REDACTED, "bot", "x"])


@pytest.mark.parametrize("answer", [None, 7, b"x", ValueError("no"), RecursionError()])
def test_a_failing_redactor_hides_the_value(answer: Any) -> None:
    """What a redactor does not answer for must not leave."""

    def fail(text: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    event = {
        "input_data": {"a": ["x"], "n": 1},
        "error_message": "E: x",
        "cost_usd": 1.5,
    }

    assert Redactor(redactor=fail).redact(event) == {
        "input_data": {"a": [REDACTED], "n": 1},
        "error_message": REDACTED,
        "cost_usd": 1.5,
    }


def test_a_failing_redactor_leaves_the_event_deliverable() -> None:
    """Ids, time and status are made by us: a server can still store the event."""

    def fail(text: str) -> str:
        raise ValueError(text)

    event: Dict[str, Any] = {
        "timestamp": "2026-10-16T12:00:00.123456Z",
        "status": "error",
        "metadata": {"event_id": HEX + HEX, "span_id": HEX, "trace_id": "Ann's trace"},
    }
    expected = copy.deepcopy(event)
    expected["metadata"]["trace_id"] = REDACTED

    assert Redactor(redactor=fail).redact(event) == expected


class Stubborn(dict):  # type: ignore[type-arg]
    """A dict that cannot be read."""

    def keys(self) -> Any:
        """Refuse."""
        raise ValueError("no")

    __iter__ = keys
    items = keys


class Shouting(str):
    """A str with a mind of its own."""

    def __str__(self) -> str:
        """Pretend to be harmless."""
        return "harmless"


def test_what_cannot_be_redacted_is_replaced_and_the_rest_survives() -> None:
    """One unreadable value costs this value, not the event."""
    broken = Stubborn(a="hunter2")
    event = {"status": "success", "metadata": {"bad": broken, "good": "sk-" + MIXED}}

    assert Redactor().redact(event) == {
        "status": "success",
        "metadata": {"bad": REDACTED, "good": REDACTED},
    }


def test_a_tree_that_contains_itself_comes_to_an_end() -> None:
    """A cycle is not JSON-ready; it is replaced where it hangs."""
    cycle: Dict[str, Any] = {"a": "sk-" + MIXED}
    cycle["b"] = [cycle]

    event = Redactor().redact({"agent_id": "bot", "input_data": cycle})

    assert event["agent_id"] == "bot"
    assert MIXED not in json.dumps(event)


def test_unusual_values_are_looked_into_or_replaced() -> None:
    """Tuples, subclasses and objects do not carry a secret past us."""
    secret = "sk-" + MIXED
    event = {
        "input_data": {"a": (secret, "x"), "b": Shouting(secret), "c": {1: secret}}
    }
    event["output_data"] = {"o": secret.encode(), "s": {secret}}

    assert Redactor().redact(event) == {
        "input_data": {"a": [REDACTED, "x"], "b": REDACTED, "c": {1: REDACTED}},
        "output_data": {"o": REDACTED, "s": REDACTED},
    }


def test_deep_trees_are_redacted() -> None:
    """Depth costs no recursion."""
    tree: Any = {"password": "hunter2"}
    for _ in range(50_000):
        tree = [tree]
    event = Redactor().redact({"input_data": {"a": tree}})
    node = event["input_data"]["a"]
    while isinstance(node, list):
        # Taken apart on the way, as freeing a deep tree recurses in C.
        node = node.pop()

    assert node == {"password": REDACTED}


def test_a_text_found_clean_is_clean_the_next_time_too() -> None:
    """Memory of clean texts changes nothing, however many there are."""
    redactor = Redactor()
    for number in range(5000):
        event = {"a": f"text {number}", f"key {number}": 1, "password": str(number)}
        expected = {**event, "password": REDACTED}

        assert redactor.redact(event) == expected
    assert redactor.redact({"a": "text 1", "b": "sk-" + MIXED})["b"] == REDACTED


def test_what_was_not_parsed_is_not_remembered_as_clean() -> None:
    """A text met too deep in JSON to be parsed is parsed when it comes by itself."""
    redactor = Redactor()
    text = '{"\\u0073sn": "hunter2"}'
    deep = text
    for _ in range(5):
        deep = json.dumps([deep])
    redactor.redact({"a": deep})

    assert "hunter2" not in redactor.redact({"a": text})["a"]


PIECES = [
    *(
        "password=",
        "password: ",
        "token: ",
        '"',
        "'",
        "\\",
        "Bearer ",
        "Cookie: a=",
        "://",
    ),
    *(
        "Authorization: ",
        "Basic ",
        "eyJ",
        "sk-",
        "sk-ant-",
        "-",
        "_",
        ":",
        "=",
        "@",
        " ",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "{",
        "}",
        "[",
        "]",
        "[('token', ",
        '), ("',
        "\n",
        "a",
        "9",
        "api_key",
        "secret",
    ),
    *(
        "a://",
        "AKIA",
        "SG.",
        ".",
        "?sig=",
        "&token=",
        "--password ",
        "password is ",
        ";",
    ),
    *(
        REDACTED,
        MIXED,
        JWT,
        "hunter2",
        ",",
        '{"pwd": "',
        "'ssn': '",
        "\\n",
        "xoxb-",
        "SK",
    ),
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_anything_is_redacted_in_linear_time(piece: str) -> None:
    """No regex backtracks over and over: twenty times the text, about twenty times."""
    seconds = []
    for size in (50_000, 1_000_000):
        text = (piece * (size // len(piece) + 1))[:size]
        started = time.perf_counter()
        Redactor().redact({"a": text})
        seconds.append(time.perf_counter() - started)

    assert seconds[1] < 80 * seconds[0] + 1.0


@pytest.mark.parametrize("name", DEFAULT_REDACT_PATTERNS)
def test_each_regex_is_linear_on_its_own_beginnings(name: str) -> None:
    """A long text of what nearly matches a pattern, in each of its ways, ends soon."""
    hits, misses = CORPUS[name]
    for text in [*(text for text, _ in hits), *misses]:
        for unit in (text, text[: len(text) // 2], text[:-1] + "a" * 300):
            assert redact_text(unit * (100_000 // len(unit))) is not None


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("://://@@")
@example("://:a/b@c@d")
@example("://:" + "a" * 250 + "@b@c@d")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """A marker is never taken for a secret again."""
    once = Redactor().redact({"a": {"b": text}})

    assert Redactor().redact(copy.deepcopy(once)) == once


WORDS = st.text("abc xyz.,-_:=\"'\\{}[]\n\u20ac", max_size=12)
SECRETS = st.sampled_from(
    [
        *("sk-" + MIXED, JWT, "ghp_" + MIXED + "abcd", "AKIA" + "IOSFODNN7EXAMPLE"),
        *("xoxb-" + "1234567890-" + MIXED, "AIza" + "SyA-" + MIXED, "hf_" + MIXED),
    ]
)


@st.composite
def planted(draw: Any) -> Tuple[Any, str]:
    """Return a random tree with a secret somewhere in it, and the secret."""
    secret = draw(SECRETS)
    tree: Any = draw(WORDS) + " " + secret + " " + draw(WORDS)
    for _ in range(draw(st.integers(0, 6))):
        siblings = draw(
            st.lists(st.one_of(WORDS, st.integers(), st.none()), max_size=3)
        )
        shape = draw(st.sampled_from(["list", "dict", "json", "key", "pairs"]))
        if shape == "list":
            tree = [*siblings, tree]
        elif shape == "dict":
            tree = {**{f"k{n}": value for n, value in enumerate(siblings)}, "x": tree}
        elif shape == "json":
            tree = json.dumps(tree)
        elif shape == "pairs":
            name = draw(st.sampled_from(["y", "Cookie"]))
            tree = [["x", siblings], [name, tree]]
        else:
            tree = {tree if isinstance(tree, str) else "t": siblings, "y": tree}
    return tree, secret


@settings(max_examples=250, deadline=None)
@given(planted())
def test_a_planted_secret_never_survives(case: Tuple[Any, str]) -> None:
    """Wherever in a tree a secret stands, what leaves does not contain it."""
    tree, secret = case
    fields = ("input_data", "output_data", "metadata", "error_message")
    event = {field: copy.deepcopy(tree) for field in fields}

    assert secret not in json.dumps(Redactor().redact(event))


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_ready_tree_stays_one(tree: Any) -> None:
    """Redaction never raises, and what comes out is as JSON-ready as what went in."""
    redacted = Redactor().redact({"input_data": tree})

    assert json.loads(json.dumps(redacted)) is not None


# -- many at once ------------------------------------------------------------------------


def plain(tree: Any) -> Optional[PlainEvent]:
    """Return the event of a record with *tree* as its input, if that is a plain one."""
    record = logging.LogRecord("shop", 20, "/a/basket.py", 7, "m", (), None, "buy")
    record.__dict__["input_data"] = tree
    return plain_event(snapshot_record(record).__dict__, "bot", None, 100_000)


def dicts(events: Sequence[AnyEvent]) -> List[Dict[str, Any]]:
    """Return *events* as dicts, which their JSON has to be as well."""
    trees = []
    for event in events:
        tree = event
        if isinstance(event, PlainEvent):
            tree = event.as_event()
            assert tree == json.loads(_plain_json(event))
        assert tree == json.loads(encode(event, 1_000_000))
        trees.append(tree)
    return trees


OWN = "own-key-9f31c0aa7d52e84b-not-like-any-other"


@pytest.mark.parametrize(
    "text",
    [
        f"calling with {OWN}",
        f'{{"calling": ["with {OWN}"]}}',
        f"{OWN}{OWN}",
        json.dumps(json.dumps({OWN: 1})),
    ],
)
@pytest.mark.parametrize("defaults", [True, False])
def test_the_key_that_we_send_with_never_leaves(text: str, defaults: bool) -> None:
    """It is hidden in any text, also among many, whatever the options are."""
    redactor = Redactor(defaults=defaults, own_key=Secret(OWN))
    event = {"input_data": {"a": text, f"b {OWN}": [text, "c"]}}

    told = redactor.redact(copy.deepcopy(event))
    events = [event for event in map(plain, [text, "clean"]) if event is not None]
    many = dicts(redactor.redact_all(events))

    assert OWN not in str(told)
    assert REDACTED in told["input_data"]["a"]
    assert "c" == list(told["input_data"].values())[1][1]
    assert OWN not in str(many)
    assert {"value": "clean"} == many[-1]["input_data"]


def test_no_own_key_hides_nothing() -> None:
    """Without a key, texts stay as they are."""
    assert "calling with" == redact_text("calling with", own_key=Secret())


@settings(max_examples=150, deadline=None)
@given(st.lists(planted(), min_size=1, max_size=8), st.integers(0, 8))
def test_many_events_are_redacted_as_each_is(cases: Any, clean: int) -> None:
    """What goes the short way comes out as what goes the careful way, time and again."""
    trees = [tree for tree, _ in cases] + ["nothing here", ["no", {"a": "b"}]] * clean
    events = [event for event in map(plain, trees) if event is not None]
    before = [event.copied() for event in events]
    careful = [Redactor().redact(event.copied()) for event in events]
    redactor = Redactor()

    for _ in range(2):
        assert careful == dicts(redactor.redact_all(events))
        assert careful == dicts([redactor.redact(event) for event in events])
    assert before == dicts(events)


class Noting(Redactor):
    """Note how much is searched at once."""

    def __init__(self) -> None:
        super().__init__()
        self.chars: List[int] = []

    def _harmless(self, texts: Sequence[str]) -> bool:
        self.chars.append(sum(map(len, texts)))
        return super()._harmless(texts)


@pytest.mark.parametrize("number", [1, 4, 5, 9, 40])
def test_many_long_texts_are_searched_in_portions(number: int) -> None:
    """Who searches megabytes at once holds up the application; none is left out."""
    redactor, key = Noting(), "sk-" + MIXED
    clean = {f"{n} {'x' * 60_000}" for n in range(number)}

    assert redactor.replacements(set(), clean) == {}
    assert max(redactor.chars) < 330_000
    assert sum(redactor.chars) == sum(map(len, clean))
    instead = redactor.replacements(set(), {*clean, f"key {key} {'y' * 60_000}"})
    assert instead is not None
    assert list(instead.values()) == [f"key {REDACTED} {'y' * 60_000}"]


def test_what_stands_for_a_text_is_remembered_and_the_text_is_not() -> None:
    """A history with a secret comes again with every call; no secret is kept for it."""
    text = "the key is sk-" + MIXED
    event = plain([text, "and nothing else"])
    assert event is not None
    redactor = Redactor()
    once = redactor.redact_all([event])
    calls: List[str] = []
    redactor._text = lambda text, levels: calls.append(text)  # type: ignore

    assert dicts(once) == dicts(redactor.redact_all([event]))
    assert [] == calls
    assert MIXED not in repr(vars(redactor))
    assert text in event.input_data["items"]


def test_what_is_remembered_is_bounded() -> None:
    """However many texts have a secret, few of them are remembered."""
    redactor = Redactor()
    for number in range(3_000):
        event = plain(f"number {number}: sk-{MIXED}")
        assert event is not None
        assert MIXED not in str(dicts(redactor.redact_all([event])))
    event = plain("sk-" + MIXED + "x" * 10_000)
    assert event is not None
    redactor.redact_all([event])

    assert len(redactor._redacted) <= 256
    assert all(len(text) < 200 for text in redactor._redacted.values())
