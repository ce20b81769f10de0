"""From an endpoint's signature to its `Plan`: done once, when a route is declared.

The order of the steps is FastAPI's: first the route's own dependencies; then of each callable, the
dependencies first, in the order of its signature and depth first; then its own values, from path, query,
headers and cookies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wslab.asgi.dependencies import Dependency, SecurityScopes, context_factory
from wslab.asgi.markers import Role, called_by, class_in, marker_of, refuse_foreign, role_of
from wslab.asgi.params import CookieParam, HeaderParam, Param, PathParam, QueryParam
from wslab.asgi.plan import BACKGROUND, CONNECTION, Call, Plan, Read, Scopes, Step
from wslab.asgi.signatures import EMPTY, CallKind, describe, innermost, kind_of, name_of, read_signature
from wslab.errors import DependencyScopeError, EndpointError

if TYPE_CHECKING:
    from wslab.asgi.parameters import Parameter
    from wslab.asgi.signatures import Argument

__all__ = ["Overrides", "compile_plan"]

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]

_READING_ORDER = (PathParam, QueryParam, HeaderParam, CookieParam)
_YIELDING = {CallKind.GENERATOR, CallKind.ASYNC_GENERATOR}


def compile_plan(
    endpoint: Callable[..., Any],
    variables: Iterable[str] = (),
    overrides: Overrides | None = None,
    dependencies: Sequence[Any] = (),
    *,
    http: bool = False,
) -> Plan:
    """Read `endpoint`'s signature, and its dependencies', into a plan.

    Args:
        endpoint: an ``async def`` function; for HTTP a plain one will do, which runs in a thread.
        variables: the names of the variables in the route's path.
        overrides: what to call instead of a dependency.
        dependencies: markers made by `Depends` or `Security`; they run first, in this order, and what they
            return is discarded.
        http: whether the route serves HTTP requests instead of WebSocket connections.

    Raises:
        DependencyScopeError: a dependency asks for another that is torn down before it.
        EndpointError: something else is declared in a way that could never work.

    Example:
        >>> async def echo(ws, name: str, shout: bool = False): ...
        >>> compile_plan(echo, variables=["name"])
        <Plan of echo: path name, query shout>
    """
    _check_endpoint(endpoint, http=http)
    compiler = _Compiler(tuple(variables), overrides or {}, http=http)
    for number, dependency in enumerate(dependencies):
        compiler.add_unnamed(dependency, number, endpoint)
    arguments = compiler.arguments_of(endpoint)
    return Plan(
        endpoint=endpoint,
        arguments=arguments,
        steps=tuple(compiler.steps),
        size=compiler.size,
        yields=any(isinstance(step, Call) and step.context is not None for step in compiler.steps),
        background=compiler.background,
        kind=kind_of(endpoint),
        response=compiler.response,
    )


def _check_endpoint(endpoint: Any, *, http: bool) -> None:
    if not callable(endpoint):
        raise EndpointError(
            f"Expected an `async def` function as an endpoint, got {endpoint!r}.",
            remedy="Write the decorator directly above the function.",
        )
    name = name_of(endpoint)
    kind = kind_of(endpoint)
    if inspect.isclass(endpoint):
        problem = "it is a class"
    elif kind in _YIELDING:
        instead = "return a StreamingResponse" if http else "send with `await ws.send_text(...)`"
        problem = f"it yields: {instead} instead"
    elif kind is CallKind.FUNCTION and not http:
        problem = "it is a plain function, which could not await messages"
    else:
        _check_not_variadic(endpoint)
        return
    short = name.rpartition(".")[2]
    parameter = "request: Request" if http else "ws: WebSocket"
    raise EndpointError(
        f"Expected an `async def` function as an endpoint, got {describe(endpoint)}: {problem}.",
        remedy=f"Write `async def {short if short.isidentifier() else 'endpoint'}({parameter}): ...`.",
    )


def _check_not_variadic(endpoint: Callable[..., Any]) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(endpoint).parameters.values()}
    if kinds and kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise EndpointError(
            f"{describe(endpoint)} takes only *args and **kwargs, so nothing says what to pass.",
            remedy="If it is the inside of a decorator, put @functools.wraps(function) above it.",
        )


class _Compiler:
    """Collects the steps of one plan."""

    def __init__(self, variables: tuple[str, ...], overrides: Overrides, *, http: bool) -> None:
        self.steps: list[Step] = []
        self.size = BACKGROUND + 1
        self.background = False
        self.response: int | None = None
        self._http = http
        self._variables = variables
        self._overrides = overrides
        self._shared: dict[Hashable, int] = {}
        self._chain: list[Callable[..., Any]] = []

    def add_unnamed(self, dependency: Any, number: int, endpoint: Callable[..., Any]) -> None:
        """Add the steps of a dependency whose value nobody takes."""
        what = f"Dependency {number} of the route of {describe(endpoint)}"
        refuse_foreign(dependency, what)
        if not isinstance(dependency, Dependency):
            raise EndpointError(
                f"{what} is {dependency!r}: expected Depends(...) or Security(...).",
                remedy="Write dependencies=[Depends(function)].",
            )
        self._slot_of(dependency, called_by(dependency, None, what), ())

    def arguments_of(
        self,
        call: Callable[..., Any],
        scopes: tuple[str, ...] = (),
        handed_on: tuple[str, ...] = (),
        *,
        late: bool = False,
    ) -> tuple[tuple[str, int], ...]:
        """Add the steps that fill the parameters of `call`; the result pairs names with slots.

        Args:
            call: the endpoint or a dependency.
            scopes: the security scopes that `call` may ask to see.
            handed_on: those that its own dependencies inherit.
            late: whether it is torn down with the scope "request".
        """
        if any(outer == call for outer in self._chain):
            circle = " → ".join(f"`{name_of(outer)}`" for outer in [*self._chain, call])
            raise EndpointError(
                f"The dependencies depend on each other in a circle: {circle}.",
                remedy="Move what they share into a third function that both depend on.",
            )
        self._chain.append(call)
        owner = describe(call)
        slots: dict[str, int] = {}
        parameters: list[Parameter] = []
        for argument in read_signature(call):
            marker = marker_of(argument, owner)
            if isinstance(marker, Dependency):
                if late and marker.scope == "function":
                    raise _outlived(argument, owner)
                declared = called_by(
                    marker, argument.annotation, f"The parameter `{argument.name}` of {owner}"
                )
                slots[argument.name] = self._slot_of(marker, declared, handed_on)
                continue
            role = Role.VALUE
            if marker is None:
                role = role_of(argument, owner, self._variables, http=self._http)
            if role is Role.VALUE:
                parameters.append(self._parameter(argument, marker, owner))
            elif role is not Role.OMITTED:
                slots[argument.name] = self._provided(role, scopes)
        parameters.sort(key=lambda parameter: _READING_ORDER.index(type(parameter.declared)))
        for parameter in parameters:
            slots[parameter.name] = self._new_slot()
            self.steps.append(Read(parameter, slots[parameter.name]))
        self._chain.pop()
        return tuple(slots.items())

    def _parameter(self, argument: Argument, marker: Param | None, owner: str) -> Parameter:
        from wslab.asgi.parameters import compile_parameter  # pydantic: only when there is a parameter

        return compile_parameter(argument, marker, self._variables, owner)

    def _provided(self, role: Role, scopes: tuple[str, ...]) -> int:
        """The slot of what the framework itself hands over."""
        if role is Role.CONNECTION:
            return CONNECTION
        if role is Role.BACKGROUND:
            self.background = True
            return BACKGROUND
        if role is Role.RESPONSE:
            if self.response is None:
                self.response = self._new_slot()
            return self.response
        slot = self._new_slot()
        self.steps.append(Scopes(scopes, slot))
        return slot

    def _slot_of(
        self, dependency: Dependency, declared: Callable[..., Any], inherited: tuple[str, ...]
    ) -> int:
        """The slot that holds the dependency's value; adds the steps that fill it unless they are there."""
        scopes = (
            *inherited,
            *(scope for scope in dict.fromkeys(dependency.scopes) if scope not in inherited),
        )
        # Equal bound methods are different objects, so calls are compared, not identified, where they can be.
        hashable = _hashable(declared)
        key: Hashable = (
            declared if hashable else id(declared),
            frozenset(scopes) if dependency.scopes or _asks_for_scopes(declared, []) else frozenset(),
            dependency.scope or ("request" if kind_of(declared) in _YIELDING else None),
        )
        if dependency.use_cache and key in self._shared:
            return self._shared[key]
        call: Callable[..., Any] = self._overrides.get(declared, declared) if hashable else declared
        kind = kind_of(call)
        arguments = self.arguments_of(
            call,
            scopes,
            # An override starts from what its original was asked for.
            scopes if call is not declared else (*inherited, *dependency.scopes),
            late=kind in _YIELDING and dependency.scope != "function",
        )
        slot = self._new_slot()
        self.steps.append(
            Call(
                call,
                arguments,
                slot,
                kind,
                context_factory(call),
                early=dependency.scope == "function",
                scopes=scopes,
                limit=dependency.limit,
            )
        )
        self._shared.setdefault(key, slot)
        return slot

    def _new_slot(self) -> int:
        self.size += 1
        return self.size - 1


def _outlived(argument: Argument, owner: str) -> DependencyScopeError:
    return DependencyScopeError(
        f'The dependency {owner} has the scope "request", but its parameter `{argument.name}` has the scope '
        '"function", which ends before it.',
        remedy=f'Declare `{argument.name}` with the scope "request", or the dependency itself with '
        'Depends(..., scope="function").',
    )


def _hashable(call: Any) -> bool:
    try:
        hash(call)
    except TypeError:
        return False
    return True


def _asks_for_scopes(call: Callable[..., Any], seen: list[Callable[..., Any]]) -> bool:
    """Whether the value of `call` may depend on the security scopes that it is asked for with."""
    if hasattr(innermost(call), "scheme_name"):
        return True  # what `wslab.asgi.security` makes
    if any(outer == call for outer in seen):
        return False
    seen.append(call)
    for argument in read_signature(call):
        marker = marker_of(argument, "")
        if isinstance(marker, Dependency):
            below = marker.call if marker.call is not None else argument.annotation
            if marker.scopes or (callable(below) and below is not EMPTY and _asks_for_scopes(below, seen)):
                return True
        elif marker is None and issubclass(class_in(argument.annotation) or object, SecurityScopes):
            return True
    return False
