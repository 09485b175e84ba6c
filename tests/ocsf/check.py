"""Checks OCSF events, a line each on standard input, against OCSF's own schema as the package ocsf-json-schema carries it:
every class and object of the version that the event names, required fields, constraints, types, known numbers, and no
field that OCSF does not have. Prints a line for each mistake, and how many events were looked at."""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

versions = {}
count = 0
for line in sys.stdin:
    event = json.loads(line)
    metadata = event["metadata"]
    version = metadata["version"]
    if version not in versions:
        versions[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    schema = versions[version]
    name = schema.lookup_class_name_from_uid(event["class_uid"])
    wanted = schema.get_class_schema(name, profiles=metadata.get("profiles", []))
    for mistake in Draft202012Validator(wanted, format_checker=FormatChecker()).iter_errors(event):
        place = "/".join(map(str, mistake.path))
        print(f"{metadata['event_code']} ({name}): {place}: {mistake.message[:200]}")
    count += 1
print(f"{count} events")
