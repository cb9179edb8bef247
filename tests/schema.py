"""Judges documents by a JSON Schema: schema.py SCHEMA, a document a line on stdin, a verdict a line on stdout, {valid, unknown}."""

import json
import sys

from jsonschema import Draft202012Validator


def unknown(errors):
    """The keys that some mapping does not know, also where the mapping is one choice of several."""
    for error in errors:
        if error.validator == "additionalProperties":
            yield from set(error.instance) - set(error.schema.get("properties", {}))
        yield from unknown(error.context)


with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for line in sys.stdin:
    errors = list(validator.iter_errors(json.loads(line)))
    print(json.dumps({"valid": not errors, "unknown": sorted(set(unknown(errors)))}))
