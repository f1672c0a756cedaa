"""Checks the OpenAPI document at a URL: that it is valid OpenAPI 3.1, and that every example in it fits its schema."""

import json
import sys
import urllib.request

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

BASE = "urn:document"


def examples(document):
    """Every example with its place and its schema."""

    def walk(value, place):
        if isinstance(value, dict):
            schema = value.get("schema")
            if isinstance(schema, dict) and "example" in value:
                yield place, absolute(schema), value["example"]
            for key, below in value.items():
                if key not in ("example", "examples"):
                    yield from walk(below, f"{place}/{key}")
        elif isinstance(value, list):
            for index, below in enumerate(value):
                yield from walk(below, f"{place}/{index}")

    yield from walk(document, "")
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            yield f"/components/schemas/{name}", absolute(schema), example


def absolute(schema):
    """The same schema with its references resolved against the document."""
    return json.loads(json.dumps(schema).replace('"#/', f'"{BASE}#/'))


def main(url):
    with urllib.request.urlopen(url) as answer:
        document = json.load(answer)
    wrong = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    registry = Registry().with_resource(BASE, Resource(contents=document, specification=DRAFT202012))
    seen = 0
    for place, schema, example in examples(document):
        seen += 1
        validator = Draft202012Validator(schema, registry=registry)
        wrong += [f"{place}: the example does not fit: {error.message}" for error in validator.iter_errors(example)]
    operations = sum(len(item) for item in document["paths"].values())
    print(f"{len(document['paths'])} paths, {operations} operations, {seen} examples, {len(wrong)} errors")
    for line in wrong:
        print(line)
    return 1 if wrong or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
