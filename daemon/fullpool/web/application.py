"""The addresses of the site, and how each answers. Owns starlette."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from fullpool.errors import BusyError, FullpoolError, NoLakeError, UsageError
from fullpool.web import chart, generations_page, map_page, now_page, series_page
from fullpool.web.guard import Guard
from fullpool.web.rendering import as_json, rendered
from fullpool.web.series_name import SeriesName, UnknownSeriesError
from fullpool.web.site import Site

_JSON: Final = ".json"
_LONGEST_QUERY: Final = 500
# Pages that are made at once, and that wait for that: a query takes two threads more.
_THREADS: Final = 6
_MOST_WAITING: Final = 100
# Which status an error has, by its class.
_STATUSES: Final = (
    (UnknownSeriesError, 404), (UsageError, 400), (NoLakeError, 503), (BusyError, 503),
)  # fmt: skip
# What names a generation, which may be gone while others are there.
_PAST: Final = frozenset({"as_of", "from", "to"})
# The newest copy of a file goes with a new version of the package.
_STATIC_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}

Make = Callable[[Site, Mapping[str, str]], Mapping[str, Any]]


def application(site: Site, hosts: Iterable[str], *, is_open: bool = False) -> ASGIApp:
    """Return the site as an ASGI application that answers to these names of hosts."""
    routes = [
        Route("/", _home),
        Route("/live", _live),
        Route("/state", _in_turn(_state)),
        *_both("/coverage", map_page.page, "coverage.html"),
        *_both("/now", now_page.page, "now.html"),
        *_both("/generations", generations_page.page, "generations.html"),
        *_both("/differences", generations_page.differences, "differences.html"),
        Route("/cells/{series:path}", _data_of_series(map_page.cells)),
        Route("/chart/{series:path}", _data_of_series(chart.page)),
        Route("/series/{series:path}", _in_turn(_series)),
        Mount("/static", _Static(directory=str(files("fullpool.web") / "static"))),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware)],
        exception_handlers={FullpoolError: _failed, 404: _unknown, Exception: _broken},
    )
    app.router.redirect_slashes = False  # a proxy may have another scheme and port
    app.state.site = site
    app.state.limiter = anyio.CapacityLimiter(_THREADS)
    return Guard(app, hosts, is_open=is_open)


class _Static(StaticFiles):
    """Scripts and styles; a browser asks for them again after an hour."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_STATIC_HEADERS)
        return response


def _both(path: str, make: Make, template: str) -> list[Route]:
    """Return the routes of a page and of its JSON."""

    def made(request: Request) -> Response:
        return _answered(request, make(_site(request), _query(request)), template)

    answer = _in_turn(made)
    return [Route(path, answer), Route(path + _JSON, answer)]


def _in_turn(made: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Return what makes an answer in one of a few threads; too many that wait are refused."""

    async def answer(request: Request) -> Response:
        limiter: anyio.CapacityLimiter = request.app.state.limiter
        if limiter.statistics().tasks_waiting >= _MOST_WAITING:
            raise BusyError(f"making {_here(request)}: too many others wait")
        return await anyio.to_thread.run_sync(made, request, limiter=limiter)

    return answer


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def _query(request: Request) -> dict[str, str]:
    query = {name: value.strip() for name, value in request.query_params.items()}
    if any(len(value) > _LONGEST_QUERY for value in query.values()):
        raise UsageError("reading the address: a value in it is too long", hint="shorten it")
    return query


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return request.url.path.endswith(_JSON) or accepted.startswith("application/json")


def _answered(
    request: Request, data: Mapping[str, Any], template: str, status: int = 200
) -> Response:
    """Return a page, or its data as JSON if that is asked for."""
    if _wants_json(request):
        return Response(as_json(data), status, media_type="application/json")
    query = str(request.url.query)
    here = _here(request)
    more = {
        "root": request.scope.get("root_path", ""),
        "path": here,
        "json_address": f"{here}{_JSON}{f'?{query}' if query else ''}",
    }
    return HTMLResponse(rendered(template, data, **more), status, {"Vary": "Accept"})


def _here(request: Request) -> str:
    """Return the path of the page below the root of the site, as it is written in an address."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return quote(path) or "/"


async def _live(_request: Request) -> Response:
    """Answer at once, whatever else is asked."""
    return Response("ok\n", media_type="text/plain")


def _state(request: Request) -> Response:
    """Tell what stands at the top of every page, for pages that are open."""
    data = {**_site(request).head(), "root": request.scope.get("root_path", ""), "path": "/"}
    return Response(as_json(data), media_type="application/json")


def _home(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/coverage")


def _series_in(request: Request) -> SeriesName:
    return SeriesName.in_path(request.path_params["series"].removesuffix(_JSON))


def _series(request: Request) -> Response:
    data = series_page.page(_site(request), _query(request), _series_in(request))
    return _answered(request, data, "series.html")


def _data_of_series(
    make: Callable[[Site, Mapping[str, str], SeriesName], Any],
) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers with what a script asks for of one series."""

    def made(request: Request) -> Response:
        data = make(_site(request), _query(request), _series_in(request))
        return Response(as_json(data), media_type="application/json")

    return _in_turn(made)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, FullpoolError)
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, NoLakeError) and _PAST & set(request.query_params):
        status = 404
    return _told(request, str(error), error.hint, status)


def _unknown(request: Request, _error: Exception) -> Response:
    return _told(request, f"looking for {_here(request)}: there is no such page", "", 404)


def _broken(request: Request, error: Exception) -> Response:
    """Answer a mistake of ours; the log has where it was."""
    message = f"making {_here(request)}: {type(error).__name__}"
    return _told(request, message, FullpoolError.hint, 500)


def _told(request: Request, message: str, hint: str, status: int) -> Response:
    is_data = request.url.path.removeprefix(request.scope.get("root_path", "")).startswith(
        ("/cells/", "/chart/")
    )
    data = {"error": message, "hint": hint}
    if is_data or _wants_json(request):
        return Response(as_json(data), status, media_type="application/json")
    return _answered(request, data, "error.html", status)
