"""What invoices and credit notes say to whoever pays, on paper and on their pages."""

from invoices.documents.arithmetic import Step
from invoices.documents.contents import Document, Line, Party, Sum, document_of
from invoices.documents.notes import document_of_note
from invoices.documents.printing import print_credit_note, print_invoice

__all__ = [
    "Document",
    "Line",
    "Party",
    "Step",
    "Sum",
    "document_of",
    "document_of_note",
    "print_credit_note",
    "print_invoice",
]
