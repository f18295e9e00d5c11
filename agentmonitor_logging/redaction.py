"""Remove secrets from an event before it leaves the process or touches the disk.

By key: the value under `password`, `api_key` ... goes whole, also inside JSON held in a
string. By pattern: in any other text only the secret itself goes, so that a prompt
stays readable. A failure of ours hides more, never less.

Most events hold nothing to hide and every event passes here, so each rule names what
must stand in a text before its regex is worth running.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from types import MappingProxyType
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    Match,
    NamedTuple,
    Optional,
    Pattern,
    Sequence,
    Set,
    Tuple,
    Union,
)

from .exceptions import ConfigError

REDACTED = "[REDACTED]"
"""What stands where a secret stood. It never echoes any part of the secret."""

DEFAULT_REDACT_KEYS: Tuple[str, ...] = tuple(
    """
    password passwd pwd passphrase passcode password_hash old_password new_password
    current_password confirm_password user_password admin_password root_password
    db_password database_password postgres_password pgpassword mysql_password
    mysql_root_password redis_password smtp_password email_password

    secret secrets client_secret app_secret consumer_secret secret_token shared_secret
    signing_secret jwt_secret webhook_secret totp_secret api_secret secret_key
    django_secret_key secret_access_key aws_secret_access_key stripe_secret_key
    langfuse_secret_key access_key access_key_id aws_access_key_id account_key
    shared_access_key private_key private_key_pem ssh_key ssh_private_key signing_key
    encryption_key master_key service_account_key service_role_key subscription_key
    ocp_apim_subscription_key session_key

    api_key api_keys x_api_key x_goog_api_key openai_api_key azure_openai_api_key
    anthropic_api_key gemini_api_key google_api_key cohere_api_key mistral_api_key
    groq_api_key together_api_key openrouter_api_key deepseek_api_key tavily_api_key
    pinecone_api_key serper_api_key serpapi_api_key wandb_api_key stripe_api_key
    sendgrid_api_key langsmith_api_key langchain_api_key agentmonitor_api_key

    token access_token refresh_token id_token auth_token api_token bearer bearer_token
    bot_token oauth_token session_token jwt jwt_token security_token aws_session_token
    x_amz_security_token personal_access_token github_token gh_token gitlab_token
    slack_token slack_bot_token hf_token huggingface_token npm_token telegram_bot_token
    discord_token vault_token x_vault_token x_auth_token x_access_token csrf csrf_token
    x_csrf_token xsrf_token x_xsrf_token csrfmiddlewaretoken

    auth authorization proxy_authorization x_authorization basic_auth http_auth cookie
    cookies set_cookie session_cookie auth_cookie phpsessid jsessionid
    asp.net_sessionid connect.sid credential credentials connection_string conn_string
    conn_str azure_storage_connection_string
    slack_webhook_url

    mnemonic seed_phrase recovery_code recovery_codes otp otp_code pin_code ssn
    social_security_number credit_card credit_card_number card_number cc_number cvv
    cvv2 cvc card_cvc iban
    """.split()  # noqa: SIM905  a list of 150 literals is not read by anybody
)
"""Names whose value is replaced whatever it is. They match whole: `max_tokens`,
`token_count`, `cookie_consent` and `session_id` are none of them."""

MAX_JSON_CHARS = 256 * 1024
"""Longer strings are not parsed as JSON. An event is not larger than this by default,
and a quoted key with its value is still found in them by pattern."""

MAX_JSON_LEVELS = 3
"""JSON in a string of JSON in a string: deeper is not parsed, only searched."""

MAX_NODES = 200_000
"""Containers visited per tree: far more than a real event has, so this only ends a
tree which contains itself."""

_MAX_SHOWN_CHARS = 80
_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_CHARS = 4096
_SEPARATORS = {ord(separator): None for separator in "-_ "}
_JSON_STARTS = frozenset('{["')
_JSON_ENDS = frozenset('}]"')
_SCALARS = frozenset((int, float, bool, type(None)))

_MADE_BY_US = frozenset(
    ("timestamp", "status", "event_id", "trace_id", "span_id", "parent_span_id")
)
_WIRE_NAMES = _MADE_BY_US.union(
    ("agent_id", "event_type", "input_data", "output_data", "metadata", "cost_usd"),
    ("latency_ms", "error_message", "message", "logger", "level", "session_id"),
    ("user_id", "function_name", "module", "error_type", "traceback", "value", "items"),
)
"""Names an event is read by: no pattern may take them for a secret."""

_ID_OR_TIME = re.compile(r"[0-9a-f-]{16,36}|success|error|[0-9]{4}-[0-9T:.-]+Z?")
"""What must stay for an event to be accepted and told from others, whatever a failing
redactor says of it."""

Tree = Union[Dict[Any, Any], List[Any]]
PatternLike = Union[str, Pattern[str]]


class Rule(NamedTuple):
    """Describe one kind of secret in text.

    *regex* is an ASCII regular expression whose group `secret`, or else the whole
    match, is replaced. It is tried only on a text which contains one of *literals*, or
    one of *names* (lower case, compared without case) right before a `:` or `=`.
    """

    regex: str
    literals: Tuple[str, ...] = ()
    names: Tuple[str, ...] = ()


# How a value may follow a name. Three ways to quote it, as JSON escaped once more has
# \" for quotes, and only the quote which opened a value ends it.
_OPEN = r"""(?:(?P<e>\\{1,3}["'])|(?P<d>")|(?P<s>'))?"""
_QUOTED = (
    r"""(?(e)[^"'\\\r\n]+"""
    r"""|(?(d)[^"\r\n]+(?:(?<=\\)"[^"\r\n]+){0,8}"""
    r"""|(?(s)[^'\r\n]+(?:(?<=\\)'[^'\r\n]+){0,8}"""
    r"""|%s)))"""
)
_ASSIGN = (
    r"""\\{0,3}["'`]?[ \t]{0,4}"""
    r"""(?::[ \t]{0,2}(?:str|string|bytes|SecretStr|Optional\[str\])[ \t]{0,2}="""
    r"""|:=|=>|={1,3}|:)[ \t]{0,4}"""
)
# What code and prose have where a secret might stand: a type, a call, a variable.
_CODE_OR_PROSE = (
    r"""(?!(?:str|string|bytes|int|bool|any|none|null|nil|undefined|true|false|optional"""
    r"""|required|secretstr|self|the|a|an|and|or|is|are|was|must|should|can|will|may|to"""
    r"""|of|for|in|you|your|my|we|it|not|no|yes|this|that|what|how)(?![\w@#!$%-])"""
    r"""|(?:self|os|settings|config|process|env|args|cls)\.[a-z_]|[a-z_.]{1,80}[(\[]"""
    r"""|\$[{(]|\$[a-z_]{2,80}(?![\w@#!$%-])|<[\w ./-]{0,80}>|%[srd(]|\*{3}|[{(]"""
    r"""|\[(?!REDACTED))"""
)
_WORD = r"""[^\s"'`\\,;&|]*[^\s"'`\\,;&|.:)\]}>!?]"""
# "token: 4096" and "key: value" are no secrets: ask for length, and for a digit.
_MIXED = r"""(?:(?=[^\s"'\\,;&]{0,64}[0-9])(?=[^\s"'\\,;&]{8})|(?=[a-z0-9+/=-]{20}))"""
_STRONG = (
    _OPEN + r"(?P<secret>" + _QUOTED % (_CODE_OR_PROSE + r"(?=\S{3})" + _WORD) + ")"
)
_WEAK = (
    _OPEN
    + r"""(?P<secret>(?(d)(?=[^"\r\n]{4})|(?(s)(?=[^'\r\n]{4})))"""
    + _QUOTED % (_CODE_OR_PROSE + _MIXED + _WORD)
    + ")"
)
_ANY = _OPEN + "(?P<secret>" + _QUOTED % (_CODE_OR_PROSE + _WORD) + ")"
_LEFT = r"(?<![A-Za-z0-9])"
_DIGIT_SOON = r"(?=[A-Za-z_-]{0,120}[0-9])"

DEFAULT_REDACT_PATTERNS: Mapping[str, Rule] = MappingProxyType(
    {
        "private_key": Rule(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[\s\\rn]{0,8}(?:Proc-Type|DEK-Info|Version|Comment):[^\r\n\\]{0,200})"
            r"{0,4}[\s\\rn>|]{0,64}[A-Za-z0-9+/]{16}[A-Za-z0-9+/=\s\\>|]*"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
            ("PRIVATE KEY",),
        ),
        "jwt": Rule(
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
            r"(?:\.[A-Za-z0-9_-]*){0,3}",
            ("eyJ",),
        ),
        "url_password": Rule(
            r"""://[^\s/?#@:"'<>]{0,256}:(?![0-9]{1,5}[/?#])"""
            r"""(?P<secret>[^\s/?#"'<>]{1,256}|[^\s?#@"'<>]{1,256})@""",
            ("://",),
        ),
        "query_secret": Rule(
            r"(?i)[?&;](?:access_token|refresh_token|id_token|auth_token|token|api_?key"
            r"|key(?==[^&\s]{16})|password|passwd|pwd|secret|client_secret|sig|signature"
            r"|x-amz-signature|x-amz-security-token|x-goog-signature)="
            r"""(?P<secret>[^&;\s#"'<>\\)\]]{4,})""",
            names=(
                *("token", "apikey", "api_key", "?key", "&key", "password", "passwd"),
                *("pwd", "secret", "sig", "signature"),
            ),
        ),
        "authorization": Rule(
            r"""(?i)authorization\\{0,3}["']?[ \t]{0,4}[:=][ \t]{0,4}\\{0,3}["']?"""
            r"""(?:(?P<long>digest|oauth|signature|aws4-hmac-sha256)[ \t]{1,4}"""
            r"""|(?P<scheme>basic|bearer|negotiate|ntlm|token|apikey|key)[ \t]{1,4})?"""
            r"""(?P<secret>(?(long)[^\r\n]+|(?(scheme)[^\s"'\\,;]{3,}"""
            rf"""|{_MIXED}[^\s"'\\,;]+)))""",
            names=("authorization",),
        ),
        "bearer": Rule(
            r"(?i)bearer[ \t]{1,4}"
            r"(?=[A-Za-z/-]{0,200}(?:[0-9]|[._~+=][A-Za-z0-9])|[A-Za-z/-]{24})"
            r"(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
            ("earer ", "EARER "),
        ),
        "cookie": Rule(
            r"""(?i)(?P<q>["'])?(?<![A-Za-z0-9_])(?:set-)?cookie2?\\{0,3}["']?"""
            r"""[ \t]{0,2}:[ \t]{0,4}\\{0,3}["']?"""
            r"""(?P<secret>[^"'\\\s=;:,]{1,128}=(?(q)[^"'\\\r\n]+|[^\\\r\n]+))""",
            names=("cookie",),
        ),
        "password": Rule(
            r"(?i)(?:password|passwd|passphrase|(?<![a-z])(?:pass(?==)|pwd(?![\"']?=/)))"
            + _ASSIGN
            + _STRONG,
            names=("password", "passwd", "passphrase", "pass", "pwd"),
        ),
        "password_told": Rule(
            r"(?i)password is:?[ \t]{1,4}"
            r"""(?!\d{1,6}-?(?:bit|byte|char|digit|day|hour|minute|month|year|time))"""
            r"""(?:["'`](?P<q>))?(?P<secret>(?(q)[^"'`\r\n]{3,128}|"""
            r"""(?=[^\s"'`,;]{0,64}[0-9@#$%^&*])(?=[^\s"'`,;]{4})"""
            + _CODE_OR_PROSE
            + _WORD
            + "))",
            ("ssword is",),
        ),
        "secret": Rule(
            r"(?i)secret(?:[-_ ]?(?:access[-_ ]?)?key)?" + _ASSIGN + _WEAK,
            names=(
                *("secret", "secretkey", "secret_key", "secret-key", "secret key"),
                *("accesskey", "access_key", "access-key", "access key"),
            ),
        ),
        "api_key": Rule(
            r"(?i)(?:api|access|private|signing|subscription)[-_ ]?key"
            + _ASSIGN
            + _WEAK,
            names=tuple(
                f"{kind}{separator}key"
                for kind in ("api", "access", "private", "signing", "subscription")
                for separator in ("", "_", "-", " ")
            ),
        ),
        "token": Rule(
            r"(?i)(?:(?:access|refresh|id|auth|api|bot|bearer|csrf|xsrf|session|oauth"
            r"|security|secret|jwt)[-_ ]?|(?<![a-z0-9_-]))token" + _ASSIGN + _WEAK,
            names=("token",),
        ),
        "command_flag": Rule(
            r"(?i)(?<![\w-])--(?:password|passwd|passphrase|token|access-token|auth-token"
            r"|api-?key|secret|secret-key|client-secret)(?:[ \t]{1,4}|=)(?!-)"
            r"""["']?(?P<secret>(?=[^\s]{0,64}[0-9@#$%^&*!_])(?=[^\s"'\\]{4})"""
            + _CODE_OR_PROSE
            + _WORD
            + ")",
            ("--pass", "--token", "--a", "--secret", "--client-secret"),
        ),
        "azure_account_key": Rule(
            r"(?i)(?:Account|SharedAccess)Key=(?P<secret>[A-Za-z0-9+/=]{20,})",
            names=("accountkey", "sharedaccesskey"),
        ),
        "anthropic": Rule(_LEFT + r"sk-ant-[A-Za-z0-9_-]{20,}", ("sk-ant-",)),
        "langfuse": Rule(_LEFT + r"sk-lf-[0-9a-f-]{32,}", ("sk-lf-",)),
        "openai": Rule(
            _LEFT + r"sk-" + _DIGIT_SOON + r"[A-Za-z0-9_-]{20,}",
            ("sk-",),
        ),
        "google_api_key": Rule(_LEFT + r"AIza[A-Za-z0-9_-]{30,}", ("AIza",)),
        "google_client_secret": Rule(
            _LEFT + r"GOCSPX-[A-Za-z0-9_-]{20,}", ("GOCSPX-",)
        ),
        "aws_access_key_id": Rule(
            r"(?<![A-Za-z0-9+/])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9+/])",
            ("AKIA", "ASIA"),
        ),
        "github": Rule(
            _LEFT + r"(?:gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})",
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        ),
        "gitlab": Rule(_LEFT + r"glpat-[A-Za-z0-9_.-]{20,}", ("glpat-",)),
        "slack": Rule(
            _LEFT + r"(?:xox[abeoprs]|xapp)-[0-9A-Za-z][0-9A-Za-z.-]{9,}",
            (*(f"xox{kind}-" for kind in "abeoprs"), "xapp-"),
        ),
        "slack_webhook": Rule(
            r"hooks\.slack\.com/(?:services|workflows|triggers)/"
            r"(?P<secret>[A-Za-z0-9_/+-]{20,})",
            ("slack.com/",),
        ),
        "stripe": Rule(
            _LEFT
            + r"(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,})",
            ("sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_"),
        ),
        "huggingface": Rule(_LEFT + r"hf_[A-Za-z0-9]{30,}", ("hf_",)),
        "groq": Rule(_LEFT + r"gsk_[A-Za-z0-9]{40,}", ("gsk_",)),
        "replicate": Rule(_LEFT + r"r8_[A-Za-z0-9]{30,}", ("r8_",)),
        "xai": Rule(_LEFT + r"xai-[A-Za-z0-9]{40,}", ("xai-",)),
        "perplexity": Rule(_LEFT + r"pplx-[A-Za-z0-9]{40,}", ("pplx-",)),
        "nvidia": Rule(_LEFT + r"nvapi-[A-Za-z0-9_-]{40,}", ("nvapi-",)),
        "tavily": Rule(_LEFT + r"tvly-(?:dev-)?[A-Za-z0-9]{20,}", ("tvly-",)),
        "pinecone": Rule(_LEFT + r"pcsk_[A-Za-z0-9_]{40,}", ("pcsk_",)),
        "langsmith": Rule(
            _LEFT + r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{30,}", ("lsv2_pt_", "lsv2_sk_")
        ),
        "sendgrid": Rule(
            _LEFT + r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{20,}", ("SG.",)
        ),
        "twilio": Rule(_LEFT + r"SK[0-9a-f]{32}(?![A-Za-z0-9])", ("SK",)),
        "npm": Rule(_LEFT + r"npm_[A-Za-z0-9]{36,}", ("npm_",)),
        "pypi": Rule(_LEFT + r"pypi-AgE[A-Za-z0-9_-]{40,}", ("pypi-",)),
        "digitalocean": Rule(
            _LEFT + r"do[opr]_v1_[0-9a-f]{64}", ("dop_v1_", "doo_v1_", "dor_v1_")
        ),
        "databricks": Rule(
            _LEFT + r"dapi[0-9a-f]{32}(?:-[0-9])?(?![A-Za-z0-9])", ("dapi",)
        ),
        "shopify": Rule(
            _LEFT + r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}",
            ("shpat_", "shpca_", "shppa_", "shpss_"),
        ),
        "telegram": Rule(
            r"(?<![0-9A-Za-z])(?P<secret>[0-9]{8,10}:AA[A-Za-z0-9_-]{30,})", (":AA",)
        ),
    }
)
"""What is looked for in text, by name. *redact_patterns* adds to them."""

# A key in quotes is a key wherever it stands: in the repr of a dict, in JSON inside
# prose, in JSON too long or too broken to be parsed.
_QUOTED_KEY = Rule(
    r"""(?i)(?P<q>\\{0,3}["'])(?P<name>[^"'\\\r\n]{1,64})(?P=q)[ \t]{0,4}:[ \t]{0,4}"""
    + _ANY,
    ('":', "':"),
)


class _Masker:
    """Replace what one regex finds in a text; compiled when first needed."""

    def __init__(
        self, pattern: PatternLike, secret_names: Optional[FrozenSet[str]] = None
    ) -> None:
        self._pattern = pattern
        self._secret_names = secret_names
        self._regex = pattern if isinstance(pattern, re.Pattern) else None

    def __call__(self, text: str) -> str:
        regex = self._regex
        if regex is None:
            regex = self._regex = re.compile(self._pattern, re.ASCII)
        return regex.sub(self._mask, text)

    def _mask(self, match: Match[str]) -> str:
        start, end = match.span()
        whole = match.group()
        secret_names = self._secret_names
        if secret_names is not None and _normal(match["name"]) not in secret_names:
            return whole
        if "secret" in match.re.groupindex and match["secret"] is not None:
            start, end = match.span("secret")
        # What was replaced before stays as it is, though a regex may not see its "]".
        if match.string[start:end] in ("", REDACTED, REDACTED[:-1]):
            return whole
        first = match.start()
        return whole[: start - first] + REDACTED + whole[end - first :]


class _Spotter:
    """Tell which maskers are worth running on a text, without running any.

    Searching a long text for a short literal costs far more than for one rare
    character. So a literal is looked up by such a *mark* in it and the characters
    before the mark, and only then searched for whole.
    """

    _MARKS: Tuple[Tuple[str, int], ...] = (
        *(("_", 2), ("-", 2), ("J", 2), ("z", 2)),
        *(("/", 1), ("A", 1), ("G", 1), ("K", 1), (":", 1)),
    )

    def __init__(self, rules: Iterable[Tuple[Rule, _Masker]]) -> None:
        self._maskers: List[_Masker] = []
        self._plain: List[Tuple[str, int]] = []
        self._marked: Dict[str, Dict[str, List[Tuple[str, int]]]] = {}
        self._named: Dict[str, List[Tuple[str, int]]] = {}
        for number, (rule, masker) in enumerate(rules):
            self._maskers.append(masker)
            for literal in rule.literals:
                self._place(literal).append((literal, number))
            for name in rule.names:
                self._named.setdefault(name[-3:], []).append((name, number))

    def _place(self, literal: str) -> List[Tuple[str, int]]:
        for mark, width in self._MARKS:
            before, found, _ = literal[1:].partition(mark)
            _, ended, tail = (literal[0] + before).rpartition(mark)
            if found and (ended or len(tail) >= width):
                tails = self._marked.setdefault(mark, {})
                return tails.setdefault(tail[-width:], [])
        return self._plain

    def spot(self, text: str) -> Sequence[_Masker]:
        """Return the maskers to run on *text*, in their order."""
        found: Set[int] = set()
        for literal, number in self._candidates(text):
            if literal in text:
                found.add(number)
        if self._named:
            self._spot_names(text, found)
        return [self._maskers[number] for number in sorted(found)] if found else ()

    def _candidates(self, text: str) -> List[Tuple[str, int]]:
        candidates = self._plain[:]
        for mark, width in self._MARKS:
            tails = self._marked.get(mark)
            if tails and mark in text:
                seen = {part[-width:] for part in text.split(mark)}
                for tail in seen & tails.keys():
                    candidates += tails[tail]
        return candidates

    def _spot_names(self, text: str, found: Set[int]) -> None:
        for operator in ":=":
            if operator not in text:
                continue
            for part in text.split(operator):
                word = part[-24:].rstrip(" \t\"'`\\=").lower()
                for name, number in self._named.get(word[-3:], ()):
                    if word.endswith(name):
                        found.add(number)


class Redactor:
    """Replace the secrets of an event by `[REDACTED]`.

    *keys* are names whose values are secret; *patterns* are regular expressions, as
    text or compiled, whose group `secret`, or else the whole match, is secret. Both
    add to the built-in lists, or stand alone when *defaults* is False. *redactor* is
    called with each string value afterwards and returns what may leave the process; if
    it fails, the value is replaced.

    Raises ConfigError for keys and patterns that cannot be used. Texts in which nothing
    was found are remembered, within narrow bounds, as a chat history comes again with
    every call.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        patterns: Iterable[PatternLike] = (),
        *,
        defaults: bool = True,
        redactor: Optional[Callable[[str], str]] = None,
    ) -> None:
        names = _checked_keys(keys)
        if defaults:
            names |= {_normal(key) for key in DEFAULT_REDACT_KEYS}
        self._secret_names = frozenset(names)
        self._patterns = _checked_patterns(patterns)
        self._spotter = _Spotter(_rules(self._secret_names, defaults=defaults))
        self._redactor = redactor
        self._clean_keys: Set[str] = set()
        self._clean_texts: Set[str] = set()

    def redact(self, event: Dict[str, Any]) -> Dict[str, Any]:
        """Return *event* without its secrets.

        Every field is covered, at any depth. The event may be changed in place. Never
        raises: a field that cannot be redacted is replaced.
        """
        try:
            self._redact(event)
        except Exception:
            return self._salvage(event, levels=2)
        return event

    def _redact(self, tree: Tree) -> None:
        self._scrub(tree, MAX_JSON_LEVELS)
        if self._redactor is not None:
            self._ask(self._redactor, tree)

    def _salvage(self, broken: Dict[Any, Any], levels: int) -> Dict[Any, Any]:
        """Redact every field of *broken* by itself, and replace those that fail."""
        kept: Dict[Any, Any] = {}
        for key, value in broken.items():
            field = {key: value}
            try:
                self._redact(field)
            except Exception:
                inside = levels > 1 and type(value) is dict
                field = {key: self._salvage(value, levels - 1) if inside else REDACTED}
            kept.update(field)
        return kept

    def _scrub(self, tree: Tree, levels: int) -> bool:
        """Redact *tree* in place and tell whether anything changed."""
        changed, fresh = self._survey(tree)
        if not fresh:
            return changed
        texts = [node[key] for node, key in fresh]
        if not self._patterns and self._harmless(texts):
            self._remember(texts)
            return changed
        for (node, key), text in zip(fresh, texts):
            redacted = self._text(text, levels)
            if redacted != text:
                node[key] = redacted
                changed = True
        return changed

    def _survey(self, tree: Tree) -> Tuple[bool, List[Tuple[Any, Any]]]:
        """Replace the values under secret keys; return where unknown texts stand."""
        nodes: List[Any] = [tree]
        fresh: List[Tuple[Any, Any]] = []
        changed = False
        places: Iterable[Tuple[Any, Any]]
        clean_keys, clean_texts = self._clean_keys, self._clean_texts
        for node in islice(nodes, MAX_NODES):
            if type(node) is dict:
                if not clean_keys.issuperset(node):
                    changed = self._scrub_keys(node) or changed
                places = node.items()
            else:
                places = enumerate(node)
            for key, value in places:
                kind = type(value)
                if kind is str:
                    if value not in clean_texts:
                        fresh.append((node, key))
                elif kind is dict or kind is list:
                    nodes.append(value)
                elif kind not in _SCALARS:
                    self._adopt(node, key, nodes, fresh)
        if len(nodes) > MAX_NODES:
            raise RecursionError
        return changed, fresh

    @staticmethod
    def _adopt(node: Any, key: Any, nodes: List[Any], fresh: List[Any]) -> None:
        """Make what is no JSON-ready value one, and have it looked into."""
        node[key] = plain = _plain(node[key])
        if type(plain) is str:
            fresh.append((node, key))
        else:
            nodes.append(plain)

    def _scrub_keys(self, node: Dict[Any, Any]) -> bool:
        """Hide what stands under a secret key, and secrets which are keys."""
        changed = False
        for key in [key for key in node if key not in self._clean_keys]:
            text = key if type(key) is str else str(key)
            if _normal(text) in self._secret_names:
                changed = _hide(node, key) or changed
                continue
            redacted = text if text in _WIRE_NAMES else self._substitute(text)
            if redacted != text:
                node[_unused(redacted, node)] = node.pop(key)
                changed = True
            elif type(key) is str:
                self._remember_key(key)
        return changed

    def _remember_key(self, key: str) -> None:
        if len(self._clean_keys) >= _MAX_REMEMBERED:
            self._clean_keys.clear()
        if len(key) <= _MAX_REMEMBERED_CHARS:
            self._clean_keys.add(key)

    def _harmless(self, texts: Sequence[str]) -> bool:
        """Tell whether nothing is to be found in *texts*, at the cost of one."""
        text = "\n".join(texts)
        if '"' in text and "{" in text and any(map(_like_json, texts)):
            return False
        return all(masker(text) == text for masker in self._spotter.spot(text))

    def _text(self, text: str, levels: int) -> str:
        if text in self._clean_texts:
            return text
        redacted = self._json(text, levels) if levels > 0 else None
        if redacted is None:
            redacted = self._substitute(text)
        # Deep inside JSON a text is not parsed, so elsewhere it may be found unclean.
        if redacted == text and (levels == MAX_JSON_LEVELS or not _like_json(text)):
            self._remember((text,))
        return redacted

    def _substitute(self, text: str) -> str:
        for masker in self._spotter.spot(text):
            text = masker(text)
        for masker in self._patterns:
            text = masker(text)
        return text

    def _json(self, text: str, levels: int) -> Optional[str]:
        """Return *text* redacted as JSON, the same text if clean, None if no JSON."""
        if not _like_json(text):
            return None
        try:
            tree = [json.loads(text, object_pairs_hook=_distinct)]
        except (ValueError, RecursionError):
            return None
        if not self._scrub(tree, levels - 1):
            return text
        # An escape may stand for half a character, which only an escape can hold.
        return json.dumps(tree[0], ensure_ascii="\\u" in text)

    def _remember(self, texts: Sequence[str]) -> None:
        known = self._clean_texts
        if len(known) + len(texts) > _MAX_REMEMBERED:
            known.clear()
        short = [text for text in texts if len(text) <= _MAX_REMEMBERED_CHARS]
        known.update(short[:_MAX_REMEMBERED])

    def _ask(self, redactor: Callable[[str], str], tree: Tree) -> None:
        """Put every text of *tree* through the user's own *redactor*."""
        nodes: List[Any] = [tree]
        for node in nodes:
            places: Iterable[Tuple[Any, Any]]
            places = node.items() if type(node) is dict else enumerate(node)
            for key, value in places:
                if type(value) is str:
                    if not (key in _MADE_BY_US and _ID_OR_TIME.fullmatch(value)):
                        node[key] = _asked(redactor, value)
                elif type(value) is dict or type(value) is list:
                    nodes.append(value)


def _asked(redactor: Callable[[str], str], text: str) -> str:
    try:
        answer = redactor(text)
    except Exception:
        return REDACTED
    return answer if isinstance(answer, str) else REDACTED


def _rules(names: FrozenSet[str], *, defaults: bool) -> List[Tuple[Rule, _Masker]]:
    rules: List[Tuple[Rule, _Masker]] = []
    if defaults:
        rules += [
            (rule, _Masker(rule.regex)) for rule in DEFAULT_REDACT_PATTERNS.values()
        ]
    if names:
        rules.append((_QUOTED_KEY, _Masker(_QUOTED_KEY.regex, names)))
    return rules


def _normal(key: str) -> str:
    """Return the form in which `API-Key`, `api_key` and `apiKey` are the same."""
    return key.lower().translate(_SEPARATORS)


def _hide(node: Dict[Any, Any], key: Any) -> bool:
    """Replace the value under a secret *key*, unless it tells nothing."""
    value = node[key]
    if value is None or isinstance(value, bool) or value in ("", REDACTED):
        return False
    node[key] = REDACTED
    return True


def _plain(value: Any) -> Union[str, Tree]:
    """Turn what is no JSON-ready value into one that can be looked into."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return REDACTED


def _like_json(text: str) -> bool:
    inner = text.strip()
    if inner[:1] not in _JSON_STARTS or inner[-1] not in _JSON_ENDS:
        return False
    return len(inner) <= MAX_JSON_CHARS and '"' in inner


def _distinct(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Build a JSON object, unless a key stands twice: one value would go unseen."""
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice")
    return tree


def _unused(key: str, node: Mapping[Any, Any]) -> str:
    """Return *key*, numbered if *node* has it already: two secrets may be keys."""
    number, free = 1, key
    while free in node:
        number += 1
        free = f"{key} ({number})"
    return free


def _checked_keys(keys: Iterable[str]) -> Set[str]:
    allowed = "a list of key names, each a text with a letter or digit in it"
    if isinstance(keys, (str, bytes)):
        raise _wrong("redact_keys", keys, allowed)
    try:
        given = list(keys)
    except TypeError:
        raise _wrong("redact_keys", keys, allowed) from None
    for key in given:
        if not isinstance(key, str) or not _normal(key).strip():
            raise _wrong("redact_keys", key, allowed)
    return {_normal(key) for key in given}


def _checked_patterns(patterns: Iterable[PatternLike]) -> Tuple[_Masker, ...]:
    allowed = "a list of regular expressions, each a text or a compiled text pattern"
    if isinstance(patterns, (str, bytes, re.Pattern)):
        raise _wrong("redact_patterns", patterns, allowed)
    try:
        given = list(patterns)
    except TypeError:
        raise _wrong("redact_patterns", patterns, allowed) from None
    return tuple(_Masker(_compiled(pattern, allowed)) for pattern in given)


def _compiled(pattern: object, allowed: str) -> Pattern[str]:
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    if not isinstance(pattern, str) or not pattern:
        raise _wrong("redact_patterns", pattern, allowed)
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _wrong("redact_patterns", pattern, f"{allowed} ({error})") from error


def _wrong(option: str, given: object, allowed: str) -> ConfigError:
    shown = repr(given)
    if len(shown) > _MAX_SHOWN_CHARS:
        shown = shown[: _MAX_SHOWN_CHARS - 3] + "..."
    return ConfigError(f"{option} is or holds {shown}, but must be {allowed}")
