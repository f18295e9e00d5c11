"""What secrets look like: their names, and their shapes in text.

Tables only; what is done about a match is elsewhere.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping, NamedTuple, Tuple

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
            r"""://[^\s/?#@:"'<>]{0,256}:(?![0-9]{1,5}[/?#]|\[REDACTED\]@)"""
            r"""(?P<secret>[^\s/?#"'<>]{1,256}"""
            r"""|[^\s?#@"'<>]{1,256}(?:@[^\s/?#"'<>]{0,256})?)@""",
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

_QUOTED_NAME = r"""(?P<q>\\{0,3}["'])(?P<name>[^"'\\\r\n]{1,64})(?P=q)"""

# A key in quotes is a key wherever it stands: in the repr of a dict, in JSON inside
# prose, in JSON too long or too broken to be parsed.
QUOTED_KEY = Rule(
    r"(?i)" + _QUOTED_NAME + r"[ \t]{0,4}:[ \t]{0,4}" + _ANY,
    ('":', "':"),
)

# A name in the repr of a list of pairs, as headers are often printed.
QUOTED_PAIR = Rule(
    r"(?i)(?:[\[(]|[)\]],)\s{0,4}[\[(]b?"
    + _QUOTED_NAME
    + r",[ \t]{0,2}b?"
    + _ANY
    + r"""(?=[\\"']{0,4}[)\]])""",
    ("[('", '[("', "[(b", "(('", '(("', "((b", "[['", '[["', "[[b"),
)
