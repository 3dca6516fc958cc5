"""The events as a table for a spreadsheet (RFC 4180), in which no cell is a formula (OWASP, CSV injection).

Each cell is quoted. One that a spreadsheet could take for a formula begins with an apostrophe more.
"""

from audit.personal_data import Covered
from gdpr.reading import columns

FILE = "data/audit_auditevent.csv"
"""Its name in an archive."""
_SPACE = r"[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"  # \s differs by locale
FORMULA = rf"^{_SPACE}*[-=+@＝＋－＠]|^[\t\r\n']"  # noqa: RUF001  the wide ones are taken for formulas, too
"""What a cell must not begin with, as a regular expression of Postgres; an apostrophe, lest two texts become one."""


def heading(table: Covered) -> str:
    """The first line: the columns' names, behind the mark by which spreadsheets know UTF-8."""
    return "\ufeff" + ",".join(f'"{column}"' for column in columns(table)) + "\r\n"


def line(table: Covered) -> str:
    """A row's line, as an expression of SQL over `chosen`."""
    cells = """ || '","' || """.join(_cell(f'chosen."{column}"::text') for column in columns(table))
    return f"""'"' || {cells} || E'"\\r\\n'"""


def _cell(text: str) -> str:
    formula = FORMULA.replace("'", "''")
    apostrophe = f"CASE WHEN {text} ~ '{formula}' THEN '''' ELSE '' END"
    return f"""coalesce({apostrophe} || replace({text}, '"', '""'), '')"""
