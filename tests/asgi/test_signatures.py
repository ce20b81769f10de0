import asyncio
import contextlib
import functools
import inspect
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
from typing_extensions import TypeAliasType

from wslab.asgi.signatures import (
    EMPTY,
    Argument,
    CallKind,
    describe,
    innermost,
    kind_of,
    location_of,
    name_of,
    read_signature,
)
from wslab.errors import EndpointError


def plain(): ...


async def coroutine(): ...


def generator():
    yield


async def async_generator():
    yield


def wrapper_of(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


class Caller:
    def __call__(self, size: int): ...

    async def method(self, size: int): ...


class AsyncCaller:
    async def __call__(self): ...


class YieldingCaller:
    def __call__(self):
        yield


class AsyncYieldingCaller:
    async def __call__(self):
        yield


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (plain, CallKind.FUNCTION),
        (Caller, CallKind.FUNCTION),
        (Caller(), CallKind.FUNCTION),
        (dict, CallKind.FUNCTION),
        (len, CallKind.FUNCTION),
        (AsyncCaller, CallKind.FUNCTION),  # calling the class makes an instance
        (coroutine, CallKind.COROUTINE),
        (Caller().method, CallKind.COROUTINE),
        (AsyncCaller(), CallKind.COROUTINE),
        (generator, CallKind.GENERATOR),
        (YieldingCaller(), CallKind.GENERATOR),
        (async_generator, CallKind.ASYNC_GENERATOR),
        (AsyncYieldingCaller(), CallKind.ASYNC_GENERATOR),
    ],
)
@pytest.mark.parametrize("dress", [lambda call: call, functools.partial], ids=["itself", "partial"])
def test_the_kind_of_a_callable(call, kind, dress):
    assert kind_of(dress(call)) is kind


@pytest.mark.parametrize("function", [coroutine, generator, async_generator])
def test_a_plain_wrapper_is_of_the_kind_it_wraps(function):
    assert kind_of(wrapper_of(function)) is kind_of(function)


def test_an_async_wrapper_is_what_it_is():
    @functools.wraps(generator)
    async def inner(): ...

    assert kind_of(inner) is CallKind.COROUTINE


def test_names_are_those_a_person_would_use():
    assert name_of(plain) == "plain"
    assert name_of(functools.partial(functools.partial(plain))) == "plain"
    assert name_of(Caller()) == "Caller"
    assert name_of(Caller) == "Caller"


def test_a_location_is_file_and_line():
    line = inspect.getsourcelines(plain)[1]
    assert location_of(plain) == f"{__file__}:{line}"
    assert location_of(wrapper_of(plain)) == location_of(functools.partial(plain)) == location_of(plain)
    assert location_of(Caller()) == f"{__file__}:{inspect.getsourcelines(Caller.__call__)[1]}"
    assert location_of(len) == ""
    assert describe(plain) == f"`plain` ({__file__}:{line})"
    assert describe(len) == "`len`"


def test_arguments_carry_type_metadata_and_default():
    def function(a, b: int = 3, *args: str, c: Annotated[str, "x", "y"], **kwargs: str): ...

    assert read_signature(function) == (
        Argument("a", EMPTY, (), EMPTY),
        Argument("b", int, (), 3),
        Argument("c", str, ("x", "y"), EMPTY),
    )
    assert [argument.has_default for argument in read_signature(function)] == [False, True, False]


Size = TypeAliasType("Size", Annotated[int, "alias"])


def test_a_type_alias_is_looked_through():
    def function(a: Size, b: Annotated[Size, "outer"]): ...

    assert read_signature(function) == (
        Argument("a", int, ("alias",), EMPTY),
        Argument("b", int, ("alias", "outer"), EMPTY),
    )


@dataclass
class Strings:
    size: "int"


class StringsInInit:
    def __init__(self, size: "Annotated[int, Mark]"): ...


class StringsInCall:
    def __call__(self, size: "list['int']"): ...


class StringsInNew:
    def __new__(cls, size: "int"):
        made = super().__new__(cls)
        made.size = size
        return made


class Mark: ...


@pytest.mark.parametrize(
    ("call", "annotation", "metadata"),
    [
        (Strings, int, ()),
        (StringsInInit, int, (Mark,)),
        (StringsInNew, int, ()),
        (StringsInCall(), list[int], ()),
        (wrapper_of(StringsInCall().__call__), list[int], ()),
        (functools.partial(Strings), int, ()),
    ],
)
def test_string_annotations_are_resolved_where_they_were_written(call, annotation, metadata):
    (argument,) = read_signature(call)
    assert (argument.annotation, argument.metadata) == (annotation, metadata)


def test_a_name_that_does_not_exist_is_named():
    def function(user: "Usr"): ...  # noqa: F821 - the missing name is what is tested

    with pytest.raises(
        EndpointError, match=r"'Usr'.*`user`.*function.*name 'Usr' is not defined.*module level"
    ):
        read_signature(function)


@pytest.mark.parametrize("text", ["1 +", "os.nothing", "int['x']"])
def test_a_text_that_is_no_type_is_named(text):
    def function(user): ...

    function.__annotations__["user"] = text
    with pytest.raises(EndpointError, match="cannot be resolved"):
        read_signature(function)


def test_a_return_annotation_for_the_type_checker_alone_is_fine():
    def function(size: "int") -> "Missing": ...  # noqa: F821 - the missing name is what is tested

    assert read_signature(function)[0].annotation is int


def test_a_positional_only_parameter_is_refused():
    def function(size: int, /): ...

    with pytest.raises(EndpointError, match=r"`size`.*positional only"):
        read_signature(function)


def test_a_callable_without_a_signature_is_refused():
    with pytest.raises(EndpointError, match="parameters can be read"):
        read_signature(dict)


@pytest.mark.parametrize("decorator", [contextlib.contextmanager, contextlib.asynccontextmanager])
def test_a_ready_made_context_manager_is_refused(decorator):
    function = decorator(generator if decorator is contextlib.contextmanager else async_generator)
    with pytest.raises(EndpointError, match="Remove the decorator"):
        read_signature(function)


def test_what_is_wrapped_is_found_inside():
    caller = Caller()
    assert innermost(functools.partial(functools.partial(wrapper_of(plain)))) is plain
    assert innermost(functools.partial(caller)) is caller
    assert innermost(plain) is plain


def test_a_function_that_is_marked_as_a_coroutine_function_is_one():
    def marked():
        return coroutine()

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(marked)
    else:
        marked._is_coroutine = asyncio.coroutines._is_coroutine
    assert kind_of(marked) is CallKind.COROUTINE
