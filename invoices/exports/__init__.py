"""What finance takes elsewhere: tables of one environment, read row by row, and the numbers that some add up to."""

from invoices.exports.tables import TABLES, Selection, Total, add_up, table_of

__all__ = ["TABLES", "Selection", "Total", "add_up", "table_of"]
