"""Errors as clients see them, without values from the request and without internals."""

import re
from enum import StrEnum
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError, ObjectFieldNode, ValueNode, VariableNode

from graphql_mfa.types.errors import PublicError

MASKED = "Internal server error."
_LONGEST_MESSAGE = 1000  # a name in it may be as long as the document

# graphql-core ends these messages with the offending value, such as a password. The patterns match the part before it.
_VARIABLE = re.compile(r"Variable '\$\w+' has invalid value(?: at [\w.\[\]]+)?: ", re.ASCII)
_VALUE = re.compile(
    r"\w+ cannot represent [\w -]+(?=: )"
    r"|Expected (?:a )?value of (?:non-null )?type '[\w!\[\]]+'"
    r"(?: to be an object| to include required field '\w+'| not to include unknown field '\w+'| not to be None"
    r"| to be provided)?",
    re.ASCII,
)
_SYNTAX = re.compile(r"Syntax Error: (?:Expected '?[^' ]+'?, found |Unexpected )?[\w<>.,\- ]*", re.ASCII)


class ErrorCode(StrEnum):
    """`extensions.code` of the errors that this server makes; Apollo's names where it has one."""

    BAD_REQUEST = "BAD_REQUEST"
    FORBIDDEN = "FORBIDDEN"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_ID_REQUIRED = "PERSISTED_QUERY_ID_REQUIRED"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


def public_error(error: GraphQLError) -> dict[str, Any]:
    """The error as it is sent in a response."""
    shown: dict[str, Any] = {"message": _public_message(error)}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations]
    if error.path is not None:
        shown["path"] = error.path
    own = (error.extensions or {}) if _is_public(error) else {}
    shown["extensions"] = {"code": _code(error)} | own
    return shown


def with_code(error: GraphQLError, code: ErrorCode) -> GraphQLError:
    """The error with a code, unless it has one."""
    error.extensions = {"code": code} | (error.extensions or {})
    return error


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an error is a bug or an outage, rather than the client's mistake. Flows return expected failures."""
    # An error at a literal is the client's: a scalar's parser may raise ValueError, and null for an argument that has a
    # default is found only when the field runs.
    if _is_public(error) or (error.nodes and isinstance(error.nodes[0], ValueNode)):
        return False
    cause = error.original_error
    if cause is not None and not isinstance(cause, GraphQLError):
        return True
    # graphql-core's own error in a field, such as null for a non-null type.
    return error.path is not None


def _code(error: GraphQLError) -> object:
    if is_unexpected(error):
        return ErrorCode.INTERNAL_SERVER_ERROR
    if isinstance(error, GraphQLSyntaxError):
        return ErrorCode.GRAPHQL_PARSE_FAILED
    return (error.extensions or {}).get("code", ErrorCode.BAD_USER_INPUT)


def _public_message(error: GraphQLError) -> str:
    if _is_public(error):
        return error.message
    if is_unexpected(error):
        return MASKED
    if isinstance(error, GraphQLSyntaxError):
        return _matched(_SYNTAX, error.message, "Syntax Error")
    if variable := _VARIABLE.match(error.message):
        return variable[0][:_LONGEST_MESSAGE] + _matched(
            _VALUE, error.message[variable.end() :], "the value is not valid"
        )
    node = error.nodes[0] if error.nodes else None
    if isinstance(node, ValueNode | ObjectFieldNode) and not isinstance(node, VariableNode):
        return _matched(_VALUE, error.message, "This value is not valid")
    # A message without a location may be a scalar's, with the value in it.
    return error.message[:_LONGEST_MESSAGE] if node else "The document is not valid."


def _is_public(error: GraphQLError) -> bool:
    return isinstance(error, PublicError) or isinstance(error.original_error, PublicError)


def _matched(pattern: re.Pattern[str], message: str, otherwise: str) -> str:
    match = pattern.match(message)
    return f"{match[0].rstrip(' .') if match else otherwise}."
