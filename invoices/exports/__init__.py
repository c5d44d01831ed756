"""What finance takes elsewhere: tables of one environment, read row by row."""

from invoices.exports.tables import TABLES, Selection, table_of

__all__ = ["TABLES", "Selection", "table_of"]
