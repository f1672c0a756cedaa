"""What schemathesis may not count as a failure, each with its reason.

The document says by its schemas what is taken. A few rules no schema can say: a request that breaks one of them is refused
although it fits its schema. Such an answer is excluded only if every single error in it is one of these.
"""

import ast
import gc
import re
import sys
import threading

import schemathesis

BEYOND_SCHEMAS = [
    # PostgreSQL keeps no NUL; a pattern on every free text of any depth cannot be written.
    r"must not contain the character NUL",
    # No schema knows what time it is.
    r"must not be more than 10 minutes ahead",
    # Which patterns compile is globset's grammar, not a regular language.
    r"is not a pattern: .*",
    # Opaque, and only good if an answer gave it.
    r"must be a next_cursor of an earlier page",
    # No schema knows what time it is, here either.
    r"must be a time to come",
    r"must be an RFC 3339 time in the future",
    # Rules between two fields or parameters.
    r"must be later than from",
    r"and the other two must be at most 1\.0 together",
    # How many points come of it depends on what is stored.
    r"gives more than \d+ points for \d+ series; the smallest step that fits is \d+ seconds",
    r"has \d+ series, more than \d+ points can show; name a target or tags",
    # A rule between the body and the path.
    r"must be the one in the path: a policy cannot be renamed",
]

# The same for answers without a list of errors: what was sent before decides.
BEYOND_ONE_REQUEST = [
    (422, r"This Idempotency-Key was used before with another request\."),
    # `If-Match` names another revision than the newest.
    (412, r".*"),
]


def is_beyond_schemas(response):
    try:
        problem = response.json()
    except ValueError:
        return False
    errors = problem.get("errors", [])
    if response.status_code == 422 and errors:
        return all(any(re.fullmatch(rule, error["detail"]) for rule in BEYOND_SCHEMAS) for error in errors)
    detail = problem.get("detail", "")
    return any(response.status_code == status and re.fullmatch(rule, detail) for status, rule in BEYOND_ONE_REQUEST)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps a failure unless it is a refusal for a rule above, or a refusal that is taken for none."""
    kind = type(failure).__name__
    refused = kind == "RejectedPositiveData" and is_beyond_schemas(response)
    # A link hands on what an answer leaves null, such as the episode of an action by hand.
    refused |= kind == "RejectedPositiveData" and any(part in (None, "None") for part in (case.path_parameters or {}).values())
    # `If-Match` is looked at before the body: 412 refuses a wrong body as well.
    refused |= kind == "AcceptedNegativeData" and response.status_code == 412
    # A number of hundreds of digits that is too large by its last ones is read as the largest that there is.
    refused |= kind == "AcceptedNegativeData" and rounds_into_range(case.body)
    return not refused


def rounds_into_range(value):
    """Whether some number in it is beyond the largest of 64 bits, but nearest to that."""
    if isinstance(value, (dict, list)):
        return any(rounds_into_range(part) for part in (value.values() if isinstance(value, dict) else value))
    largest = sys.float_info.max
    try:
        return isinstance(value, int) and abs(value) > largest and abs(float(value)) == largest
    except OverflowError:
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sends headers as text: what the tool takes over from an earlier answer (`X-Request-Id: 539`) it takes for a number."""
    for name, value in (case.headers or {}).items():
        if not isinstance(value, (str, bytes)):
            case.headers[name] = str(value)


_parse, _parsing = ast.parse, threading.RLock()


def _parse_alone(*arguments, **options):
    with _parsing:
        collects = gc.isenabled()
        gc.disable()
        try:
            return _parse(*arguments, **options)
        finally:
            if collects:
                gc.enable()


# CPython 3.11 counts the depth of `ast.parse` for all threads together, and for what is parsed while garbage is collected in the
# middle of it (github.com/python/cpython/issues/106905): then the tool ends with "AST constructor recursion depth mismatch".
ast.parse = _parse_alone
