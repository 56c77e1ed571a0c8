"""Made-up rows through a converter: as a file of them would be, in any of the forms sets are published in."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

from pluralign.commands.convert import command
from sim.converters.converter import find_converter


def put(folder, rows, name="rows.jsonl"):
    """A file of these rows in `folder`, of the form that `name` ends in."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if ".csv" in name:
        with (gzip.open if name.endswith(".gz") else open)(path, "wt", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            flat = [{k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()} for row in rows]
            writer.writerows(flat)
        return path
    listed = name.removesuffix(".gz").endswith(".json")
    text = json.dumps(rows) if listed else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def made_of(name, folder, rows, *, skip_bad=False, file="rows.jsonl", **options):
    """What converter `name` makes of these rows."""
    return find_converter(name).answers([put(folder, rows, file)], name, options, skip_bad)


def same_in_every_form(name, folder, rows, forms=("rows.json", "rows.jsonl.gz", "rows.parquet")):
    """Whether the rows give the same answers in each form."""
    first = made_of(name, folder, rows).rows
    return all(made_of(name, folder, rows, file=form).rows == first for form in forms)


def printed(folder, *words, code=0):
    """What `pluralign convert ...` prints; a converter's licence and losses stand there."""
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert (done.exit_code == code) or done.exception, done.output
    if code == 0:
        assert done.exception is None, done.exception
    return done.output


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}
