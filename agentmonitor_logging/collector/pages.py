"""The page: a few files of ours, and a policy that lets it use nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from .answers import HEADERS
from .names import NAME

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(__file__).parent / "page"

_LISTS = ("/traces", "/traces/", "/sessions", "/sessions/")
VIEWS = ("/", *_LISTS, f"/traces/{NAME}", f"/sessions/{NAME}")
"""The addresses of the page. All are the same file, which looks at its address."""

_NOT_OURS = ("/api/", "/static/")
"""What begins so is asked for by programs."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""Events are hostile text. Should one ever become a part of the page, it can neither
run nor send anything."""

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _File(NamedTuple):
    content: bytes
    headers: Dict[str, str]


def page_routes(folder: Path = FOLDER) -> List[Route]:
    """Return the routes of the page, whose files are read now."""
    files = {
        path.name: _file(path)
        for path in sorted(folder.iterdir())
        if path.suffix in _KINDS
    }

    async def view(request: Request) -> Response:
        return _answer(request, files["index.html"])

    async def static(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "there is no such file")
        return _answer(request, found)

    routes = [Route(path, view, methods=["GET"]) for path in VIEWS]
    return [*routes, Route("/static/{name}", static, methods=["GET"])]


def with_nowhere(otherwise: ASGIApp, folder: Path = FOLDER) -> ASGIApp:
    """Return what answers where nothing is: the page to a browser, else *otherwise*."""
    page = _file(folder / "index.html")
    headers = {name: value for name, value in page.headers.items() if name != "ETag"}

    async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
        if _is_for_a_person(scope):
            answer = Response(page.content, status_code=404, headers=headers)
            await answer(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return nowhere


def _is_for_a_person(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    wanted = Headers(scope=scope).get("accept", "")
    return "text/html" in wanted and not scope["path"].startswith(_NOT_OURS)


def _file(path: Path) -> _File:
    content = path.read_bytes()
    headers = {
        **HEADERS,
        # Asked for each time, and not sent if it is the same: an update shows at once.
        "Cache-Control": "no-cache",
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Content-Type": _KINDS[path.suffix],
        "Content-Security-Policy": POLICY,
        "X-Frame-Options": "DENY",
    }
    return _File(content, headers)


def _answer(request: Request, file: _File) -> Response:
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)
