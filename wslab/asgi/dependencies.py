"""`Depends` and `Security`: a parameter whose value another callable makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from wslab.asgi.contexts import ConcurrencyLimit, ContextFactory, context_factory
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "ContextFactory",
    "Dependency",
    "DependencyScope",
    "Depends",
    "Security",
    "SecurityScopes",
    "context_factory",
]

DependencyScope = Literal["function", "request"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """What `Depends` and `Security` declare.

    Attributes:
        call: what makes the value; None where the annotation itself is to be called.
        use_cache: whether a connection calls it once and shares the value.
        scope: when what follows a ``yield`` runs; None for the usual time.
        scopes: the OAuth 2.0 scopes (RFC 6749 section 3.3) that `Security` asks for.
        limit: how many calls may run at the same time; None for any number.
    """

    call: Callable[..., Any] | None = None
    use_cache: bool = True
    scope: DependencyScope | None = None
    scopes: tuple[str, ...] = ()
    limit: ConcurrencyLimit | None = None

    @property
    def dependency(self) -> Callable[..., Any] | None:
        """FastAPI's name for `call`."""
        return self.call


class SecurityScopes:
    """The OAuth 2.0 scopes that the dependencies on the way to this one ask for (RFC 6749 section 3.3).

    A dependency that declares a parameter of this class is given one.

    Args:
        scopes: the scopes, the outermost dependency's first.

    Attributes:
        scopes: the same as a list.
        scope_str: the same as one text, separated by spaces.

    Example:
        >>> SecurityScopes(["room:read", "room:write"]).scope_str
        'room:read room:write'
    """

    def __init__(self, scopes: list[str] | None = None) -> None:
        self.scopes: list[str] = scopes or []
        self.scope_str = " ".join(self.scopes)

    def __repr__(self) -> str:
        return f"SecurityScopes({self.scopes!r})"


def Depends(  # noqa: N802 - the name that FastAPI's users know
    dependency: Callable[..., Any] | None = None,
    *,
    use_cache: bool = True,
    scope: DependencyScope | None = None,
    max_concurrency: int | None = None,
) -> Any:
    """Declare that a parameter's value is what `dependency` returns, or yields.

    `dependency` may be a function, a class or any callable, synchronous (it runs in a thread) or
    asynchronous. Its own parameters are filled like an endpoint's. What follows a ``yield`` runs after
    the endpoint has ended, the last dependency first, also when the endpoint raised.

    Args:
        dependency: what to call; left out, the parameter's annotation is called.
        use_cache: whether a connection calls it once and shares the value.
        scope: "function": what follows the ``yield`` runs as soon as the endpoint has ended; "request":
            after all those, for an HTTP route when the response has been sent; None means "request".
        max_concurrency: how many calls may run at the same time in one event loop, over all connections;
            one that yields counts until its teardown has ended. The others wait. The limit belongs to what
            this function returns: each `Depends(...)` has its own.

    Raises:
        EndpointError: `dependency` is not callable, `scope` is not one of the two, or `max_concurrency` is
            not a positive number.

    Example:
        >>> def page(number: int = 1) -> int:
        ...     return number
        >>> async def feed(ws, page: int = Depends(page)): ...
    """
    limit = None if max_concurrency is None else ConcurrencyLimit(max_concurrency)
    return _declared("Depends", Dependency(dependency, use_cache, scope, limit=limit))


def Security(  # noqa: N802 - the name that FastAPI's users know
    dependency: Callable[..., Any] | None = None,
    *,
    scopes: Sequence[str] | None = None,
    use_cache: bool = True,
) -> Any:
    """Declare a dependency as `Depends` does, and the OAuth 2.0 scopes it must check.

    The scopes reach every dependency below this one that declares a parameter of class `SecurityScopes`.

    Args:
        dependency: what to call; left out, the parameter's annotation is called.
        scopes: names of scopes (RFC 6749 section 3.3).
        use_cache: whether a connection calls it once for the same scopes, and shares the value.

    Raises:
        EndpointError: `dependency` is not callable, or `scopes` is not a sequence of texts.

    Example:
        >>> def user(asked: SecurityScopes) -> str:
        ...     return f"may {asked.scope_str}"
        >>> async def feed(ws, user: str = Security(user, scopes=["feed:read"])): ...
    """
    asked = () if scopes is None else scopes
    if isinstance(asked, str) or not all(isinstance(scope, str) for scope in asked):
        raise EndpointError(
            f"Expected a list of scopes in Security(), got {scopes!r}.",
            remedy='Write Security(get_user, scopes=["room:read"]).',
        )
    return _declared("Security", Dependency(dependency, use_cache, scopes=tuple(asked)))


def _declared(marker: str, declared: Dependency) -> Dependency:
    call, scope = declared.call, declared.scope
    if call is not None and not callable(call):
        raise EndpointError(
            f"Expected a callable in {marker}(), got {call!r}.",
            remedy=f"Pass the function without calling it: {marker}(get_user), not {marker}(get_user()).",
        )
    if scope is not None and scope not in get_args(DependencyScope):
        raise EndpointError(
            f'Expected "function" or "request" as the scope in {marker}(), got {scope!r}.',
            remedy="Leave it out unless the teardown must come before that of other dependencies.",
        )
    return declared
